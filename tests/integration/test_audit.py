"""Who did what: each change has its history in the same transaction, everything else is a link of a chain that shows whether it
is whole.
"""

import contextlib
import itertools
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from local.stack import Stack
from shared.domain.actor import Actor
from shared.domain.audit import AuditEntry, ChainHead, check_chain
from shared.domain.retention import Retention
from shared.errors import Unavailable
from shared.storage.audit import Audit
from tests import support
from tests.rig import TESTER, Rig

ANY = {"If-Match": "*"}
TENANT = (24, 0, 8)


# Configuration


def test_each_change_says_who_what_from_and_to_and_secrets_only_that_they_are_set(stack: Stack) -> None:
    ids = support.configure(stack)
    secret = f"s3cret-{uuid.uuid4().hex}"
    stack.api("PATCH", f"sources/{ids['source']}", {"domains": ["contoso.example"], "crawl": False}, ANY)
    stack.api("PATCH", f"credentials/{ids['credential']}", {"clientSecret": secret}, ANY)
    _, page = stack.api("GET", f"sources/{ids['source']}/history")
    newest, oldest = page["items"]
    assert (newest["action"], newest["revision"], oldest["action"], oldest["revision"]) == ("changed", 2, "created", 1)
    assert {c["field"]: (c["before"], c["after"]) for c in newest["changes"]} == {
        "domains": (["*"], ["contoso.example"]), "crawl": (True, False),
    }  # fmt: skip
    assert (newest["byId"], newest["byName"], newest["byApplication"]) == ("development", "development", False)
    _, page = stack.api("GET", f"credentials/{ids['credential']}/history")
    assert [c for c in page["items"][0]["changes"] if c["field"] == "clientSecret"] == [
        {"field": "clientSecret", "before": "set", "after": "set"}
    ]
    assert {"field": "clientSecret", "before": None, "after": "set"} in page["items"][1]["changes"]
    assert secret not in repr(stack.api("GET", "history?limit=500")) + repr(support.rows(stack, "Config"))


def test_the_history_of_what_is_gone_stays_and_all_of_it_is_one_list(stack: Stack) -> None:
    made = support.make(stack, "organizations", {"name": f"Gone {uuid.uuid4().hex}"})
    stack.api("PATCH", f"organizations/{made['id']}", {"description": "x"}, ANY)
    stack.api("DELETE", f"organizations/{made['id']}", headers=ANY)
    _, page = stack.api("GET", f"organizations/{made['id']}/history")
    assert [entry["action"] for entry in page["items"]] == ["deleted", "changed", "created"]
    everything: list[dict[str, Any]] = []
    after = ""
    while True:
        _, page = stack.api("GET", f"history?limit=7{after}")
        everything += page["items"]
        if not page["next"]:
            break
        after = f"&after={page['next']}"
    assert [entry["action"] for entry in everything if entry["id"] == made["id"]] == ["deleted", "changed", "created"]
    moments = [datetime.fromisoformat(entry["at"]) for entry in everything]  # as text, a whole second sorts wrongly
    assert moments == sorted(moments, reverse=True)
    assert stack.api("GET", "organizations/0123/history")[0] == 404


def test_a_change_and_its_history_are_one_transaction(rig: Rig) -> None:
    """At whatever write it is cut off: as many entries as revisions."""
    for at, applied in itertools.product(range(1, 5), (False, True)):
        rig.reset()
        connector = rig.configure()
        config = rig.app().configuration
        kind = config.kinds["connector"]
        config.patch(kind, connector, {"fullEveryHours": 12}, None, TESTER)
        rig.cut.arm(at, applied=applied)
        with contextlib.suppress(Unavailable):
            config.patch(kind, connector, {"fullEveryHours": 13}, None, TESTER)
        rig.cut.heal()
        stored = rig.beside().config.get("connector", connector)
        assert stored
        entries, _ = rig.beside().history.newest(f"connector.{connector}", after=None, limit=50)
        assert [entry.revision for entry in entries] == list(
            range(stored.revision, 1, -1)
        )  # the rig makes the first itself


# The chain


