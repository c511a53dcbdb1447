"""Random histories of a tenant, random faults, random slice lengths: after each quiet run the tables are the tenant."""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from local.cloud.graph.people import EPOCH, stamp
from local.cloud.graph.replies import GraphReply, GraphRequest
from shared.clock import parse_iso
from shared.domain.folding import fold, words
from shared.domain.run import Run
from tests import expected
from tests.rig import TESTER, Hands, Rig

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

PEOPLE = 30
FAULTS = (
    "429", "503", "reset", "truncate", "empty-page", "twice", "expired-page-token", "delta-410", "page-size", "no-value", "404-bare", "bom",
)  # fmt: skip
DOMAINS = (["*"], ["contoso.example"], ["contoso.example", "fabrikam.example"])
SOME = st.lists(st.integers(0, PEOPLE + 8), min_size=1, max_size=4, unique=True)
_rig: list[Rig] = []
done: Counter[str] = Counter()
"""How often what was stored was compared with the tenant."""


class Histories(RuleBasedStateMachine):
    """One connector lives through changes of its tenant and of its configuration."""

    number = 0

    @initialize()
    def begin(self) -> None:
        self.rig = _rig[0]
        Histories.number += 1
        self.rig.reset()
        self.rig.clock = Hands(EPOCH + timedelta(days=20))
        self.domains, self.days = DOMAINS[0], 0
        self.stones: set[str] = set()
        self.touched: dict[str, datetime] = {}
        self.groups: list[str] = []
        self.rig.graph.thin = lambda _way, item: item
        self.rig.graph.page_of = lambda items: items
        self.differ: dict[str, set[str]] = {}
        self.known: set[str] | None = None
        self.connector = self.rig.configure(fullEveryHours=144, removalLimit={"count": 5000, "percent": 100})

    def _change(self, index: int, properties: dict[str, Any]) -> None:
        self.differ.setdefault(self.rig.ids([index])[0], set()).update(properties)
        self.rig.directory.change("users", index, properties)

    @rule(seed=st.integers(0, 9) | st.none())
    def leave_out_what_did_not_change(self, seed: int | None) -> None:
        """Pages may leave out what is as it was when everything was last compared. A list that brings an object without a
        manager says that there is none, so that one comes whole.
        """
        if seed is None:
            self.rig.graph.thin = lambda _way, item: item
            return
        drawn = random.Random(seed)

        def thin(way: str, item: dict[str, Any]) -> dict[str, Any]:
            whole = self.known is None or item["id"] not in self.known or "signInActivity" in item or len(item) < 5
            if whole or "@removed" in item or (way == "list" and "manager" not in item):
                return item
            kept = self.differ.get(item["id"], set()) | {"id", "manager" if way == "list" else "id"}
            kept |= {"manager@delta"} if "_manager" in kept else set()
            return {name: value for name, value in item.items() if name in kept or drawn.random() < 0.5}

        self.rig.graph.thin = thin

    @rule(seed=st.integers(0, 9) | st.none())
    def send_some_twice(self, seed: int | None) -> None:
        """Pages may bring an object twice, and the second time in part."""
        drawn = random.Random(seed)

        def page_of(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
            chosen = [dict(item) for item in items if seed is not None and drawn.random() < 0.3]
            again = [self.rig.graph.thin("list", item) for item in chosen]
            return sorted([*items, *again], key=lambda _item: drawn.random()) if again else items

        self.rig.graph.page_of = page_of

    @rule(chosen=st.lists(st.integers(PEOPLE, PEOPLE + 8), max_size=3))
    def replicas_lag(self, chosen: list[int]) -> None:
        """Whoever was hired is not known everywhere at once."""
        self.rig.graph.behind = {("users", index) for index in chosen if self.rig.directory.get("users", index)}

    @rule(
        chosen=SOME,
        value=st.sampled_from([5, [], {"x": None}, "\ud800", True]),
        name=st.sampled_from(["city", "department", "createdDateTime"]),
    )
    def send_nonsense(self, chosen: list[int], value: Any, name: str) -> None:
        """Values of another kind, until the next quiet run."""
        ids = set(self.rig.ids(chosen))

        def rewrite(_asked: GraphRequest, reply: GraphReply) -> GraphReply:
            if not isinstance(reply.body, dict):
                return reply
            body = dict(reply.body)
            items = [
                {**item, name: value} if item.get("id") in ids and name in item else item
                for item in body.get("value", [])
            ]
            return replace(reply, body=json.dumps(body | ({"value": items} if items else {})).encode())

        self.rig.web.rewrite = rewrite

    def _calm(self) -> None:
        """Graph knows everybody everywhere, and sends what it has."""
        self.rig.graph.behind = set()
        self.rig.web.rewrite = lambda _asked, reply: reply

    def _touch(self, chosen: list[int]) -> None:
        """A change of ours: seen by the next run, so nobody grows old from before it."""
        for object_id in self.rig.ids(chosen):
            self.touched[object_id] = self.rig.clock.now()

    def _there(self, chosen: list[int]) -> list[int]:
        return [i for i in chosen if self.rig.directory.get("users", i) is not None]

    @rule(count=st.integers(1, 3))
    def hire(self, count: int) -> None:
        if self.rig.directory.size("users") < PEOPLE + 8:
            self.rig.directory.hire(count)

    @rule(chosen=SOME, purge=st.booleans())
    def leave(self, chosen: list[int], purge: bool) -> None:
        self.rig.directory.leave("users", self._there(chosen), purge=purge)

    @rule(chosen=SOME)
    def restore(self, chosen: list[int]) -> None:
        if self.known:
            self.known -= set(self.rig.ids([i for i in chosen if i < self.rig.directory.size("users")]))
        self.rig.directory.restore("users", [i for i in chosen if i < self.rig.directory.size("users")])

    @rule(chosen=SOME, name=st.sampled_from(["Ann", "Zoë", "王", "O'Neill"]))
    def rename(self, chosen: list[int], name: str) -> None:
        self._touch(self._there(chosen))
        for index in self._there(chosen):
            self._change(index, {"displayName": f"{name} {index}", "mail": f"n{index}@contoso.example"})

    @rule(chosen=SOME, manager=st.integers(0, PEOPLE - 1) | st.none())
    def move(self, chosen: list[int], manager: int | None) -> None:
        boss = self.rig.directory.maker.object_id("user", manager) if manager is not None else None
        self._touch(self._there(chosen))
        for index in self._there(chosen):
            self._change(index, {"department": f"D{manager}", "_manager": boss})

    @rule(chosen=SOME, inside=st.booleans())
    def change_domain(self, chosen: list[int], inside: bool) -> None:
        self._touch(self._there(chosen))
        for index in self._there(chosen):
            address = f"u{index}@{'contoso' if inside else 'elsewhere'}.example"
            self._change(index, {"mail": address, "userPrincipalName": address})

    @rule(chosen=SOME)
    def exclude(self, chosen: list[int]) -> None:
        self.rig.directory.set_members(0, self._there(chosen))

    @rule(domains=st.sampled_from(DOMAINS), groups=st.sampled_from([[], ["Service accounts"]]))
    def change_scope(self, domains: list[str], groups: list[str]) -> None:
        self.domains, self.groups = domains, groups
        self.rig.change("source", "a", domains=domains, excludedGroups=groups)

    @rule(days=st.sampled_from([0, 60, 200]))
    def change_threshold(self, days: int) -> None:
        self.days = days
        options = {"collectDevices": True, "userThresholdDays": days}
        self.rig.change("connector", self.connector, options=options)

    @rule(days=st.integers(1, 40))
    def time_goes_by(self, days: int) -> None:
        self.rig.graph.behind = set()
        self.rig.clock.move(days * 86400)

    @rule(chosen=SOME)
    def sign_in(self, chosen: list[int]) -> None:
        at = stamp(self.rig.clock.now())
        for index in self._there(chosen):
            activity = {"lastSignInDateTime": at, "lastSuccessfulSignInDateTime": at}
            self.rig.directory.change("users", index, {"signInActivity": activity})

    @rule(
        kind=st.sampled_from(FAULTS), every=st.integers(2, 5), full=st.booleans(), slices=st.sampled_from([480.0, 0.0])
    )
    def run_in_trouble(self, kind: str, every: int, full: bool, slices: float) -> None:
        self.rig.slice_seconds = slices
        self.rig.fault(kind, every=every, most=3, seconds=1)
        run = self.rig.run(self.connector, full=full)
        self.rig.faults.clear()
        self.rig.slice_seconds = 480.0
        assert run.state in ("succeeded", "failed", "held"), run.problems

    @rule(at=st.integers(1, 60), applied=st.booleans())
    def run_cut(self, at: int, applied: bool) -> None:
        self.rig.cut.arm(at, applied=applied)
        run = self.rig.run(self.connector)
        self.rig.cut.heal()
        assert run.state in ("succeeded", "failed", "held"), run.problems

    @rule()
    def quiet_round(self) -> None:
        """Sign-ins, then everything: what is stored must be the tenant within the scope."""
        self._calm()
        asked = self.rig.clock.now()
        run = self.rig.run(self.connector, job="sign-ins", full=True)
        if run.created_at < asked:  # it was waiting in the queue: what it had read by then is as old as that
            run = self.rig.run(self.connector, job="sign-ins", full=True)
        assert run.state == "succeeded", run.problems
        run = self._agreed(self.rig.run(self.connector, full=True))
        if any(stream.pending for stream in run.streams):  # whose absence is all there is waits for a second answer
            self.rig.clock.move(25 * 3600)
            run = self._agreed(self.rig.run(self.connector, full=True))
        assert not any(stream.pending for stream in run.streams)
        self._compare()
        self._compare_others()
        self.known = {person["id"] for person in self.rig.objects()}
        self.differ.clear()
        done["quiet_round"] += 1

    @rule()
    def quiet_delta(self) -> None:
        """A run as the rules say; the threshold is a full read's business."""
        self._calm()
        self._agreed(self.rig.run(self.connector))
        if not self.days and not any(self.rig.entities("Holds")):
            self._compare(links=False)
        done["quiet_delta"] += 1

    def _agreed(self, run: Run) -> Run:
        """Whoever waits for a person may go: a scope that would leave hardly anybody is meant."""
        for _ in range(3):
            holds = self.rig.app().removals.holds()
            if not holds:
                break
            for hold in holds:
                started = self.rig.app().removals.decide(hold.id, "confirmed", TESTER, [])
                assert started
                run = self.rig.finish(started.id)
        assert run.state == "succeeded", run.problems
        return run

    def _in_scope(self, item: dict[str, Any]) -> bool:
        maker = self.rig.directory.maker
        if self.groups and item["id"] in {
            maker.object_id("user", i) for i in self.rig.directory.members(0, nested=True)
        }:
            return False
        return self.domains == ["*"] or (item["mail"] or "").rpartition("@")[2] in self.domains

    def _compare(self, *, links: bool = True) -> None:
        rows = [r for r in self.rig.entities("Records") if "|person|" in r["PartitionKey"]]
        people = [p for p in self.rig.objects() if self._in_scope(p)]
        if self.days:
            self._check_ages(rows, people)
            stored = {row["RowKey"].split("|")[0] for row in rows}
            people = [person for person in people if person["id"] in stored]
        if not links:  # a manager who was purged is named by nobody's delta
            gone = {row["ManagerId"] for row in rows if row.get("ManagerId")}
            known = {p["_manager"] for p in people}
            for person in people:
                person["_manager"] = (
                    next((r.get("ManagerId") for r in rows if r["RowKey"].startswith(person["id"])), None)
                    if gone - known
                    else person["_manager"]
                )
        assert expected.differences("person", people, rows) == []
        self._check_lookups(rows)
        stubs = {r["RowKey"].split("|")[0] for r in self.rig.entities("OutOfScope") if "|person|" in r["PartitionKey"]}
        assert not stubs & {row["RowKey"].split("|")[0] for row in rows}

    def _check_ages(self, rows: list[dict[str, Any]], people: list[dict[str, Any]]) -> None:
        """Whoever is left out is old in every respect that is known; whoever is so by more than a day is left out."""
        limit = self.rig.clock.now() - timedelta(days=self.days)
        stored = {row["RowKey"].split("|")[0]: row for row in rows}
        for person in people:
            created = person["createdDateTime"]
            activity = person["signInActivity"] or {}
            times = [parse_iso(v) for k, v in activity.items() if k.endswith("DateTime") and v]
            times += [parse_iso(created)] if created else []
            row = stored.get(person["id"])
            if row is None:
                assert all(at < limit + timedelta(days=1) for at in times), person
                continue
            seen = [self.touched[person["id"]]] if person["id"] in self.touched else []
            changed = expected.comparable(row["ChangedAt"])
            seen += [parse_iso(changed)] if row["ChangedAt"] != row["FirstSeenAt"] else []
            if not any(
                activity.values()
            ):  # first seen since the last pass over everybody: not known to have stayed away
                seen += [parse_iso(at) for at in [expected.comparable(row["FirstSeenAt"])] if self._recent(at)]
            assert not all(at < limit - timedelta(days=1) for at in times + seen), (person, row, limit)

    def _recent(self, at: str) -> bool:
        return parse_iso(at) > self.rig.clock.now() - timedelta(days=8)

    def _compare_others(self) -> None:
        """Devices whole, and when each person last signed in."""
        records = self.rig.entities("Records")
        devices = [r for r in records if "|device|" in r["PartitionKey"]]
        assert expected.differences("device", list(self.rig.objects("devices")), devices) == []
        activity = {r["RowKey"].split("|")[0]: r for r in records if "|person-sign-ins|" in r["PartitionKey"]}
        for person in self.rig.objects():
            told = (person["signInActivity"] or {}).get("lastSignInDateTime")
            row = activity.get(person["id"], {})
            assert expected.comparable(row.get("LastSignInAttemptAt")) == told, (person["id"], told, row)

    def _check_lookups(self, rows: list[dict[str, Any]]) -> None:
        """Each stored person is found by name, address and number; nobody else is."""
        found = [
            row
            for row in self.rig.entities("Lookup")
            if _attribute(row) in ("name", "name-word", "address", "employee")
        ]
        by_id: dict[str, set[str]] = {}
        for row in found:
            by_id.setdefault(row["ObjectId"], set()).add(_attribute(row))
        people = {row["RowKey"].split("|")[0]: row for row in rows}
        assert set(by_id) <= set(people), set(by_id) - set(people)
        for object_id, row in people.items():
            assert "name" in by_id[object_id]
            cards = [r for r in found if r["ObjectId"] == object_id]
            assert {r.get("DisplayName") for r in cards} == {row["DisplayName"]}
            wanted = (
                1
                + len({a.lower() for a in (row.get("SignInName"), row.get("Mail")) if a})
                + bool(row.get("EmployeeId"))
                + len(words(fold(row["DisplayName"]))[1:])
            )
            assert len(cards) == wanted, (row["DisplayName"], [r["RowKey"] for r in cards])

    @invariant()
    def nobody_is_removed_who_is_there(self) -> None:
        """Each new tombstone is of somebody who is gone now: nothing happens in the tenant while a run goes on."""
        if not hasattr(self, "rig"):
            return
        stones = {row["PartitionKey"] + row["RowKey"]: row for row in self.rig.entities("Tombstones")}
        there = {person["id"] for person in self.rig.objects()}
        there |= {device["id"] for device in self.rig.objects("devices")}
        for key in stones.keys() - self.stones:
            assert stones[key]["ObjectId"] not in there, stones[key]
        self.stones |= stones.keys()

    def teardown(self) -> None:
        """Every history ends with a look at everything."""
        if hasattr(self, "rig"):
            self.rig.cut.heal()
            self.rig.faults.clear()
            self.rig.slice_seconds = 480.0
            self.quiet_round()


def _attribute(row: dict[str, Any]) -> str:
    return str(row["PartitionKey"]).partition(".")[0]


def _drive(examples: int, steps: int) -> str:
    rig = Rig(PEOPLE, 4, page_cap=8)
    _rig[:] = [rig]
    try:
        run_state_machine_as_test(
            Histories,
            settings=settings(
                max_examples=examples, stateful_step_count=steps, deadline=None, database=None, print_blob=True,
                suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink] if examples > 10 else [Phase.generate],
            ),
        )  # fmt: skip
    finally:
        rig.close()
    return f"{Histories.number} of at most {steps} steps, compared {done.total()} times"


@pytest.mark.quick
def test_random_histories_end_as_the_tenant(say: Callable[[str], None]) -> None:
    say(f"random histories: {_drive(3, 12)}")


@pytest.mark.prove
def test_many_random_histories_end_as_the_tenant(say: Callable[[str], None]) -> None:
    say(f"random histories: {_drive(8, 20)}")
