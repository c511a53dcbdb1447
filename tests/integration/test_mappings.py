"""Mappings of owners: stored by version, run, shown, restored; nothing that the product needs gets lost by them."""

import json
from dataclasses import replace
from typing import Any

import pytest

from local.cloud.graph.people import EXTENSION
from shared.connectors import REGISTRY
from shared.connectors.entra_id import ENTRA_ID
from shared.connectors.mappings import default_id, default_targets, version_of
from shared.domain.mapping import MappingIn, MappingOut, Target, TransformIn
from shared.errors import Conflict, Forbidden, Invalid
from tests.rig import TESTER, Rig

TENANT = (24, 4, 8)
ADDED = f"targets.{len(default_targets(ENTRA_ID))}"
"""Where the first target of an owner is."""


def targets(*more: dict[str, Any], without: tuple[str, ...] = ()) -> list[Target]:
    """The default's, without some, and with more."""
    kept = [one for one in default_targets(ENTRA_ID) if one.target not in without]
    return kept + [Target.model_validate({"stream": "users", **one}) for one in more]


COST = {"target": "costCentre", "source": [EXTENSION], "transforms": [{"name": "trim"}]}
WHERE = {
    "target": "place", "source": ["officeLocation", "city"],
    "transforms": [{"name": "join", "parameters": {"separator": " / "}}, {"name": "upper"}],
}  # fmt: skip
BADGE = {
    "target": "badge", "source": ["employeeId"], "type": "number",
    "transforms": [{"name": "capture", "parameters": {"pattern": "E0*([0-9]+)"}}, {"name": "number"}],
}  # fmt: skip


def save(rig: Rig, made: list[Target], name: str = "Ours", note: str = "") -> MappingOut:
    model = MappingIn(name=name, kind="entra-id", note=note, targets=made)
    config = rig.app().configuration
    saved = config.create(config.kinds["mapping"], model, TESTER)
    assert isinstance(saved, MappingOut)
    return saved


def change(rig: Rig, mapping: str, made: list[Target], note: str = "") -> MappingOut:
    config = rig.app().configuration
    model = MappingIn(name="Ours", kind="entra-id", note=note, targets=made)
    saved = config.replace(config.kinds["mapping"], mapping, model, None, TESTER)
    assert isinstance(saved, MappingOut) and saved.pending == []
    return saved


def use(rig: Rig, connector: str, mapping: str | None) -> None:
    config = rig.app().configuration
    config.patch(config.kinds["connector"], connector, {"mappingId": mapping}, None, TESTER)


def noted(rig: Rig) -> list[dict[str, Any]]:
    """What the journal says of changed mappings."""
    rows = rig.entities("Changes202611")
    return [json.loads(row["Fields"]) for row in rows if row["Kind"] == "configuration"]


def default_version() -> str:
    return version_of(default_targets(ENTRA_ID))


def people(rig: Rig) -> dict[str, dict[str, Any]]:
    return {row["RowKey"].split("|")[0]: row for row in rig.entities("Records") if row["RowKey"].endswith("|users")}


def shown(rig: Rig, object_id: str) -> dict[str, Any]:
    app = rig.app()
    record = app.records.get(app.registry.record_types["person"], f"a~{object_id}")
    return {name: value.model_dump(exclude_none=True) for name, value in record.values.items()}


DEFAULTS = {default_id(name) for name in REGISTRY.kinds}


def test_the_default_is_there_and_never_edited(rig: Rig) -> None:
    config = rig.app().configuration
    kind = config.kinds["mapping"]
    shown = config.page(kind, after=None, limit=10)
    assert {one.id for one in shown if isinstance(one, MappingOut) and one.built_in} == DEFAULTS and len(shown) == len(
        DEFAULTS
    )
    default = next(one for one in shown if isinstance(one, MappingOut) and one.id == "entraid")
    assert isinstance(default, MappingOut) and default.built_in and default.id == "entraid" and default.targets == []
    read = config.get(kind, "entraid")
    assert isinstance(read, MappingOut) and read.targets == default_targets(ENTRA_ID)
    with pytest.raises(Forbidden):
        config.delete(kind, "entraid", None, TESTER)
    with pytest.raises(Forbidden):
        config.patch(kind, "entraid", {"note": "mine"}, None, TESTER)


