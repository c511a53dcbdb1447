"""What starts runs and what stops them: missed times, quarantine, full reads on demand, switches, deletion, retention."""

from datetime import timedelta
from typing import Any

import pytest

from shared.clock import counted_down, parse_iso
from shared.domain.actor import Actor
from shared.domain.configuration import JobState
from shared.domain.retention import Retention
from shared.domain.run import track_of
from shared.domain.schedule_row import ScheduleRow
from shared.names import HOLDS
from shared.scheduling.quarantine import quarantine_of
from shared.storage.holds import decide
from shared.storage.lease import Lease
from tests.rig import TESTER, Rig

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
DAY = 86400


def _row(rig: Rig, track: str) -> ScheduleRow:
    row = rig.app().schedules.get(track)
    assert row
    return row


def _tick(rig: Rig, connector: str) -> list[str]:
    """The connector's directory runs that the tick starts."""
    return [run for run in rig.app().tick.run() if run.startswith(f"{connector}-directory~")]


def _scheduled(rig: Rig, **more: Any) -> str:
    connector = rig.configure(options={"collectDevices": False, "collectSignIns": False}, **more)
    rig.app().tick.run()  # makes the schedule's row
    return connector


def _shown(rig: Rig, connector: str) -> JobState:
    """What the API shows of its first job."""
    app = rig.app()
    document = app.config.get("connector", connector)
    assert document
    return app.timetable.describe(document)[0]


def _failing(rig: Rig) -> str:
    """A connector that has failed three times in a row."""
    connector = _scheduled(rig)
    rig.roles = []
    for _ in range(3):
        assert rig.run(connector).state == "failed"
    return connector


def test_quarantine_slows_to_daily_then_stops_and_a_success_ends_it_at_once(rig: Rig) -> None:
    connector = _failing(rig)
    row = _row(rig, f"{connector}-directory")
    found = quarantine_of(row, rig.clock.now())
    assert found and (found.state, found.code, found.failures) == ("slowed", "graph-permission-missing", 3)
    assert row.active and "User.Read.All" in found.message and "admin consent" in found.remedy
    assert _shown(rig, connector).next_due == [parse_iso(row.next_due)]
    assert parse_iso(row.next_due) >= rig.clock.now() + timedelta(hours=23)
    rig.clock.move(23 * 3600)
    assert _tick(rig, connector) == []
    rig.clock.move(2 * 3600)
    (run,) = _tick(rig, connector)
    assert rig.finish(run).state == "failed"
    rig.clock.move(29 * DAY)
    assert _tick(rig, connector) == []
    off = quarantine_of(_row(rig, f"{connector}-directory"), rig.clock.now())
    assert off and off.state == "off" and _shown(rig, connector).next_due == []
    rig.roles = ["User.Read.All"]
    assert rig.run(connector).state == "succeeded"
    row = _row(rig, f"{connector}-directory")
    assert quarantine_of(row, rig.clock.now()) is None and (row.failures, row.failure_message) == (0, "")
    assert len(_shown(rig, connector).next_due) == 5
    assert parse_iso(row.next_due) <= rig.clock.now() + timedelta(days=1)


@pytest.mark.parametrize(
    ("target", "kind", "code"), [("graph", "503", "graph-unavailable"), ("graph", "reset", "graph-unavailable")]
)
def test_an_outage_slows_a_job_to_an_hour_at_most_and_is_over_with_it(
    rig: Rig, target: str, kind: str, code: str
) -> None:
    connector = _scheduled(rig, schedule={"repeats": {"every": 5, "unit": "minutes"}, "firstRun": "scheduled"})
    rig.fault(kind, target)
    waits = []
    for number in range(1, 8):
        run = rig.run(connector) if number == 1 else rig.finish(_next(rig, connector))
        assert (run.state, [problem.code for problem in run.problems]) == ("failed", [code])
        assert run.problems[0].transient
        row, ended = _row(rig, f"{connector}-directory"), run.finished_at
        assert ended
        waits.append(round((parse_iso(row.next_due) - ended).total_seconds() / 60))
        shown = _shown(rig, connector)
        assert shown.quarantine is None and shown.backoff
        assert (shown.backoff.failures, shown.backoff.code) == (number, code) and shown.backoff.remedy
        assert shown.next_due[0] == parse_iso(row.next_due)
    assert waits == [5, 10, 20, 40, 60, 60, 60]
    rig.faults.clear()
    assert rig.finish(_next(rig, connector)).state == "succeeded"
    assert _shown(rig, connector).backoff is None
    assert parse_iso(_row(rig, f"{connector}-directory").next_due) - rig.clock.now() <= timedelta(minutes=5)


