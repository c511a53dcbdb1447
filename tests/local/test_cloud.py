"""The simulated cloud, asked by Microsoft's own clients: it must be as strict as the real one where we depend on it."""

import asyncio
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.identity import CertificateCredential, ClientSecretCredential
from azure.keyvault.secrets import SecretClient

from local.cloud.graph.people import Maker
from local.stack import Options, Stack
from shared.configuration.secrets import make_certificate
from tests import support

SCOPE = "https://graph.microsoft.com/.default"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Stack]:
    started = Stack(Options(people=1500, devices=600)).start(host=False)
    yield started
    started.stop()


class Graph:
    """Plain requests with a token of the registered app."""

    def __init__(self, stack: Stack, roles: list[str] | None = None) -> None:
        self._stack = stack
        self._base = stack.addresses["clouds"]["global"]["graph"] + "/v1.0"
        client, secret = stack.addresses["clientId"], stack.secret
        if roles is not None:
            client, secret = str(uuid.uuid4()), uuid.uuid4().hex
            app = {
                "client_id": client,
                "tenant_id": stack.addresses["tenants"]["global"],
                "roles": roles,
                "secrets": {secret: 4e9},
            }
            stack.admin("POST", "/apps", app)
        with _secret(stack, client, secret) as credential:
            self._token = credential.get_token(SCOPE).token

    def __call__(self, path: str, headers: dict[str, str] | None = None, body: Any = None) -> tuple[int, Any]:
        url = path if path.startswith("https") else self._base + urllib.parse.quote(path, safe="/?$=&,()'%:")
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            url, data, {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", **(headers or {})}
        )
        context = ssl.create_default_context(cafile=str(self._stack.folder / "ca.pem"))
        try:
            with urllib.request.urlopen(request, context=context) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())["error"]["code"]


def _secret(stack: Stack, client: str, secret: str, tenant: str | None = None) -> ClientSecretCredential:
    authority = stack.addresses["clouds"]["global"]["authority"]
    options = {
        "authority": authority,
        "disable_instance_discovery": True,
        "connection_verify": str(stack.folder / "bundle.pem"),
    }
    return ClientSecretCredential(tenant or stack.addresses["tenants"]["global"], client, secret, **options)


def _all(graph: Graph, path: str) -> tuple[list[dict[str, Any]], int]:
    items, pages, link = [], 0, path
    while link:
        status, body = graph(link)
        assert status == 200, body
        items += body["value"]
        pages, link = pages + 1, body.get("@odata.nextLink")
    return items, pages


def test_a_list_gives_default_properties_pages_and_each_object_once(cloud: Stack) -> None:
    graph = Graph(cloud)
    items, pages = _all(graph, "/users")
    assert (len(items), pages) == (1500, 15)
    assert len({item["id"] for item in items}) == 1500
    assert set(items[0]) == {
        "id", "businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation", "preferredLanguage",
        "surname", "userPrincipalName",
    }  # fmt: skip
    full, pages = _all(graph, "/users?$select=id,signInActivity&$top=999")
    assert (len(full), pages) == (1500, 3)  # 500 a page as soon as sign-in activity is asked for
    assert any("signInActivity" not in item for item in full)
    assert graph("/users/$count", {"ConsistencyLevel": "eventual"}) == (200, 1500)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/users?$select=id,favouriteColour", 400, "BadRequest"),
        ("/users?$select=id,mailboxSettings", 501, "NotImplemented"),
        ("/users?$top=1000", 400, "Request_BadRequest"),
        ("/users?$skip=10", 400, "BadRequest"),
        ("/users?colour=red", 400, "BadRequest"),
        ("/users/$count", 400, "Request_BadRequest"),
        ("/users/delta?$select=id,signInActivity", 400, "BadRequest"),
        ("/users/delta?$top=10", 400, "BadRequest"),
        ("/users/00000000-0000-0000-0000-000000000000", 404, "Request_ResourceNotFound"),
        ("/users?$skiptoken=junk", 400, "BadRequest"),
        ("/nonsense", 404, "BadRequest"),
    ],
)
def test_what_microsoft_does_not_describe_is_refused(cloud: Stack, path: str, status: int, code: str) -> None:
    assert Graph(cloud)(path) == (status, code)


