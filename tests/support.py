"""What the wire tests share: configuring through the API, waiting for runs, reading tables with Microsoft's own client."""

import contextlib
import itertools
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

from azure.core.credentials import AccessToken, AzureNamedKeyCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import TableServiceClient

from local.stack import Stack, http
from shared.storage.batches import Batches
from shared.storage.connection import StorageConnection, from_connection_string
from shared.storage.tables import Tables

EMULATOR = from_connection_string("UseDevelopmentStorage=true")

_names = itertools.count(1)


class IdentityToken:
    """A token credential that asks the stack's identity endpoint."""

    def __init__(self, stack: Stack) -> None:
        self._url = stack.addresses["identity"]

    def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        resource = urllib.parse.quote(scopes[0].removesuffix("/.default"))
        _, body = http("GET", f"{self._url}?resource={resource}", headers={"X-IDENTITY-HEADER": "test"})
        return AccessToken(body["access_token"], int(body["expires_on"]))


def table_service(stack: Stack) -> TableServiceClient:
    """The real client of the stack's tables."""
    if stack.options.plain:
        key = AzureNamedKeyCredential(EMULATOR.account, EMULATOR.account_key or "")
        return TableServiceClient(stack.addresses["table"], credential=key)
    return TableServiceClient(
        stack.addresses["table"], credential=IdentityToken(stack), connection_verify=str(stack.folder / "bundle.pem")
    )


def tables(stack: Stack, service: TableServiceClient) -> Tables:
    """The product's own, over the real client."""
    verify = {} if stack.options.plain else {"connection_verify": str(stack.folder / "bundle.pem")}
    credential = None if stack.options.plain else IdentityToken(stack)
    connection = StorageConnection(
        stack.addresses["table"], "", EMULATOR.account, EMULATOR.account_key if stack.options.plain else None
    )
    return Tables(service, Batches(connection, credential, RequestsTransport(**verify)))


def rows(stack: Stack, table: str, source: str | None = None) -> list[dict[str, Any]]:
    """All rows of a table, or those whose partition begins with the source; none where there is no such table."""
    with table_service(stack) as service, contextlib.suppress(ResourceNotFoundError):
        client = service.get_table_client(table)
        if source is None:
            return [dict(entity) for entity in client.list_entities()]
        text = f"PartitionKey ge '{source}|' and PartitionKey lt '{source}|~'"
        return [dict(entity) for entity in client.query_entities(text)]
    return []


def make(stack: Stack, path: str, body: dict[str, Any]) -> dict[str, Any]:
    status, made = stack.api("POST", path, body)
    assert status == 201, made
    return dict(made)


def configure(stack: Stack, **changes: Any) -> dict[str, str]:
    """Organization, group, credential, source, connector; ids by kind. `source`, `connector`, `credential`: fields."""
    number = next(_names)
    organization = make(stack, "organizations", {"name": f"Organization {number}"})["id"]
    group = make(stack, "source-groups", {"name": f"Group {number}", "organizationId": organization})["id"]
    credential = {"name": f"Credential {number}", "clientId": stack.addresses["clientId"], "clientSecret": stack.secret}
    credential_id = make(stack, "credentials", credential | changes.get("credential", {}))["id"]
    source = {
        "name": f"Source {number}", "sourceGroupId": group, "tenantId": stack.addresses["tenants"]["global"],
        "credentialId": credential_id,
    }  # fmt: skip
    source_id = make(stack, "sources", source | changes.get("source", {}))["id"]
    connector = {"name": f"Connector {number}", "sourceId": source_id} | changes.get("connector", {})
    made = make(stack, "connectors", connector)["id"]
    return {
        "organization": organization, "sourceGroup": group, "credential": credential_id, "source": source_id, "connector": made,
    }  # fmt: skip


def run_now(stack: Stack, connector: str, **query: str) -> dict[str, Any]:
    text = urllib.parse.urlencode(query)
    status, run = stack.api("POST", f"connectors/{connector}/runs{'?' + text if text else ''}")
    assert status in (200, 202), run
    return dict(run)


def wait(stack: Stack, run_id: str, seconds: float = 120) -> dict[str, Any]:
    """The closed run."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status, run = stack.api("GET", f"runs/{run_id}")
        if status == 200 and run["finishedAt"]:
            return dict(run)
        time.sleep(0.25)  # the host shares the machine
    raise AssertionError(f"the run did not end in {seconds} s: {run}\n{(stack.log / 'host.log').read_text()[-3000:]}")


def run_and_wait(stack: Stack, connector: str, seconds: float = 120, **query: str) -> dict[str, Any]:
    return wait(stack, run_now(stack, connector, **query)["id"], seconds)


def stream(run: dict[str, Any], name: str = "users") -> dict[str, Any]:
    """One stream of a run, or of a receipt."""
    return next(s for s in run["streams"] if name in (s.get("name"), s.get("stream")))


def truth(stack: Stack, kind: str) -> Iterator[dict[str, Any]]:
    """Every object of the simulated tenant, with all its properties."""
    start: int | None = 0
    while start is not None:
        page = stack.admin("GET", f"/tenants/{stack.addresses['tenants']['global']}/{kind}?start={start}")
        yield from page["objects"]
        start = page["next"]


def mutate(stack: Stack, do: str, **options: Any) -> list[str]:
    answer = stack.admin("POST", f"/tenants/{stack.addresses['tenants']['global']}", {"do": do, **options})
    assert "error" not in answer, answer
    return list(answer.get("ids", []))
