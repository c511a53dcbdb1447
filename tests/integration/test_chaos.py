"""Outages as an owner lives through them: a service is away, or hangs, for ten seconds, a minute or ten, while a run goes on,
while somebody configures, or when nothing happens. The queue, its delays, the host's repetitions and the timer's five minutes are those of
Azure; time is in the test's hands. What the user sees, how long until all is well again, and that nothing is lost.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError

from local.stack import Stack
from shared.domain.run import RunState
from shared.errors import RollcallError, Unavailable
from shared.wiring import App
from tests import expected
from tests.rig import TESTER, Rig

TENANT = (60, 0, 10)
TARGETS = ("tables", "queue", "graph", "entra", "vault")
SECONDS = (10, 60, 600)
HOW = ("away", "hanging")
PATIENCE = {"tables": 10.0, "queue": 10.0, "graph": 100.0, "entra": 300.0, "vault": 40.0}
"""Seconds after which the product gives up a service that does not answer. The vault is asked four times."""
BULK = 12.0
"""The same for a batch of rows."""
TICK, RETRY, ATTEMPTS = 300.0, 30.0, 5  # ROLLCALL_TICK, and queues.visibilityTimeout and maxDequeueCount of host.json
WORST = {10: 620, 60: 620, 600: 1520}
"""Seconds after its end at which an outage has to be over and done with: the back-off that it came to (five minutes, or twenty
behind three failures), the timer's next turn, and a run.
"""


class Away:
    """Credentials that can't reach Entra, or whose secret the vault does not give, until a time."""

    def __init__(self, rig: Rig, cloud: Stack) -> None:
        self.rig, self.cloud, self.until, self.target, self.how = rig, cloud, 0.0, "", ""

    def begin(self, target: str, until: float, how: str) -> None:
        self.target, self.until, self.how = target, until, how
        if target == "vault":
            self.cloud.admin("POST", "/faults", {"target": "vault", "kind": "503", "every": 1, "seconds": 0})

    def end(self) -> None:
        self.target = ""
        self.cloud.admin("DELETE", "/faults")

    def look(self) -> None:
        """The vault has a process of its own, which does not know the test's time."""
        if self.target == "vault" and self.rig.clock.monotonic() >= self.until:
            self.end()

    def check(self, target: str) -> None:
        if self.target == target and self.wait():
            raise ServiceRequestError("away")

    def wait(self) -> bool:
        """Whether it is away, to the end of the product's patience where it hangs."""
        clock = self.rig.clock
        given_up = clock.monotonic() + PATIENCE[self.target] * (self.how == "hanging")
        while clock.monotonic() < min(given_up, self.until):
            clock.move(1)
            time.sleep(0.01)  # for the thread that renews the lease
        return clock.monotonic() < self.until


@dataclass
class Azure:
    """The host: delivers messages, repeats what failed, ticks."""

    rig: Rig
    away: Away
    next_tick: float = 0.0
    waiting: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def app(self) -> App:
        return self.rig.app()

    def step(self) -> None:
        """What comes next: a message, the timer, or time."""
        rig, now = self.rig, self.rig.clock.monotonic()
        self.away.look()
        if not self._queue_is_down():
            self.waiting += [(now, 0, message) for message in rig.messages()]
        due = [entry for entry in self.waiting if entry[0] <= now]
        if due and not self._queue_is_down():
            entry = min(due, key=lambda one: one[0])
            self.waiting.remove(entry)
            self._deliver(entry[1], entry[2])
        elif now >= self.next_tick:
            self.next_tick = now - now % TICK + TICK
            try:
                self.app().tick.run()
            except Unavailable as error:
                self.seen.append(f"tick: {error.code}")
        else:
            rig.clock.move(1)

    def _queue_is_down(self) -> bool:
        return self.away.target == "queue" and self.rig.clock.monotonic() < self.away.until

    def _deliver(self, attempt: int, message: dict[str, Any]) -> None:
        self.await_vault()
        try:
            self.rig.work(message)
        except Unavailable as error:
            self.seen.append(error.code)
            if attempt + 1 < ATTEMPTS:
                self.waiting.append((self.rig.clock.monotonic() + RETRY, attempt + 1, message))
            else:
                try:
                    self.rig.give_up(message)
                except Unavailable:
                    self.seen.append("poison: lost")
        self.rig.collect()

    def await_vault(self) -> None:
        """The time that its client waits for an answer goes by here; what comes then is the same as from one that is away."""
        if self.away.target == "vault" and self.away.how == "hanging":
            self.away.wait()
            self.away.look()

    def until(self, well: Callable[[], bool], most: float) -> float:
        """Seconds until all is well."""
        began = self.rig.clock.monotonic()
        while not well():
            assert self.rig.clock.monotonic() - began < most, f"not well within {most} s: {self.seen[-20:]}"
            self.step()
        return self.rig.clock.monotonic() - began