@pytest.mark.parametrize(
    ("roles", "path", "status"),
    [
        ([], "/users", 403), (["Device.Read.All"], "/users", 403), (["User.Read.All"], "/users", 200), (["Directory.Read.All"], "/devices", 200),
        (["User.Read.All"], "/users?$select=id,signInActivity", 403), (["User.Read.All", "AuditLog.Read.All"], "/users?$select=id,signInActivity", 200),
        (["User.Read.All"], "/groups", 403), (["Organization.Read.All"], "/subscribedSkus", 200), (["User.Read.All"], "/domains", 403),
    ],
)  # fmt: skip
def test_permissions_come_from_the_tokens_roles(cloud: Stack, roles: list[str], path: str, status: int) -> None:
    assert Graph(cloud, roles)(path)[0] == status


def test_delta_tells_what_changed_and_what_is_gone(own_stack: Stack) -> None:
    graph = Graph(own_stack)
    _, latest = graph("/users/delta?$deltatoken=latest&$select=displayName,manager")
    assert latest["value"] == []
    hired = support.mutate(own_stack, "hire", count=2)
    gone = support.mutate(own_stack, "leave", count=1, salt=1)
    purged = support.mutate(own_stack, "purge", count=1, salt=2)
    renamed = support.mutate(own_stack, "rename", count=1, salt=3)
    moved = support.mutate(own_stack, "move", count=1, salt=4)
    _, delta = graph(latest["@odata.deltaLink"])
    items = {item["id"]: item for item in delta["value"]}
    assert set(items) == {*hired, *gone, *purged, *renamed, *moved}
    assert items[gone[0]]["@removed"] == {"reason": "changed"}
    assert items[purged[0]]["@removed"] == {"reason": "deleted"}
    assert items[renamed[0]]["displayName"].startswith("Renamed")
    assert items[moved[0]]["manager@delta"][0]["id"]
    assert gone[0] in {user["id"] for user in graph("/directory/deletedItems/microsoft.graph.user")[1]["value"]}
    support.mutate(own_stack, "restore", ids=gone)
    _, again = graph(delta["@odata.deltaLink"])
    assert [item["id"] for item in again["value"]] == gone and "@removed" not in again["value"][0]
    everybody, pages = _all(graph, "/users/delta?$select=displayName")
    assert pages == 6 and len({item["id"] for item in everybody}) == 1001
    own_stack.admin(
        "POST", "/faults", {"target": "graph", "kind": "delta-410", "every": 1, "most": 1, "match": "deltatoken"}
    )
    assert graph(again["@odata.deltaLink"]) == (410, "syncStateNotFound")


def test_a_batch_answers_each_request_for_itself(cloud: Stack) -> None:
    graph = Graph(cloud)
    known = graph("/users?$top=1")[1]["value"][0]["id"]
    asked = [
        {"id": "1", "method": "GET", "url": f"/users/{known}?$select=id"},
        {"id": "2", "method": "GET", "url": f"/users/{uuid.uuid4()}"},
    ]
    _, answer = graph("/$batch", body={"requests": asked})
    assert {r["id"]: r["status"] for r in answer["responses"]} == {"1": 200, "2": 404}
    assert graph("/$batch", body={"requests": asked + asked})[0] == 400
    assert (
        graph("/$batch", body={"requests": [{"id": str(n), "method": "GET", "url": "/users"} for n in range(21)]})[0]
        == 400
    )


