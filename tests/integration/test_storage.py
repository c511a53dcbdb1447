"""Storage as it is configured: plain connection string, bearer tokens, out of reach, written by a newer version."""

import json
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from local.bootstrap import ROOT
from local.cloud import certificates
from local.processes import clean_environment
from local.stack import Options, Stack
from tests import expected, support


@pytest.mark.parametrize("own_stack", [{"people": 120, "devices": 40, "plain": True}], indirect=True)
def test_the_same_app_runs_with_use_development_storage(own_stack: Stack) -> None:
    assert own_stack.env["RollcallStorage"] == "UseDevelopmentStorage=true"
    ids = support.configure(own_stack)
    assert support.run_and_wait(own_stack, ids["connector"])["state"] == "succeeded"
    rows = support.rows(own_stack, "Records")
    assert expected.differences("person", list(support.truth(own_stack, "users")), rows) == []
    assert expected.differences("device", list(support.truth(own_stack, "devices")), rows) == []
    first, second = _run_once(own_stack), _run_once(own_stack)
    assert first["operations"]["Records put"] == 120 and first["run"]["streams"][0]["new"] == 120
    assert second["operations"] == {} and second["run"]["streams"][0]["mode"] == "delta"


def _run_once(stack: Stack) -> dict[str, Any]:
    """The engine alone, without host, vault and sign-in, as benchmarks drive it."""
    clouds = stack.addresses["clouds"]["global"]
    form = {"grant_type": "client_credentials", "client_id": stack.addresses["clientId"], "client_secret": stack.secret}
    data = urllib.parse.urlencode(form | {"scope": "https://graph.microsoft.com/.default"}).encode()
    context = ssl.create_default_context(cafile=str(stack.folder / "ca.pem"))
    url = f"{clouds['authority']}/{stack.addresses['tenants']['global']}/oauth2/v2.0/token"
    with urllib.request.urlopen(url, data, context=context) as response:
        token = json.loads(response.read())["access_token"]
    command = [
        sys.executable,
        "-m",
        "tests.bench.run_once",
        "--graph",
        clouds["graph"],
        "--tables",
        stack.addresses["table"],
        "--token",
        token,
    ]
    environment = clean_environment() | certificates.trust(stack.folder)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def test_blobs_take_bearer_tokens_too(stack: Stack) -> None:
    options: dict[str, Any] = {"connection_verify": str(stack.folder / "bundle.pem"), "api_version": "2021-12-02"}
    with BlobServiceClient(stack.addresses["blob"], support.IdentityToken(stack), **options) as service:
        container = service.create_container("test")
        container.upload_blob("a", b"content")
        assert container.download_blob("a").readall() == b"content"
        container.close()


def test_every_row_has_its_schema_version_and_a_newer_one_is_refused(rough_stack: Stack) -> None:
    ids = support.configure(rough_stack, source={"excludedGroups": ["Service accounts"]})
    support.run_and_wait(rough_stack, ids["connector"])
    for table in ("Config", "Schedule", "State", "Records", "Lookup", "OutOfScope"):
        rows = support.rows(rough_stack, table)
        assert rows and all(row["V"] == 1 for row in rows), table
    with support.table_service(rough_stack) as service:
        config = service.get_table_client("Config")
        row = config.get_entity("config", f"source|{ids['source']}")
        row["V"] = 2
        config.update_entity(row)
        status, problem = rough_stack.api("GET", f"sources/{ids['source']}")
        row["V"] = 1
        config.update_entity(row)
    assert (status, problem["code"]) == (503, "schema-too-new")
    assert "Deploy" in problem["remedy"]


def test_a_vault_out_of_reach_keeps_a_credential_from_being_half_saved() -> None:
    settings = {"ROLLCALL_VAULT_URI": "https://127.0.0.1:1"}
    stack = Stack(Options(people=10, devices=0, settings=settings)).start()
    try:
        body = {"name": "x", "clientId": stack.addresses["clientId"], "clientSecret": "s3cret-value"}
        status, problem = stack.api("POST", "credentials", body)
        assert (status, problem["code"]) == (503, "vault-unreachable") and "s3cret" not in str(problem)
        assert stack.api("GET", "credentials")[1]["items"] == []
    finally:
        stack.stop()


def test_storage_out_of_reach_is_said_and_healed(rough_stack: Stack) -> None:
    ids = support.configure(rough_stack)
    rough_stack.admin("POST", "/faults", {"target": "storage", "kind": "reset", "every": 1})
    began = time.monotonic()
    status, problem = rough_stack.api("GET", f"sources/{ids['source']}")
    assert (status, problem["code"]) == (503, "storage-unreachable")
    assert time.monotonic() - began < 60
    assert rough_stack.api("GET", "health")[1]["checks"]["tables"] == "storage-unreachable"
    rough_stack.admin("DELETE", "/faults")
    assert rough_stack.api("GET", f"sources/{ids['source']}")[0] == 200
    assert support.run_and_wait(rough_stack, ids["connector"])["state"] == "succeeded"


def test_a_vault_out_of_reach_during_a_run_fails_it_with_the_remedy(rough_stack: Stack) -> None:
    ids = support.configure(rough_stack)
    rough_stack.admin("POST", "/faults", {"target": "vault", "kind": "reset", "every": 1})
    run = support.run_and_wait(rough_stack, ids["connector"])
    assert run["state"] == "failed"
    assert [problem["code"] for problem in run["problems"]] == ["vault-unreachable"]
    rough_stack.admin("DELETE", "/faults")
    assert support.run_and_wait(rough_stack, ids["connector"])["state"] == "succeeded"
