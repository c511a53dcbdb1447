"""An answer tells what was done: what is saved is answered as saved, with what is still to come; a request that is sent again is
done once.
"""

import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.stack import Stack
from shared.domain.actor import SYSTEM
from shared.storage.once import Once
from tests import support
from tests.rig import TESTER, Rig

QUEUE = {"target": "storage", "kind": "503", "every": 1, "match": "POST .*/rollcall-cloud/messages"}
ANY = {"If-Match": "*"}
TENANT = (24, 0, 8)


@pytest.fixture
def stack(rough_stack: Stack) -> Iterator[Stack]:
    yield rough_stack
    rough_stack.admin("DELETE", "/faults")


def _codes(answer: dict[str, Any]) -> list[str]:
    return [one["code"] for one in answer["pending"]]


def test_switching_off_with_the_queue_down_is_saved_and_says_that_runs_are_still_to_be_stopped(rig: Rig) -> None:
    """The timer stops what goes on; the run does not read on until its end."""
    connector = rig.configure()
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    rig.fault("503", target="storage", match="POST .*/messages")
    config = rig.app().configuration
    off = config.patch(config.kinds["connector"], connector, {"active": False}, None, TESTER)
    assert [one.code for one in off.pending] == ["stop-runs"]  # type: ignore[attr-defined]
    rig.faults.clear()
    assert rig.finish(run.id).state == "cancelled"
    assert rig.entities("Records") == []


def _a_group(rig: Rig) -> dict[str, str]:
    """What the rig's source lacks before it may be saved."""
    config = rig.beside().configuration
    organization = config.kinds["organization"].model.model_validate({"name": "Contoso"})
    owner = config.create(config.kinds["organization"], organization, TESTER)
    group = config.kinds["sourceGroup"].model.model_validate({"name": "All", "organizationId": owner.id})  # type: ignore[attr-defined]
    return {"sourceGroupId": config.create(config.kinds["sourceGroup"], group, TESTER).id}  # type: ignore[attr-defined]


def test_crawl_off_with_the_queue_down_too(rig: Rig) -> None:
    connector = rig.configure()
    group = _a_group(rig)
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    rig.fault("503", target="storage", match="POST .*/messages")
    config = rig.app().configuration
    off = config.patch(config.kinds["source"], "a", {"crawl": False, **group}, None, TESTER)
    assert [one.code for one in off.pending] == ["stop-runs"]  # type: ignore[attr-defined]
    rig.faults.clear()
    assert rig.finish(run.id).state == "cancelled"


def test_a_schedule_that_could_not_follow_is_brought_in_step_by_the_timer(rig: Rig) -> None:
    connector = rig.configure()
    rig.app().tick.run()
    config = rig.app().configuration
    config.patch(config.kinds["connector"], connector, {"fullEveryHours": 12}, None, TESTER)
    rig.fault("503", target="storage", match="POST .*batch", after=1)  # the first is the connector itself
    saved = config.patch(
        config.kinds["connector"], connector, {"schedule": {"repeats": {"every": 2, "unit": "days"}}}, None, TESTER
    )
    assert [one.code for one in saved.pending] == ["schedule"]  # type: ignore[attr-defined]
    rig.faults.clear()
    before = rig.app().schedules.get(f"{connector}-directory")
    rig.app().tick.run()
    after = rig.app().schedules.get(f"{connector}-directory")
    assert before and after and before.fingerprint != after.fingerprint


def test_run_now_with_the_queue_down_is_a_run_that_begins_later(stack: Stack) -> None:
    ids = support.configure(stack)
    stack.admin("POST", "/faults", QUEUE)
    status, run = stack.api("POST", f"connectors/{ids['connector']}/runs")
    assert status == 202 and _codes(run) == ["run-message"] and run["state"] == "queued"
    stack.admin("DELETE", "/faults")
    ended = support.wait(stack, run["id"])
    assert ended["state"] == "succeeded" and ended["pending"] == []


def test_a_deletion_that_fails_has_stopped_nothing(rig: Rig) -> None:
    connector = rig.configure()
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    config = rig.app().configuration
    rig.fault("503", target="storage", match="POST .*batch")
    with pytest.raises(Exception, match="503"):
        config.delete(config.kinds["connector"], connector, None, TESTER)
    rig.faults.clear()
    assert not rig.app().runs.cancel_asked(run)
    assert rig.finish(run.id).state == "succeeded"


def test_a_deleted_connectors_run_is_stopped_also_where_it_could_not_be_told(rig: Rig) -> None:
    connector = rig.configure()
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    config = rig.app().configuration
    rig.fault("503", target="storage", match="POST .*/messages")
    pending = config.delete(config.kinds["connector"], connector, None, TESTER)
    assert [one.code for one in pending] == ["stop-runs"]
    rig.faults.clear()
    assert rig.finish(run.id).state == "cancelled"
    rig.app().tick.run()
    assert rig.app().schedules.of(connector) == []


