"""The route table: who may what, on every route; the description is valid; queries stay within their partitions."""

import ast
import asyncio
import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import azure.functions as func
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from functions import route_table
from shared.api import Reply, Route
from shared.api.blueprint import endpoint
from shared.api.openapi import document
from shared.names import Role

ROOT = Path(__file__).resolve().parents[2]
TABLE = route_table()
ROLES = [role.value for role in Role]
HOME = "7e4a0000-0000-4000-8000-000000000001"


def _principal(roles: list[str], *, application: bool) -> str:
    claims = [{"typ": "roles", "val": role} for role in roles]
    claims += [{"typ": "http://schemas.microsoft.com/identity/claims/objectidentifier", "val": "1234"}]
    claims += [{"typ": "http://schemas.microsoft.com/identity/claims/tenantid", "val": HOME}]
    claims += (
        [{"typ": "idtyp", "val": "app"}]
        if application
        else [{"typ": "preferred_username", "val": "ada@contoso.example"}]
    )
    body = {"auth_typ": "aad", "name_typ": "name", "role_typ": "roles", "claims": claims}
    return base64.b64encode(json.dumps(body).encode()).decode()


def _request(route: Route, headers: dict[str, str], url: str = "https://rollcall.example") -> func.HttpRequest:
    path = route.path.replace("{id}", "0")
    return func.HttpRequest(
        method=route.method,
        url=f"{url}/api/v1/{path}",
        headers={"X-Requested-With": "test", **headers},
        params={},
        route_params={"id": "0"},
        body=b"",
    )


def _reached(route: Route, headers: dict[str, str], url: str = "https://rollcall.example") -> str:
    """`handler` when the request got as far as the handler, else the code of the refusal."""
    plain = replace(route, handler=lambda _call: Reply({"reached": True}), query=None, body=None, upload=(), status=200)
    response = asyncio.run(endpoint(plain)(_request(route, headers, url)))
    body = json.loads(response.get_body())
    return "handler" if body.get("reached") else body["code"]


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("ROLLCALL_DEVELOPMENT_PRINCIPAL", "ROLLCALL_CLOUD_ENDPOINTS", "WEBSITE_AUTH_ENABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WEBSITE_INSTANCE_ID", "i")
    monkeypatch.setenv("ROLLCALL_TENANTS", HOME)
    return monkeypatch


@pytest.mark.parametrize("application", [False, True], ids=["person", "application"])
@pytest.mark.parametrize("name", sorted(TABLE.routes))
def test_each_route_takes_its_own_role_and_no_other(azure: pytest.MonkeyPatch, name: str, application: bool) -> None:
    azure.setenv("WEBSITE_AUTH_ENABLED", "True")
    route = TABLE[name]
    for role in ROLES:
        headers = {"X-MS-CLIENT-PRINCIPAL": _principal([role], application=application)}
        allowed = route.role is None or route.role.value == role
        assert _reached(route, headers) == ("handler" if allowed else "role-missing"), role
    everything_else = [role for role in ROLES if route.role is None or role != route.role.value]
    headers = {"X-MS-CLIENT-PRINCIPAL": _principal(everything_else, application=application)}
    assert _reached(route, headers) == ("handler" if route.role is None else "role-missing")
    assert _reached(route, {}) == ("handler" if route.role is None else "not-signed-in")


@pytest.mark.parametrize("name", sorted(TABLE.routes))
def test_without_platform_authentication_only_health_answers(azure: pytest.MonkeyPatch, name: str) -> None:
    route = TABLE[name]
    forged = {"X-MS-CLIENT-PRINCIPAL": _principal(ROLES, application=False)}
    assert _reached(route, forged) == ("handler" if route.role is None else "authentication-off")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("not base64!", "principal-malformed"),
        (base64.b64encode(b"[]").decode(), "principal-malformed"),
        (base64.b64encode(b'{"auth_typ":"aad","claims":[{"typ":"roles"}]}').decode(), "principal-malformed"),
        (base64.b64encode(b'{"auth_typ":"aad","claims":[]}').decode(), "principal-malformed"),
        (
            base64.b64encode(
                b'{"auth_typ":"facebook","claims":[{"typ":"oid","val":"1"},{"typ":"roles","val":"Rollcall.Read"}]}'
            ).decode(),
            "principal-foreign",
        ),
    ],
)
def test_a_principal_header_that_the_platform_did_not_write_is_refused(
    azure: pytest.MonkeyPatch, text: str, code: str
) -> None:
    azure.setenv("WEBSITE_AUTH_ENABLED", "True")
    assert _reached(TABLE["list_people"], {"X-MS-CLIENT-PRINCIPAL": text}) == code