def _next(rig: Rig, connector: str) -> str:
    """The run that the timer starts when the job is due again."""
    due = parse_iso(_row(rig, f"{connector}-directory").next_due)
    rig.clock.move((due - rig.clock.now()).total_seconds() + 1)
    (run,) = _tick(rig, connector)
    return run


def test_a_changed_credential_ends_a_quarantine_at_once(rig: Rig) -> None:
    connector = _failing(rig)
    rig.roles = ["User.Read.All"]
    assert _tick(rig, connector) == []
    rig.change("credential", "a", clientId="another")
    (run,) = _tick(rig, connector)
    assert rig.finish(run).state == "succeeded"


def test_a_connector_that_is_made_during_a_tick_keeps_its_schedule(rig: Rig) -> None:
    first = _scheduled(rig)
    late = rig.configure("b")
    config = rig.app().config
    document = config.get("connector", late)
    assert document
    config.delete(document)
    asked: list[str] = []
    made: set[str] = set()

    def make_it(request: str) -> None:
        """Between the tick's two reads: the second one sees it, and must not take it for left over."""
        if "Key=" in request:
            return  # the layout's row
        asked.append(request)
        if len(asked) == 2 and late not in made:
            made.add(late)
            rig.beside().config.create(document)
            rig.beside().timetable.put(document)

    tick = rig.app().tick
    rig.cut.before = make_it
    tick.run()
    rig.cut.before = lambda _request: None
    assert ["Schedule" in asked[0], "Config" in asked[1]] == [True, True]
    assert {row.track for row in rig.app().schedules.all()} >= {f"{first}-directory", f"{late}-directory"}


def test_a_full_read_asked_for_during_a_round_follows_it_once(rig: Rig) -> None:
    connector = _scheduled(rig)
    rig.run(connector)
    services = rig.app()
    going, _ = services.dispatch.run_now(connector, TESTER)
    for _ in range(2):
        same, made = services.dispatch.run_now(connector, Actor("2", "somebody else"), full=True)
        assert (same.id, made) == (going.id, False)
    assert rig.finish(going.id).streams[0].mode == "delta"
    (following,) = _tick(rig, connector)
    run = rig.finish(following)
    assert (run.full, run.requested_by, run.streams[0].mode, run.streams[0].reason) == (
        True, "somebody else", "full", "asked",
    )  # fmt: skip
    assert _tick(rig, connector) == []


def test_a_wish_for_a_full_read_waits_while_switched_off_and_ends_with_a_halt(rig: Rig) -> None:
    connector = _scheduled(rig)
    rig.run(connector)
    services = rig.app()
    going, _ = services.dispatch.run_now(connector, TESTER)
    services.dispatch.run_now(connector, TESTER, full=True)
    rig.change("connector", connector, active=False)
    rig.finish(going.id)
    assert _tick(rig, connector) == []  # brings the row in step
    assert _tick(rig, connector) == [] and _row(rig, f"{connector}-directory").want_full
    rig.app().dispatch.halt(connector, "somebody")
    assert not _row(rig, f"{connector}-directory").want_full


def test_sign_ins_that_are_switched_off_in_mid_run_stop_and_free_their_schedule(rig: Rig) -> None:
    connector = rig.configure(options={"collectDevices": False})
    rig.app().tick.run()
    rig.run(connector)
    rig.slice_seconds = 0.0
    run, _ = rig.app().dispatch.run_now(connector, TESTER, job="sign-ins")
    (message,) = rig.messages()
    assert rig.work(message).startswith("slice over")
    rig.change("connector", connector, options={"collectDevices": False, "collectSignIns": False})
    rig.slice_seconds = 480.0
    assert rig.finish(run.id).state == "cancelled"
    rig.app().tick.run()
    assert _row(rig, f"{connector}-sign-ins").run == ""


