"""Credentials and what goes wrong with them: each failure has its code and remedy, and no secret shows anywhere."""

import json
import time
import uuid
from typing import Any

import pytest

from local.stack import Stack
from tests import support

EVERYTHING_ELSE = "00000000-0000-4000-8000-00000000abcd"


def _fails_with(stack: Stack, code: str, **changes: object) -> dict[str, Any]:
    ids = support.configure(stack, **changes)
    run = support.run_and_wait(stack, ids["connector"])
    assert run["state"] == "failed", run
    assert [problem["code"] for problem in run["problems"]] == [code]
    assert run["problems"][0]["remedy"]
    return run


def test_a_wrong_secret_says_so(stack: Stack) -> None:
    run = _fails_with(stack, "secret-wrong", credential={"clientSecret": "wrong-" + uuid.uuid4().hex})
    assert "AADSTS7000215" in run["problems"][0]["message"]


def test_an_expired_secret_says_so(stack: Stack) -> None:
    tenant, client, secret = stack.addresses["tenants"]["global"], str(uuid.uuid4()), "old-" + uuid.uuid4().hex
    stack.admin("POST", "/apps", {"client_id": client, "tenant_id": tenant, "roles": [], "secrets": {secret: 1.0}})
    _fails_with(stack, "secret-expired", credential={"clientId": client, "clientSecret": secret})


def test_an_unknown_tenant_says_so(stack: Stack) -> None:
    _fails_with(stack, "tenant-unknown", source={"tenantId": EVERYTHING_ELSE})


def test_an_unknown_application_says_so(stack: Stack) -> None:
    _fails_with(stack, "application-unknown", credential={"clientId": EVERYTHING_ELSE})


def test_a_tenant_of_another_cloud_says_so(stack: Stack) -> None:
    _fails_with(stack, "cloud-wrong", source={"cloud": "china"})


@pytest.mark.parametrize("cloud", ["us-government", "us-government-dod", "china"])
def test_sovereign_clouds_have_their_own_hosts_and_audience(stack: Stack, cloud: str) -> None:
    ids = support.configure(stack, source={"cloud": cloud, "tenantId": stack.addresses["tenants"][cloud]})
    run = support.run_and_wait(stack, ids["connector"])
    assert run["state"] == "succeeded", run
    assert run["streams"][0]["new"] == 50


def test_a_missing_permission_is_named_and_the_other_streams_go_on(stack: Stack) -> None:
    tenant, client, secret = stack.addresses["tenants"]["global"], str(uuid.uuid4()), "s-" + uuid.uuid4().hex
    app = {
        "client_id": client,
        "tenant_id": tenant,
        "roles": ["User.Read.All"],
        "secrets": {secret: time.time() + 9999},
    }
    stack.admin("POST", "/apps", app)
    ids = support.configure(stack, credential={"clientId": client, "clientSecret": secret})
    run = support.run_and_wait(stack, ids["connector"])
    assert run["state"] == "failed"
    assert {s["name"]: s["phase"] for s in run["streams"]} == {"users": "done", "devices": "failed"}
    problem = run["problems"][0]
    assert (problem["code"], problem["stream"]) == ("graph-permission-missing", "devices")
    assert "Device.Read.All" in problem["message"] and "admin consent" in problem["remedy"]


def test_a_generated_certificate_signs_in_once_it_is_uploaded(stack: Stack) -> None:
    tenant, client = stack.addresses["tenants"]["global"], str(uuid.uuid4())
    roles = ["User.Read.All", "Device.Read.All"]
    stack.admin("POST", "/apps", {"client_id": client, "tenant_id": tenant, "roles": roles})
    credential = {"type": "certificate", "clientId": client, "clientSecret": None}
    ids = support.configure(stack, credential=credential)
    run = support.run_and_wait(stack, ids["connector"])
    assert [problem["code"] for problem in run["problems"]] == ["certificate-unknown"]
    status, pem = stack.api("GET", f"credentials/{ids['credential']}/certificate")
    assert status == 200 and "BEGIN CERTIFICATE" in pem and "PRIVATE" not in pem
    stack.admin("POST", "/apps", {"client_id": client, "tenant_id": tenant, "roles": roles, "certificates": [pem]})
    assert support.run_and_wait(stack, ids["connector"])["state"] == "succeeded"
    _, shown = stack.api("GET", f"credentials/{ids['credential']}")
    assert shown["certificate"]["thumbprint"] and shown["hasSecret"]


