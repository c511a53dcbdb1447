"""The crash matrix: a run is cut off at each of its writes, once before it is done and once after; the worker is built anew
from storage alone and goes on. What is stored then is what an undisturbed run stores.
"""

import json
import re
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pytest

from local.cloud.faults import GRAPH_FAULTS, STORAGE_FAULTS
from local.cloud.graph.people import EXTENSION
from shared.clock import counted_down
from shared.connectors.entra_id import ENTRA_ID
from shared.connectors.mappings import default_targets
from shared.domain.audit import check_chain
from shared.domain.mapping import MappingIn, MappingOut, Target
from shared.domain.run import Run
from shared.storage.holds import decide
from shared.sync.limits import Limits
from tests import expected
from tests.rig import TESTER, Rig
from tests.stored import Rows
from tests.worker import Remote

# A worker that is cut off leaves sockets behind; asyncio tells when it collects them.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

PEOPLE = {"collectDevices": False, "collectSignIns": False}  # the tick starts nothing else meanwhile
EVERY_QUICK, MOST_QUICK = 15, 5  # `make check` takes one cut in so many, and at most so many; `make prove` all
Say = Callable[[str], None]
_RUN = re.compile(r"~?(\d{13})[0-9a-f]{8}")
_SKIPPED = ("lease", "run|", "cancel|", "slots")


def _prepare(rig: Rig) -> None:
    """A new name and address, a hire, a leaver, a leaver who was excluded, one who is restored, one who leaves the domain
    scope and one who comes back into it.
    """
    d = rig.directory
    d.change("users", 2, {"displayName": "Renamed Twice", "mail": "renamed@contoso.example"})
    d.hire(1)
    d.leave("users", [10, 4])
    d.restore("users", [14])
    d.change("users", 6, {"mail": "away@elsewhere.example", "userPrincipalName": "away@elsewhere.example"})
    d.change("users", 7, {"mail": "back@contoso.example", "userPrincipalName": "back@contoso.example"})


def _scoped(rig: Rig) -> str:
    """In scope by domains and groups, with somebody outside of each, and one removal made."""
    rig.directory.change("users", 7, {"mail": None, "userPrincipalName": "out@elsewhere.example"})
    domains = ["contoso.example", "fabrikam.example", "partner.example", "old.example"]
    connector = rig.configure(source={"domains": domains, "excludedGroups": ["Service accounts"]}, options=PEOPLE)
    rig.run(connector)
    rig.directory.leave("users", [14])
    assert rig.run(connector).streams[0].removed == 1
    _prepare(rig)
    return connector


def _first(rig: Rig) -> str:
    return rig.configure()


def _many_leave(rig: Rig) -> str:
    connector = rig.configure(removalLimit={"count": 0, "percent": 20}, options=PEOPLE)
    rig.run(connector)
    rig.directory.leave("users", [2, 3])
    rig.directory.leave("users", [5], purge=True)
    return connector


def _confirmed(rig: Rig) -> str:
    connector = _many_leave(rig)
    held = rig.run(connector)
    assert held.state == "held" and held.streams[0].held == 3
    rig.directory.restore("users", [3])
    decide(rig.app().tables, connector, "users", "confirmed", TESTER, rig.clock.now(), [])
    return connector


def _absent(rig: Rig) -> str:
    """Somebody is gone, and nothing but a whole list shows it."""
    connector = rig.configure(removalLimit={"graceHours": 1}, options=PEOPLE)
    rig.run(connector)
    rig.directory.leave("users", [5], purge=True)
    rig.graph.expire_delta_tokens()
    return connector


def _absent_once(rig: Rig) -> str:
    connector = _absent(rig)
    assert rig.run(connector, full=True).streams[0].pending == 1
    return connector


def _deletion(rig: Rig, connector: str) -> Run:
    """The connector goes, with its records."""

    def begin() -> Run | None:
        document = rig.app().config.get("connector", connector)
        assert document
        return rig.app().dispatch.delete_records(document, TESTER)

    return rig.begun(begin)


def _to_be_deleted(rig: Rig) -> str:
    connector = rig.configure(options=PEOPLE)
    rig.run(connector)
    rig.change("connector", connector, deleting=True, active=False)
    return connector


