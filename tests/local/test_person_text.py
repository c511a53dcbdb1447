"""A person's record in words: nothing unknown looks empty, and nothing empty looks unknown."""

from typing import Any

from local import person_text
from shared.domain.records import MISSING_REASONS

ATTRIBUTES = [attribute for rows in person_text.GROUPS.values() for _, attribute, _ in rows]


def person(missing: dict[str, str] | None = None, manager: Any = None, **values: Any) -> person_text.Person:
    names = {"displayName", "lastLogonKind", "streetAddress", "postalCode", "state", "country", *ATTRIBUTES}
    shown = {name: {"value": values.get(name), "missing": (missing or {}).get(name)} for name in names}
    return {"values": shown, "manager": manager}


def rows(found: person_text.Person) -> dict[str, str]:
    texts = [line for line in person_text.lines(found) if line.startswith("    ")]
    return {line[4:30].strip(): line[30:] for line in texts}


def test_values_read_as_a_person_would_write_them() -> None:
    ana = person(
        displayName="Ana", enabled=False, passwordNeverExpires=True, createdAt="2025-08-28T12:50:00Z",
        lastLogonAt="2026-03-03T05:25:00Z", lastLogonKind="successful", otherMails=["a@home.example", "b@home.example"],
        phones=[{"type": "work", "number": "+31 20"}, {"type": "mobile", "number": "+31 6"}],
        streetAddress="Damrak 1", postalCode="1012 AB", city="Amsterdam", country="NL",
        employeeOrganization={"division": "D2", "costCenter": "1470"},
        manager={"displayName": "Bo", "mail": "bo@contoso.example", "missing": None},
    )  # fmt: skip
    shown = rows(ana)
    assert next(person_text.lines(ana)) == "Ana"
    assert shown["Enabled"] == "no" and shown["Password never expires"] == "yes"
    assert shown["Created"] == "2025-08-28 12:50 UTC"
    assert shown["Last logon"] == "2026-03-03 05:25 UTC, successful"
    assert shown["Other e-mail"] == "a@home.example, b@home.example"
    assert shown["Phones"] == "+31 20 (work), +31 6 (mobile)"
    assert shown["Address"] == "Damrak 1, 1012 AB Amsterdam, NL"
    assert shown["Division"] == "D2, cost centre 1470"
    assert shown["Manager"] == "Bo  <bo@contoso.example>"


def test_what_is_empty_says_so() -> None:
    shown = rows(person())
    assert shown.pop("Last logon") == "none on record"
    assert set(shown.values()) == {"none"}


def test_an_attempt_is_not_taken_for_a_logon() -> None:
    shown = rows(person(lastLogonAt="2026-03-03T05:25:00Z", lastLogonKind="attempt"))
    assert shown["Last logon"] == "2026-03-03 05:25 UTC, an attempt, which may have failed"


def test_what_is_unknown_comes_last_with_its_reason_in_words() -> None:
    lines = list(person_text.lines(person({"expiresAt": "not-provided", "lastLogonAt": "licence"})))
    assert lines[-3:] == [
        "  Not known",
        "    Last logon                unknown: the tenant has no licence that brings it",
        "    Account expires           unknown: Microsoft Graph has no such property",
    ]
    assert sum("Last logon" in line for line in lines) == 1


def test_a_manager_who_was_not_collected_is_not_taken_for_none() -> None:
    shown = rows(person(manager={"displayName": None, "mail": None, "missing": "not-in-copy"}))
    assert shown["Manager"] == "unknown: not among the people that were collected"


def test_every_reason_has_its_words() -> None:
    assert set(MISSING_REASONS) <= set(person_text.REASONS)
