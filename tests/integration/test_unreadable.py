"""One stored row that this release can't read: it is shown as such, and is in nobody else's way."""

import json
from typing import Any

import pytest
from azure.data.tables import UpdateMode

from shared.configuration.kinds import config_kinds
from shared.connectors.record_types import PERSON
from shared.domain.configuration import OrganizationIn, SourceIn, Unreadable
from shared.domain.run import Run
from shared.errors import Conflict
from tests.rig import TESTER, Rig

TENANT = (20, 0, 25)
"""Of the shared rig: people, devices, objects a page."""


SPOILT: list[tuple[str, dict[str, Any], str]] = [
    ("zone", {"schedule": {"timeZone": "localtime"}}, "timeZone"),
    ("kind", {"kind": "another-release"}, "kind"),
    ("option", {"options": {"unheardOf": True}}, "options"),
    ("no source", {"sourceId": None}, "sourceId"),
]


def _spoil(rig: Rig, object_id: str, change: Any, kind: str = "connector") -> None:
    with rig.service.get_table_client("Config") as table:
        row = table.get_entity("config", f"{kind}|{object_id}")
        row["Body"] = change(row["Body"])
        table.update_entity(row, mode=UpdateMode.REPLACE)


def _merged(change: dict[str, Any]) -> Any:
    return lambda body: json.dumps({**json.loads(body), **change})


def _due(rig: Rig) -> list[Run]:
    """What the next day's ticks start, run to its end."""
    rig.clock.move(26 * 3600)
    return [rig.finish(run) for run in rig.app().tick.run() if "purge" not in run]


SPOILERS = [pytest.param(_merged(change), word, id=name) for name, change, word in SPOILT]
BROKEN = [pytest.param(lambda _body: "{not json", "", id="no json"), pytest.param(lambda _body: "[]", "", id="a list")]


@pytest.mark.parametrize(("spoil", "word"), SPOILERS + BROKEN)
def test_an_unreadable_connector_is_shown_and_stops_nobody(rig: Rig, spoil: Any, word: str) -> None:
    bad, good = rig.configure("a"), rig.configure("b")
    for connector in (bad, good):
        rig.run(connector)
    _spoil(rig, bad, spoil)
    rig.app().tick.run()
    app = rig.app()
    kind = config_kinds(rig.registry)["connector"]
    shown = {item.id: item for item in app.configuration.page(kind, after=None, limit=10)}  # type: ignore[attr-defined]
    assert set(shown) == {bad, good}
    told = shown[bad]
    assert isinstance(told, Unreadable) and word in told.unreadable
    with pytest.raises(Conflict) as refused:
        app.configuration.get(kind, bad)
    assert refused.value.code == "unreadable" and "PATCH" in refused.value.remedy
    assert app.removals.holds() == []
    assert len(app.records.by_id(PERSON, source=None, after=None, limit=100).items) == 40
    record = app.records.by_id(PERSON, source="a", after=None, limit=1).items[0]
    assert app.records.get(PERSON, record.id).values["displayName"].value
    with pytest.raises(Conflict):
        app.dispatch.run_now(bad, TESTER)
    started = _due(rig)
    assert {run.connector_id for run in started} >= {good} and all(
        run.state == "succeeded" for run in started if run.connector_id == good
    )


@pytest.mark.parametrize(("spoil", "word"), SPOILERS + BROKEN)
def test_a_run_that_goes_on_fails_with_what_to_do(rig: Rig, spoil: Any, word: str) -> None:
    connector = rig.configure()
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    _spoil(rig, connector, spoil)
    ended = rig.finish(run.id)
    assert (ended.state, [problem.code for problem in ended.problems]) == ("failed", ["unreadable"])


