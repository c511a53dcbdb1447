"""Lists that show mapped values, against a plain evaluation of every single record."""

import itertools
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain.records import RecordRow
from shared.errors import Invalid
from shared.records import lists
from shared.records.filters import folded
from tests.rig import Rig

TENANT = (60, 6, 20)
Judge = Callable[[Any, Any], bool]


@pytest.fixture
def collected(rig: Rig) -> Rig:
    """Sign-ins are read; one person has a value that can't be stored."""
    rig.directory.change("users", 3, {"city": 7, "department": None})
    connector = rig.configure(options={"collectDevices": False})
    rig.run(connector)
    rig.run(connector, job="sign-ins")
    return rig


def listed(rig: Rig, *, limit: int = 500, **asked: Any) -> list[RecordRow]:
    """All pages."""
    app, found, after = rig.app(), list[RecordRow](), None
    person = app.registry.record_types["person"]
    given: dict[str, Any] = {"select": (), "condition": None, "missing": None, "source": None, **asked}
    for _ in range(1000):
        page, after = app.lists.page(person, after=after, limit=limit, **given)
        found += page
        if after is None:
            return found
    raise AssertionError("a list without an end")


def truth(rig: Rig) -> dict[str, dict[str, Any]]:
    """Every record by its own address: name to value, None where that is missing."""
    app = rig.app()
    person = app.registry.record_types["person"]
    found = {}
    for row in listed(rig):
        record = app.records.get(person, row.id)
        found[row.id] = {
            name: ("missing", one.missing) if one.missing else one.value for name, one in record.values.items()
        }
    return found


def test_each_value_is_the_single_records(collected: Rig) -> None:
    every = truth(collected)
    assert len(every) == 60
    names = sorted(next(iter(every.values())))
    for row in listed(collected, select=names, limit=7):
        shown = {**{n: ("missing", why) for n, why in row.missing.items()}, **row.values}
        assert shown == every[row.id]


def _plain(value: Any) -> Any:
    if isinstance(value, str) and len(value) > 18 and value[4:5] == "-" and value.endswith("Z"):
        return datetime.fromisoformat(value).astimezone(UTC)
    return folded(value) if isinstance(value, str) else value


HOW: dict[str, Judge] = {
    "eq": lambda a, b: bool(a == b), "ne": lambda a, b: bool(a != b), "lt": lambda a, b: bool(a < b),
    "le": lambda a, b: bool(a <= b), "gt": lambda a, b: bool(a > b), "ge": lambda a, b: bool(a >= b),
}  # fmt: skip


def _expected(value: Any, operator: str, wanted: Any) -> bool | None:
    """Three answers, as the grammar's description says: None is unknown."""
    if isinstance(value, tuple):
        return None
    if wanted is None:
        return (value is None) == (operator == "eq")
    if value is None:
        return operator == "ne"
    return HOW[operator](_plain(value), wanted)


CASES: list[tuple[str, str, Any]] = [
    ("department", "'sales'", "sales"), ("city", "'Utrecht'", "utrecht"), ("surname", "'m'", "m"), ("displayName", "'O''Hara'", "o'hara"),
    ("createdAt", "2024-01-01", datetime(2024, 1, 1, tzinfo=UTC)),
    ("lastLogonAt", "2026-06-01T00:00:00Z", datetime(2026, 6, 1, tzinfo=UTC)),
    ("lastLogonAt", "2026-09-01T02:00:00+02:00", datetime(2026, 9, 1, tzinfo=UTC)),
]  # fmt: skip


def _compare(rig: Rig) -> int:
    """How many filters were tried."""
    every = truth(rig)
    tried = 0
    asked: list[tuple[str, str, str, Any]] = [(n, o, text, w) for (n, text, w), o in itertools.product(CASES, HOW)]
    asked += [
        (name, o, "null", None)
        for name in ("department", "city", "lastLogonAt", "phones", "expiresAt")
        for o in ("eq", "ne")
    ]
    asked += [("enabled", o, word, word == "true") for o in ("eq", "ne") for word in ("true", "false")]
    for name, operator, text, wanted in asked:
        for form, turned in ((f"{name} {operator} {text}", False), (f"not {name} {operator} {text}", True)):
            right = set()
            for key, values in every.items():
                found = _expected(values[name], operator, wanted)
                if found is not None and found != turned:
                    right.add(key)
            assert {row.id for row in listed(rig, condition=form)} == right, form
            tried += 1
    return tried


