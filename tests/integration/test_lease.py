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


def test_a_lease_is_taken_only_after_a_full_term_without_a_sign_of_life(stack: Stack) -> None:
    with support.table_service(stack) as service:
        tables, connector = Tables(service), uuid.uuid4().hex
        first = Lease(tables, connector, "run", Watch())
        assert asyncio.run(first.acquire())
        first.commit([_row(connector)])

        class Alive(Watch):
            async def sleep(self, seconds: float) -> None:
                first.commit([])
                await super().sleep(seconds)

        assert not asyncio.run(Lease(tables, connector, "run", Alive()).acquire())
        patient = Watch()
        second = Lease(tables, connector, "run", patient)
        assert asyncio.run(second.acquire()) and second.taken_over
        assert patient.seconds >= 1090
        with pytest.raises(LeaseLost):
            first.commit([_row(connector)])
        with pytest.raises(LeaseLost):
            first.guard()
        second.commit([_row(connector)], release=True)
        with pytest.raises(LeaseLost):
            second.commit([])  # a renewal that comes late must not take it back
        found = tables.get(STATE, connector, "lease")
        assert found and found.row["Owner"] == ""


def test_a_writer_stops_before_its_own_deadline(stack: Stack) -> None:
    with support.table_service(stack) as service:
        clock = Watch()
        lease = Lease(Tables(service), uuid.uuid4().hex, "run", clock)
        assert asyncio.run(lease.acquire())
        clock.seconds += 49
        lease.guard()
        clock.seconds += 2
        with pytest.raises(LeaseLost):
            lease.guard()


def test_a_message_that_keeps_failing_closes_its_run_the_third_time_only(stack: Stack) -> None:
    """A storage outage of minutes poisons a message; the run itself may go on once the tick sends it again."""
    ids = support.configure(stack)
    connector = ids["connector"]
    with support.table_service(stack) as service:
        tables, clock = Tables(service), Clock()
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
            pace=nothing, keep=nothing, limits=nothing,
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
