"""The lease on real tables: one holder, no renewal after release, no write after it is lost."""

import asyncio
import uuid

import pytest

from local.stack import Stack
from shared.clock import Clock
from shared.storage.lease import STATE, Lease, LeaseLost
from shared.storage.tables import Put, Tables
from tests import support


class Watch(Clock):
    """Sleeping moves the monotonic clock and nothing else."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def _row(connector: str) -> Put:
    return Put({"PartitionKey": connector, "RowKey": "run|x", "Body": "{}"})


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
