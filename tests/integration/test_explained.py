"""What people are told: why a run is not whole, why somebody is not there, why a decision does nothing."""

from typing import Any

import pytest

from shared.clock import parse_iso
from shared.connectors.record_types import PERSON
from shared.domain.actor import Actor
from shared.domain.receipt import Receipt
from shared.domain.run import Run
from shared.errors import Conflict, Invalid, NotFound
from shared.records.journal import Journal
from shared.records.removals import Removals
from shared.storage.holds import decide
from tests.rig import ROLES, TESTER, Rig

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

BOTH = {"collectDevices": True, "collectSignIns": False}


def _receipt(rig: Rig, run: Run) -> Receipt:
    found = rig.app().runs.receipt(run)
    assert found
    return found


def _removals(rig: Rig) -> Removals:
    return rig.app().removals


@pytest.mark.parametrize(
    ("broken", "missing"),
    [
        ("devices", {"devices": "graph-unavailable"}),
        ("users", {"users": "graph-unavailable", "devices": "not-finished"}),
    ],
)
def test_a_receipt_names_each_stream_that_was_not_read_to_its_end(
    rig: Rig, broken: str, missing: dict[str, str]
) -> None:
    connector = rig.configure(options=BOTH)
    rig.fault("503", match=rf"/{broken}\?")
    run = rig.run(connector)
    assert run.state == "failed"
    assert [(problem.code, problem.stream) for problem in run.problems] == [("graph-unavailable", broken)]
    assert [stream.phase for stream in run.streams if stream.name == broken] == ["failed"]
    receipt = _receipt(rig, run)
    assert receipt.missing_streams == missing
    assert {stream.stream for stream in receipt.streams} == {"users", "devices"} - missing.keys()
    rig.faults.clear()
    assert _receipt(rig, rig.run(connector)).missing_streams == {}


def test_a_receipt_of_a_cancelled_run_says_so(rig: Rig) -> None:
    connector = rig.configure(options=BOTH)
    rig.slice_seconds = 0.0
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    (message,) = rig.messages()
    rig.work(message)
    rig.app().dispatch.cancel(run.id, TESTER)
    ended = rig.finish(run.id)
    assert ended.state == "cancelled"
    assert _receipt(rig, ended).missing_streams == {"users": "not-finished", "devices": "not-finished"}


def test_the_permission_for_groups_is_needed_where_groups_are_excluded(rig: Rig) -> None:
    connector = rig.configure(source={"excludedGroups": ["Service accounts"]})
    rig.roles = [role for role in ROLES if role != "GroupMember.Read.All"]
    run = rig.run(connector)
    needed, granted = (getattr(_receipt(rig, run), f"permissions_{word}") for word in ("needed", "granted"))
    assert set(needed) - set(granted) == {"GroupMember.Read.All"}


def _held(rig: Rig) -> tuple[str, str]:
    connector = rig.configure(removalLimit={"count": 0, "percent": 0})
    rig.run(connector)
    rig.directory.leave("users", [2, 3])
    assert rig.run(connector).state == "held"
    return connector, f"{connector}~users"


def test_a_decision_about_somebody_who_does_not_wait_is_refused_whole(rig: Rig) -> None:
    connector, hold = _held(rig)
    here, elsewhere = (f"a~{object_id}" for object_id in rig.ids([2, 9]))
    for ids in ([here, elsewhere], ["nonsense"], [here.replace("a~", "b~")]):
        with pytest.raises(Invalid) as refused:
            _removals(rig).decide(hold, "confirmed", TESTER, ids)
        assert [error.field for error in refused.value.fields] == ["ids"]
    assert _removals(rig).hold(hold).waiting == 2
    run = _removals(rig).decide(hold, "confirmed", TESTER, [here])
    assert run and rig.finish(run.id).streams[0].removed == 1
    assert rig.app().runs.stream(f"{connector}-directory", "users").held == 1


def test_a_decision_about_all_when_all_is_decided_is_refused_and_one_by_name_changes_it(rig: Rig) -> None:
    _, hold = _held(rig)
    assert _removals(rig).decide(hold, "rejected", TESTER, []) is None
    with pytest.raises(Conflict) as refused:
        _removals(rig).decide(hold, "confirmed", Actor("2", "somebody else"), [])
    assert refused.value.code == "nothing-waits"
    run = _removals(rig).decide(hold, "confirmed", Actor("2", "somebody else"), [f"a~{key}" for key in rig.ids([2, 3])])
    assert run and rig.finish(run.id).streams[0].removed == 2


def _why_not_there(rig: Rig, index: int) -> NotFound:
    with pytest.raises(NotFound) as found:
        rig.app().records.get(PERSON, f"a~{rig.ids([index])[0]}")
    return found.value


@pytest.mark.parametrize("first", [True, False], ids=["never in scope", "the scope was changed"])
def test_somebody_out_of_scope_is_told_apart_from_somebody_unknown(rig: Rig, first: bool) -> None:
    rig.directory.change("users", 4, {"mail": "x@contoso.example"})
    everything = {"count": 5000, "percent": 100}
    connector = rig.configure(source={"domains": ["fabrikam.example"] if first else ["*"]}, removalLimit=everything)
    rig.run(connector)
    if not first:
        rig.change("source", "a", domains=["fabrikam.example"])
        assert rig.run(connector).state == "succeeded"
    told = _why_not_there(rig, 4)
    assert (told.code, "(domain)" in told.detail) == ("out-of-scope", True)
    with pytest.raises(NotFound) as unknown:
        rig.app().records.get(PERSON, "a~11111111-0000-4000-8000-000000000009")
    assert unknown.value.code == "not-found"


def test_a_deletion_is_not_cancelled_half_way(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.change("connector", connector, deleting=True)
    document = rig.app().config.get("connector", connector)
    assert document
    run = rig.app().dispatch.delete_records(document, TESTER)
    assert run
    with pytest.raises(Conflict) as refused:
        rig.app().dispatch.cancel(run.id, TESTER)
    assert refused.value.code == "deleting"
    assert rig.finish(run.id).state == "succeeded"


@pytest.mark.parametrize("days", [30, 4000])
def test_the_journal_is_read_as_far_back_as_it_is_kept(rig: Rig, days: int) -> None:
    services = rig.app()
    journal = Journal(services.tables, services.config, days)

    def since(moment: str) -> Any:
        return journal.since(parse_iso(moment), rig.clock.now(), source=None, after=None, limit=10)

    assert since("2026-10-25T00:00:00Z") == ([], None)
    if days == 4000:
        assert since("2016-01-01T00:00:00Z") == ([], None)
    else:
        with pytest.raises(Invalid):
            since("2026-07-01T00:00:00Z")


def test_a_decision_made_in_storage_and_by_name_agree(rig: Rig) -> None:
    connector, hold = _held(rig)
    decide(rig.app().tables, connector, "users", "rejected", TESTER, rig.clock.now(), [])
    items, _ = _removals(rig).items(hold, after=None, limit=10)
    assert {(item.decision, item.decided_by) for item in items} == {("rejected", "somebody")}
