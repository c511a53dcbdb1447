"""Leavers through the API: held, explained, confirmed, removed; journal, receipts, sign-ins, quarantine, deletion."""

import os
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.stack import Options, Stack
from tests import expected, support

ANY = {"If-Match": "*"}
PEOPLE = int(os.environ.get("ROLLCALL_TEST_PEOPLE", "3000"))  # 600 of 3,000 are above the limit of 500
LONG = max(1200, PEOPLE // 10)  # seconds: the emulator slows down as its tables fill


@pytest.fixture(scope="module")
def crowd() -> Iterator[Stack]:
    started = Stack(Options(people=PEOPLE, devices=0)).start()
    yield started
    started.stop()


def _users(run: dict[str, Any]) -> dict[str, Any]:
    return support.stream(run)


@pytest.fixture(scope="module")
def ids(crowd: Stack) -> dict[str, str]:
    made = support.configure(crowd, connector={"options": {"collectDevices": False}})
    run = support.run_and_wait(crowd, made["connector"], LONG)
    assert run["state"] == "succeeded", run
    return made


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"full": "true"}], ids=["round", "list"])
def test_six_hundred_leavers_are_held_explained_confirmed_and_then_removed(
    crowd: Stack, ids: dict[str, str], options: dict[str, str]
) -> None:
    stored, cause = _stored(crowd, ids), "deleted"
    gone = support.mutate(crowd, "leave", count=600, salt=5 + len(options))
    run = support.run_and_wait(crowd, ids["connector"], LONG, **options)
    users = _users(run)
    assert run["state"] == "held" and users["removed"] == 0 and users["heldCauses"] == {cause: 600}
    assert users["mode"] == ("full" if options else "delta")
    assert _stored(crowd, ids) == stored
    holds = crowd.api("GET", "holds")[1]["items"]
    (hold,) = [item for item in holds if item["connectorId"] == ids["connector"]]
    assert hold["waiting"] == 600 and hold["causes"] == {cause: 600} and "600" in hold["explanation"]
    assert run["id"] in hold["runIds"]
    listed = [item for item in _all(crowd, f"holds/{hold['id']}/items?limit=500") if not item["decision"]]
    assert {item["id"].split("~")[1] for item in listed} == set(gone)
    assert all(item["cause"] == cause and item["explanation"] and item["displayName"] for item in listed)
    receipt = crowd.api("GET", f"runs/{run['id']}/receipt")[1]
    assert receipt["streams"][0]["complete"] and receipt["streams"][0]["waiting"] == 600
    _a_returning_person_leaves_the_hold(crowd, ids, hold["id"], gone)
    waiting = crowd.api("GET", f"holds/{hold['id']}")[1]["waiting"]
    kept = crowd.api("POST", f"holds/{hold['id']}/reject", {"ids": [f"{ids['source']}~{gone[10]}"] * 2})
    assert kept[0] == 200 and kept[1]["waiting"] == waiting - 1, kept
    status, confirmed = crowd.api("POST", f"holds/{hold['id']}/confirm", {})
    assert status == 202, confirmed
    ended = support.wait(crowd, confirmed["id"], LONG)
    assert ended["state"] == "succeeded" and _users(ended)["removed"] == waiting - 1, ended
    left = _stored(crowd, ids)
    assert gone[10] in left and not (set(gone) - {gone[10], gone[0], gone[1]}) & left
    stones = _tombstones(crowd, ids)
    assert {stone["id"].split("~")[1] for stone in stones if stone["reason"] == cause} >= set(gone[11:])
    status, problem = crowd.api("GET", f"people/{ids['source']}~{gone[20]}")
    assert status == 404 and problem["code"] == "gone" and cause in problem["detail"]
    (last,) = crowd.api("GET", f"people/{ids['source']}~{gone[20]}/changes?limit=1")[1]["items"]
    assert (last["kind"], last["reason"]) == ("removed", cause)
    _nothing_waits_but_the_rejected(crowd, hold["id"], hold["rejected"] + 1)


def _a_returning_person_leaves_the_hold(stack: Stack, ids: dict[str, str], hold: str, gone: list[str]) -> None:
    support.mutate(stack, "restore", ids=gone[:2])
    run = support.run_and_wait(stack, ids["connector"], LONG)
    assert _users(run)["released"] == 2
    assert stack.api("GET", f"holds/{hold}")[1]["waiting"] == 598


