"""Functions that make one stored value out of one or more Graph properties. None means empty at the source. A property of
another kind than expected raises, and is left out: nothing is guessed.
"""

from collections.abc import Callable
from typing import Any


def _texts(values: Any) -> list[str]:
    """The texts of a collection; nulls in it say nothing. Raises TypeError for anything else."""
    if values is None:
        return []
    if not isinstance(values, list):
        raise TypeError
    found = [value for value in values if value is not None]
    if not all(isinstance(value, str) for value in found):
        raise TypeError
    return found


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError
    return value


def identifier(related: Any) -> str | None:
    """The id of an expanded object: manager, as the list's $expand and delta's annotation give it."""
    if isinstance(related, list):
        related = next((entry for entry in related if "@removed" not in entry), None)
    return related["id"] if related is not None else None


def identifiers(related: Any) -> list[str] | None:
    """The ids of expanded objects, sorted: Graph promises no order."""
    return sorted(_texts([entry["id"] for entry in related or [] if "@removed" not in entry])) or None


def ordered(values: Any) -> list[str] | None:
    """A collection without order, sorted, so that it differs only when its content does."""
    return sorted(_texts(values)) or None


def phones(business: Any, mobile: Any, fax: Any) -> list[dict[str, str]] | None:
    """Every phone number with its type: work, mobile or fax. Graph names no other types."""
    numbers = [{"type": "work", "number": number} for number in _texts(business)]
    if mobile:
        numbers.append({"type": "mobile", "number": _text(mobile)})
    if fax:
        numbers.append({"type": "fax", "number": _text(fax)})
    return numbers or None


def first(values: Any) -> str | None:
    found = _texts(values)
    return found[0] if found else None


def password_flag_never_expires(policies: Any) -> bool:
    """Whether the person's own policy switches expiry off. No policy of their own: the domain's rule holds."""
    return "DisablePasswordExpiration" in _text(policies)


def password_flag_weak_allowed(policies: Any) -> bool:
    return "DisableStrongPassword" in _text(policies)


def any_value(structure: Any) -> dict[str, Any] | None:
    """A structure without its empty members; none left: empty."""
    if not structure:
        return None
    filled = {key: value for key, value in structure.items() if value is not None and "@" not in key}
    return dict(sorted(filled.items())) if len(filled) > 1 else filled or None


def last_successful_sign_in(activity: Any) -> str | None:
    return (activity or {}).get("lastSuccessfulSignInDateTime")


def last_sign_in_attempt(activity: Any) -> str | None:
    return (activity or {}).get("lastSignInDateTime")


def last_non_interactive_sign_in(activity: Any) -> str | None:
    return (activity or {}).get("lastNonInteractiveSignInDateTime")


def last_logon(activity: Any) -> str | None:
    """The last success; without one the later of the two attempts. Graph's times have one form, so text compares."""
    attempts = (last_sign_in_attempt(activity), last_non_interactive_sign_in(activity))
    return last_successful_sign_in(activity) or max((at for at in attempts if at), default=None)


def last_logon_kind(activity: Any) -> str | None:
    if last_successful_sign_in(activity):
        return "successful"
    return "attempt" if last_logon(activity) else None


TRANSFORMS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        identifier,
        identifiers,
        ordered,
        phones,
        first,
        password_flag_never_expires,
        password_flag_weak_allowed,
        any_value,
        last_successful_sign_in,
        last_sign_in_attempt,
        last_non_interactive_sign_in,
        last_logon,
        last_logon_kind,
    )
}
