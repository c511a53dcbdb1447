"""A limit that all runs of a tenant and application keep together."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import Clock
from shared.domain.pacing import Pacing, Slot
from shared.domain.run import Waits
from shared.graph.answers import Postponed
from shared.graph.pacing import Pace

PACING = Pacing("sign-in-activity", 3, 60.0)


class Moved(Clock):
    at = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Store:
    """Slots that are saved only as they were read, like the real ones."""

    def __init__(self) -> None:
        self.slots: dict[str, Slot] = {}
        self._etags = map(str, itertools.count(1))

    def get(self, tenant: str, application: str, service: str) -> Slot:
        key = f"{tenant}|{application}|{service}"
        return self.slots.get(key, Slot(key))

    def save(self, slot: Slot) -> Slot | None:
        there = self.slots.get(slot.key)
        if (there.etag if there else "") != slot.etag:
            return None
        self.slots[slot.key] = replace(slot, etag=next(self._etags))
        return self.slots[slot.key]


def _pace(store: Store, clock: Clock, tenant: str = "t") -> Pace:
    return Pace(PACING, store, tenant, "app", clock, Waits())


async def _over(_holder: str) -> bool:
    return True


async def _going_on(_holder: str) -> bool:
    return False


def test_the_fourth_request_of_a_minute_waits_outside_of_a_worker() -> None:
    async def go() -> None:
        store, clock = Store(), Moved()
        pace = _pace(store, clock)
        await pace.take("run", _over)
        for _ in range(3):
            await pace.turn()
        with pytest.raises(Postponed) as postponed:
            await pace.turn()
        assert 60 <= postponed.value.seconds <= 61
        clock.at += timedelta(seconds=58)
        began = clock.at
        await pace.turn()  # what is left is short: waited for here
        assert clock.at - began <= timedelta(seconds=3)

    asyncio.run(go())


def test_one_run_at_a_time_has_the_service_until_it_is_over_or_lets_go() -> None:
    async def go() -> None:
        store, clock = Store(), Moved()
        first, second = _pace(store, clock), _pace(store, clock)
        await first.take("one", _over)
        with pytest.raises(Postponed):
            await second.take("two", _going_on)
        await _pace(store, clock, "another tenant").take("two", _going_on)
        await first.release()
        await second.take("two", _going_on)
        await _pace(store, clock).take("three", _over)  # two is over, though it did not say so
        with pytest.raises(Postponed):
            await second.turn()  # it notices

    asyncio.run(go())


def test_letting_go_of_what_one_never_had_changes_nothing() -> None:
    async def go() -> None:
        store, clock = Store(), Moved()
        holder, other = _pace(store, clock), _pace(store, clock)
        await holder.take("one", _over)
        with pytest.raises(Postponed):
            await other.take("two", _going_on)
        await other.release()
        assert next(iter(store.slots.values())).holder == "one"

    asyncio.run(go())


def test_a_wait_that_graph_asked_for_is_kept_by_whoever_comes_next() -> None:
    async def go() -> None:
        store, clock = Store(), Moved()
        first = _pace(store, clock)
        await first.take("one", _over)
        await first.throttled(300)
        await first.release()
        second = _pace(store, clock)
        await second.take("two", _over)
        with pytest.raises(Postponed) as postponed:
            await second.turn()
        assert postponed.value.seconds == pytest.approx(300)
        clock.at += timedelta(seconds=301)
        await second.turn()

    asyncio.run(go())


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 40)), max_size=40))
def test_whoever_asks_no_window_holds_more_than_the_limit(turns: list[tuple[int, float]]) -> None:
    async def go() -> list[float]:
        store, clock = Store(), Moved()
        left: list[float] = []
        for who, pause in turns:
            clock.at += timedelta(seconds=pause)
            pace = _pace(store, clock)
            await pace.take(str(who), _over)
            try:
                await pace.turn()
            except Postponed as postponed:
                clock.at += timedelta(seconds=postponed.seconds)
                await pace.turn()
            left.append(clock.at.timestamp())
        return left

    times = asyncio.run(go())
    assert all(
        later - earlier >= PACING.window_seconds
        for earlier, later in zip(times, times[PACING.requests :], strict=False)
    )


def test_a_clock_that_was_set_back_does_not_stop_the_service_for_long() -> None:
    async def go() -> None:
        store, clock = Store(), Moved()
        pace = _pace(store, clock)
        await pace.take("run", _over)
        for _ in range(3):
            await pace.turn()
        await pace.throttled(300)
        clock.at -= timedelta(days=400)
        for _ in range(3):
            await pace.turn()  # times that lie far ahead are not believed
        clock.at -= timedelta(seconds=30)
        with pytest.raises(Postponed) as postponed:
            await pace.turn()
        clock.at += timedelta(seconds=postponed.value.seconds)
        assert postponed.value.seconds <= 91
        await pace.turn()

    asyncio.run(go())
