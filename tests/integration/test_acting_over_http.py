"""People actions over HTTP, on Microsoft's worker: planned, submitted, shown once, listed, and refused where they have to be."""

import json
import time
import uuid
from typing import Any

import pytest

from local import demo_actions
from local.stack import Stack
from tests import support

ANY = {"If-Match": "*"}


@pytest.fixture(scope="module")
def acting(stack: Stack) -> dict[str, str]:
    """A source with people and a credential that acts."""
    ids = support.configure(stack)
    assert support.run_and_wait(stack, ids["connector"])["state"] == "succeeded"
    demo_actions.register(stack, ids["source"])
    return ids


def _plan(stack: Stack, person: str, name: str, **parameters: Any) -> dict[str, Any]:
    status, planned = stack.api("POST", f"people/{person}/actions/{name}/plan", {"parameters": parameters})
    assert status in (200, 202), planned
    return dict(planned)


def test_a_password_is_shown_once_and_no_repetition_of_the_request_shows_it(
    stack: Stack, acting: dict[str, str]
) -> None:
    person = demo_actions.somebody(stack, acting["source"])["id"]
    planned = _plan(stack, person, "reset-password")
    (step,) = planned["items"][0]["steps"]
    assert step["request"]["body"]["passwordProfile"]["password"] == "{password}"
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    status, done = stack.api("POST", "plans", {"token": planned["token"]}, headers)
    assert (status, done["plan"]["state"]) == (200, "confirmed")
    password = done["shownOnce"]["password"]
    assert len(password) == 20
    status, again = stack.api("POST", "plans", {"token": planned["token"]}, headers)
    assert (status, again["shownOnce"]) == (200, {})
    stored = json.dumps([support.rows(stack, table) for table in ("Plans", "Audit", "State")], default=str)
    assert password not in stored
    log = (stack.log / "host.log").read_text(errors="replace")
    assert password not in log
    assert stack.api("POST", "plans", {"token": planned["token"]})[1]["code"] == "plan-state"


def test_what_can_be_done_is_listed_with_the_reason_where_it_can_not(stack: Stack, acting: dict[str, str]) -> None:
    status, catalogue = stack.api("GET", "actions")
    assert status == 200
    assert {"disable-sign-in", "leaver", "invite-guest"} <= {one["name"] for one in catalogue["actions"]}
    person = demo_actions.somebody(stack, acting["source"])["id"]
    _, offered = stack.api("GET", f"people/{person}/actions")
    by = {one["name"]: one for one in offered["actions"]}
    assert by["disable-sign-in"]["available"]
    assert [one["code"] for one in by["enable-sign-in"]["reasons"]] == ["already-so"]
    assert [one["code"] for one in by["delete-person"]["reasons"]] == ["permission-missing"]
    _, check = stack.api("GET", f"sources/{acting['source']}/action-credential")
    assert "named by the source" in check["through"]["because"]
    assert {one["permission"]: one["granted"] for one in check["judged"]}["Directory.AccessAsUser.All"] is False
    status, answered = stack.api("GET", f"people/{person}/queries/authentication-methods")
    assert (status, {row["kind"] for row in answered["rows"]}) == (200, {"password", "phone", "microsoftAuthenticator"})


def test_many_go_through_a_queue_of_their_own(stack: Stack, acting: dict[str, str]) -> None:
    """A filter names them; the worker looks at them, sends and reads back."""
    body = {
        "source": acting["source"],
        "filter": "enabled eq true and jobTitle eq 'Nurse' and onPremisesSynced eq null",
    }
    status, planned = stack.api("POST", "people/actions/revoke-sessions/plan", body)
    assert (status, planned["plan"]["form"]) == (202, "bulk"), planned
    plan = _until(stack, planned["plan"]["id"], "planned")
    assert plan["items"] > 1
    status, submitted = stack.api("POST", "plans", {"token": planned["token"]})
    assert status == 202, submitted
    ended = _until(stack, plan["id"], "confirmed")
    assert ended["counts"] == {"confirmed": plan["items"]}
    _, page = stack.api("GET", f"plans?source={acting['source']}&limit=1")
    assert page["items"][0]["id"] == plan["id"]
    assert page["next"]


def _until(stack: Stack, plan: str, state: str) -> dict[str, Any]:
    """The plan once it is so: another process works on it, and can only be looked at."""
    for _ in range(400):
        _, found = stack.api("GET", f"plans/{plan}")
        if found["state"] == state:
            return dict(found)
        time.sleep(0.2)
    raise AssertionError(f"the plan did not become {state}: {found}")


def test_what_makes_no_sense_is_refused_with_each_field(stack: Stack, acting: dict[str, str]) -> None:
    person = demo_actions.somebody(stack, acting["source"])["id"]
    status, refused = stack.api(
        "POST", f"people/{person}/actions/add-to-group/plan", {"parameters": {"groupId": "x", "y": 1}}
    )
    assert (status, {one["field"] for one in refused["errors"]}) == (422, {"parameters.groupId", "parameters.y"})
    assert stack.api("POST", f"people/{person}/actions/explode/plan", {})[0] == 404
    assert stack.api("POST", "people/nowhere~1/actions/disable-sign-in/plan", {})[0] == 404
    assert stack.api("POST", "people/actions/disable-sign-in/plan", {})[0] == 422
    assert stack.api("POST", "plans", {"token": "a~b.c" * 8})[0] == 404
    assert stack.api("GET", "plans/none~1")[0] == 404