def test_without_premium_sign_in_activity_is_a_licence_question(own_stack: Stack) -> None:
    support.mutate(own_stack, "premium", on=False)
    answer = Graph(own_stack)("/users?$select=id,signInActivity")
    assert answer == (403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant")


def test_groups_are_found_by_name_and_nest(cloud: Stack) -> None:
    graph = Graph(cloud)
    _, found = graph("/groups?$filter=displayName eq 'Service accounts'&$select=id,displayName")
    group = found["value"][0]["id"]
    direct, _ = _all(graph, f"/groups/{group}/members/microsoft.graph.user?$select=id")
    nested, _ = _all(graph, f"/groups/{group}/transitiveMembers/microsoft.graph.user?$select=id&$top=999")
    assert 0 < len(direct) < len(nested) == len({member["id"] for member in nested})
    assert len(graph("/groups?$filter=displayName eq 'Doubled name'")[1]["value"]) == 2


def test_the_same_seed_is_the_same_tenant_and_size_costs_nothing() -> None:
    small, huge = Maker(7, 1_000_000, 0), Maker(7, 1_000_000, 0)
    assert small.person(999_999) == huge.person(999_999) != Maker(8, 1_000_000, 0).person(999_999)
    assert huge.index_of("user", huge.object_id("user", 999_999)) == 999_999
    assert huge.index_of("user", str(uuid.uuid4())) is None
    people = [huge.person(n) for n in range(3000)]
    assert any(p["mail"] is None and p["createdDateTime"] is None for p in people)
    for test in (
        lambda p: p["userType"] == "Guest",
        lambda p: not p["accountEnabled"],
        lambda p: p["onPremisesSyncEnabled"],
        lambda p: p["signInActivity"] is None,
    ):
        assert any(test(p) for p in people)


def test_entra_checks_secrets_certificates_and_their_signatures(cloud: Stack) -> None:
    tenant, client = cloud.addresses["tenants"]["global"], str(uuid.uuid4())
    pem, other = make_certificate("one"), make_certificate("two")
    public = pem[: pem.index("-----BEGIN PRIVATE")]
    cloud.admin(
        "POST",
        "/apps",
        {"client_id": client, "tenant_id": tenant, "roles": ["User.Read.All"], "certificates": [public]},
    )
    options: dict[str, Any] = {
        "authority": cloud.addresses["clouds"]["global"]["authority"], "disable_instance_discovery": True,
        "connection_verify": str(cloud.folder / "bundle.pem"),
    }  # fmt: skip
    with CertificateCredential(tenant, client, certificate_data=pem.encode(), **options) as good:
        assert good.get_token(SCOPE).token.count(".") == 2
    with (
        CertificateCredential(tenant, client, certificate_data=other.encode(), **options) as bad,
        pytest.raises(ClientAuthenticationError, match="AADSTS700027"),
    ):
        bad.get_token(SCOPE)
    asyncio.run(_async_certificate(tenant, client, pem, options))
    with (
        _secret(cloud, cloud.addresses["clientId"], "nonsense") as wrong,
        pytest.raises(ClientAuthenticationError, match="AADSTS7000215"),
    ):
        wrong.get_token(SCOPE)
    with (
        _secret(cloud, cloud.addresses["clientId"], cloud.secret) as right,
        pytest.raises(ClientAuthenticationError, match="AADSTS500011"),
    ):
        right.get_token("https://graph.microsoft.us/.default")


async def _async_certificate(tenant: str, client: str, pem: str, options: dict[str, Any]) -> None:
    from azure.identity.aio import CertificateCredential as AsyncCertificateCredential

    async with AsyncCertificateCredential(tenant, client, certificate_data=pem.encode(), **options) as good:
        assert (await good.get_token(SCOPE)).token


def test_the_vault_does_what_the_real_client_expects(cloud: Stack) -> None:
    options = {"verify_challenge_resource": False, "connection_verify": str(cloud.folder / "bundle.pem")}
    with SecretClient(cloud.addresses["vault"], support.IdentityToken(cloud), **options) as client:
        first = client.set_secret("spare-key", "one", content_type="text/plain", tags={"a": "b"})
        second = client.set_secret("spare-key", "two")
        assert client.get_secret("spare-key").value == "two"
        assert client.get_secret("spare-key", first.properties.version).value == "one"
        assert {v.version for v in client.list_properties_of_secret_versions("spare-key")} == {
            first.properties.version,
            second.properties.version,
        }
        client.update_secret_properties("spare-key", first.properties.version, enabled=False)
        with pytest.raises(HttpResponseError) as disabled:
            client.get_secret("spare-key", first.properties.version)
        assert disabled.value.status_code == 403
        client.begin_delete_secret("spare-key").wait()
        with pytest.raises(ResourceNotFoundError):
            client.get_secret("spare-key")
        with pytest.raises(ResourceExistsError):
            client.set_secret("spare-key", "three")
        client.begin_recover_deleted_secret("spare-key").wait()
        assert client.get_secret("spare-key").value == "two"
        client.begin_delete_secret("spare-key").wait()
        client.purge_deleted_secret("spare-key")
        with pytest.raises(ResourceNotFoundError):
            client.get_deleted_secret("spare-key")
        with pytest.raises(HttpResponseError):
            client.set_secret("bad_name", "x")
        cloud.admin("POST", "/faults", {"target": "vault", "kind": "429", "every": 1, "most": 1})
        assert client.set_secret("spare-key", "four").value == "four"
        cloud.admin("DELETE", "/faults")


def test_a_folder_that_persists_keeps_tenant_secrets_and_tables(tmp_path: Any) -> None:
    def start() -> Stack:
        return Stack(Options(people=30, devices=5, persist=tmp_path / "kept")).start()

    stack = start()
    ids = support.configure(stack)
    hired = support.mutate(stack, "hire", count=1)
    assert support.run_and_wait(stack, ids["connector"])["state"] == "succeeded"
    stack.stop()
    stack = start()
    try:
        assert hired[0] in {user["id"] for user in support.truth(stack, "users")}
        run = support.run_and_wait(stack, ids["connector"])
        assert next(s for s in run["streams"] if s["name"] == "users")["unchanged"] == 31
    finally:
        stack.stop()
