"""What the tenant has bought, and who got it how: every value against the simulated tenant's own."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from local.cloud.graph import licences as tenant
from shared.mapping.transforms.products import names
from tests.rig import TESTER, Rig

TENANT = (60, 0, 20)
_ROLES = ["User.Read.All", "Organization.Read.All", "Domain.Read.All", "LicenseAssignment.Read.All"]


@pytest.fixture
def connected(rig: Rig) -> tuple[Rig, str]:
    rig.roles = list(_ROLES)
    return rig, rig.configure(kind="microsoft-365", options={})


def rows(rig: Rig, record_type: str, stream: str = "") -> dict[str, dict[str, Any]]:
    """Stored rows by object id."""
    return {
        row["RowKey"].split("|")[0]: row
        for row in rig.entities("Records")
        if row["PartitionKey"].split("|")[1] == record_type and row["RowKey"].endswith(stream)
    }


def assignments(rig: Rig) -> dict[str, dict[str, Any]]:
    return rows(rig, "licence-assignment")


def truth(rig: Rig) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in rig.directory.assignments()}


def same(rig: Rig) -> None:
    """Every assignment is stored as the tenant has it, and no other."""
    stored, wanted = assignments(rig), truth(rig)
    assert stored.keys() == wanted.keys()
    for key, one in wanted.items():
        row = stored[key]
        assert (row["PersonId"], row["SkuId"], row["State"]) == (one["personId"], one["skuId"], one["state"])
        assert row.get("GroupId") == one["assignedByGroup"]
        assert row["Path"] == ("group" if one["assignedByGroup"] else "direct")
        assert row.get("Error") == (None if one["error"] == "None" else one["error"])
        assert orjson.loads(row.get("DisabledPlans", "[]")) == sorted(one["disabledPlans"])


def test_each_assignment_seat_and_subscription_is_the_tenants(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    run = rig.run(connector, job="licences")
    assert run.state == "succeeded", run.problems
    same(rig)
    paths = {(one["path"] if "path" in one else one["assignedByGroup"] is None) for one in truth(rig).values()}
    assert paths == {True, False} and any(one["state"] == "Error" for one in truth(rig).values())
    bought = rows(rig, "licence")
    for one in rig.directory.skus():
        row, units = bought[one["id"]], one["prepaidUnits"]
        assert row["Bought"] == units["enabled"] + units["warning"] + units["suspended"]
        assert row["Usable"] == units["enabled"] + units["warning"]
        assert row["Available"] == units["enabled"] + units["warning"] - one["consumedUnits"]
        assert (row["Consumed"], row["LockedOut"]) == (one["consumedUnits"], units["lockedOut"])
        assert (row["PartNumber"], row["Status"]) == (one["skuPartNumber"], one["capabilityStatus"])
    assert min(row["Available"] for row in bought.values()) < 0, "an oversold product"
    subscriptions = rows(rig, "subscription")
    assert subscriptions.keys() == {one["id"] for one in rig.directory.subscriptions()}
    for one in rig.directory.subscriptions():
        assert (subscriptions[one["id"]]["Seats"], subscriptions[one["id"]]["IsTrial"]) == (
            one["totalLicenses"],
            one["isTrial"],
        )
    assert len([one for one in subscriptions.values() if one["SkuId"] == tenant.E3]) == 3
    assert rows(rig, "domain").keys() == {one["id"] for one in rig.directory.domains()}
    assert len(rows(rig, "tenant")) == 1


def test_products_have_names_and_one_that_nobody_knows_its_part_number(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    rig.run(connector, job="licences")
    names = {row["SkuId"]: row["Product"] for row in rows(rig, "licence").values()}
    assert names[tenant.E3] == "Microsoft 365 E3" and names[tenant.OWN] == "CONTOSO_SPECIAL"
    app = rig.app()
    found = app.records.search(app.registry.record_types["licence"], "power aut", source=None, limit=5)
    assert [card.display_name for card in found.items] == ["Power Automate Free"]


def _states(rig: Rig, index: int) -> list[dict[str, Any]]:
    person = rig.directory.get("users", index)
    assert person
    return list(person["licenseAssignmentStates"])


def _holders(rig: Rig) -> Iterator[int]:
    yield from (index for index in range(60) if _states(rig, index))


def _give(rig: Rig, index: int, states: list[dict[str, Any]] | None) -> None:
    rig.directory.change("users", index, {"licenseAssignmentStates": states})


def test_what_is_taken_away_goes_at_once_however_much_it_is(connected: tuple[Rig, str]) -> None:
    """Each is read from a person who is there, so that no limit of removals keeps the copy wrong."""
    rig, connector = connected
    rig.run(connector, job="licences")
    holders = list(_holders(rig))
    first, second = holders[: len(holders) // 2], holders[len(holders) // 2 : -1]
    gone = 0
    for some in (first, second):  # on one day
        for index in some:
            _give(rig, index, [])
        run = rig.run(connector, job="licences")
        assert run.state == "succeeded", run.problems
        gone += sum(s.removed for s in run.streams)
        same(rig)
    assert gone > 40 and len(assignments(rig)) < 4
    assert len([row for row in rig.entities("Changes") if row["Kind"] == "removed"]) == gone


def test_a_person_who_says_nothing_of_licences_keeps_what_is_stored(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    rig.run(connector, job="licences")
    before = assignments(rig)
    rig.graph.thin = lambda _way, item: {k: v for k, v in item.items() if k != "licenseAssignmentStates"}
    for index in list(_holders(rig)):
        _give(rig, index, None)  # asked one by one they say nothing either
    run = rig.run(connector, job="licences")
    assert sum(s.removed for s in run.streams) == 0 and assignments(rig).keys() == before.keys()


def test_a_list_that_ends_too_early_takes_nothing_away(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    rig.run(connector, job="licences")
    rig.fault("short-list", match=r"/users\?")
    run = rig.run(connector, job="licences")
    assert sum(s.removed for s in run.streams) == 0
    same(rig)


def test_a_move_from_one_product_to_another_is_one_that_went_and_one_that_came(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    rig.run(connector, job="licences")
    index = next(_holders(rig))
    states = _states(rig, index)
    _give(rig, index, [{**states[0], "skuId": tenant.VISIO}, *states[1:]])
    run = rig.run(connector, job="licences")
    counts = next(s for s in run.streams if s.name == "assignments")
    assert (counts.new, counts.removed, counts.changed) == (1, 1, 0)
    same(rig)


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        ([{"skuId": tenant.E3, "assignedByGroup": None, "state": "PendingInput", "error": "Others", "disabledPlans": ["no guid"]}], 1),
        ([{"skuId": tenant.E3, "assignedByGroup": None, "state": None, "error": None, "disabledPlans": None}], 1),
        ([{"skuId": tenant.E3.upper(), "assignedByGroup": None, "state": "Active", "error": "SeatsFrozen"}, {"skuId": tenant.E3}], 1),
        ([{"skuId": None, "state": "Active"}, "a text", None, {"state": "Active"}], 0),
        ([{"skuId": tenant.E3, "assignedByGroup": "", "state": 7, "lastUpdatedDateTime": "yesterday"}], 1),
    ],
    ids=["words that nobody knows", "nulls", "twice in two spellings", "no entries", "values of another kind"],
)  # fmt: skip
def test_an_odd_assignment_spoils_no_other(connected: tuple[Rig, str], states: list[Any], kept: int) -> None:
    rig, connector = connected
    victim, other = list(_holders(rig))[:2]
    _give(rig, victim, states)
    run = rig.run(connector, job="licences")
    assert run.state == "succeeded", run.problems
    person, neighbour = (rig.ids([index])[0] for index in (victim, other))
    stored = assignments(rig)
    assert sum(key.startswith(person) for key in stored) == kept
    assert sum(key.startswith(neighbour) for key in stored) == len(_states(rig, other))
    if kept and isinstance(states[0].get("state"), str):
        row = next(row for key, row in stored.items() if key.startswith(person))
        assert row["State"] in ("PendingInput", "Active") and row["SkuId"] == tenant.E3


def test_domains_of_the_connector_stand_for_the_sources(rig: Rig) -> None:
    rig.roles = list(_ROLES)
    connector = rig.configure(kind="microsoft-365", options={"domains": ["Fabrikam.example"]})
    rig.run(connector)
    rig.run(connector, job="licences")
    people = [one for one in rig.objects() if (one["mail"] or "").endswith("@fabrikam.example")]
    assert rows(rig, "person").keys() == {one["id"] for one in people} and people
    same(rig)  # licences are those of the whole tenant


def test_two_connectors_of_a_tenant_with_other_domains_are_warned_about(rig: Rig) -> None:
    rig.roles = [*_ROLES, "Device.Read.All"]
    first = rig.configure(options={"collectDevices": False, "collectSignIns": False})
    kind = rig.app().configuration.kinds["connector"]
    model = kind.model.model_validate(
        {"name": "Other", "sourceId": "a", "kind": "microsoft-365", "options": {"domains": ["fabrikam.example"]}}
    )
    made: Any = rig.app().configuration.create(kind, model, TESTER)
    assert [one.code for one in made.warnings] == ["domains-differ"]
    for connector in (first, made.id):
        shown: Any = rig.app().configuration.get(kind, connector)
        assert [one.code for one in shown.warnings] == ["domains-differ"]
        assert "domains-differ" in {problem.code for problem in rig.run(connector).problems}
    change = {"options": {"domains": ["*"]}}
    changed: Any = rig.app().configuration.patch(kind, made.id, change, None, TESTER)
    assert changed.warnings == []
    assert rig.run(first, full=True).problems == []


def test_products_that_no_table_names_are_counted_and_the_owner_can_name_them(rig: Rig) -> None:
    rig.roles = list(_ROLES)
    connector = rig.configure(kind="microsoft-365", options={})
    rig.run(connector)
    run = rig.run(connector, job="licences")
    unknown = [one for one in tenant.PRODUCTS if one.sku not in names()]
    assert next(one for one in run.streams if one.name == "licences").unnamed == len(unknown) > 0
    for own in unknown:
        assert {row["Product"] for row in rows(rig, "licence").values() if row["SkuId"] == own.sku} == {own.part}
    options = {
        "productNames": [{"skuId": unknown[0].sku.upper(), "name": "Our own"}, {"skuId": tenant.E3, "name": "E3"}]
    }
    rig.change("connector", connector, options=options)
    rig.clock.move(2 * 3600)
    run = rig.run(connector, job="licences")
    assert next(one for one in run.streams if one.name == "licences").unnamed == len(unknown) - 1
    shown = {row["SkuId"]: row["Product"] for row in rows(rig, "licence").values()}
    assert (shown[unknown[0].sku], shown[tenant.E3]) == ("Our own", "E3")
    assert {row["Product"] for row in assignments(rig).values() if row["SkuId"] == tenant.E3} == {"E3"}