def _chain(rig: Rig, source: str = "a") -> list[AuditEntry]:
    return list(rig.beside().audit.chain(source))


def test_what_people_do_is_in_the_chain_with_their_object_ids(rig: Rig) -> None:
    connector = rig.configure(removalLimit={"count": 0})
    rig.run(connector)
    rig.directory.leave("users", [1, 2])
    rig.run(connector)
    (hold,) = rig.app().removals.holds()
    ada = Actor("ada-object-id", "Ada")
    rig.app().removals.decide(hold.id, "rejected", ada, [])
    run, _ = rig.app().dispatch.run_now(connector, Actor("app-id", "Pipeline", application=True), full=True)
    rig.app().dispatch.cancel(run.id, ada)
    entries = _chain(rig)
    assert [(entry.what, entry.by_id) for entry in entries] == [
        ("run-asked", TESTER.id), ("run-asked", TESTER.id), ("hold-rejected", "ada-object-id"), ("run-asked", "app-id"),
        ("run-cancelled", "ada-object-id"),
    ]  # fmt: skip
    assert entries[3].by_application and entries[3].details == {"job": "directory", "full": True}
    assert check_chain("a", entries).whole
    stored = rig.app().runs.get(run.id)
    assert stored and (stored.requested_by, stored.requested_by_id) == ("Pipeline", "app-id")
    items, _ = rig.app().removals.items(hold.id, after=None, limit=9)
    assert {(item.decided_by, item.decided_by_id) for item in items} == {("Ada", "ada-object-id")}


def test_what_could_not_be_written_down_is_not_done(rig: Rig) -> None:
    connector = rig.configure()
    rig.app().tick.run()
    rig.fault("503", target="storage", match="POST .*batch")
    with pytest.raises(Unavailable):
        rig.app().dispatch.run_now(connector, TESTER)
    rig.faults.clear()
    row = rig.app().schedules.get(f"{connector}-directory")
    assert row and row.run == ""


def test_days_are_closed_and_the_next_one_begins_with_their_hash(rig: Rig) -> None:
    audit = rig.beside().audit
    for days in (0, 0, 1, 0, 3):  # nothing was done on two of the days
        rig.clock.move(days * 86400)
        audit.note("a", TESTER, "run-asked", "c")
    entries = _chain(rig)
    assert [(entry.day, entry.sequence, entry.what) for entry in entries] == [
        ("20261120", 1, "run-asked"), ("20261120", 2, "run-asked"), ("20261120", 3, "day-closed"),
        ("20261121", 1, "run-asked"), ("20261121", 2, "run-asked"), ("20261121", 3, "day-closed"),
        ("20261124", 1, "run-asked"),
    ]  # fmt: skip
    assert check_chain("a", entries).whole
    rig.clock.move(-2 * 86400)  # a clock that is behind: the day it means is over
    audit.note("a", TESTER, "run-asked", "late")
    assert (_chain(rig)[-1].day, _chain(rig)[-1].subject) == ("20261124", "late")
    assert check_chain("a", _chain(rig)).whole


def test_nothing_can_be_changed_left_out_or_put_in_without_showing(rig: Rig) -> None:
    audit = rig.beside().audit
    for number, days in enumerate((0, 0, 0, 1, 0, 1)):
        rig.clock.move(days * 86400)
        audit.note("a", TESTER, "run-asked", f"c{number}")
    entries = _chain(rig)
    head = check_chain("a", entries).head
    assert head and check_chain("a", entries, [head]).whole
    for index in range(len(entries)):
        changed = [entry.model_copy() for entry in entries]
        changed[index].subject = "somebody else's"
        assert not check_chain("a", changed).whole
        changed[index].hash = changed[index].computed()  # the forger makes the hash fit
        assert not check_chain("a", changed, [head]).whole
        shorter = entries[:index] + entries[index + 1 :]
        assert not check_chain("a", shorter, [head]).whole
        assert not check_chain("a", [*entries[: index + 1], *entries[index:]], [head]).whole
    assert not check_chain("a", entries[:-1], [head]).whole  # its end was cut off
    assert not check_chain("a", [], [head]).whole
    assert check_chain("a", entries, [ChainHead(source_id="b", day="20261120", sequence=9, hash="0" * 64)]).whole