def _remapped(rig: Rig) -> str:
    """An owner's mapping takes the place of the default: every record is written anew, with one entry in the journal."""
    connector = rig.configure(options=PEOPLE)
    rig.run(connector)
    kept = [one for one in default_targets(ENTRA_ID) if one.target != "faxNumber"]
    more = Target.model_validate(
        {"stream": "users", "target": "costCentre", "source": [EXTENSION], "transforms": [{"name": "trim"}]}
    )
    config = rig.app().configuration
    model = MappingIn(name="Ours", kind=ENTRA_ID.name, targets=[*kept, more])
    made = config.create(config.kinds["mapping"], model, TESTER, object_id="ours")
    assert isinstance(made, MappingOut)
    config.patch(config.kinds["connector"], connector, {"mappingId": made.id}, None, TESTER)
    return connector


def _licensed(rig: Rig, only: str, other: str) -> str:
    """People of a connector for licences and usage, of whom nothing else is known yet; the tick starts `only` one job more."""
    rig.roles = [
        "User.Read.All",
        "Reports.Read.All",
        "Organization.Read.All",
        "Domain.Read.All",
        "LicenseAssignment.Read.All",
    ]
    rig.directory.reports.refreshed = {"": date(2026, 11, 18)}
    connector = rig.configure(kind="microsoft-365", options={})
    rig.run(connector)
    rig.change("connector", connector, options={"collectUsers": False, only: True, other: False})
    return connector


def _licensed_before(rig: Rig) -> str:
    """Licences were read; meanwhile somebody lost all of them, and somebody's came into error."""
    connector = _licensed(rig, "collectLicences", "collectUsage")
    rig.run(connector, job="licences")
    holders = [
        number
        for number in range(rig.directory.size("users"))
        if (rig.directory.get("users", number) or {}).get("licenseAssignmentStates")
    ]
    rig.directory.change("users", holders[0], {"licenseAssignmentStates": [], "assignedLicenses": []})
    states = rig.directory.get("users", holders[1])["licenseAssignmentStates"]  # type: ignore[index]
    rig.directory.change(
        "users",
        holders[1],
        {"licenseAssignmentStates": [{**one, "state": "Error", "error": "CountViolation"} for one in states]},
    )
    return connector


def _reported_before(rig: Rig) -> str:
    """Usage was read; meanwhile the reports are newer, and activations of somebody are gone."""
    connector = _licensed(rig, "collectUsage", "collectLicences")
    rig.run(connector, job="usage")
    rig.directory.reports.refreshed = {"": date(2026, 11, 19)}
    name = rig.directory.get("users", 0)["userPrincipalName"]  # type: ignore[index]
    rig.directory.reports.spoil = lambda which, text: (
        "\r\n".join(line for line in text.splitlines() if name not in line) if "Activations" in which else text
    )
    return connector


@dataclass(frozen=True)
class Scenario:
    """`prepare` gives the connector of the run that is cut; `slices`: each page is a slice of its own; `alike`: so many parts of
    the run write the same, so that one cut in so many meets each kind of write.
    """

    people: int
    prepare: Callable[[Rig], str]
    run: Callable[[Rig, str], Run]
    devices: int = 0
    slices: bool = False
    page_cap: int = 5
    confirmed_at_once: int = 4000
    alike: int = 1


SCENARIOS = {
    "first": Scenario(7, _first, lambda rig, it: rig.run(it), devices=1),
    "delta": Scenario(18, _scoped, lambda rig, it: rig.run(it)),
    "full": Scenario(18, _scoped, lambda rig, it: rig.run(it, full=True), slices=True, page_cap=9),
    "hold": Scenario(8, _many_leave, lambda rig, it: rig.run(it)),
    "hold-full": Scenario(8, _many_leave, lambda rig, it: rig.run(it, full=True)),
    "confirm": Scenario(8, _confirmed, lambda rig, it: rig.run(it)),
    "confirm-portions": Scenario(8, _confirmed, lambda rig, it: rig.run(it), confirmed_at_once=1),
    "absent": Scenario(8, _absent, lambda rig, it: rig.run(it, full=True)),
    "absent-again": Scenario(8, _absent_once, lambda rig, it: rig.run(it)),
    "sign-ins": Scenario(7, _first, lambda rig, it: rig.run(it, job="sign-ins"), slices=True),
    "mapping": Scenario(7, _remapped, lambda rig, it: rig.run(it)),
    "licences": Scenario(
        6,
        lambda rig: _licensed(rig, "collectLicences", "collectUsage"),
        lambda rig, it: rig.run(it, job="licences"),
        slices=True,
    ),
    "licences-changed": Scenario(6, _licensed_before, lambda rig, it: rig.run(it, job="licences")),
    "usage": Scenario(
        5,
        lambda rig: _licensed(rig, "collectUsage", "collectLicences"),
        lambda rig, it: rig.run(it, job="usage"),
        slices=True,
        alike=3,
    ),
    "usage-newer": Scenario(5, _reported_before, lambda rig, it: rig.run(it, job="usage"), alike=3),
    "delete": Scenario(3, _to_be_deleted, _deletion, slices=True),
}