def test_every_operator_over_every_type_finds_what_a_plain_evaluation_finds(collected: Rig) -> None:
    assert _compare(collected) > 100


@pytest.mark.prove
def test_five_thousand_records_are_found_as_a_plain_evaluation_finds_them(say: Callable[[str], None]) -> None:
    rig = Rig(5000, page_cap=999)
    try:
        rig.directory.change("users", 3, {"city": 7, "department": None})
        connector = rig.configure()
        rig.run(connector)
        rig.run(connector, job="sign-ins")
        say(f"{_compare(rig)} filters over 5000 records, no difference")
    finally:
        rig.close()


def test_tests_are_joined_as_three_answers_are(collected: Rig) -> None:
    every, chance = truth(collected), random.Random(5)
    simple = [(f"{n} {o} {text}", n, o, w) for (n, text, w), o in itertools.product(CASES, HOW)]
    for _ in range(60):
        (one, *a), (two, *b), (three, *c) = chance.sample(simple, 3)
        right = set()
        for key, values in every.items():
            x, y, z = (_expected(values[n], o, w) for n, o, w in (a, b, c))
            either = True if True in (x, y) else None if None in (x, y) else False
            contrary = None if z is None else not z
            both = False if False in (either, contrary) else None if None in (either, contrary) else True
            if both is True:
                right.add(key)
        form = f"({one} or {two}) and not {three}"
        assert {row.id for row in listed(collected, condition=form)} == right, form


def test_who_lacks_a_value_is_found_by_the_reason(collected: Rig) -> None:
    malformed = listed(collected, missing="malformed", select=["displayName"])
    assert [row.id.split("~")[1] for row in malformed] == collected.ids([3]) and malformed[0].missing == {
        "city": "malformed"
    }
    assert len(listed(collected, missing="not-provided")) == 60
    assert listed(collected, missing="licence") == []


def test_a_page_that_finds_nothing_goes_on(collected: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "ROWS", 5)
    monkeypatch.setattr(lists, "MOST_PAGES", 2)
    every = {row.id for row in listed(collected, condition="lastLogonAt ne null")}
    monkeypatch.undo()
    assert every == {row.id for row in listed(collected, condition="lastLogonAt ne null")} and len(every) > 20


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "department", "department eq", "department eq 'x", "department eq 'x' and", "eq eq 'x'", "department eq 5",
        'department eq "x"', "nothing eq 'x'", "department like 'x'", "department eq 'x' PartitionKey eq 'y'", "enabled gt true",
        "phones eq 'x'", "createdAt eq 'x'", "createdAt eq 2026-13-45", "startswith(enabled,'x')", "startswith(city)", "startswith(city,", "startswith(", "not",
        "((((((((((((((((((((((city eq 'x'))))))))))))))))))))))", "not " * 30 + "city eq 'x'", "city eq null or " * 60 + "city eq null",
        "city lt null", "city eq 'x'; drop", "city eq 'x' or 1 eq 1", "RowKey eq 'x'", "1=1", "city eq 'a' 'b'", "x" * 3000,
        "city eq 'x')) or ((city eq 'y'", "datetime'2026'", "city eq ٣", "city\x00eq 'x'",
    ],
)  # fmt: skip
def test_what_is_no_filter_is_refused(shared_rig: Rig, text: str) -> None:
    app = shared_rig.app()
    with pytest.raises(Invalid) as refused:
        app.lists.page(
            app.registry.record_types["person"],
            select=(),
            condition=text or "(",
            missing=None,
            source="a",
            after=None,
            limit=5,
        )
    assert refused.value.fields[0].field == "filter" and refused.value.fields[0].message
