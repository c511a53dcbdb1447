"""Workers that meet: the same message twice, late messages, a lost lease, a frozen process, clocks that jump."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import Clock
from shared.domain.run import Run
from shared.storage.lease import Lease
from shared.storage.timing import TERM
from tests import expected
from tests.rig import TESTER, Hands, Rig
from tests.worker import Remote

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    made = Rig(60, page_cap=10)
    made.crowded = True
    yield made
    made.close()


@pytest.fixture(autouse=True)
def fresh(rig: Rig) -> None:
    rig.reset()


def _right(rig: Rig) -> None:
    rows = [row for row in rig.entities("Records") if "|person|" in row["PartitionKey"]]
    assert expected.differences("person", list(rig.objects()), rows) == []


def _takeovers(rig: Rig, run: Run) -> int:
    found = rig.app().runs.get(run.id)
    assert found
    return found.takeovers


def _wait_for(there: Callable[[], bool]) -> None:
    """Until another thread has got so far: looked for, not guessed at."""
    deadline = time.monotonic() + 30
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class RealTime(Hands):
    """The machine's own time."""

    now, monotonic, sleep = Clock.now, Clock.monotonic, Clock.sleep

    def move(self, seconds: float) -> None:
        time.sleep(seconds)


def test_two_workers_with_the_same_message_are_one(rig: Rig) -> None:
    connector = rig.configure()
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    (message,) = rig.messages()
    rig.clock = RealTime()
    rig.web.slow_seconds = 0.6
    told: list[str] = []
    workers = [threading.Thread(target=lambda: told.append(rig.work(message))) for _ in range(2)]
    asked = rig.web.requests
    workers[0].start()
    _wait_for(lambda: rig.web.requests > asked)
    workers[1].start()
    for worker in workers:
        worker.join(60)
    assert sorted(told) == ["succeeded", "waits: another worker has the run"]
    assert _takeovers(rig, run) == 0
    _right(rig)