def test_many_writers_make_one_chain(rig: Rig) -> None:
    audits = [Audit(rig.beside().tables, rig.clock) for _ in range(4)]

    def write(number: int) -> None:
        audits[number % 4].note("a", TESTER, "run-asked", f"c{number}")

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write, range(40)))
    entries = _chain(rig)
    assert sorted(entry.subject for entry in entries) == sorted(f"c{number}" for number in range(40))
    assert check_chain("a", entries).whole


@pytest.mark.parametrize("applied", [False, True])
def test_a_writer_that_dies_anywhere_leaves_a_chain_that_goes_on(rig: Rig, applied: bool) -> None:
    """Also at midnight, when a day is closed, the pointer moved and the next day begun."""
    for at in range(1, 7):
        rig.reset()
        rig.app().audit.note("a", TESTER, "run-asked", "first")
        rig.clock.move(86400)
        rig.cut.arm(at, applied=applied)
        with contextlib.suppress(Unavailable):
            rig.app().audit.note("a", TESTER, "run-asked", "second")
        rig.cut.heal()
        rig.clock.move(86400)
        rig.app().audit.note("a", TESTER, "run-asked", "third")
        entries = _chain(rig)
        report = check_chain("a", entries)
        assert report.whole, (at, report.broken)
        assert [entry.subject for entry in entries if entry.what == "run-asked"][-1] == "third"


def test_refusals_are_counted_by_who_and_hour(rig: Rig) -> None:
    audit, eve = rig.beside().audit, Actor("eve-id", "Eve")
    for _ in range(50):
        audit.refused(eve, "Rollcall.Configure")
    audit.refused(eve, "Rollcall.Act")
    audit.refused(TESTER, "cross-site")
    rig.app().tick.run()
    assert _chain(rig, "installation") == []
    rig.clock.move(3600)
    rig.app().tick.run()
    rig.app().tick.run()
    entries = _chain(rig, "installation")
    assert {(entry.by_id, entry.subject, entry.details["count"]) for entry in entries} == {
        ("eve-id", "Rollcall.Act, Rollcall.Configure", 51), (TESTER.id, "cross-site", 1),
    }  # fmt: skip
    assert check_chain("installation", entries).whole


def test_the_trail_is_listed_and_checked_through_the_api(stack: Stack) -> None:
    ids = support.configure(stack)
    run = support.run_and_wait(stack, ids["connector"])
    _, page = stack.api("GET", f"audit?source={ids['source']}")
    assert [(entry["what"], entry["subject"]) for entry in page["items"]] == [("run-asked", ids["connector"])]
    assert run["requestedById"] == "development"
    _, report = stack.api("POST", "audit/check", {"source": ids["source"]})
    assert report["whole"] and report["entries"] == 1
    forged = {**report["head"], "hash": "0" * 64}
    _, report = stack.api("POST", "audit/check", {"source": ids["source"], "heads": [report["head"], forged]})
    assert not report["whole"] and len(report["broken"]) == 1
    assert f"audit head {ids['source']} " in (stack.log / "host.log").read_text()
    _, everything = stack.api("GET", "audit?limit=500")
    assert ids["source"] in {entry["sourceId"] for entry in everything["items"]}


def test_old_history_and_old_days_are_purged_and_what_is_left_is_whole(rig: Rig) -> None:
    connector = rig.configure()
    config = rig.app().configuration
    config.patch(config.kinds["connector"], connector, {"fullEveryHours": 12}, None, TESTER)
    rig.run(connector)
    rig.app().tick.run()
    rig.keep = Retention(audit_days=10)
    for _ in range(4):
        rig.clock.move(4 * 86400)
        for run in rig.app().tick.run():
            rig.finish(run)
    assert [entry for entry in _chain(rig) if entry.day < "20261126"] == []
    assert rig.beside().history.newest(None, after=None, limit=9)[0] == []
    rig.app().audit.note("a", TESTER, "run-asked", connector)
    assert check_chain("a", _chain(rig)).whole