def test_the_description_is_valid_openapi_3_1_and_names_every_route() -> None:
    described = document(TABLE)
    assert list(OpenAPIV31SpecValidator(described).iter_errors()) == []
    operations = {op["operationId"] for path in described["paths"].values() for op in path.values()}
    assert operations == set(TABLE.routes)


@pytest.mark.parametrize(
    ("method", "path", "answers"),
    [
        ("post", "connectors/{id}/runs", {"202": "Run", "200": "Run"}),
        ("post", "holds/{id}/confirm", {"202": "Run Underway"}),
        ("delete", "connectors/{id}", {"202": "Run Underway", "204": None}),
        ("delete", "sources/{id}", {"202": "Underway", "204": None}),
    ],
)
def test_the_description_has_every_good_answer(method: str, path: str, answers: dict[str, str | None]) -> None:
    found = document(TABLE)["paths"][f"/api/v1/{path}"][method]["responses"]
    for status, model in answers.items():
        schema = found[status].get("content", {}).get("application/json", {}).get("schema", {})
        shapes = [shape["$ref"].rpartition("/")[2] for shape in schema.get("anyOf", [schema] if schema else [])]
        assert " ".join(shapes) == (model or "")
    assert found.keys() - answers.keys() == {"default"}


def test_every_field_of_every_model_says_what_it_means() -> None:
    silent = [
        f"{name}.{field}"
        for name, schema in document(TABLE)["components"]["schemas"].items()
        if name not in ("Problem", "Card", "Related", "Record")
        for field, value in schema.get("properties", {}).items()
        if not value.get("description") and "$ref" not in value
    ]
    assert silent == []


def test_secrets_are_write_only() -> None:
    schemas = document(TABLE)["components"]["schemas"]
    for field in ("clientSecret", "certificate"):
        assert any(option.get("writeOnly") for option in schemas["CredentialIn"]["properties"][field]["anyOf"])
    assert "clientSecret" not in schemas["CredentialOut"]["properties"]


def test_only_documented_scans_read_more_than_one_partition() -> None:
    """Records in id order, look-ups by name and by one character that is a word, a stream's own index, activity for thresholds, the journal and tombstones by
    time, and what deletion and purge remove: nowhere else.
    """
    allowed = {
        "shared/records/service.py": 3,
        "shared/records/journal.py": 1,
        "shared/records/lists.py": 1,
        "shared/reports/copy.py": 1,
        "shared/records/removals.py": 1,
        "shared/storage/audit.py": 1,
        "shared/storage/records.py": 1,
        "shared/storage/session.py": 2,
        "shared/storage/sweep.py": 1,
    }
    found: dict[str, int] = {}
    for file in [*ROOT.glob("shared/**/*.py"), *ROOT.glob("functions/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "scan":
                name = str(file.relative_to(ROOT))
                found[name] = found.get(name, 0) + 1
    assert found == allowed


def test_table_storage_is_queried_in_one_place_each() -> None:
    """Nobody but the two table modules sends a filter."""
    pattern = re.compile(r"query_entities|list_entities|\$filter")
    users = {
        str(f.relative_to(ROOT))
        for f in ROOT.glob("shared/**/*.py")
        if pattern.search(f.read_text()) and not f.is_relative_to(ROOT / "shared" / "actions")  # they filter in Graph
    }
    assert users == {"shared/storage/tables.py", "shared/storage/bulk.py", "shared/graph/listing.py"}
