"""Objects that arrive in part: what a page leaves out keeps its stored value, and only null empties one."""

from typing import Any

import pytest

from tests import expected
from tests.rig import Rig

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
NAMES = ("id", "displayName", "userPrincipalName")


TENANT = (24, 8, 10)
"""Of the shared rig: people, devices, objects a page."""


def _only(rig: Rig, *names: str, of: str = "", way: str = "") -> None:
    """From now on pages bring these properties alone (of one object, in one way of reading)."""

    def thin(how: str, item: dict[str, Any]) -> dict[str, Any]:
        if "@removed" in item or (of and item["id"] != of) or (way and how != way):
            return item
        return {name: value for name, value in item.items() if name.partition("@")[0] in (*names, "id")}

    rig.graph.thin = thin


def _rows(rig: Rig, kind: str = "person") -> list[dict[str, Any]]:
    return [row for row in rig.entities("Records") if f"|{kind}|" in row["PartitionKey"]]


def _right(rig: Rig, kind: str = "person", collection: str = "users") -> None:
    assert expected.differences(kind, list(rig.objects(collection)), _rows(rig, kind)) == []


def _told(rig: Rig) -> list[tuple[str, list[str]]]:
    """The journal: kind and names of the columns that differ."""
    import orjson

    rows = rig.entities("Changes")
    return [(row["Kind"], sorted(orjson.loads(row["Fields"]))) for row in rows]


@pytest.mark.parametrize("full", [False, True], ids=["delta", "full"])
def test_what_a_page_leaves_out_keeps_its_value(rig: Rig, full: bool) -> None:
    connector = rig.configure()
    rig.run(connector)
    _only(rig, *NAMES)
    rig.directory.change("users", 3, {"displayName": "Ada Brown"})
    run = rig.run(connector, full=full)
    assert run.state == "succeeded" and run.streams[0].changed == 1
    _right(rig)
    assert _told(rig) == [("changed", ["DisplayName"])]
    again = rig.run(connector, full=full)
    assert again.streams[0].changed == 0, "the digest is that of the whole object"


def test_null_empties_a_value_in_a_page_that_leaves_others_out(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    person = next(i for i, user in enumerate(rig.objects()) if user["jobTitle"] and user["department"])
    _only(rig, "jobTitle")
    rig.directory.change("users", person, {"jobTitle": None})
    rig.run(connector)
    _right(rig)
    assert _told(rig) == [("changed", ["JobTitle"])]


@pytest.mark.parametrize("full", [False, True], ids=["delta", "full"])
def test_an_attribute_of_several_properties_is_asked_for_when_one_of_them_comes(rig: Rig, full: bool) -> None:
    connector = rig.configure()
    rig.run(connector)
    person = next(i for i, user in enumerate(rig.objects()) if user["businessPhones"])
    _only(rig, *NAMES, "mobilePhone")
    rig.directory.change("users", person, {"mobilePhone": "+31 6 0000 0000"})
    rig.run(connector, full=full)
    _right(rig)


def test_somebody_new_in_a_thin_round_of_changes_is_read_whole(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    _only(rig, *NAMES, way="delta")
    rig.directory.hire(2)
    run = rig.run(connector)
    assert run.streams[0].new == 2
    _right(rig)


@pytest.mark.parametrize("full", [False, True], ids=["delta", "full"])
def test_somebody_who_comes_back_into_scope_in_a_thin_page_is_read_whole(rig: Rig, full: bool) -> None:
    connector = rig.configure(source={"domains": ["contoso.example"]})
    index = 5
    rig.directory.change("users", index, {"mail": "a@other.example", "userPrincipalName": "a@other.example"})
    rig.run(connector)
    assert not any(rig.ids([index])[0] in row["RowKey"] for row in _rows(rig))
    _only(rig, *NAMES, "mail")
    rig.directory.change("users", index, {"mail": "a@contoso.example", "userPrincipalName": "a@contoso.example"})
    rig.run(connector, full=full)
    (row,) = [row for row in _rows(rig) if rig.ids([index])[0] in row["RowKey"]]
    (person,) = [user for user in rig.objects() if user["id"] == rig.ids([index])[0]]
    assert expected.differences("person", [person], [row]) == []


@pytest.mark.parametrize("full", [False, True], ids=["delta", "full"])
def test_scope_goes_by_what_is_known_where_a_page_leaves_the_address_out(rig: Rig, full: bool) -> None:
    connector = rig.configure(source={"domains": ["contoso.example"]})
    rig.run(connector)
    before = len(_rows(rig))
    inside = next(i for i, user in enumerate(rig.objects()) if str(user["mail"]).endswith("@contoso.example"))
    _only(rig, "city")
    rig.directory.change("users", inside, {"city": "Elsewhere"})
    run = rig.run(connector, full=full)
    assert (run.state, run.streams[0].left_scope, len(_rows(rig))) == ("succeeded", 0, before)
    assert rig.entities("Holds") == []


def test_devices_keep_what_a_page_leaves_out_too(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    _only(rig, "displayName")
    rig.directory.change("devices", 2, {"displayName": "LAPTOP-NEW"})
    rig.run(connector)
    _right(rig, "device", "devices")


@pytest.mark.parametrize("thin_first", [False, True])
@pytest.mark.parametrize("full", [False, True], ids=["first", "again"])
def test_an_object_that_comes_twice_in_a_list_is_stored_whole(rig: Rig, thin_first: bool, full: bool) -> None:
    connector = rig.configure()
    if full:
        rig.run(connector)
        rig.directory.change("users", 4, {"displayName": "Ada Brown"})
    twice = rig.ids([4])[0]

    def doubled(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = []
        for item in items:
            short = {name: item.get(name) for name in NAMES}
            both = [short, item] if thin_first else [item, short]
            found += both if item["id"] == twice else [item]
        return found

    rig.graph.page_of = doubled
    rig.run(connector, full=full)
    _right(rig)