def test_deleting_with_records_and_the_queue_down_is_underway(stack: Stack) -> None:
    ids = support.configure(stack)
    support.run_and_wait(stack, ids["connector"])
    stack.admin("POST", "/faults", QUEUE)
    status, answer = stack.api("DELETE", f"connectors/{ids['connector']}?records=true", headers=ANY)
    assert status == 202 and answer["pending"], answer
    stack.admin("DELETE", "/faults")
    support.wait(stack, answer["id"])
    assert stack.api("GET", f"connectors/{ids['connector']}")[0] == 404


def test_a_confirmed_hold_with_the_queue_down_is_decided(rig: Rig) -> None:
    connector = rig.configure(removalLimit={"count": 0})
    rig.run(connector)
    rig.directory.leave("users", [1, 2])
    assert rig.run(connector).state == "held"
    (hold,) = rig.app().removals.holds()
    rig.fault("503", target="storage", match="POST .*/messages")
    run = rig.app().removals.decide(hold.id, "confirmed", TESTER, [])
    assert run and [one.code for one in run.pending] == ["run-message"]
    rig.faults.clear()
    assert rig.finish(run.id).streams[0].removed == 2


# What gathers nothing


@pytest.mark.parametrize(
    ("connector", "source", "reasons"),
    [
        ({"active": False}, {}, ["inactive"]), ({}, {"crawl": False}, ["crawl-off"]),
        ({"active": False}, {"crawl": False}, ["inactive", "crawl-off"]),
    ],
)  # fmt: skip
def test_what_gathers_nothing_says_why_shows_no_due_times_and_refuses_to_run(
    stack: Stack, connector: dict[str, Any], source: dict[str, Any], reasons: list[str]
) -> None:
    ids = support.configure(stack, connector=connector, source=source)
    for shown in (
        stack.api("GET", f"connectors/{ids['connector']}")[1],
        next(one for one in stack.api("GET", "connectors?limit=500")[1]["items"] if one["id"] == ids["connector"]),
    ):
        assert shown["effective"]["state"] == "off"
        assert [one["code"] for one in shown["effective"]["because"]] == reasons
        assert all(one["message"] and one["remedy"] for one in shown["effective"]["because"])
        assert all(job["nextDue"] == [] for job in shown["jobs"])
    status, problem = stack.api("POST", f"connectors/{ids['connector']}/runs")
    assert (status, problem["code"]) == (409, reasons[0]) and problem["remedy"]
    if connector:
        stack.api("PATCH", f"connectors/{ids['connector']}", {"active": True}, ANY)
    if source:
        stack.api("PATCH", f"sources/{ids['source']}", {"crawl": True}, ANY)
    _, shown = stack.api("GET", f"connectors/{ids['connector']}")
    assert shown["effective"] == {"state": "on", "because": []}
    assert all(len(job["nextDue"]) == 5 for job in shown["jobs"])


def test_a_server_that_takes_no_work_shows_no_due_times(stack: Stack) -> None:
    server = support.make(stack, "connector-servers", {"name": f"On premises {uuid.uuid4().hex[:6]}"})["id"]
    ids = support.configure(stack, connector={"connectorServerId": server})
    _, shown = stack.api("GET", f"connectors/{ids['connector']}")
    assert [one["code"] for one in shown["effective"]["because"]] == ["other-server"]
    assert all(job["nextDue"] == [] for job in shown["jobs"])


def test_one_application_behind_two_credentials_is_a_warning(stack: Stack) -> None:
    ids = support.configure(stack)
    acting = support.make(stack, "credentials", {
        "name": f"Acts {uuid.uuid4().hex[:6]}", "clientId": stack.addresses["clientId"], "clientSecret": "another-secret",
        "organizationId": ids["organization"],
    })["id"]  # fmt: skip
    _, shown = stack.api("PATCH", f"connectors/{ids['connector']}", {"actionCredentialId": acting}, ANY)
    assert [one["code"] for one in shown["warnings"]] == ["acts-as-reader"] and shown["warnings"][0]["remedy"]
    _, credential = stack.api("GET", f"credentials/{acting}")
    assert [one["code"] for one in credential["warnings"]] == ["application-shared"]
    alone = support.make(
        stack, "credentials", {"name": f"Alone {acting}", "clientId": str(uuid.uuid4()), "clientSecret": "xxxx"}
    )
    assert alone["warnings"] == []


