"""A source is one tenant, for good: nobody is compared with the people of another one, and no token of another one reads."""

import json
from typing import Any

import pytest

from local.cloud import tokens
from local.cloud.graph.directory import Directory
from local.cloud.graph.server import Graph
from local.stack import Stack
from shared.domain.document import Document
from shared.domain.run import Run
from shared.errors import Conflict
from shared.names import STATE
from tests import support
from tests.rig import AUDIENCE, ROLES, TESTER, Rig
from tests.rig import TENANT as HERE

TENANT = (24, 4, 8)
"""Of the shared rig: people, devices, objects a page."""
OTHER = "7e4a0000-0000-4000-8000-0000000000ff"
ANY = {"If-Match": "*"}


def _move(rig: Rig, tenant: str = OTHER) -> None:
    """The source names another tenant, in which the application is known too, and whose people are others."""
    graph = Graph(Directory(tenant, 99, 24, 4), 8)
    graph.limit_sign_ins = False
    rig.web._graphs[tenant] = graph
    rig.token = tokens.issue(AUDIENCE, tenant, "app", ROLES)
    rig.change("source", "a", tenantId=tenant)


@pytest.fixture(autouse=True)
def _here(rig: Rig) -> Any:
    yield
    rig.token = ""
    rig.web._graphs.pop(OTHER, None)


def _codes(run: Run) -> list[str]:
    return [problem.code for problem in run.problems]


def _kept(rig: Rig) -> dict[str, Any]:
    return {name: rig.snapshot().get(name, {}) for name in ("Records", "Lookup", "Tombstones", "Holds")}


@pytest.mark.parametrize("full", [False, True])
def test_people_of_another_tenant_are_compared_with_nobody(rig: Rig, full: bool) -> None:
    connector = rig.configure(removalLimit={"count": 5000, "percent": 100})
    rig.run(connector)
    before = _kept(rig)
    _move(rig)
    for _ in range(2):
        run = rig.run(connector, full=full)
        assert (run.state, _codes(run)) == ("failed", ["tenant-changed"])
        assert HERE in run.problems[0].remedy and OTHER in run.problems[0].message
    assert _kept(rig) == before
    rig.change("source", "a", tenantId=HERE)
    rig.token = ""
    run = rig.run(connector)
    assert (run.state, run.streams[0].mode, run.streams[0].removed) == ("succeeded", "delta", 0)