def test_a_message_that_comes_twice_or_days_late_is_harmless(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.directory.leave("users", [1, 2])
    rig.app().dispatch.run_now(connector, TESTER)
    (message,) = rig.messages()
    rig.clock.move(3 * 86400)
    assert rig.work(message) == "succeeded"
    _right(rig)
    before = rig.entities("Records")
    assert rig.work(message).startswith("dropped")
    rig.clock.move(3 * 86400)
    assert rig.work(message).startswith("dropped")
    assert rig.entities("Records") == before


def test_an_old_slices_message_is_dropped(rig: Rig) -> None:
    connector = rig.configure()
    rig.slice_seconds = 0.0
    try:
        run, _ = rig.app().dispatch.run_now(connector, TESTER)
        (message,) = rig.messages()
        assert rig.work(message).startswith("slice over")
        assert rig.work(message).startswith("dropped")
        assert rig.finish(run.id).state == "succeeded"
    finally:
        rig.slice_seconds = 480.0
    _right(rig)


def _in_the_middle(rig: Rig, message: dict[str, Any], told: list[str]) -> threading.Thread:
    """A worker that has read two pages and waits for the third."""
    rig.web.slow_seconds = 0.25
    worker = threading.Thread(target=lambda: told.append(rig.work(message)))
    asked = rig.web.requests
    worker.start()
    _wait_for(lambda: rig.web.requests >= asked + 5)
    return worker


def test_a_lease_that_is_lost_in_mid_page_stops_its_worker(rig: Rig) -> None:
    connector = rig.configure()
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    (message,) = rig.messages()
    told: list[str] = []
    worker = _in_the_middle(rig, message, told)
    other = Lease(rig.app().tables, run.track, run.id, Hands())

    async def take() -> None:
        await other.look()
        assert await other.take()

    asyncio.run(take())
    worker.join(30)
    assert told == ["stopped: the lease is lost"]
    other.commit([], release=True)
    rig.web.slow_seconds = 0.0
    assert rig.finish(run.id).state == "succeeded"
    _right(rig)


def test_a_run_whose_worker_died_goes_on_within_a_minute_without_any_tick(rig: Rig) -> None:
    """The message that guards the run is looked at after a term, and again after another one."""
    connector = rig.configure()
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    (message,) = rig.messages()
    remote = Remote(rig.given(message))
    rig.web.slow_seconds = 0.25
    asked = rig.web.requests
    _wait_for(lambda: rig.web.requests >= asked + 5)
    remote.kill()
    rig.web.slow_seconds = 0.0
    died = rig.clock.monotonic()
    told: list[str] = []
    while not told or told[-1] != "succeeded":
        rig.clock.move(1)
        assert rig.clock.monotonic() - died < 60
        told += [rig.work(found) for found in rig.messages()]
    assert told == ["waits: another worker has the run", "succeeded"]
    assert _takeovers(rig, run) == 1
    rig.clock.move(60)
    assert [rig.work(found)[:7] for found in rig.messages()] == ["dropped"]  # its own guard, which ends with it
    _right(rig)


def test_whoever_finds_the_run_taken_gives_the_message_back_at_once(rig: Rig) -> None:
    """One worker takes one message at a time: who waits with it keeps all other work waiting."""
    connector = rig.configure()
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    (message,) = rig.messages()
    holder = Lease(rig.app().tables, run.track, run.id, rig.clock)
    asyncio.run(holder.look())
    assert asyncio.run(holder.take())
    before = rig.clock.monotonic()
    assert rig.work(message) == "waits: another worker has the run"
    assert rig.clock.monotonic() == before and rig.messages() == []
    rig.clock.move(TERM - 1)
    assert rig.messages() == []
    holder.commit([])  # it lives
    rig.clock.move(1)
    (again,) = rig.messages()
    assert rig.work(again) == "dropped: another worker has the run"
    rig.clock.move(TERM)
    assert rig.messages() == []
    assert _takeovers(rig, run) == 0


def test_a_queue_that_is_down_keeps_no_run_from_beginning(rig: Rig) -> None:
    connector = rig.configure()
    rig.app().dispatch.run_now(connector, TESTER)
    (message,) = rig.messages()
    rig.fault("503", target="storage", match="/messages")
    assert rig.work(message) == "succeeded"
    rig.faults.clear()
    _right(rig)


def test_a_process_that_was_frozen_past_its_lease_writes_nothing_any_more(rig: Rig) -> None:
    connector = rig.configure()
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    (message,) = rig.messages()
    remote = Remote(rig.given(message))
    rig.web.slow_seconds = 0.25
    asked = rig.web.requests
    _wait_for(lambda: rig.web.requests >= asked + 5)
    gate = rig.web.gate = asyncio.Event()
    _wait_for(lambda: rig.web.held > 0)  # it waits for a page, with others read and not yet written
    remote.freeze()
    rig.web.slow_seconds, rig.web.gate = 0.0, None
    rig._loop.call_soon_threadsafe(gate.set)  # the page comes while nobody is there to take it
    # Another worker sees no sign of life for a whole term, takes over and ends the run.
    remote.past.value += 500
    rig.clock.move(500)
    rig.directory.change("users", 3, {"displayName": "Changed meanwhile"})
    assert rig.finish(run.id).state == "succeeded"
    stored = rig.snapshot()["Records"]
    remote.resume()
    assert remote.ended() == "stopped: the lease is lost"
    assert rig.snapshot()["Records"] == stored
    assert _takeovers(rig, run) == 1
    _right(rig)
    assert rig.entities("Tombstones") == []


@pytest.mark.parametrize("days", [-400, 400, -1, 1])
def test_a_wall_clock_that_jumps_removes_nobody_and_loses_nothing(rig: Rig, days: int) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.directory.change("users", 3, {"displayName": "Before the jump"})
    rig.app().dispatch.run_now(connector, TESTER)
    (message,) = rig.messages()
    rig.clock.wall += timedelta(days=days)
    assert rig.work(message) == "succeeded"
    _right(rig)
    rig.directory.change("users", 4, {"displayName": "After the jump"})
    rig.clock.wall -= timedelta(days=days)
    assert rig.run(connector).state == "succeeded"
    _right(rig)
    assert rig.entities("Tombstones") == []


def test_two_ticks_start_one_run_and_a_missed_time_runs_once(rig: Rig) -> None:
    connector = rig.configure(options={"collectDevices": False, "collectSignIns": False})
    rig.app().tick.run()  # makes the schedule row
    rig.clock.move(5 * 86400)
    started: list[str] = []
    ticks = [threading.Thread(target=lambda: started.extend(rig.app().tick.run())) for _ in range(2)]
    for tick in ticks:
        tick.start()
    for tick in ticks:
        tick.join(30)
    runs = [run for run in started if run.startswith(connector)]
    assert len(runs) == 1
    assert rig.finish(runs[0]).state == "succeeded"
    assert [run for run in rig.app().tick.run() if run.startswith(connector)] == []
    _right(rig)