# If-Match: *


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_star_overwrites_whatever_is_there_also_when_thirty_do_so_at_once(stack: Stack, method: str) -> None:
    made = support.make(stack, "organizations", {"name": f"Busy {uuid.uuid4().hex}"})

    def change(number: int) -> tuple[int, Any]:
        body = {"name": made["name"], "description": f"by {number}"}
        return stack.api(method, f"organizations/{made['id']}", body, ANY)

    with ThreadPoolExecutor(30) as callers:
        answers = []
        for start in range(0, 30, 10):  # as many at a time as the app takes
            answers += list(callers.map(change, range(start, start + 10)))
    assert Counter(status for status, _ in answers) == {200: 30}
    assert sorted(answer["revision"] for _, answer in answers) == list(range(2, 32))
    _, history = stack.api("GET", f"organizations/{made['id']}/history?limit=500")
    assert [entry["revision"] for entry in history["items"]] == list(range(31, 0, -1))


def test_thirty_at_once_in_one_process_too(rig: Rig) -> None:
    connector = rig.configure()
    configuration = rig.beside().configuration
    kind = configuration.kinds["connector"]
    first = configuration.patch(kind, connector, {"fullEveryHours": 99}, None, TESTER)

    def change(number: int) -> int:
        return int(configuration.patch(kind, connector, {"fullEveryHours": number + 1}, None, TESTER).revision)  # type: ignore[attr-defined]

    with ThreadPoolExecutor(30) as callers:
        revisions = sorted(callers.map(change, range(30)))
    assert revisions == list(range(first.revision + 1, first.revision + 31))  # type: ignore[attr-defined]


# Idempotency-Key


def test_a_post_with_a_key_is_done_once_however_often_it_is_sent(stack: Stack) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    body = {"name": f"Once {uuid.uuid4().hex}"}
    first = stack.api("POST", "organizations", body, key)
    again = stack.api("POST", "organizations", body, key)
    assert first[0] == again[0] == 201 and first[1] == again[1]
    status, problem = stack.api("POST", "organizations", {"name": "Something else"}, key)
    assert (status, problem["code"]) == (422, "idempotency-key-reused")
    status, problem = stack.api("POST", "organizations", body, {"Idempotency-Key": "x" * 300})
    assert (status, problem["code"]) == (400, "idempotency-key-malformed")
    ids = support.configure(stack)
    run = {"Idempotency-Key": str(uuid.uuid4())}
    started = stack.api("POST", f"connectors/{ids['connector']}/runs", headers=run)
    support.wait(stack, started[1]["id"])
    repeated = stack.api("POST", f"connectors/{ids['connector']}/runs", headers=run)
    assert (started[0], started[1]["id"]) == (202, repeated[1]["id"])
    _, runs = stack.api("GET", f"connectors/{ids['connector']}/runs")
    assert len(runs["items"]) == 1


def test_a_refused_post_leaves_its_key_free(stack: Stack) -> None:
    name = support.make(stack, "organizations", {"name": f"Taken {uuid.uuid4().hex}"})["name"]
    key = {"Idempotency-Key": str(uuid.uuid4())}
    assert stack.api("POST", "organizations", {"name": name}, key)[1]["code"] == "name-taken"
    assert stack.api("POST", "organizations", {"name": f"{name} 2"}, key)[0] == 201


def test_what_was_made_before_its_answer_was_lost_is_found_again(rig: Rig) -> None:
    """The request died after its change: sent again, it finds what it made, under the id that was noted first."""
    once = rig.beside().once
    asked, first = once.begin("key", "print")
    same, again = Once(rig.beside().tables, rig.clock).begin("key", "print")
    assert (first, again, same.id, same.answer) == (True, False, asked.id, None)
    config = rig.beside().configuration
    kind = config.kinds["organization"]
    made = [
        config.create(kind, kind.model.model_validate({"name": "Once"}), TESTER, object_id=asked.id) for _ in range(2)
    ]
    assert made[0] == made[1] and made[0].id == asked.id  # type: ignore[attr-defined]
    connector = rig.configure()
    runs = [rig.app().dispatch.run_now(connector, TESTER, once=asked.id) for _ in range(2)]
    assert runs[0][0].id == runs[1][0].id
    rig.finish(runs[0][0].id)
    assert rig.app().dispatch.run_now(connector, TESTER, once=asked.id)[0].id == runs[0][0].id
    assert len(rig.app().runs.newest(f"{connector}-directory", after=None, limit=9)) == 1


def test_the_answer_of_a_repeated_post_holds_no_secret(stack: Stack) -> None:
    key, secret = {"Idempotency-Key": str(uuid.uuid4())}, f"s3cret-{uuid.uuid4().hex}"
    body = {"name": f"Key {uuid.uuid4().hex}", "clientId": stack.addresses["clientId"], "clientSecret": secret}
    first, again = stack.api("POST", "credentials", body, key), stack.api("POST", "credentials", body, key)
    assert first[0] == again[0] == 201 and first[1]["id"] == again[1]["id"]
    assert secret not in repr(again) and secret not in repr(support.rows(stack, "State"))


def test_system_is_nobody_who_can_sign_in() -> None:
    assert SYSTEM.id == "system"  # object ids are GUIDs