def test_a_poisoned_sign_in_run_is_closed_though_the_directory_is_being_read(rig: Rig) -> None:
    connector = rig.configure()
    rig.app().tick.run()
    rig.run(connector)
    reading, _ = rig.app().dispatch.run_now(connector, TESTER)
    rig.messages()
    held = Lease(rig.beside().tables, reading.track, reading.id, rig.clock)
    assert rig.in_loop(_took(held)) == "yes"
    run, _ = rig.app().dispatch.run_now(connector, TESTER, job="sign-ins")
    (message,) = rig.messages()
    told = [rig.give_up(message) for _ in range(3)]
    assert told[-1] == "closed as failed", told
    closed = rig.app().runs.get(run.id)
    assert closed and closed.state == "failed" and closed.problems[-1].code == "worker-failed"
    held.commit([], release=True)


async def _took(lease: Lease) -> str:
    await lease.look()
    return "yes" if await lease.take() else "no"


def test_a_purge_takes_what_is_too_old_and_keeps_what_people_decided(rig: Rig) -> None:
    connector = _scheduled(rig, removalLimit={"count": 0, "percent": 100})
    rig.run(connector)
    rig.directory.change("users", 2, {"department": "Moved"})
    rig.directory.leave("users", [4, 5, 6])
    assert rig.run(connector).state == "held"
    decide(rig.app().tables, connector, "users", "rejected", TESTER, rig.clock.now(), rig.ids([4]))
    decide(rig.app().tables, connector, "users", "confirmed", TESTER, rig.clock.now(), rig.ids([5]))
    ended = rig.run(connector)
    assert ended.streams[0].removed == 1 and len(rig.entities("Tombstones")) == 1
    rig.clock.move(40 * DAY)
    rig.keep = Retention(runs_days=10, tombstones_days=10, holds_days=10, journal_days=10)
    rig.directory.change("users", 3, {"department": "Moved later"})
    last = rig.run(connector)
    purge = next(run for run in _everything(rig) if run.startswith("installation"))
    rig.slice_seconds = 0.0  # a slice a page
    run = rig.finish(purge)
    assert run.state == "succeeded" and run.slice > 3
    assert rig.entities("Tombstones") == []
    held = {row["RowKey"]: row.get("Decision") for row in rig.entities(HOLDS)}
    assert held == {rig.ids([4])[0]: "rejected"}
    assert {row["RowKey"].split("|")[0] for row in rig.entities("Changes")} == {rig.ids([3])[0]}
    months = [table for table in rig.stored.all() if table.startswith("Changes") and table != "Changes"]
    assert months == [f"Changes{rig.clock.now():%Y%m}"]
    runs = {row["RowKey"].partition("|")[2] for row in rig.entities("State") if row["RowKey"].startswith("run|")}
    assert runs >= {last.id.partition("~")[2], purge.partition("~")[2]}
    assert all(run[:13] <= counted_down(rig.clock.now() - timedelta(days=10)) for run in runs)
    assert ended.id.partition("~")[2] not in runs
    rig.slice_seconds = 480.0
    assert rig.run(connector).state == "succeeded"


