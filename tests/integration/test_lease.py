"""The lease on real tables: one holder, no renewal after release, no write after it is lost."""

import asyncio
import uuid
from typing import Any

import pytest

from local.stack import Stack
from shared.clock import Clock
from shared.domain.checkpoint import StreamState
from shared.domain.run import RunRow, new_run_id
from shared.domain.state import SaveStream
from shared.errors import LeaseLost
from shared.names import STATE
from shared.storage.lease import Lease
from shared.storage.runs import Runs
from shared.storage.tables import Tables
from shared.storage.timing import MARGIN, TERM
from shared.sync.abandon import abandon
from shared.sync.slice import Services
from tests import support
from tests.bench.run_once import NoDispatch


class Watch(Clock):
    """Sleeping moves the monotonic clock and nothing else."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def _row(connector: str) -> SaveStream:
    return SaveStream(connector, "x", StreamState())


def _taken(tables: Tables, track: str, clock: Clock) -> Lease:
    lease = Lease(tables, track, "run", clock)
    asyncio.run(lease.look())
    assert asyncio.run(lease.take())
    return lease


def test_a_lease_is_taken_as_it_was_seen_or_not_at_all(stack: Stack) -> None:
    with support.table_service(stack) as service:
        tables, connector = support.tables(stack, service), uuid.uuid4().hex
        first = _taken(tables, connector, Watch())
        first.commit([_row(connector)])
        early, late = Lease(tables, connector, "run", Watch()), Lease(tables, connector, "run", Watch())
        asyncio.run(early.look())
        assert early.held == first.etag
        first.commit([])  # a sign of life
        assert not asyncio.run(early.take())
        asyncio.run(late.look())
        assert late.held == first.etag and asyncio.run(late.take())
        with pytest.raises(LeaseLost):
            first.commit([_row(connector)])
        with pytest.raises(LeaseLost):
            first.guard()
        late.commit([_row(connector)], release=True)
        with pytest.raises(LeaseLost):
            late.commit([])  # a renewal that comes late must not take it back
        found = tables.get(STATE, connector, "lease")
        assert found and found.row["Owner"] == ""
        free = Lease(tables, connector, "run", Watch())
        asyncio.run(free.look())
        assert free.held == ""


def test_a_writer_stops_before_its_own_deadline(stack: Stack) -> None:
    with support.table_service(stack) as service:
        clock = Watch()
        lease = _taken(support.tables(stack, service), uuid.uuid4().hex, clock)
        clock.seconds += TERM - MARGIN - 1
        lease.guard()
        clock.seconds += 2
        with pytest.raises(LeaseLost):
            lease.guard()


def test_a_message_that_keeps_failing_closes_its_run_the_third_time_only(stack: Stack) -> None:
    """A storage outage of minutes poisons a message; the run itself may go on once the tick sends it again."""
    ids = support.configure(stack)
    connector = ids["connector"]
    with support.table_service(stack) as service:
        tables, clock = support.tables(stack, service), Clock()
        runs = Runs(tables)
        now = clock.now()
        run = RunRow(
            id=new_run_id(connector, now, "ab"),
            connector_id=connector,
            job="directory",
            trigger="manual",
            created_at=now,
            updated_at=now,
        )
        runs.create(run)
        nothing: Any = None
        services = Services(
            registry=nothing, config=nothing, runs=runs, tenants=nothing, schedules=nothing, dispatch=NoDispatch(), clock=clock,
            slice_seconds=60, session=nothing, lease=lambda track, run: Lease(tables, track, run, clock), graph=nothing,
            pace=nothing, mapped=nothing, keep=nothing, limits=nothing,
        )  # fmt: skip
        message = {"run": run.id, "connector": connector, "slice": 1}
        for _ in range(2):
            assert "left to the tick" in asyncio.run(abandon(services, message))
            assert not runs.get(run.id).state.closed  # type: ignore[union-attr]
        assert asyncio.run(abandon(services, {**message, "slice": 7})) == "nothing to close"
        assert asyncio.run(abandon(services, message)) == "closed as failed"
        closed = runs.get(run.id)
        assert (
            closed and closed.state == "failed" and [problem.code for problem in closed.problems] == ["worker-failed"]
        )
        assert asyncio.run(abandon(services, message)) == "nothing to close"