@pytest.fixture
def azure(rig: Rig, signed_in_cloud: Stack) -> Iterator[Azure]:
    made = Azure(rig, Away(rig, signed_in_cloud))
    rig.vault, rig.before_sign_in = signed_in_cloud.addresses["vault"], made.away.check
    yield made
    rig.vault, rig.before_sign_in = None, lambda _target: None
    made.away.end()


def _outage(azure: Azure, target: str, seconds: float, how: str) -> float:
    """Begins; gives its end."""
    rig = azure.rig
    rig.clock.renews = how == "hanging"
    end = rig.clock.monotonic() + seconds
    azure.away.begin(target, end, how)
    kind = "hang" if how == "hanging" else "reset"
    if target == "tables":
        rig.fault(kind, target="storage", match=r"batch\?timeout=", until=end, seconds=BULK)
        rig.fault(kind, target="storage", match="devstoreaccount1/(?!rollcall)", until=end, seconds=PATIENCE[target])
    if target == "queue":
        rig.fault(kind, target="storage", match="rollcall-cloud", until=end, seconds=PATIENCE[target])
    if target == "graph":
        rig.fault(kind, until=end, seconds=PATIENCE[target])
    return end


def _right(rig: Rig) -> bool:
    rows = [row for row in rig.entities("Records") if row["RowKey"].endswith("|users")]
    return expected.differences("person", list(rig.objects()), rows) == []


def _shown(azure: Azure, connector: str) -> str:
    runs = azure.app().runs.newest(f"{connector}-directory", after=None, limit=20)
    problems = [problem.code for run in runs for problem in run.problems]
    states = [run.state.value for run in reversed(runs)]
    return f"runs {', '.join(states)}" + (f" ({', '.join(dict.fromkeys(problems))})" if problems else "")


def _matrix(quick: bool) -> list[Any]:
    every = [(target, seconds, how) for target in TARGETS for seconds in SECONDS for how in HOW]
    return [("tables", 60, "away"), ("graph", 60, "hanging")] if quick else every


def _ready(azure: Azure) -> str:
    rig = azure.rig
    connector = rig.configure(
        options={"collectDevices": False, "collectSignIns": False},
        schedule={"firstRun": "scheduled", "repeats": {"every": 5, "unit": "minutes"}},
    )  # fmt: skip
    config = rig.app().configuration
    change = {
        "type": "client-secret",
        "clientId": "c11e0000-0000-4000-8000-000000000001",
        "clientSecret": "s3cret-value",
    }
    config.patch(config.kinds["credential"], "a", change, None, TESTER)
    rig.run(connector)
    rig.app().tick.run()
    return connector


def _during_a_run(azure: Azure, target: str, seconds: int, how: str) -> str:
    rig, connector = azure.rig, _ready(azure)
    rig.directory.leave("users", [1, 2])
    rig.directory.change("users", 5, {"displayName": "Changed"})
    run, _ = rig.app().dispatch.run_now(connector, TESTER, full=True)
    rig.clock.move(1)
    after = {"tables": 12, "graph": 3}.get(target, 0)
    end = _outage(azure, target, seconds, how)
    for fault in rig.faults.list():
        fault.after = after  # in the middle of the run
    azure.until(lambda: rig.clock.monotonic() >= end or _closed(azure, run.id), seconds + 400)
    took = azure.until(lambda: rig.clock.monotonic() >= end and _well(azure, connector), WORST[seconds] + seconds)
    assert took <= WORST[seconds]
    return f"{_shown(azure, connector)}; all well {took:.0f} s after its end"


def _closed(azure: Azure, run_id: str) -> bool:
    found = azure.rig.beside().runs.get(run_id)
    return bool(found and found.state.closed)