@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_jumps_and_comes_back_loses_no_history_and_stops_no_schedule(rig: Rig, days: int) -> None:
    connector = _scheduled(rig)
    rig.run(connector)
    rig.directory.leave("users", [4])
    rig.run(connector)
    rig.clock.move(DAY / 2)
    before = {table: rig.entities(table) for table in ("Tombstones", "Changes")}
    runs = {row["RowKey"] for row in rig.entities("State") if row["RowKey"].startswith("run|")}
    assert len(before["Tombstones"]) == 1 and len(runs) == 2

    def begun(hours: int) -> set[str]:
        """What ticks of so many hours start, and bring to its end."""
        tracks: set[str] = set()
        for _ in range(hours // 6):
            for run in rig.app().tick.run():
                tracks.add(run.partition("~")[0])
                assert rig.finish(run).state == "succeeded"
            rig.clock.move(DAY / 4)
        return tracks

    rig.clock.wall += timedelta(days=days)
    assert begun(18) <= {f"{connector}-directory"}  # a clock that stays wrong for more than a day is believed
    rig.clock.wall -= timedelta(days=days)
    assert begun(54) == {f"{connector}-directory", "installation-purge"}
    assert {table: rig.entities(table) for table in before} == before
    assert runs <= {row["RowKey"] for row in rig.entities("State")}


def test_a_purge_takes_undecided_holds_though_somebody_once_decided_about_all(rig: Rig) -> None:
    connector = _scheduled(rig, removalLimit={"count": 0, "percent": 0})
    rig.run(connector)
    for indexes in ([4], [5]):
        rig.directory.leave("users", indexes)
        assert rig.run(connector).state == "held"
        if indexes == [4]:
            decide(rig.app().tables, connector, "users", "rejected", TESTER, rig.clock.now(), [])
    rig.clock.move(40 * DAY)
    rig.keep = Retention(holds_days=10)
    purge = next(run for run in _everything(rig) if run.startswith("installation"))
    assert rig.finish(purge).state == "succeeded"
    assert {row["RowKey"] for row in rig.entities(HOLDS)} == {"!all", *rig.ids([4])}


def test_one_stream_that_is_closed_to_us_quarantines_nothing() -> None:
    rig = Rig(6, 3, page_cap=8)
    try:
        connector = rig.configure(options={"collectDevices": True, "collectSignIns": False})
        rig.app().tick.run()
        rig.roles.remove("Device.Read.All")
        for _ in range(4):
            run = rig.run(connector)
            assert run.state == "failed"
            assert {stream.name: stream.phase for stream in run.streams} == {"users": "done", "devices": "failed"}
        assert (
            _row(rig, f"{connector}-directory").failures == 0 and not _row(rig, f"{connector}-directory").quarantined_at
        )
    finally:
        rig.close()


def _everything(rig: Rig) -> list[str]:
    """What ticks of a day start."""
    started = rig.app().tick.run()
    rig.clock.move(25 * 3600)
    return started + rig.app().tick.run()


def test_a_deletion_takes_every_row_of_its_connector_and_nothing_else(rig: Rig) -> None:
    keep, go = rig.configure("a"), rig.configure("zz", sourceId="a")  # two connectors of one source
    for connector in (keep, go):
        rig.run(connector)
        rig.run(connector, job="sign-ins")
    rig.directory.leave("users", [4])
    rig.directory.change("users", 2, {"department": "Moved"})
    for connector in (keep, go):
        rig.run(connector)

    def belongings() -> tuple[dict[str, set[Any]], dict[str, set[Any]]]:
        own: dict[str, set[Any]] = {}
        others: dict[str, set[Any]] = {}
        for table, rows in rig.snapshot().items():
            if table not in ("Config", "State", "Schedule", "Audit"):  # what was done stays, to be looked at
                for key, row in rows.items():
                    mine = row.get("Connector") == go or go in "".join(key)
                    (own if mine else others).setdefault(table, set()).add(key)
        return own, others

    own, others = belongings()
    assert set(own) == set(others) == {"Changes", "Changes202611", "Lookup", "Records", "Tombstones"}
    rig.change("connector", go, deleting=True)
    rig.slice_seconds = 0.0
    document = rig.app().config.get("connector", go)
    assert document
    run = rig.app().dispatch.delete_records(document, TESTER)
    assert run
    ended = rig.finish(run.id, 200)
    assert ended.state == "succeeded" and ended.slice > 5 and ended.deleted_rows > 60
    assert belongings() == ({}, others)
    config = rig.app().config
    assert config.get("connector", go) is None and config.get("connector", keep)


def test_a_deletion_that_the_tick_begins_first_is_answered_with_that_run(rig: Rig) -> None:
    """The tick of another worker comes between any two requests of the deletion."""
    struck = 0
    for at in range(1, 40):
        rig.reset()
        connector = rig.configure()
        rig.change("connector", connector, deleting=True)
        services = rig.app()
        document = services.config.get("connector", connector)
        assert document
        asked: list[str] = []

        def tick_between(request: str, at: int = at, asked: list[str] = asked) -> None:
            asked.append(request)
            if len(asked) == at:
                rig.beside().tick.run()

        rig.cut.before = tick_between
        run = services.dispatch.delete_records(document, TESTER)
        rig.cut.before = lambda _request: None
        assert run, f"no run after {asked}"
        assert _row(rig, track_of(connector, "delete")).run == run.id
        assert rig.finish(run.id).state == "succeeded"
        assert rig.app().config.get("connector", connector) is None
        if len(asked) < at:
            break
        struck += 1
    assert struck >= 6