def test_the_function_apps_own_identity_signs_in_as_the_app_registration(stack: Stack) -> None:
    ids = support.configure(stack, credential={"type": "federated", "clientSecret": None})
    run = support.run_and_wait(stack, ids["connector"])
    assert run["state"] == "succeeded", run
    assert stack.api("GET", f"credentials/{ids['credential']}")[1]["hasSecret"] is False


def test_a_new_secret_is_used_by_the_next_run_and_the_old_version_is_disabled(stack: Stack) -> None:
    ids = support.configure(stack, credential={"clientSecret": "wrong-" + uuid.uuid4().hex})
    assert support.run_and_wait(stack, ids["connector"])["state"] == "failed"
    change = {"clientSecret": stack.secret}
    status, _ = stack.api("PATCH", f"credentials/{ids['credential']}", change, {"If-Match": "*"})
    assert status == 200
    assert support.run_and_wait(stack, ids["connector"])["state"] == "succeeded"


def test_the_secret_is_in_the_vault_and_nowhere_else(own_stack: Stack) -> None:
    """Tables, queues, logs and every answer are searched for the value itself."""
    from azure.keyvault.secrets import SecretClient

    stack = own_stack
    ids = support.configure(stack)
    support.run_and_wait(stack, ids["connector"])
    wrong = "wrong-" + uuid.uuid4().hex
    bad = support.configure(stack, credential={"clientSecret": wrong})
    support.run_and_wait(stack, bad["connector"])
    answers = [
        json.dumps(stack.api("GET", path)[1])
        for path in (
            "credentials", f"credentials/{ids['credential']}", "sources", "connectors", f"connectors/{bad['connector']}/runs",
            "openapi.json", "health",
        )
    ]  # fmt: skip
    for body in ({"name": "x", "clientSecret": wrong, "nonsense": 1}, {"name": 5, "clientSecret": wrong, "type": "x"}):
        answers.append(json.dumps(stack.api("POST", "credentials", body)[1]))
    tables = {name: repr(support.rows(stack, name)) for name in ("Config", "Schedule", "State", "Records", "Lookup")}
    logs = {file.name: file.read_text(errors="replace") for file in stack.log.iterdir()}
    for secret in (stack.secret, wrong):
        assert [answer[:80] for answer in answers if secret in answer] == []
        assert [name for name, text in (tables | logs).items() if secret in text] == []
        assert not any(secret in json.dumps(message) for message in _queued(stack))
    bundle = str(stack.folder / "bundle.pem")
    options = {"verify_challenge_resource": False, "connection_verify": bundle}
    with SecretClient(stack.addresses["vault"], support.IdentityToken(stack), **options) as client:
        names = [found.name or "" for found in client.list_properties_of_secrets()]
        (name,) = [name for name in names if name.startswith(f"credential-{ids['credential']}-")]
        kept = client.get_secret(name)
    assert kept.value == stack.secret


def _queued(stack: Stack) -> list[str]:
    from azure.storage.queue import QueueServiceClient

    options = {"connection_verify": str(stack.folder / "bundle.pem"), "api_version": "2021-12-02"}
    with QueueServiceClient(stack.addresses["queue"], support.IdentityToken(stack), **options) as service:
        return [
            str(message.content)
            for queue in service.list_queues()
            for message in service.get_queue_client(queue.name).peek_messages(32)
        ]
