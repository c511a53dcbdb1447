"""A person's record in plain words, as the demo prints it: grouped and labelled, and what is unknown with the reason."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

REASONS = {
    "licence": "the tenant has no licence that brings it",
    "permission": "the app registration lacks the permission for it",
    "concealed": "the tenant conceals it in its reports",
    "throttled": "Microsoft allowed no more requests for it",
    "not-requested": "nothing that is switched on asks for it",
    "not-provided": "Microsoft Graph has no such property",
    "malformed": "Microsoft's answer could not be read",
    "not-in-copy": "not among the people that were collected",
}
"""Why a value is missing, in words."""

_WIDTH = 26

Person = dict[str, Any]


def lines(person: Person) -> Iterator[str]:
    """The record, group by group. Empty values of the directory are shown as `none`, unknown ones come last."""
    yield _value(person, "displayName") or "(without a name)"
    unknown = []
    for group, rows in GROUPS.items():
        yield f"  {group}"
        for label, attribute, show in rows:
            reason = person["values"][attribute]["missing"]
            if reason:
                unknown.append(_line(label, f"unknown: {REASONS.get(reason, reason)}"))
            else:
                yield _line(label, show(person, attribute) or "none")
    if unknown:
        yield "  Not known"
        yield from unknown


def _line(label: str, text: str) -> str:
    return f"    {label:<{_WIDTH}}{text}"


def _value(person: Person, attribute: str) -> Any:
    return person["values"][attribute]["value"]


def _text(person: Person, attribute: str) -> str:
    value = _value(person, attribute)
    return "" if value is None else str(value)


def _list(person: Person, attribute: str) -> str:
    return ", ".join(map(str, _value(person, attribute) or []))


def _yes_or_no(person: Person, attribute: str) -> str:
    value = _value(person, attribute)
    return "" if value is None else "yes" if value else "no"


def _moment(person: Person, attribute: str) -> str:
    value = _value(person, attribute)
    return f"{datetime.fromisoformat(value):%Y-%m-%d %H:%M} UTC" if value else ""


def _day(person: Person, attribute: str) -> str:
    return _moment(person, attribute)[:10]


def _last_logon(person: Person, attribute: str) -> str:
    """A time, and whether somebody got in then: an attempt may have failed."""
    kind = _value(person, "lastLogonKind")
    words = {"successful": "successful", "attempt": "an attempt, which may have failed"}
    return f"{_moment(person, attribute)}, {words.get(kind, kind)}" if _value(person, attribute) else "none on record"


def _manager(person: Person, _attribute: str) -> str:
    manager = person["manager"]
    if manager is None:
        return ""
    if manager["missing"]:
        return f"unknown: {REASONS.get(manager['missing'], manager['missing'])}"
    return f"{manager['displayName']}  <{manager['mail']}>" if manager["mail"] else str(manager["displayName"])


def _division(person: Person, attribute: str) -> str:
    found = _value(person, attribute) or {}
    return ", cost centre ".join(found[name] for name in ("division", "costCenter") if found.get(name))


def _phones(person: Person, attribute: str) -> str:
    return ", ".join(f"{phone['number']} ({phone['type']})" for phone in _value(person, attribute) or [])


def _address(person: Person, _attribute: str) -> str:
    place = " ".join(filter(None, (_value(person, name) for name in ("postalCode", "city"))))
    street, state, country = (_value(person, name) for name in ("streetAddress", "state", "country"))
    return ", ".join(filter(None, (street, place, state, country)))


GROUPS: dict[str, tuple[tuple[str, str, Callable[[Person, str], str]], ...]] = {
    "Name and addresses": (
        ("First name", "givenName", _text),
        ("Last name", "surname", _text),
        ("Sign-in name", "signInName", _text),
        ("E-mail", "mail", _text),
        ("Other e-mail", "otherMails", _list),
    ),
    "Job and organisation": (
        ("Job title", "jobTitle", _text),
        ("Department", "department", _text),
        ("Company", "companyName", _text),
        ("Division", "employeeOrganization", _division),
        ("Manager", "managerId", _manager),
        ("Employment", "employeeType", _text),
        ("Employee id", "employeeId", _text),
        ("Employee number", "employeeNumber", _text),
        ("Hired", "employeeHiredAt", _day),
    ),
    "Contact": (
        ("Phones", "phones", _phones),
        ("Office", "officeLocation", _text),
        ("Address", "city", _address),
    ),
    "Account": (
        ("Member or guest", "userType", _text),
        ("Created", "createdAt", _moment),
        ("Enabled", "enabled", _yes_or_no),
        ("Last logon", "lastLogonAt", _last_logon),
        ("Password never expires", "passwordNeverExpires", _yes_or_no),
        ("Account expires", "expiresAt", _moment),
        ("Logons to applications", "applicationLogons", _text),
    ),
}
"""By group: label, the attribute that decides whether the value is known, and how it is shown."""