def _nothing_waits_but_the_rejected(stack: Stack, hold: str, rejected: int) -> None:
    shown = stack.api("GET", f"holds/{hold}")[1]
    assert (shown["waiting"], shown["confirmed"], shown["rejected"]) == (0, 0, rejected)


def _stored(stack: Stack, ids: dict[str, str]) -> set[str]:
    return {row["RowKey"].split("|")[0] for row in support.rows(stack, "Records", f"{ids['source']}|person")}


def _all(stack: Stack, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        status, page = stack.api("GET", path + (f"&after={after}" if after else ""))
        assert status == 200, page
        found += page["items"]
        after = page["next"]
    return found


@pytest.mark.slow
def test_a_crowd_whose_last_pages_fail_time_and_again_loses_nobody(crowd: Stack, ids: dict[str, str]) -> None:
    """The list brings all but its last pages, and begins again in vain; then it comes, and the tenant changes meanwhile."""
    pages = _users(support.run_and_wait(crowd, ids["connector"], LONG, full="true"))["pages"]
    stored, stones = _stored(crowd, ids), len(_tombstones(crowd, ids))
    gone = support.mutate(crowd, "leave", count=5, salt=31)
    fault = {"target": "graph", "kind": "expired-page-token", "every": 1, "after": pages - 3, "match": "skiptoken"}
    crowd.admin("POST", "/faults", fault)
    run = support.run_and_wait(crowd, ids["connector"], LONG, full="true")
    crowd.admin("DELETE", "/faults")
    assert (run["state"], [problem["code"] for problem in run["problems"]]) == ("failed", ["graph-page-token-expired"])
    assert _users(run)["restarts"] >= 2 and _users(run)["removed"] == 0
    assert _stored(crowd, ids) == stored and len(_tombstones(crowd, ids)) == stones
    run = support.run_now(crowd, ids["connector"], full="true")
    _wait_for_pages(crowd)
    hired = support.mutate(crowd, "hire", count=7)
    left = support.mutate(crowd, "leave", count=6, salt=32)
    ended = support.wait(crowd, run["id"], LONG)
    (receipt,) = crowd.api("GET", f"runs/{run['id']}/receipt")[1]["streams"]
    assert ended["state"] == "succeeded" and receipt["complete"], receipt
    assert receipt["reportedPresent"] >= 7 and receipt["reportedRemoved"] >= len(set(left) - set(hired))
    now = _stored(crowd, ids)
    assert set(hired) <= now and not {*gone, *left} & now - set(hired)
    assert len(now) == len(stored) + 7 - 5 - len(set(left) - set(hired))


def _wait_for_pages(stack: Stack) -> None:
    """Until the run that was just started has its link, its count and the first pages."""
    asked = stack.admin("GET", "/counters")["graph"]
    while stack.admin("GET", "/counters")["graph"] < asked + 4:
        time.sleep(0.02)  # the run is another process's: it can only be looked at


def _tombstones(stack: Stack, ids: dict[str, str]) -> list[dict[str, Any]]:
    return _all(stack, f"tombstones?source={ids['source']}&limit=500")


def test_a_tenant_that_changes_during_the_read_is_complete(rough_stack: Stack) -> None:
    made = support.configure(rough_stack, connector={"options": {"collectDevices": False}})
    rough_stack.admin("POST", "/slow", {"seconds": 0.4})
    run = support.run_now(rough_stack, made["connector"])
    _wait_for_pages(rough_stack)
    hired = support.mutate(rough_stack, "hire", count=7)
    left = support.mutate(rough_stack, "leave", count=6, salt=9)
    support.mutate(rough_stack, "rename", count=8, salt=10)
    rough_stack.admin("POST", "/slow", {"seconds": 0.05})
    ended = support.wait(rough_stack, run["id"])
    assert ended["state"] == "succeeded", ended
    receipt = rough_stack.api("GET", f"runs/{run['id']}/receipt")[1]["streams"][0]
    assert (
        receipt["complete"]
        and receipt["reportedPresent"] >= 7
        and receipt["reportedRemoved"] >= len(set(left) - set(hired))
    )
    rows = support.rows(rough_stack, "Records", made["source"])
    assert expected.differences("person", list(support.truth(rough_stack, "users")), rows) == []


def test_changes_are_told_by_person_and_by_time(stack: Stack) -> None:
    limit = {"count": 5000, "percent": 100}
    made = support.configure(stack, connector={"options": {"collectDevices": False}, "removalLimit": limit})
    support.run_and_wait(stack, made["connector"])
    since = urllib.parse.quote("2026-01-01T00:00:00Z")
    path = f"changes?since={since}&source={made['source']}&limit=3"
    assert _all(stack, path) == []  # the first read is no change
    before = {u["id"]: u for u in support.truth(stack, "users")}
    moved = support.mutate(stack, "move", count=5, salt=77)
    support.run_and_wait(stack, made["connector"])
    told = _all(stack, path)
    assert {change["id"].split("~")[1] for change in told} == set(moved) and {c["kind"] for c in told} == {"changed"}
    (change,) = stack.api("GET", f"people/{made['source']}~{moved[0]}/changes")[1]["items"]
    assert change["fields"]["department"] == {"before": before[moved[0]]["department"], "after": "Department 77"}
    stack.api("PATCH", f"sources/{made['source']}", {"domains": ["fabrikam.example"]}, ANY)
    run = support.run_and_wait(stack, made["connector"])
    assert _users(run)["reason"] == "scope-changed" and _users(run)["leftScope"] > 60 and run["state"] == "succeeded"
    entries = [c for c in _all(stack, path) if c["kind"] != "changed"]
    assert [entry["kind"] for entry in entries] == ["configuration"]
    assert entries[0]["fields"]["domains"]["after"] == ["fabrikam.example"]
    support.mutate(stack, "move", ids=moved, salt=78)


def test_sign_ins_come_in_runs_of_their_own(rough_stack: Stack) -> None:
    made = support.configure(rough_stack, connector={"options": {"collectDevices": False}})
    support.run_and_wait(rough_stack, made["connector"])
    people = {u["id"]: u for u in support.truth(rough_stack, "users")}

    def shown(object_id: str) -> Any:
        return rough_stack.api("GET", f"people/{made['source']}~{object_id}")[1]["values"]["lastLogonAt"]

    someone = next(
        u for u in people.values() if u["signInActivity"] and u["signInActivity"]["lastSuccessfulSignInDateTime"]
    )
    tried = next(
        u for u in people.values() if u["signInActivity"] and not u["signInActivity"]["lastSuccessfulSignInDateTime"]
    )
    never = next(u for u in people.values() if not u["signInActivity"])
    assert shown(someone["id"])["missing"] == "not-requested"
    run = support.run_and_wait(rough_stack, made["connector"], job="sign-ins")
    assert run["state"] == "succeeded" and run["job"] == "sign-ins", run
    value = shown(someone["id"])
    assert value["value"] == someone["signInActivity"]["lastSuccessfulSignInDateTime"] and value["stream"] == "sign-ins"
    assert value["asOf"] and not value["note"]
    value = shown(tried["id"])
    assert value["value"] == tried["signInActivity"]["lastSignInDateTime"] and "attempt" in value["note"]
    assert (shown(never["id"])["value"], shown(never["id"])["missing"]) == (None, None)
    assert [
        r["id"] for r in rough_stack.api("GET", f"connectors/{made['connector']}/runs?job=sign-ins")[1]["items"]
    ] == [run["id"]]
    rough_stack.admin("POST", f"/tenants/{rough_stack.addresses['tenants']['global']}", {"do": "premium", "on": False})
    other = support.configure(rough_stack, connector={"options": {"collectDevices": False}})
    support.run_and_wait(rough_stack, other["connector"])
    denied = support.run_and_wait(rough_stack, other["connector"], job="sign-ins")
    assert denied["state"] == "succeeded" and [p["code"] for p in denied["problems"]] == ["graph-licence-missing"]
    values = rough_stack.api("GET", f"people/{other['source']}~{someone['id']}")[1]["values"]
    assert values["lastLogonAt"]["missing"] == "licence" and values["displayName"]["value"]
    again = support.run_and_wait(rough_stack, made["connector"], job="sign-ins")
    assert again["state"] == "succeeded" and shown(someone["id"])["value"]  # one refusal takes nothing away


def test_a_connector_that_keeps_failing_is_quarantined_until_its_credential_changes(rough_stack: Stack) -> None:
    made = support.configure(
        rough_stack, credential={"clientSecret": "wrong"}, connector={"options": {"collectDevices": False}}
    )
    for _ in range(3):
        assert support.run_and_wait(rough_stack, made["connector"])["state"] == "failed"

    def connector() -> Any:
        return rough_stack.api("GET", f"connectors/{made['connector']}")[1]

    # The run's row says failed a moment before the schedule's row does.
    _until(lambda: connector()["jobs"][0]["quarantine"])
    shown = connector()
    assert shown["active"] and shown["jobs"][0]["quarantine"]["state"] == "slowed"
    assert shown["jobs"][0]["quarantine"]["code"] == "secret-wrong"
    rough_stack.api("PATCH", f"credentials/{made['credential']}", {"clientSecret": rough_stack.secret}, ANY)

    def last_run() -> Any:
        return rough_stack.api("GET", f"connectors/{made['connector']}/runs")[1]["items"][0]

    _until(lambda: last_run()["trigger"] == "schedule")
    assert support.wait(rough_stack, last_run()["id"])["state"] == "succeeded"
    _until(lambda: connector()["jobs"][0]["quarantine"] is None)


def _until(there: Callable[[], object]) -> None:
    """What another process does in its own time is looked for, not guessed at."""
    deadline = time.monotonic() + 30
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("own_stack", [{"people": 80, "devices": 20}], indirect=True)
def test_a_deleted_connector_takes_its_records_with_it(own_stack: Stack) -> None:
    gone = support.configure(own_stack)
    kept = support.configure(own_stack)
    for made in (gone, kept):
        support.run_and_wait(own_stack, made["connector"])
        support.run_and_wait(own_stack, made["connector"], job="sign-ins")
    support.mutate(own_stack, "rename", count=5, salt=4)
    support.mutate(own_stack, "leave", count=5, salt=5)
    for made in (gone, kept):
        support.run_and_wait(own_stack, made["connector"])
    status, run = own_stack.api("DELETE", f"connectors/{gone['connector']}?records=true", headers=ANY)
    assert status == 202 and run["job"] == "delete", run
    ended = support.wait(own_stack, run["id"])
    assert ended["state"] == "succeeded" and ended["deletedRows"] > 400
    assert own_stack.api("GET", f"connectors/{gone['connector']}")[0] == 404
    with support.table_service(own_stack) as service:
        for table in service.list_tables():
            if table.name in ("Schedule", "Config"):
                continue
            for row in service.get_table_client(table.name).list_entities():
                named = f"{row['PartitionKey']} {row['RowKey']} {row.get('Connector', '')}"
                assert gone["connector"] not in named or row["RowKey"].startswith(("lease", "run|")), named
    rows = support.rows(own_stack, "Records", kept["source"])
    assert expected.differences("person", list(support.truth(own_stack, "users")), rows) == []


def test_what_is_switched_off_stops_reading(rough_stack: Stack) -> None:
    for path, change in (("connectors/{connector}", {"active": False}), ("sources/{source}", {"crawl": False})):
        made = support.configure(rough_stack)
        rough_stack.admin("POST", "/slow", {"seconds": 1.5})
        run = support.run_now(rough_stack, made["connector"])
        assert rough_stack.api("PATCH", path.format(**made), change, ANY)[0] == 200
        assert support.wait(rough_stack, run["id"], 60)["state"] == "cancelled"
        rough_stack.admin("POST", "/slow", {"seconds": 0})
    made = support.configure(rough_stack)
    rough_stack.admin("POST", "/slow", {"seconds": 1.5})
    run = support.run_now(rough_stack, made["connector"])
    assert rough_stack.api("DELETE", f"connectors/{made['connector']}", headers=ANY)[0] == 204
    assert support.wait(rough_stack, run["id"], 60)["state"] == "cancelled"


def test_a_full_read_asked_for_during_a_delta_round_follows_it_once(rough_stack: Stack) -> None:
    made = support.configure(rough_stack)
    support.run_and_wait(rough_stack, made["connector"])
    rough_stack.admin("POST", "/slow", {"seconds": 1})
    first = support.run_now(rough_stack, made["connector"])
    for _ in range(2):
        assert support.run_now(rough_stack, made["connector"], full="true")["id"] == first["id"]
    rough_stack.admin("POST", "/slow", {"seconds": 0})
    support.wait(rough_stack, first["id"])
    deadline = time.monotonic() + 30
    runs: list[dict[str, Any]] = []
    while len(runs) < 3 and time.monotonic() < deadline:
        runs = rough_stack.api("GET", f"connectors/{made['connector']}/runs")[1]["items"]
        time.sleep(0.2)
    assert support.wait(rough_stack, runs[0]["id"])["state"] == "succeeded"
    runs = rough_stack.api("GET", f"connectors/{made['connector']}/runs")[1]["items"]
    assert len(runs) == 3 and runs[0]["full"] and {s["reason"] for s in runs[0]["streams"]} == {"asked"}
