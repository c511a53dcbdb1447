"""How runs begin and schedules heal, with stores that keep the contract of the real ones: compare and swap."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.clock import Clock, iso, parse_iso
from shared.domain.actor import Actor
from shared.domain.run import Problem, RunRow, RunState, StreamProgress
from shared.domain.schedule_row import ScheduleRow, bare
from shared.scheduling.claims import Claims
from shared.scheduling.quarantine import AFTER, failed, healed, quarantine_of, succeeded

NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
TRACK = "c-directory"


class Fixed(Clock):
    at = NOW

    def now(self) -> datetime:
        return self.at


class Rows:
    """Schedule rows that are saved only as they were read."""

    def __init__(self) -> None:
        self.rows: dict[str, ScheduleRow] = {}
        self._etags = map(str, itertools.count(1))

    def save(self, row: ScheduleRow) -> ScheduleRow | None:
        there = self.rows.get(row.track)
        if (there.etag if there else "") != row.etag:
            return None
        self.rows[row.track] = replace(row, etag=next(self._etags))
        return self.rows[row.track]


class Runs:
    def __init__(self) -> None:
        self.runs: dict[str, RunRow] = {}
        self.leases: dict[str, dict[str, Any]] = {}

    def create(self, run: RunRow) -> None:
        self.runs.setdefault(run.id, run)

    def get(self, run_id: str) -> RunRow | None:
        return self.runs.get(run_id)

    def lease(self, track: str) -> dict[str, Any] | None:
        return self.leases.get(track)


class Sent:
    def __init__(self) -> None:
        self.messages: list[tuple[dict[str, Any], float]] = []

    def send(self, _queue: str, message: dict[str, Any], delay_seconds: float = 0) -> None:
        self.messages.append((message, delay_seconds))


class World:
    def __init__(self) -> None:
        self.rows, self.runs, self.sent, self.clock = Rows(), Runs(), Sent(), Fixed()
        self.claims = Claims(self.rows, self.runs, self.sent, self.clock)  # type: ignore[arg-type] # the parts it uses

    def row(self) -> ScheduleRow:
        return self.rows.rows[TRACK]


@pytest.fixture
def world() -> World:
    made = World()
    made.rows.save(replace(bare(TRACK), next_due=iso(NOW), anchor=iso(NOW)))
    return made


def test_a_claim_makes_run_row_and_message_and_advances_the_due_time(world: World) -> None:
    run = world.claims.claim(world.row(), trigger="schedule", next_due=iso(NOW + timedelta(hours=1)))
    assert run and (run.connector_id, run.job, run.trigger) == ("c", "directory", "schedule")
    assert (world.row().run, world.row().next_due) == (run.id, iso(NOW + timedelta(hours=1)))
    assert world.sent.messages == [({"run": run.id, "connector": "c", "slice": 1}, 0)]
    assert world.runs.get(run.id) is run


def test_of_two_claims_on_one_row_one_gets_it(world: World) -> None:
    read = world.row()
    assert world.claims.claim(read, trigger="manual", who=Actor("1", "somebody"))
    assert world.claims.claim(read, trigger="schedule") is None
    assert len(world.sent.messages) == len(world.runs.runs) == 1


@pytest.mark.parametrize("lost", ["run", "message"])
def test_what_is_missing_behind_a_claim_is_made_again(world: World, lost: str) -> None:
    run = world.claims.claim(world.row(), trigger="manual", who=Actor("1", "somebody"), full=True)
    assert run
    if lost == "run":
        world.runs.runs.clear()
    world.sent.messages.clear()
    world.clock.at = NOW + timedelta(seconds=60)
    assert world.claims.mend(world.row()) is None
    again = world.runs.get(run.id)
    assert again and (again.full, again.requested_by) == (True, "somebody")
    assert [message["run"] for message, _ in world.sent.messages] == [run.id]


def test_a_closed_run_whose_row_is_not_free_is_told_of(world: World) -> None:
    run = world.claims.claim(world.row(), trigger="manual")
    assert run
    run.state = RunState.SUCCEEDED
    assert world.claims.mend(world.row()) is run


@pytest.mark.parametrize(
    ("seconds", "renewed", "waits", "sent"),
    [(10, None, None, 0), (60, None, None, 1), (60, 50, None, 0), (60, 0, None, 1), (60, None, 300, 0), (60, None, 3 * 3600, 1)],
    ids=["just sent", "nobody has it", "somebody works", "a holder is silent", "it waits", "put off by a wrong clock"],
)  # fmt: skip
def test_a_message_is_sent_again_only_where_nobody_seems_to_work(
    world: World, seconds: int, renewed: int | None, waits: int | None, sent: int
) -> None:
    run = world.claims.claim(world.row(), trigger="manual")
    assert run
    world.sent.messages.clear()
    world.clock.at = NOW + timedelta(seconds=seconds)
    if renewed is not None:
        world.runs.leases[TRACK] = {"Owner": "w", "Run": run.id, "RenewedAt": iso(NOW + timedelta(seconds=renewed))}
    if waits is not None:
        run.not_before = world.clock.at + timedelta(seconds=waits)
    world.claims.mend(world.row())
    assert len(world.sent.messages) == sent


def _ended(state: RunState, *phases: str) -> RunRow:
    streams = [StreamProgress(name=str(number), phase=phase) for number, phase in enumerate(phases)]
    problems = [Problem(code="secret-wrong", message="It is wrong.", remedy="Enter it again.")]
    return RunRow(
        id=f"{TRACK}~1", connector_id="c", job="directory", trigger="schedule", created_at=NOW, updated_at=NOW, state=state,
        streams=streams, problems=problems,
    )  # fmt: skip


def test_the_third_failed_run_in_a_row_slows_a_job_down_and_says_why(world: World) -> None:
    row = world.row()
    for number in range(1, AFTER + 1):
        assert quarantine_of(row, NOW) is None
        row = failed(row, _ended(RunState.FAILED), NOW, "credential.1")
        assert row.failures == number
    shown = quarantine_of(row, NOW)
    assert shown and (shown.state, shown.code, shown.remedy) == ("slowed", "secret-wrong", "Enter it again.")
    assert parse_iso(row.next_due) == NOW + timedelta(days=1)
    off = quarantine_of(row, NOW + timedelta(weeks=4))
    assert off and off.state == "off"
    assert quarantine_of(healed(row), NOW) is None and healed(row).next_due == row.next_due


def test_a_run_is_of_use_when_one_of_its_streams_was_read() -> None:
    assert succeeded(_ended(RunState.SUCCEEDED)) and succeeded(_ended(RunState.HELD))
    assert succeeded(_ended(RunState.FAILED, "done", "failed"))
    assert not succeeded(_ended(RunState.FAILED, "failed")) and not succeeded(_ended(RunState.CANCELLED))