@pytest.mark.parametrize(
    "spoil",
    [
        _merged({"domains": ["contoso.example."]}),
        _merged({"crawl": "perhaps"}),
        lambda _body: "{}",
        lambda _body: "{not json",
    ],
    ids=["a domain of an earlier release", "flag", "empty", "no json"],
)
def test_an_unreadable_source_is_said_so_and_stops_nobody(rig: Rig, spoil: Any) -> None:
    bad, good = rig.configure("a"), rig.configure("b")
    for connector in (bad, good):
        rig.run(connector)
    run, _ = rig.app().dispatch.run_now(bad, TESTER)
    _spoil(rig, "a", spoil, "source")
    ended = rig.finish(run.id)
    assert (ended.state, [problem.code for problem in ended.problems]) == ("failed", ["unreadable"]), ended.problems
    app = rig.app()
    sources = app.configuration.page(config_kinds(rig.registry)["source"], after=None, limit=10)
    assert [isinstance(item, Unreadable) for item in sources] == [True, False]
    body = app.config.get("connector", bad)
    assert body
    for ask in (
        lambda: app.configuration.permissions(bad),
        lambda: app.forecasts.of(bad, rig.registry.connector(body)),
        lambda: app.forecasts.of("a", SourceIn.model_validate(app.config.get("source", "b").body)),  # type: ignore[union-attr]
    ):
        with pytest.raises(Conflict) as refused:
            ask()
        assert refused.value.code == "unreadable"
    assert {run.connector_id for run in _due(rig) if run.state == "succeeded"} == {good}


@pytest.mark.parametrize(
    "spoil", [_merged({"schedule": {"timeZone": "localtime"}}), lambda _body: "{not json"], ids=["zone", "no json"]
)
def test_an_unreadable_connector_can_be_deleted_with_its_records(rig: Rig, spoil: Any) -> None:
    connector = rig.configure()
    rig.run(connector)
    _spoil(rig, connector, spoil)
    document = rig.app().configuration.mark_deleting(connector, None, TESTER)
    run = rig.app().dispatch.delete_records(document, TESTER)
    assert run and rig.finish(run.id).state == "succeeded"
    assert rig.entities("Records") == [] and rig.app().config.get("connector", connector) is None


def test_patch_mends_it_and_delete_removes_it(rig: Rig) -> None:
    first, second = rig.configure("a"), rig.configure("b")
    rig.run(first)
    for connector in (first, second):
        _spoil(rig, connector, _merged({"schedule": {"timeZone": "localtime"}}))
    kind = config_kinds(rig.registry)["connector"]
    service = rig.app().configuration
    mended = service.patch(kind, first, {"schedule": {"timeZone": "UTC"}}, None, TESTER)
    assert mended.id == first  # type: ignore[attr-defined]
    service.delete(kind, second, None, TESTER)
    assert [item.id for item in service.page(kind, after=None, limit=10)] == [first]  # type: ignore[attr-defined]
    assert rig.run(first).state == "succeeded"


def test_names_that_were_reserved_in_another_form_are_reserved_in_this_one_before_any_is_given_away(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = config_kinds(rig.registry)["organization"]
    for module in ("keys", "config"):
        monkeypatch.setattr(f"shared.storage.{module}.NAMES", 0)
    first = rig.app().configuration.create(kind, OrganizationIn(name="Fabrikam"), TESTER)
    monkeypatch.undo()
    service = rig.app().configuration
    with pytest.raises(Conflict) as refused:
        service.create(kind, OrganizationIn(name="FABRIKAM\u200b"), TESTER)
    assert refused.value.code == "name-taken"
    service.create(kind, OrganizationIn(name="パパ商事"), TESTER)
    service.create(kind, OrganizationIn(name="ハハ商事"), TESTER)
    assert service.patch(kind, first.id, {"name": "Other"}, None, TESTER).id == first.id  # type: ignore[attr-defined]
    again = service.create(kind, OrganizationIn(name="fabrikam"), TESTER)
    service = rig.app().configuration
    service.delete(kind, again.id, None, TESTER)  # type: ignore[attr-defined]
    service.create(kind, OrganizationIn(name="Fabrikam"), TESTER)