def _well(azure: Azure, connector: str) -> bool:
    """The copy is the tenant, the newest run succeeded, and nothing says otherwise."""
    app = azure.rig.beside()
    row = app.schedules.get(f"{connector}-directory")
    newest = app.runs.newest(f"{connector}-directory", after=None, limit=1)
    return bool(
        row and not row.passing and not row.quarantined_at and newest and newest[0].state is RunState.SUCCEEDED and _right(azure.rig)
    )  # fmt: skip


def _when_idle(azure: Azure, target: str, seconds: int, how: str) -> str:
    """A run falls due while the service is away."""
    rig, connector = azure.rig, _ready(azure)
    rig.directory.leave("users", [3])
    row = rig.beside().schedules.get(f"{connector}-directory")
    assert row
    rig.clock.move(290)
    azure.next_tick = 0.0
    end = _outage(azure, target, seconds, how)
    azure.until(lambda: rig.clock.monotonic() >= end, seconds + 1)
    took = azure.until(lambda: _well(azure, connector), WORST[seconds] + 300)
    assert took <= WORST[seconds]
    return f"{_shown(azure, connector)}; all well {took:.0f} s after its end"


def _during_configuration(azure: Azure, target: str, seconds: int, how: str) -> str:
    rig, connector = azure.rig, _ready(azure)
    end, codes = _outage(azure, target, seconds, how), []
    number, saved = 10, 0
    kind, changed = ("credential", "a") if target == "vault" else ("connector", connector)
    before = _revisions(rig, kind, changed)
    while rig.clock.monotonic() < end:
        number += 1
        azure.await_vault()
        try:
            config = rig.app().configuration
            change = {"clientSecret": f"s3cret-{number}"} if target == "vault" else {"fullEveryHours": number}
            answer = config.patch(config.kinds[kind], changed, change, None, TESTER)
            codes.append("200" + "".join(f" pending {one.code}" for one in answer.pending))  # type: ignore[attr-defined]
            saved += 1
        except RollcallError as error:
            codes.append(f"{error.status} {error.code}")
        rig.clock.move(seconds / 5)
    rig.faults.clear()
    azure.away.end()
    config = rig.app().configuration
    config.patch(config.kinds["connector"], connector, {"fullEveryHours": 99}, None, TESTER)
    config.patch(config.kinds["credential"], "a", {"clientSecret": "s3cret-99"}, None, TESTER)
    assert _revisions(rig, kind, changed) == before + saved + 1
    assert len({one.id for one in rig.beside().config.all(kind)}) == 1
    took = azure.until(lambda: _well(azure, connector), WORST[seconds])
    return f"{', '.join(dict.fromkeys(codes))}; the next change is saved at once, all well after {took:.0f} s"


def _revisions(rig: Rig, kind: str, changed: str) -> int:
    """Of an object; its history has as many entries, but for the first, which the rig made."""
    found = rig.beside().config.get(kind, changed)
    entries, _ = rig.beside().history.newest(f"{kind}.{changed}", after=None, limit=50)
    assert found and len(entries) == found.revision - 1
    return found.revision


SITUATIONS = {"during a run": _during_a_run, "when idle": _when_idle, "during configuration": _during_configuration}


@pytest.mark.quick
@pytest.mark.slow
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize(("target", "seconds", "how"), _matrix(quick=True))
def test_a_short_outage_costs_a_short_time(
    azure: Azure, target: str, seconds: int, how: str, situation: str, say: Callable[[str], None]
) -> None:
    """One service; all of them: `make prove`."""
    say(f"{target} {how} for {seconds} s {situation}: {SITUATIONS[situation](azure, target, seconds, how)}")
    assert azure.rig.entities("Tombstones") == [] or _right(azure.rig)


@pytest.mark.prove
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize(("target", "seconds", "how"), _matrix(quick=False))
def test_any_outage_costs_no_more_than_its_time(
    azure: Azure, target: str, seconds: int, how: str, situation: str, say: Callable[[str], None]
) -> None:
    say(f"{target} {how} for {seconds} s {situation}: {SITUATIONS[situation](azure, target, seconds, how)}")
    assert azure.rig.entities("Tombstones") == [] or _right(azure.rig)