def test_another_job_or_connector_of_the_source_is_refused_too(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    before = _kept(rig)
    _move(rig)
    assert _codes(rig.run(connector, job="sign-ins")) == ["tenant-changed"]
    app = rig.app()
    first = app.config.get("connector", connector)
    assert first
    second = app.registry.connector(first).model_copy(update={"name": "second"})
    made = app.configuration.create(app.configuration.kinds["connector"], second, TESTER)
    assert _codes(rig.run(made.id)) == ["tenant-changed"]  # type: ignore[attr-defined]
    assert _kept(rig) == before


def test_a_tenant_that_changes_between_two_slices_is_noticed(rig: Rig) -> None:
    connector = rig.configure()
    rig.slice_seconds = 0.0
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    for _ in range(2):
        (message,) = rig.messages()
        assert rig.work(message).startswith("slice over")
    before = _kept(rig)
    _move(rig)
    ended = rig.finish(run.id)
    assert (ended.state, _codes(ended)) == ("failed", ["tenant-changed"])
    assert _kept(rig) == before


@pytest.mark.parametrize("change", [{"tenantId": OTHER}, {"cloud": "china"}, {"tenantId": OTHER, "cloud": "china"}])
@pytest.mark.parametrize("legacy", [False, True])
def test_tenant_and_cloud_are_fixed_once_anything_was_collected(rig: Rig, change: dict[str, str], legacy: bool) -> None:
    connector = rig.configure()
    group = {"name": "g", "organizationId": "0"}
    rig.app().config.create(Document("sourceGroup", "0", 1, "2026", "2026", "g", "0", (), group))
    _patch(rig, {"tenantId": OTHER})
    _patch(rig, {"tenantId": HERE})  # nothing was collected: free
    rig.run(connector)
    if legacy:  # what a release wrote that knew nothing of it
        rig.stored.restore({**rig.snapshot(), STATE: _without_tenant(rig)})
    with pytest.raises(Conflict) as refused:
        _patch(rig, change)
    assert refused.value.code == "tenant-fixed" and "another source" in refused.value.remedy
    assert [field.field for field in refused.value.fields] == list(change)
    _patch(rig, {"name": "renamed", "tenantId": HERE.upper()})
    assert rig.run(connector).state == "succeeded"


def _patch(rig: Rig, change: dict[str, str]) -> None:
    configuration = rig.app().configuration
    configuration.patch(configuration.kinds["source"], "a", dict(change), None, TESTER)


def _without_tenant(rig: Rig) -> dict[tuple[str, str], dict[str, Any]]:
    rows = {key: row for key, row in rig.snapshot()[STATE].items() if key[0] != "tenants"}
    for key, row in rows.items():
        if key[1].startswith("stream|"):
            body = json.loads(row["Body"])
            assert body.pop("tenant")
            row["Body"] = json.dumps(body)
    return rows


def test_a_release_that_knew_nothing_of_it_left_states_that_go_on(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.stored.restore({**rig.snapshot(), STATE: _without_tenant(rig)})
    run = rig.run(connector)
    assert (run.state, run.streams[0].mode) == ("succeeded", "delta")
    _move(rig)
    assert _codes(rig.run(connector)) == ["tenant-changed"]


@pytest.mark.parametrize("token", ["other", "no-token", "a.b.c", "no-tid"])
def test_a_token_of_another_tenant_reads_nothing(rig: Rig, token: str) -> None:
    """A managed identity signs in to its home tenant, whatever the source says."""
    connector = rig.configure()
    made = {"other": tokens.issue(AUDIENCE, OTHER, "app", ROLES), "no-tid": tokens.issue(AUDIENCE, "", "app", ROLES)}
    rig.token = made.get(token, token)
    before = rig.web.requests
    run = rig.run(connector)
    assert (run.state, _codes(run)) == ("failed", ["token-tenant"])
    assert HERE in run.problems[0].message and (OTHER in run.problems[0].message) == (token == "other")
    assert rig.web.requests == before and rig.entities("Records") == []


def test_the_receipt_names_tenant_and_application(rig: Rig) -> None:
    connector = rig.configure()
    run = rig.run(connector)
    receipt = rig.app().runs.receipt(run)
    assert receipt and (receipt.tenant_id, receipt.application_id) == (HERE, "app")


def test_a_managed_identity_reads_no_source_of_another_tenant(stack: Stack) -> None:
    credential = {"type": "managed-identity", "clientId": None, "clientSecret": None}
    ids = support.configure(
        stack, credential=credential, source={"tenantId": OTHER}, connector={"options": {"collectDevices": False}}
    )
    run = support.run_and_wait(stack, ids["connector"])
    assert (run["state"], [problem["code"] for problem in run["problems"]]) == ("failed", ["token-tenant"])
    assert stack.api("GET", f"people?source={ids['source']}")[1]["items"] == []
    # Nothing was collected, so the tenant may still be mended; then it is fixed.
    home = stack.addresses["tenants"]["global"]
    assert stack.api("PATCH", f"sources/{ids['source']}", {"tenantId": home}, ANY)[0] == 200
    status, problem = stack.api("GET", f"sources/{ids['source']}")
    assert (status, problem["tenantId"]) == (200, home)


def test_the_api_refuses_another_tenant_for_a_source_with_records(stack: Stack) -> None:
    ids = support.configure(stack, connector={"options": {"collectDevices": False}})
    support.run_and_wait(stack, ids["connector"])
    status, problem = stack.api("PATCH", f"sources/{ids['source']}", {"tenantId": OTHER}, ANY)
    assert (status, problem["code"]) == (409, "tenant-fixed")
    assert [error["field"] for error in problem["errors"]] == ["tenantId"]