def test_an_owners_mapping_is_run_shown_and_restored(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    mine = save(rig, targets(COST, WHERE, BADGE, without=("faxNumber",)), note="Cost centres")
    use(rig, connector, mine.id)
    run = rig.run(connector)
    assert run.streams[0].reason == "mapping-changed" and run.state == "succeeded"
    receipt = rig.app().runs.receipt(run)
    assert receipt and (receipt.mapping_id, receipt.mapping_version) == (mine.id, mine.version)
    truth = {item["id"]: item for item in rig.objects()}
    for object_id, row in people(rig).items():
        item = truth[object_id]
        place = " / ".join(text for text in (item["officeLocation"], item["city"]) if text).upper()
        assert row.get("CostCentre") == item[EXTENSION] and row.get("Place", "") == place and "FaxNumber" not in row
        assert row.get("Badge") == (int(item["employeeId"][1:]) if item["employeeId"] else None)
    someone = next(key for key, item in truth.items() if item[EXTENSION])
    assert shown(rig, someone)["costCentre"]["value"] == truth[someone][EXTENSION]
    assert shown(rig, someone)["costCentre"]["attribute"] == EXTENSION and "faxNumber" not in shown(rig, someone)
    (entry,) = noted(rig)
    assert entry["mappingVersion"] == [f"entraid.{default_version()}", f"{mine.id}.{mine.version}"]
    assert entry["attributes"][1] == ["badge", "costCentre", "faxNumber", "place"]

    changed = change(rig, mine.id, targets(COST))
    assert (changed.revision, changed.version != mine.version) == (2, True)
    rig.run(connector)
    assert not any("Place" in row for row in people(rig).values())
    config = rig.app().configuration
    again = config.restore(mine.id, 1, None, TESTER)
    assert isinstance(again, MappingOut) and (again.revision, again.version) == (3, mine.version)
    rig.run(connector)
    assert any("Place" in row for row in people(rig).values())
    assert len(noted(rig)) == 3
    made = rig.app().mappings.made(rig.app().config.get("mapping", mine.id))  # type: ignore[arg-type]
    assert [(one.revision, one.version, one.by_name) for one in made] == [
        (3, mine.version, "somebody"), (2, changed.version, "somebody"), (1, mine.version, "somebody"),
    ]  # fmt: skip
    quiet = rig.run(connector)
    assert quiet.streams[0].mode == "delta"


def test_an_extension_that_is_emptied_is_empty_and_one_that_comes_by_delta_is_there(
    rig: Rig,
) -> None:
    connector = rig.configure(options={"collectDevices": False})
    mine = save(rig, targets(COST))
    use(rig, connector, mine.id)
    rig.run(connector)
    with_cost = next(n for n in range(24) if rig.directory.get("users", n)[EXTENSION])  # type: ignore[index]
    without = next(n for n in range(24) if not rig.directory.get("users", n)[EXTENSION])  # type: ignore[index]
    rig.directory.change("users", without, {EXTENSION: "0042"})
    assert rig.run(connector).streams[0].mode == "delta"
    one, other = rig.ids([with_cost, without])
    assert people(rig)[other]["CostCentre"] == "0042"
    rig.directory.change("users", with_cost, {EXTENSION: None})
    run = rig.run(connector, full=True)
    assert "CostCentre" not in people(rig)[one] and people(rig)[other]["CostCentre"] == "0042"
    assert run.waits.requests < 20  # nobody is asked for one by one


def test_a_rename_keeps_lists_search_and_scope(rig: Rig) -> None:
    renamed = [
        one.model_copy(update={"target": {"displayName": "fullName", "mail": "eMail", "createdAt": "made"}[one.role]})
        if one.stream == "users" and one.role in ("displayName", "mail", "createdAt")
        else one
        for one in targets()
    ]
    connector = rig.configure(source={"domains": ["contoso.example"]}, options={"userThresholdDays": 4000})
    mine = save(rig, renamed)
    use(rig, connector, mine.id)
    rig.run(connector)
    rows = people(rig)
    truth = {item["id"]: item for item in rig.objects()}
    assert rows and all(str(truth[key]["mail"]).endswith("@contoso.example") for key in rows)
    app, person = rig.app(), rig.app().registry.record_types["person"]
    listed = app.records.by_id(person, source=None, after=None, limit=50).items
    assert {card.display_name for card in listed} == {truth[key]["displayName"] for key in rows}
    someone = next(iter(rows))
    found = app.records.search(person, truth[someone]["displayName"], source=None, limit=5).items
    assert f"a~{someone}" in {card.id for card in found}
    assert shown(rig, someone)["fullName"]["value"] == truth[someone]["displayName"]
    assert "displayName" not in shown(rig, someone)


@pytest.mark.parametrize(
    ("made", "field", "code"),
    [
        (targets(without=("displayName",)), "targets", "role-lost"),
        (targets(without=("mail",)), "targets", "role-lost"),
        (targets({"target": "mail2", "source": ["mial"]}), f"{ADDED}.source.0", "unknown"),
        (targets({"target": "x", "source": ["aboutMe"]}), f"{ADDED}.source.0", "unknown"),
        (targets({"target": "x", "source": ["passwordProfile"]}), f"{ADDED}.source.0", "unknown"),
        (targets({"target": "x", "source": ["employeeOrgData.nothing"]}), f"{ADDED}.source.0", "unknown"),
        (targets({"target": "x", "source": ["city", "state"]}), f"{ADDED}.transforms", "needed"),
        (targets({"target": "x", "source": ["accountEnabled"]}), f"{ADDED}.type", "type-clash"),
        (targets({"target": "x", "source": ["proxyAddresses"]}), f"{ADDED}.type", "type-clash"),
        (targets({"target": "city", "source": ["state"]}), f"{ADDED}.target", "taken"),
        (targets({"target": "City", "source": ["state"]}), f"{ADDED}.target", "no-name"),
        (targets({"target": "changedAt", "source": ["state"]}), f"{ADDED}.target", "reserved"),
        (targets({"target": "x", "source": ["city"], "transforms": [{"name": "exec"}]}), f"{ADDED}.transforms.0.name", "unknown"),
        (
            targets({"target": "x", "source": ["city"], "transforms": [{"name": "capture", "parameters": {"pattern": "(a"}}]}),
            f"{ADDED}.transforms.0.parameters.pattern",
            "value-error",
        ),
        (targets({"stream": "groups", "target": "x", "source": ["city"]}), f"{ADDED}.stream", "unknown"),
        (targets({"target": "x", "source": ["mobilePhone", "faxNumber"], "transforms": [{"name": "phones"}]}), f"{ADDED}.transforms.0.name", "number"),
    ],
)  # fmt: skip
def test_what_can_not_be_saved_says_where_and_why(rig: Rig, made: list[Target], field: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        save(rig, made)
    assert (field, code) in {(one.field, one.code) for one in refused.value.fields}, refused.value.fields
    stored = {row["RowKey"].partition("|")[0] for row in rig.entities("Mappings")}
    documents = {row["RowKey"] for row in rig.entities("Config") if row["RowKey"].startswith("mapping|")}
    assert stored == DEFAULTS and documents == {f"mapping|{one}" for one in DEFAULTS}, "something of it was saved"


def test_a_mapping_in_use_stays_and_one_of_another_kind_is_refused(rig: Rig) -> None:
    connector = rig.configure()
    mine = save(rig, targets())
    use(rig, connector, mine.id)
    config = rig.app().configuration
    with pytest.raises(Conflict):
        config.delete(config.kinds["mapping"], mine.id, None, TESTER)
    use(rig, connector, None)
    config = rig.app().configuration
    config.delete(config.kinds["mapping"], mine.id, None, TESTER)
    assert rig.run(connector).state == "succeeded"


def test_an_attribute_whose_permission_is_not_granted_is_missing_and_says_so(rig: Rig) -> None:
    leave = {"target": "leavesAt", "type": "time", "source": ["employeeLeaveDateTime"]}
    connector = rig.configure(options={"collectDevices": False})
    mine = save(rig, targets(leave))
    use(rig, connector, mine.id)
    assert "User-LifeCycleInfo.Read.All" in {one.permission for one in rig.app().configuration.permissions(connector)}
    assert rig.run(connector).state == "succeeded"
    someone = next(iter(people(rig)))
    assert shown(rig, someone)["leavesAt"]["missing"] == "permission"
    rig.roles = [*rig.roles, "User-LifeCycleInfo.Read.All"]
    run = rig.run(connector)
    assert run.streams[0].reason == "mapping-changed"
    truth = {item["id"]: item["employeeLeaveDateTime"] for item in rig.objects()}
    assert any(truth.values())
    for object_id in people(rig):
        assert shown(rig, object_id)["leavesAt"].get("value") == truth[object_id]


@pytest.mark.parametrize(
    "name",
    ["extension_8f0c2d4a6b1e4c3f9a7d5e2b1c0f4a68_CostCentre", "extension_00000000000000000000000000000000_costCentre"],
)
def test_an_extension_that_the_tenant_does_not_have_fails_the_run_and_is_named(rig: Rig, name: str) -> None:
    """Also one that is written with other capitals: https://github.com/MicrosoftDocs/azure-docs/issues/78069"""
    connector = rig.configure(options={"collectDevices": False})
    rig.run(connector)
    before = people(rig)
    mine = save(rig, targets({"target": "costCentre", "source": [name]}))
    use(rig, connector, mine.id)
    run = rig.run(connector)
    (problem,) = run.problems
    assert run.state == "failed" and problem.code == "graph-no-such-attribute" and not problem.transient
    assert name in problem.message and "mapping" in problem.remedy
    assert people(rig) == before and rig.entities("Tombstones") == []
    use(rig, connector, None)
    assert rig.run(connector).state == "succeeded"


@pytest.mark.parametrize(
    ("steps", "value", "stored"),
    [
        ([], "2021-05-01", "2021-05-01T00:00:00Z"),
        ([{"name": "toUtc", "parameters": {"form": "%d.%m.%Y", "timeZone": "Europe/Berlin"}}], "01.05.2021", "2021-04-30T22:00:00Z"),
        ([{"name": "toUtc"}], "2021-05-01T00:00:00-05:00", "2021-05-01T05:00:00Z"),
        ([{"name": "toUtc"}], "soon", None),
    ],
)  # fmt: skip
def test_dates_of_extensions_need_no_time_of_day(
    rig: Rig, steps: list[dict[str, Any]], value: str, stored: str | None
) -> None:
    """As in https://github.com/MicrosoftDocs/entra-docs/issues/89"""
    rig.directory.change("users", 4, {EXTENSION: value})
    connector = rig.configure(options={"collectDevices": False})
    mine = save(rig, targets({"target": "endsAt", "type": "time", "source": [EXTENSION], "transforms": steps}))
    use(rig, connector, mine.id)
    rig.run(connector)
    found = shown(rig, rig.ids([4])[0])["endsAt"]
    assert found.get("value") == stored and (found.get("missing") == "malformed") == (stored is None)


def test_a_connector_that_was_left_behind_follows_with_the_timer(rig: Rig) -> None:
    """The process ends between the mapping and the connectors that use it."""
    connector = rig.configure(options={"collectDevices": False})
    mine = save(rig, targets(COST))
    use(rig, connector, mine.id)
    document = rig.app().config.get("connector", connector)
    assert document
    changed = change(rig, mine.id, targets(COST, WHERE))
    after = rig.app().config.get("connector", connector)
    assert after and after.system["mapping"] == changed.version
    rig.app().config.replace(replace(after, system=document.system), after)
    rig.app().tick.run()
    found = rig.app().config.get("connector", connector)
    assert found and found.system["mapping"] == changed.version and found.revision == after.revision


def test_exchanged_roles_are_another_mapping(rig: Rig) -> None:
    def with_roles(first: str, second: str) -> list[Target]:
        kept = [one for one in targets() if one.stream != "users" or one.role not in ("displayName", "employeeId")]
        one = {"stream": "users", "target": "p", "source": ["givenName"], "role": first}
        other = {"stream": "users", "target": "q", "source": ["surname"], "role": second}
        return [*kept, Target.model_validate(one), Target.model_validate(other)]

    connector = rig.configure(options={"collectDevices": False})
    mine = save(rig, with_roles("displayName", "employeeId"))
    use(rig, connector, mine.id)
    rig.run(connector)
    change(rig, mine.id, with_roles("employeeId", "displayName"))
    assert rig.run(connector).streams[0].reason == "mapping-changed"
    truth = {item["id"]: item for item in rig.objects()}
    for object_id in people(rig):
        found = shown(rig, object_id)
        assert (found["p"].get("value"), found["q"].get("value")) == (
            truth[object_id]["givenName"],
            truth[object_id]["surname"],
        )


def test_a_value_is_unknown_while_rows_of_two_mappings_lie_side_by_side(rig: Rig) -> None:
    """A run over a changed mapping stops in the middle: no row is read as if the other mapping had written it."""
    rig.limits = replace(rig.limits, flush_pages=1)
    connector = rig.configure(options={"collectDevices": False})
    badge = {"target": "badge", "source": ["employeeId"]}
    mine = save(rig, targets(badge))
    use(rig, connector, mine.id)
    rig.run(connector)
    change(rig, mine.id, targets({**badge, "type": "json", "transforms": [{"name": "split"}]}, without=("department",)))
    rig.slice_seconds = 0.0
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    for _ in range(2):
        for message in rig.messages():
            rig.work_on(message)
    truth = {item["id"]: item for item in rig.objects()}
    stopped = rig.app().runs.get(run.id)
    assert stopped and not stopped.state.closed
    for object_id in people(rig):
        found = shown(rig, object_id)
        assert (
            found["badge"].get("missing") == "not-requested"
            or found["badge"].get("value") == truth[object_id]["employeeId"]
        )
        department = found.get("department", {"missing": "not-requested"})
        assert department.get("missing") == "not-requested" or department.get("value") == truth[object_id]["department"]
    rig.slice_seconds = 480.0
    assert rig.finish(run.id).state == "succeeded"
    assert all("department" not in shown(rig, object_id) for object_id in people(rig))


@pytest.mark.parametrize(
    ("one", "field", "code"),
    [
        ({"target": "x", "source": ["city"], "transforms": [{"name": "trim"}, {"name": "phones"}]}, "transforms.1.name", "number"),
        ({"target": "x", "type": "number", "transforms": [{"name": "constant", "parameters": {"value": "1"}}]}, "type", "type-clash"),
        ({"target": "x", "source": ["city"], "transforms": [{"name": "split"}]}, "type", "type-clash"),
        ({"target": "x", "source": ["manager.displayName"]}, "source.0", "unknown"),
        ({"target": "null", "source": ["city"]}, "target", "reserved"),
        (
            {"target": "x", "type": "time", "source": ["city"], "transforms": [{"name": "toUtc", "parameters": {"form": "%d.%m.%d"}}]},
            "transforms.0.parameters.form",
            "value-error",
        ),
        (
            {"target": "x", "source": ["city"], "transforms": [{"name": "replace", "parameters": {"table": {f"{n}" * 60: "y" * 290 for n in range(100, 200)}}}]},
            "transforms",
            "too-long",
        ),
    ],
)  # fmt: skip
def test_what_could_give_no_value_is_refused(rig: Rig, one: dict[str, Any], field: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        save(rig, targets(one))
    assert (f"{ADDED}.{field}", code) in {(error.field, error.code) for error in refused.value.fields}, (
        refused.value.fields
    )


@pytest.mark.parametrize("value", [2**70, "\ud800"])
def test_parameters_that_can_not_be_stored_are_no_parameters(value: Any) -> None:
    with pytest.raises(ValueError, match="can be stored"):
        TransformIn.model_validate({"name": "constant", "parameters": {"value": value}})
    assert TransformIn.model_validate({"name": "constant", "parameters": {"value": 1}})


def test_a_mapping_that_is_taken_back_in_the_middle_of_its_run_leaves_nothing_behind(rig: Rig) -> None:
    """Some rows are of the new mapping already, and the last complete read is of the one that is back."""
    rig.limits = replace(rig.limits, flush_pages=1)
    connector = rig.configure(options={"collectDevices": False})
    rig.run(connector)
    before = {key: {name: row[name] for name in row if name != "ChangedBy"} for key, row in people(rig).items()}
    mine = save(rig, targets(COST, without=("department", "city")))
    use(rig, connector, mine.id)
    rig.slice_seconds = 0.0
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    for _ in range(2):
        for message in rig.messages():
            rig.work_on(message)
    assert any("City" not in row and "City" in before[key] for key, row in people(rig).items())
    rig.app().dispatch.halt(connector, "the test")
    rig.slice_seconds = 480.0
    rig.finish(run.id)
    use(rig, connector, None)
    rig.clock.move(60)
    assert rig.run(connector).state == "succeeded"
    for key, row in people(rig).items():
        assert row.get("City") == before[key].get("City") and row.get("Department") == before[key].get("Department"), (
            key
        )
        assert "CostCentre" not in row
