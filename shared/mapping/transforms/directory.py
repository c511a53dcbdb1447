"""What is made of properties that only the directory has. None means empty at the source. A property of another kind than
expected raises, and is left out: nothing is guessed.
"""

from typing import Any

from shared.mapping.transforms.registry import texts, transform


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError
    return value


@transform(gives="text")
def identifier(related: Any) -> str | None:
    """The id of an expanded object: manager, as the list's $expand and delta's annotation give it."""
    if isinstance(related, list):
        related = next((entry for entry in related if "@removed" not in entry), None)
    return related["id"] if related is not None else None


@transform(gives="json")
def identifiers(related: Any) -> list[str] | None:
    """The ids of expanded objects, sorted: Graph promises no order."""
    return sorted(texts([entry["id"] for entry in related or [] if "@removed" not in entry])) or None


@transform(gives="json")
def ordered(values: Any) -> list[str] | None:
    """A collection without order, sorted, so that it differs only when its content does."""
    return sorted(texts(values)) or None


@transform(takes="several", gives="json", null=True)
def phones(business: Any, mobile: Any, fax: Any) -> list[dict[str, str]] | None:
    """Every phone number with its type: work, mobile or fax. Graph names no other types."""
    numbers = [{"type": "work", "number": number} for number in texts(business)]
    if mobile:
        numbers.append({"type": "mobile", "number": _text(mobile)})
    if fax:
        numbers.append({"type": "fax", "number": _text(fax)})
    return numbers or None


@transform(gives="text")
def first(values: Any) -> str | None:
    """The first text of a collection."""
    found = texts(values)
    return found[0] if found else None


@transform(gives="flag", null=True)
def password_flag_never_expires(policies: Any) -> bool:
    """Whether the person's own policy switches expiry off. No policy of their own: the domain's rule holds."""
    return "DisablePasswordExpiration" in _text(policies)


@transform(gives="flag", null=True)
def password_flag_weak_allowed(policies: Any) -> bool:
    """Whether the person's own policy allows weak passwords."""
    return "DisableStrongPassword" in _text(policies)


@transform(gives="json")
def any_value(structure: Any) -> dict[str, Any] | None:
    """A structure without its empty members; none left: empty."""
    if not structure:
        return None
    filled = [key for key, value in structure.items() if value is not None and "@" not in key]
    filled.sort()
    return {key: structure[key] for key in filled} or None


@transform(gives="time")
def last_successful_sign_in(activity: Any) -> str | None:
    """The last successful sign-in."""
    return (activity or {}).get("lastSuccessfulSignInDateTime")


@transform(gives="time")
def last_sign_in_attempt(activity: Any) -> str | None:
    """The last interactive attempt, successful or not."""
    return (activity or {}).get("lastSignInDateTime")


@transform(gives="time")
def last_non_interactive_sign_in(activity: Any) -> str | None:
    """The last attempt by an application on the person's behalf."""
    return (activity or {}).get("lastNonInteractiveSignInDateTime")


@transform(gives="time")
def last_logon(activity: Any) -> str | None:
    """The last success; without one the later of the two attempts. Graph's times have one form, so text compares."""
    attempts = (last_sign_in_attempt(activity), last_non_interactive_sign_in(activity))
    return last_successful_sign_in(activity) or max((at for at in attempts if at), default=None)


@transform(gives="text")
def last_logon_kind(activity: Any) -> str | None:
    """Whether the last logon was successful, or an attempt that may have failed."""
    if last_successful_sign_in(activity):
        return "successful"
    return "attempt" if last_logon(activity) else None
