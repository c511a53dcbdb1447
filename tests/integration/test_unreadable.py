"""One stored row that this release can't read: it is shown as such, and is in nobody else's way."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from azure.data.tables import UpdateMode

from shared.configuration.kinds import config_kinds
from shared.connectors.record_types import PERSON
from shared.domain.configuration import OrganizationIn, Unreadable
from shared.domain.run import Run
from shared.errors import Conflict
from tests.rig import Rig

SPOILT: list[tuple[str, dict[str, Any], str]] = [
    ("zone", {"schedule": {"timeZone": "localtime"}}, "timeZone"),
    ("kind", {"kind": "another-release"}, "kind"),
    ("option", {"options": {"unheardOf": True}}, "options"),
    ("no source", {"sourceId": None}, "sourceId"),
]


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig(20, 0)
    yield made
    made.close()


def _spoil(rig: Rig, connector: str, change: Any) -> None:
    with rig.service.get_table_client("Config") as table:
        row = table.get_entity("config", f"connector|{connector}")
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
        app.dispatch.run_now(bad, "test")
    started = _due(rig)
    assert {run.connector_id for run in started} >= {good} and all(
        run.state == "succeeded" for run in started if run.connector_id == good
    )


def test_a_run_that_goes_on_fails_with_what_to_do(rig: Rig) -> None:
    connector = rig.configure()
    run, _ = rig.app().dispatch.run_now(connector, "test")
    _spoil(rig, connector, _merged({"schedule": {"timeZone": "localtime"}}))
    ended = rig.finish(run.id)
    assert (ended.state, [problem.code for problem in ended.problems]) == ("failed", ["unreadable"])


def test_patch_mends_it_and_delete_removes_it(rig: Rig) -> None:
    first, second = rig.configure("a"), rig.configure("b")
    rig.run(first)
    for connector in (first, second):
        _spoil(rig, connector, _merged({"schedule": {"timeZone": "localtime"}}))
    kind = config_kinds(rig.registry)["connector"]
    service = rig.app().configuration
    mended = service.patch(kind, first, {"schedule": {"timeZone": "UTC"}}, None)
    assert mended.id == first  # type: ignore[attr-defined]
    service.delete(kind, second, None)
    assert [item.id for item in service.page(kind, after=None, limit=10)] == [first]  # type: ignore[attr-defined]
    assert rig.run(first).state == "succeeded"


def test_names_that_were_reserved_in_another_form_are_reserved_in_this_one_before_any_is_given_away(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = config_kinds(rig.registry)["organization"]
    for module in ("keys", "config"):
        monkeypatch.setattr(f"shared.storage.{module}.NAMES", 0)
    first = rig.app().configuration.create(kind, OrganizationIn(name="Fabrikam"))
    monkeypatch.undo()
    service = rig.app().configuration
    with pytest.raises(Conflict) as refused:
        service.create(kind, OrganizationIn(name="FABRIKAM\u200b"))
    assert refused.value.code == "name-taken"
    service.create(kind, OrganizationIn(name="パパ商事"))
    service.create(kind, OrganizationIn(name="ハハ商事"))
    assert service.patch(kind, first.id, {"name": "Other"}, None).id == first.id  # type: ignore[attr-defined]
    again = service.create(kind, OrganizationIn(name="fabrikam"))
    service = rig.app().configuration
    service.delete(kind, again.id, None)  # type: ignore[attr-defined]
    service.create(kind, OrganizationIn(name="Fabrikam"))
