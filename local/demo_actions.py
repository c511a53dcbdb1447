"""`ACT=1 make demo`: a people action through the HTTP API, from the plan to the audit trail, and back."""

import sys
from typing import Any

from local.cloud.graph.acting import CLOUD_DEVICES, USERS
from local.stack import Stack

ACTOR = "ac710000-0000-4000-8000-00000000ac70"
PERMISSIONS = [
    "User.Read.All", "User.EnableDisableAccount.All", "User.RevokeSessions.All", "User-PasswordProfile.ReadWrite.All",
    "GroupMember.ReadWrite.All", "LicenseAssignment.ReadWrite.All", "UserAuthenticationMethod.ReadWrite.All", "Directory.Read.All",
]  # fmt: skip
_ANY = {"If-Match": "*"}


def register(stack: Stack, source: str) -> None:
    """A second app registration, and its credential as the source's action credential."""
    found = _get(stack, f"sources/{source}")
    app = {
        "client_id": ACTOR, "tenant_id": found["tenantId"], "roles": PERMISSIONS, "secrets": {f"act-{stack.secret}": 4_000_000_000},
        "directory_roles": [USERS, CLOUD_DEVICES],
    }  # fmt: skip
    stack.admin("POST", "/apps", app)
    credential = {"name": f"Rollcall actor {source[-6:]}", "clientId": ACTOR, "clientSecret": f"act-{stack.secret}"}
    made = _done(*stack.api("POST", "credentials", credential))
    _done(*stack.api("PATCH", f"sources/{source}", {"actionCredentialId": made["id"]}, _ANY))


def somebody(stack: Stack, source: str) -> dict[str, Any]:
    """A person whom Rollcall may disable: mastered in the cloud, and enabled."""
    wanted = "enabled%20eq%20true%20and%20userType%20eq%20'Member'"
    page = _get(stack, f"people?source={source}&select=displayName,onPremisesSynced&filter={wanted}&limit=50")
    return next(one for one in page["items"] if not one["values"].get("onPremisesSynced"))


def show(stack: Stack, connector: str) -> None:
    """Disables somebody and enables them again; prints plan, outcome and audit."""
    source = str(_get(stack, f"connectors/{connector}")["sourceId"])
    print("\nA people action, with a credential of its own", flush=True)
    register(stack, source)
    person = somebody(stack, source)
    print(f"  {person['values']['displayName']} ({person['id'].partition('~')[2]})")
    planned = _done(*stack.api("POST", f"people/{person['id']}/actions/disable-sign-in/plan", {}))
    done = submit(stack, planned)
    undone = _done(*stack.api("POST", f"plans/{done['plan']['id']}/undo"))
    submit(stack, undone)
    print("  Audit trail")
    for entry in _get(stack, f"audit?source={source}&limit=50")["items"]:
        requests = "; ".join(
            f"{one['method']} {one['path']} -> {one['status']}" for one in entry["details"].get("requests", [])
        )
        print(f"    {entry['at'][11:19]} {entry['what']:<18} by {entry['byName']}  {requests}"[:150])


def submit(stack: Stack, planned: dict[str, Any]) -> dict[str, Any]:
    """Submits a plan, and shows what was planned and what came of it."""
    plan = planned["plan"]
    print(f"  Plan: {plan['title']}, risk {plan['risk']}, {plan['state']}")
    for item in planned["items"]:
        for step in item["steps"]:
            print(f"    {step['request']['method']} {step['request']['path']} {step['request']['body']}")
        for reason in (*item["reasons"], *item["warnings"]):
            print(f"    ! {reason['message']}")
    done = _done(*stack.api("POST", "plans", {"token": planned["token"], "justification": "demo"}))
    step = done["items"][0]["steps"][0]
    print(
        f"    {done['plan']['state']} after {step['looks']} looks; Microsoft's request id {', '.join(step['requestIds'])}"
    )
    return done


def _get(stack: Stack, path: str) -> dict[str, Any]:
    return _done(*stack.api("GET", path))


def _done(status: int, answer: Any) -> dict[str, Any]:
    if status >= 300:
        sys.exit(f"  {status} {answer}")
    return dict(answer)
