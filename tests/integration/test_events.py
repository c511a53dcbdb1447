"""Each alert's condition comes true, and the event that its query needs is in the log, with the fields that it filters on."""

import base64
import contextlib
import json
import logging
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import ResourceExistsError

from local.stack import Stack
from shared.events import EVENTS, emit
from shared.names import POISON_QUEUE
from tests import support
from tests.infra.policies import INFRA, OPTIONS, Deployed
from tests.rig import TESTER, Rig

TENANT = (24, 0, 8)
QUERIES = {
    one.name.removeprefix("alert-").rpartition("-")[0]: one.get("properties.criteria.allOf.0.query")
    for one in Deployed(INFRA, OPTIONS).of("Microsoft.Insights/scheduledQueryRules")
}


def _logged(stack: Stack) -> list[dict[str, Any]]:
    """Messages as telemetry gets them: whole lines of JSON."""
    found = re.findall(r"rollcall\.event: (\{\"event\":.*\})", (stack.log / "host.log").read_text())
    return [json.loads(line) for line in found]


def _wait_for(stack: Stack, event: str, **fields: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for one in _logged(stack):
            if one["event"] == event and fields.items() <= one.items():
                return one
        time.sleep(0.2)
    raise AssertionError(f"no {event} with {fields}: {_logged(stack)[-5:]}")


def _asks_for(alert: str, event: dict[str, Any]) -> None:
    """The alert's query filters on this event and on fields that it has."""
    query = str(QUERIES[alert])
    assert f'event == "{event["event"]}"' in query
    assert set(event) == {"event", *EVENTS[event["event"]]}


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger="rollcall.event"):
        yield caplog


def _heard(heard: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    said = [json.loads(record.getMessage()) for record in heard.records if record.name == "rollcall.event"]
    return [one for one in said if one["event"] == event]


def test_a_run_that_fails_for_want_of_a_person(rough_stack: Stack) -> None:
    ids = support.configure(rough_stack, credential={"clientSecret": "wrong-" + uuid.uuid4().hex})
    run = support.run_and_wait(rough_stack, ids["connector"])
    event = _wait_for(rough_stack, "run.failed", run=run["id"])
    assert (event["code"], event["transient"]) == ("secret-wrong", False)
    _asks_for("run-failed", event)


def test_a_run_that_fails_with_what_passes_alerts_nobody(rough_stack: Stack) -> None:
    ids = support.configure(rough_stack)
    rough_stack.admin("POST", "/faults", {"target": "vault", "kind": "503", "every": 1, "seconds": 0})
    run = support.run_and_wait(rough_stack, ids["connector"])
    assert _wait_for(rough_stack, "run.failed", run=run["id"])["transient"] is True
    assert "not(tobool(e.transient))" in str(QUERIES["run-failed"])


def test_throttling(rough_stack: Stack) -> None:
    ids = support.configure(rough_stack)
    rough_stack.admin("POST", "/faults", {"target": "graph", "kind": "429", "every": 3, "most": 2, "seconds": 1})
    run = support.run_and_wait(rough_stack, ids["connector"])
    event = _wait_for(rough_stack, "graph.throttled", run=run["id"])
    assert event["count"] >= 1 and event["seconds"] > 0
    _asks_for("graph-throttled", event)
    _asks_for("no-success", _wait_for(rough_stack, "run.succeeded", run=run["id"]))


def test_a_message_that_failed_five_times(rough_stack: Stack) -> None:
    from azure.storage.queue import QueueClient

    ids = support.configure(rough_stack)
    run = support.run_and_wait(rough_stack, ids["connector"])
    message = base64.b64encode(json.dumps({"run": run["id"], "slice": 1}).encode()).decode()
    options: dict[str, Any] = {"connection_verify": str(rough_stack.folder / "bundle.pem"), "api_version": "2021-12-02"}
    with QueueClient(
        rough_stack.addresses["queue"], POISON_QUEUE, support.IdentityToken(rough_stack), **options
    ) as queue:
        with contextlib.suppress(ResourceExistsError):
            queue.create_queue()
        queue.send_message(message)
    event = _wait_for(rough_stack, "queue.poison", run=run["id"])
    assert event["outcome"] == "nothing to close"
    _asks_for("poison-message", event)


def test_removals_that_wait(rig: Rig, heard: pytest.LogCaptureFixture) -> None:
    connector = rig.configure(removalLimit={"count": 0})
    rig.run(connector)
    rig.directory.leave("users", [1, 2])
    rig.run(connector)
    (event,) = _heard(heard, "run.held")
    assert event["held"] == 2
    _asks_for("removals-held", event)


def test_the_timer_says_hourly_which_connectors_ought_to_run(rig: Rig, heard: pytest.LogCaptureFixture) -> None:
    on, off = rig.configure("a"), rig.configure("zz", active=False)
    for _ in range(3):
        rig.app().tick.run()
        rig.clock.move(300)
    assert [event["connector"] for event in _heard(heard, "connector.active")] == [on]
    assert off not in repr(heard.records)
    rig.clock.move(3600)
    rig.app().tick.run()
    assert len(_heard(heard, "connector.active")) == 2
    _asks_for("no-success", _heard(heard, "connector.active")[0])


def test_the_timer_says_hourly_that_it_ticks_whatever_is_configured(rig: Rig, heard: pytest.LogCaptureFixture) -> None:
    """Timers have stopped for good after a deployment, without an error: only their silence tells."""
    for _ in range(13):
        rig.app().tick.run()
        rig.clock.move(300)
    assert _heard(heard, "timer.ticked") == [{"event": "timer.ticked"}] * 2
    _asks_for("no-success", {"event": "timer.ticked"})
    assert "where beats == 0" in str(QUERIES["no-success"])


def test_secrets_that_end_are_told_of_daily_from_thirty_days_before(rig: Rig, heard: pytest.LogCaptureFixture) -> None:
    rig.configure()
    rig.change("credential", "a", secretExpiresOn="2026-12-15T00:00:00Z")  # 24 days from the rig's beginning
    for _ in range(30):
        rig.app().tick.run()
        rig.clock.move(3600)
    told = _heard(heard, "credential.expiring")
    assert [event["daysLeft"] for event in told] == [24, 24]
    _asks_for("credential-expiring", told[0])
    rig.change("credential", "a", secretExpiresOn="2027-06-15T00:00:00Z")
    rig.clock.move(86400)
    rig.app().tick.run()
    assert len(_heard(heard, "credential.expiring")) == 2


def test_two_instances_say_it_once(rig: Rig, heard: pytest.LogCaptureFixture) -> None:
    rig.configure()
    rig.app().tick.run()
    rig.beside().tick.run()
    assert len(_heard(heard, "connector.active")) == 1


def test_a_run_whose_message_keeps_failing_is_told_of_when_it_is_closed(
    rig: Rig, heard: pytest.LogCaptureFixture
) -> None:
    connector = rig.configure()
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    (message,) = rig.messages()
    for _ in range(3):
        rig.give_up(message)
    (event,) = _heard(heard, "run.failed")
    assert (event["run"], event["code"], event["transient"]) == (run.id, "worker-failed", True)


@pytest.mark.parametrize("fields", [{}, {"connector": "c"}, {"connector": "c", "name": "n", "more": 1}])
def test_an_event_has_its_fields_and_no_other(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has the fields connector, name"):
        emit("connector.active", **fields)


def test_every_event_that_an_alert_asks_for_is_tried_here() -> None:
    assert set(QUERIES) == {
        "run-failed",
        "no-success",
        "credential-expiring",
        "poison-message",
        "removals-held",
        "graph-throttled",
    }