@dataclass(frozen=True)
class Before:
    """What was stored before the run under test, and when: nothing of it is masked when results are compared."""

    rows: dict[str, Rows]
    began: datetime

    @classmethod
    def of(cls, rig: Rig) -> "Before":
        """Of now, and most of a day passes: what the run writes has another date than what was there."""
        rig.clock.move(20 * 3600)
        return cls(rig.snapshot(), rig.clock.wall)

    def again(self, rig: Rig, *, drop: bool = False) -> None:
        rig.restore(self.rows, drop=drop)
        rig.clock.wall = self.began

    def normal(self, rig: Rig) -> dict[str, Counter[str]]:
        """Everything that the run leaves behind, without what names the run or its moments, or is the timer's own."""
        found: dict[str, Counter[str]] = {}
        for table, rows in rig.snapshot().items():
            if table in ("Schedule", "Audit"):  # what was asked for twice is twice in the trail
                continue
            before = self.rows.get(table, {})
            found[table] = Counter(
                json.dumps(row, sort_keys=True) if before.get(key) == row else self._text(row)
                for key, row in rows.items()
                if not (table == "State" and (key[1].startswith(_SKIPPED) or key[0] in ("slots", "signs")))
            )
        return found

    def _text(self, row: dict[str, Any]) -> str:
        shown = dict(row)
        if "Body" in shown and row["PartitionKey"] != "config":
            shown["Body"] = _stream_body(json.loads(shown["Body"]))
        text = json.dumps(shown, sort_keys=True)
        text = _RUN.sub(lambda found: "RUN" if self._of_the_run(found[1]) else found[0], text)
        text = re.sub(f"{self.began:%Y-%m-%d}T[0-9:.]+Z", "MOMENT", text)
        text = re.sub(r"\|(\d{13})\|", lambda found: "|MOMENT|" if self._of_the_run(found[1]) else found[0], text)
        if f"|{self.began:%Y%m%d}" in text:
            text = re.sub(rf"\|{self.began:%Y%m%d}\d\d\|", "|HOUR|", text)
            text = re.sub(r'(["|])\d{7}\|', r"\1MOMENT|", text)  # the minute and second of a journal key
        text = re.sub(r"\$deltatoken=[\w-]+", "TOKEN", text)
        return re.sub(r"127\.0\.0\.1:\d+", "HOST", text)

    def _of_the_run(self, inverted: str) -> bool:
        return inverted <= counted_down(self.began)


def _stream_body(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in ("unfinished", "intent")}


@pytest.mark.quick
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_that_is_cut_at_any_write_ends_as_an_undisturbed_one(name: str, say: Say) -> None:
    """A subset: one cut in fifteen, at most five. All of them, in both forms: `make prove`."""
    _matrix(name, EVERY_QUICK, say, MOST_QUICK)


@pytest.mark.prove
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_that_is_cut_at_every_write_ends_as_an_undisturbed_one(name: str, say: Say) -> None:
    _matrix(name, 1, say)


def _matrix(name: str, every: int, say: Say, most: int = 0) -> None:
    scenario = SCENARIOS[name]
    rig = Rig(scenario.people, scenario.devices, page_cap=scenario.page_cap)
    try:
        rig.limits = Limits(confirmed=scenario.confirmed_at_once)
        say(f"{name}: {_cut_everywhere(rig, scenario, every * scenario.alike, most)}")
    finally:
        rig.close()


def _cut_everywhere(rig: Rig, scenario: Scenario, every: int, most: int) -> str:
    """One cut in so many, at most `most` (0: no limit); gives how many that were."""
    connector = scenario.prepare(rig)
    before = Before.of(rig)
    rig.slice_seconds = 0.0 if scenario.slices else 480.0
    anew = scenario.prepare is _first  # its tables and queue are made anew each time, those of the others once
    if not anew:
        scenario.run(rig, connector)
    before.again(rig, drop=anew)
    rig.cut.arm(0, applied=False)
    undisturbed = scenario.run(rig, connector)
    assert undisturbed.state in ("succeeded", "held")
    assert undisturbed.slice > 1 or not scenario.slices
    writes, names, wanted = rig.cut.writes, list(rig.cut.named), before.normal(rig)
    if scenario.prepare is _first and undisturbed.job == "directory":
        _right(rig)
    cuts = [(at, applied) for at in range(1, writes + 1) for applied in (False, True)]
    if most:
        every = max(every, -(-len(cuts) // most) | 1)  # odd: both forms
    chosen, missed = cuts[::every], []
    for at, applied in chosen:
        before.again(rig, drop=anew)
        rig.cut.arm(at, applied=applied)
        rig.cut.struck = 0
        run = scenario.run(rig, connector)
        where = f"cut {at} of {writes} ({names[at - 1]}), {'applied' if applied else 'not sent'}"
        assert run.state == undisturbed.state, (where, run.problems)
        problems = _differences(wanted, before.normal(rig))
        problems += check_chain("a", rig.app().audit.chain("a")).broken
        problems += check_chain("a", rig.app().audit.chain("a")).broken
        assert not problems, "\n".join([where, *problems])
        if not rig.cut.struck:
            missed.append((where, rig.cut.writes, rig.cut.named))
    assert not missed
    return f"{len(chosen)} of {len(cuts)} cuts ({writes} writes in two forms), {undisturbed.slice + 1} slices"


def _differences(wanted: dict[str, Counter[str]], found: dict[str, Counter[str]]) -> list[str]:
    problems: list[str] = []
    for table in sorted({*wanted, *found}):
        want, have = wanted.get(table, Counter()), found.get(table, Counter())
        problems += [f"{table}: missing {row}" for row in (want - have).elements()]
        problems += [f"{table}: surplus {row}" for row in (have - want).elements()]
    return problems


def _right(rig: Rig) -> None:
    """The undisturbed run itself is right, where nothing narrows the scope."""
    if not rig.entities("OutOfScope"):
        people = [row for row in rig.entities("Records") if "|person|" in row["PartitionKey"]]
        assert expected.differences("person", list(rig.objects()), people) == []


@pytest.mark.quick
def test_a_worker_that_is_killed_for_good_leaves_a_run_that_ends_as_an_undisturbed_one(say: Say) -> None:
    """Three of the kills; all twenty: `make prove`."""
    _kills(3, say)


@pytest.mark.prove
def test_twenty_workers_that_are_killed_for_good_leave_runs_that_end_as_an_undisturbed_one(say: Say) -> None:
    _kills(20, say)


def _kills(count: int, say: Say) -> None:
    """SIGKILL of a worker's process in the middle of a write, never of Azurite."""
    rig = Rig(18, page_cap=5)
    try:
        connector = _scoped(rig)
        stored = Before.of(rig)
        rig.cut.arm(0, applied=False)
        run = rig.app().dispatch.run_now(connector, TESTER)[0]
        before = rig.cut.writes
        rig.finish(run.id)
        writes, wanted = rig.cut.writes, stored.normal(rig)
        for number in range(count):
            stored.again(rig)
            run = rig.app().dispatch.run_now(connector, TESTER)[0]
            (message,) = rig.messages()
            at = 1 + number * (writes - before - 1) // max(1, count - 1)
            rig.cut.arm(at, applied=bool(number % 2))
            worker = Remote(rig.given(message))
            rig.cut.kill = worker.process.kill
            worker.process.join(60)
            assert worker.process.exitcode == -signal.SIGKILL, (at, worker.process.exitcode)
            rig.cut.kill = lambda: None
            rig.cut.heal()
            rig.finish(run.id)
            problems = _differences(wanted, stored.normal(rig))
            assert not problems, "\n".join([f"killed at write {at}", *problems])
        say(f"{count} workers were killed with SIGKILL, at writes 1 to {at} of {writes - before}")
    finally:
        rig.close()


RETURNING = ("empty-page", "twice", "foreign-link", "expired-page-token", "delta-410")
"""Faults after which more is read than without: the receipt counts pages and objects otherwise, and the mode may change."""
GRAPH = [kind for kind in GRAPH_FAULTS if kind != "slow"]


@pytest.mark.quick
@pytest.mark.parametrize("full", [False, True], ids=["delta", "full"])
def test_each_fault_of_the_cloud_at_some_requests_changes_nothing(full: bool, say: Say) -> None:
    """One case in eleven; all of them: `make prove`."""
    _faults(11, say, full=full)


@pytest.mark.prove
@pytest.mark.parametrize("full", [False, True], ids=["delta", "full"])
def test_each_fault_of_the_cloud_at_every_request_changes_nothing(full: bool, say: Say) -> None:
    _faults(1, say, full=full)


def _faults(every: int, say: Say, *, full: bool) -> None:
    rig = Rig(18, page_cap=9)
    try:
        connector = _scoped(rig)
        before, asked = Before.of(rig), rig.web.requests
        assert rig.run(connector, full=full).state == "succeeded"
        requests, wanted = rig.web.requests - asked, before.normal(rig)
        cases = [(kind, at) for kind in GRAPH for at in range(1, requests + 1)][::every]
        for kind, at in cases:
            before.again(rig)
            rig.graph._delta_floor = 0
            rig.fault(kind, every=at, most=1, seconds=1)
            run = rig.run(connector, full=full)
            assert rig.faults.list()[0].done == 1, (kind, at)
            rig.faults.clear()
            if kind == "foreign-link" and run.state == "failed":
                assert {problem.code for problem in run.problems} - {"domain-not-verified"} == {"graph-foreign-link"}
                run = rig.run(connector, full=full)
            assert run.state == "succeeded", (kind, at, run.problems)
            seen = _rows_only if kind in RETURNING else dict
            problems = _differences(seen(wanted), seen(before.normal(rig)))
            assert not problems, "\n".join([f"{kind} at request {at} of {requests}", *problems])
        say(f"{len(cases)} faults of {len(GRAPH)} kinds at {requests} requests")
    finally:
        rig.close()


APART = 5  # storage faults lie so many requests apart: in so many runs every request has its own


@pytest.mark.quick
@pytest.mark.parametrize("full", [False, True], ids=["delta", "full"])
def test_each_fault_of_storage_at_some_requests_changes_nothing(full: bool, say: Say) -> None:
    """One run of five for each fault; all of them: `make prove`."""
    _storage_faults([3], say, full=full)


@pytest.mark.prove
@pytest.mark.parametrize("full", [False, True], ids=["delta", "full"])
def test_each_fault_of_storage_at_every_request_changes_nothing(full: bool, say: Say) -> None:
    _storage_faults(list(range(APART)), say, full=full)


def _storage_faults(offsets: list[int], say: Say, *, full: bool) -> None:
    rig = Rig(18, page_cap=9)
    try:
        connector = _scoped(rig)
        before = Before.of(rig)
        rig.retries = 3  # as the product has them
        assert rig.run(connector, full=full).state == "succeeded"
        wanted, done = before.normal(rig), Counter[str]()
        for kind in STORAGE_FAULTS:
            for offset in offsets:
                before.again(rig)
                rig.fault(kind, "storage", every=APART, seen=offset, seconds=0.01)
                run = rig.run(connector, full=full)
                done[kind] += rig.faults.list()[0].done
                rig.faults.clear()
                assert run.state == "succeeded", (kind, offset, run.problems)
                problems = _differences(wanted, before.normal(rig))
                assert not problems, "\n".join([f"{kind} at every {APART}th request from {offset}", *problems])
        say(f"{done.total()} faults of storage in {len(STORAGE_FAULTS) * len(offsets)} runs: {dict(done)}")
        assert min(done.values()) > 10 * len(offsets)
    finally:
        rig.close()


def _rows_only(found: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    """What users see, without receipts and checkpoints."""
    return {table: rows for table, rows in found.items() if table != "State"}
