"""Who is let in: what the platform says, or a token; never what a request says of where it comes from."""

import asyncio
import base64
import json
import os
from dataclasses import replace
from typing import Any

import azure.functions as func
import pytest

from functions import route_table
from shared import settings
from shared.api import Reply
from shared.api.blueprint import endpoint
from shared.errors import Unavailable
from shared.names import Role

TABLE = route_table()
HOME = "7e4a0000-0000-4000-8000-000000000001"
OTHER = "7e4a0000-0000-4000-8000-0000000000ff"
TOKEN = "a-token-of-the-local-stack"
MARKS = (
    "WEBSITE_SITE_NAME", "WEBSITE_INSTANCE_ID", "WEBSITE_POD_NAME", "WEBSITE_OWNER_NAME", "WEBSITE_RESOURCE_GROUP",
    "CONTAINER_APP_NAME", "CONTAINER_APP_REVISION", "CONTAINER_APP_HOSTNAME", "KUBERNETES_SERVICE_HOST",
)  # fmt: skip
OF_APP_SERVICE = MARKS[:5]
DEVELOPING = {
    "AZURE_FUNCTIONS_ENVIRONMENT": "Development", "ROLLCALL_DEVELOPMENT_PRINCIPAL": "Rollcall.Read",
    "ROLLCALL_DEVELOPMENT_TOKEN": TOKEN,
}  # fmt: skip
IN_AZURE = {"WEBSITE_SITE_NAME": "rollcall", "WEBSITE_AUTH_ENABLED": "True", "ROLLCALL_TENANTS": HOME}
RIGHT = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("ROLLCALL_", "WEBSITE_", "CONTAINER_APP", "KUBERNETES_", "AZURE_FUNCTIONS_")):
            monkeypatch.delenv(name)


def _set(monkeypatch: pytest.MonkeyPatch, *values: dict[str, str]) -> None:
    for name, value in {name: value for one in values for name, value in one.items()}.items():
        monkeypatch.setenv(name, value)


def _ask(headers: dict[str, str], name: str = "list_people", url: str = "http://127.0.0.1:7071") -> tuple[str, Any]:
    """`handler` when the request got as far as the handler, else the code of the refusal."""
    plain = replace(
        TABLE[name], handler=lambda call: Reply({"who": call.principal.id}), query=None, body=None, status=200
    )
    request = func.HttpRequest(
        method=plain.method, url=f"{url}/api/v1/{plain.path}", headers=headers, params={}, route_params={}, body=b""
    )
    response = asyncio.run(endpoint(plain)(request))
    body = json.loads(response.get_body())
    return ("handler", body["who"]) if "who" in body else (body["code"], response)


def _principal(tenant: str | None = HOME, issuer: str | None = None, **changes: str) -> dict[str, str]:
    claims = [{"typ": "roles", "val": role.value} for role in Role] + [{"typ": "oid", "val": "1234"}]
    claims += [{"typ": "tid", "val": tenant}] if tenant is not None else []
    claims += [{"typ": "iss", "val": issuer}] if issuer is not None else []
    text = json.dumps({"auth_typ": "aad", "claims": claims, **changes})
    return {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(text.encode()).decode()}


def _basic(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


# On a developer's machine


@pytest.mark.parametrize(
    "shown", [RIGHT, {"authorization": f"bearer {TOKEN}"}, _basic(f"local:{TOKEN}"), _basic(f":{TOKEN}")]
)
def test_the_development_token_lets_in_with_its_roles_only(
    monkeypatch: pytest.MonkeyPatch, shown: dict[str, str]
) -> None:
    _set(monkeypatch, DEVELOPING)
    assert _ask(shown) == ("handler", "development")
    assert _ask(shown, url="https://rollcall.example")[0] == "handler"
    assert _ask(shown, "create_organization")[0] == "role-missing"


@pytest.mark.parametrize(
    "shown",
    [
        {}, {"Host": "localhost"}, {"X-Forwarded-For": "127.0.0.1"}, {"Authorization": "Bearer "}, {"Authorization": "Bearer x"},
        {"Authorization": TOKEN}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Negotiate {TOKEN}"}, _basic(TOKEN), _basic(f"{TOKEN}:"), _basic("x:y"), {"Authorization": "Basic !"},
        {"Authorization": "Basic /w=="}, _principal(),
    ],
)  # fmt: skip
def test_without_it_nobody_is_let_in_wherever_the_request_says_to_come_from(
    monkeypatch: pytest.MonkeyPatch, shown: dict[str, str]
) -> None:
    _set(monkeypatch, DEVELOPING)
    code, response = _ask(shown)
    assert (code, response.status_code) == ("development-token", 401)
    assert response.headers["WWW-Authenticate"].startswith("Basic ")
    assert TOKEN not in response.get_body().decode()


@pytest.mark.parametrize("mark", MARKS)
def test_any_mark_of_azure_switches_it_off(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    _set(monkeypatch, DEVELOPING, {mark: "x"})
    assert _ask(RIGHT)[0] == "authentication-off"


@pytest.mark.parametrize("environment", ["", "Production", "development "])
def test_it_is_off_where_the_functions_environment_is_another(
    monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    _set(monkeypatch, DEVELOPING, {"AZURE_FUNCTIONS_ENVIRONMENT": environment})
    assert _ask(RIGHT)[0] == "authentication-off"


# In Azure


@pytest.mark.parametrize("mark", [None, *MARKS])
def test_platform_authentication_is_believed_where_app_service_is(
    monkeypatch: pytest.MonkeyPatch, mark: str | None
) -> None:
    """Anywhere else nobody takes a forged header out of a request."""
    _set(monkeypatch, {"WEBSITE_AUTH_ENABLED": "True", "ROLLCALL_TENANTS": HOME}, {mark: "x"} if mark else {})
    believed = mark in OF_APP_SERVICE
    assert _ask(_principal())[0] == ("handler" if believed else "authentication-off")


@pytest.mark.parametrize(
    ("principal", "code"),
    [
        (_principal(), "handler"),
        (_principal(HOME.upper()), "handler"),
        (_principal(issuer=f"https://sts.windows.net/{HOME}/"), "handler"),
        (_principal(issuer=f"https://login.microsoftonline.com/{HOME}/v2.0"), "handler"),
        (_principal(issuer=f"https://login.microsoftonline.us/{HOME}/v2.0"), "handler"),
        (_principal(OTHER), "tenant-foreign"),
        (_principal(OTHER, f"https://sts.windows.net/{OTHER}/"), "tenant-foreign"),
        (_principal(issuer=f"https://sts.windows.net/{OTHER}/"), "principal-foreign"),
        (_principal(issuer=f"https://sts.windows.net.evil.example/{HOME}/"), "principal-foreign"),
        (_principal(issuer=f"https://evil.example/{HOME}/"), "principal-foreign"),
        (_principal(issuer="nonsense"), "principal-foreign"),
        (_principal(None), "principal-malformed"),
        (_principal(""), "principal-malformed"),
        (_principal(auth_typ="google"), "principal-foreign"),
    ],
)
def test_somebody_of_another_tenant_or_issuer_is_refused(
    monkeypatch: pytest.MonkeyPatch, principal: dict[str, str], code: str
) -> None:
    _set(monkeypatch, IN_AZURE)
    assert _ask(principal)[0] == code


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"ROLLCALL_TENANTS": f"{OTHER}, {HOME.upper()}"}, True),
        ({"ROLLCALL_TENANTS": OTHER}, False),
        ({"WEBSITE_AUTH_AAD_ALLOWED_TENANTS": HOME}, True),
        ({"WEBSITE_AUTH_OPENID_ISSUER": f"https://sts.windows.net/{HOME}/v2.0"}, True),
        ({"WEBSITE_AUTH_OPENID_ISSUER": f"https://login.microsoftonline.com/{OTHER}/v2.0"}, False),
        ({"ROLLCALL_TENANTS": OTHER, "WEBSITE_AUTH_AAD_ALLOWED_TENANTS": HOME}, False),
    ],
)
def test_the_owner_or_the_platform_says_whose_people_may(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], allowed: bool
) -> None:
    _set(monkeypatch, IN_AZURE, {"ROLLCALL_TENANTS": ""}, given)
    assert _ask(_principal())[0] == ("handler" if allowed else "tenant-foreign")


@pytest.mark.parametrize("issuer", ["", "https://login.microsoftonline.com/common/v2.0"])
def test_where_nothing_says_whose_people_may_nobody_may(monkeypatch: pytest.MonkeyPatch, issuer: str) -> None:
    _set(monkeypatch, IN_AZURE, {"ROLLCALL_TENANTS": "", "WEBSITE_AUTH_OPENID_ISSUER": issuer})
    code, response = _ask(_principal())
    assert (code, response.status_code) == ("tenants-missing", 503)


# Settings that make no sense


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"ROLLCALL_DEVELOPMENT_PRINCIPAL": "Rollcall.Raed"}, "Rollcall.Raed"),
        ({"ROLLCALL_DEVELOPMENT_PRINCIPAL": "Rollcall.Read;Rollcall.Act"}, "Rollcall.Read;"),
        ({"ROLLCALL_DEVELOPMENT_TOKEN": ""}, "DEVELOPMENT_TOKEN"),
        ({"ROLLCALL_DEVELOPMENT_TOKEN": "short"}, "DEVELOPMENT_TOKEN"),
        ({"ROLLCALL_KEEP_RUNS_DAYS": "0.5"}, "KEEP_RUNS_DAYS"),
        ({"ROLLCALL_KEEP_JOURNAL_DAYS": "1.5"}, "KEEP_JOURNAL_DAYS"),
        ({"ROLLCALL_KEEP_HOLDS_DAYS": "0"}, "KEEP_HOLDS_DAYS"),
        ({"ROLLCALL_KEEP_TOMBSTONES_DAYS": "-3"}, "KEEP_TOMBSTONES_DAYS"),
        ({"ROLLCALL_KEEP_TOMBSTONES_DAYS": "nan"}, "KEEP_TOMBSTONES_DAYS"),
        ({"ROLLCALL_KEEP_TOMBSTONES_DAYS": "inf"}, "KEEP_TOMBSTONES_DAYS"),
        ({"ROLLCALL_SLICE_SECONDS": "ten"}, "SLICE_SECONDS"),
        ({"ROLLCALL_SLICE_SECONDS": "3600"}, "SLICE_SECONDS"),
        ({"ROLLCALL_TENANTS": "contoso.example"}, "contoso.example"),
        ({"ROLLCALL_CLOUD_ENDPOINTS": "{"}, "CLOUD_ENDPOINTS"),
        ({"ROLLCALL_CLOUD_ENDPOINTS": "[1]"}, "CLOUD_ENDPOINTS"),
        ({"ROLLCALL_CLOUD_ENDPOINTS": '{"mars": {"graph": "http://127.0.0.1", "authority": "http://127.0.0.1"}}'}, "CLOUD_ENDPOINTS"),
        ({"ROLLCALL_CLOUD_ENDPOINTS": '{"global": {"graph": "http://127.0.0.1"}}'}, "CLOUD_ENDPOINTS"),
        ({"ROLLCALL_CLOUD_ENDPOINTS": '{"global": {"graph": "http://evil.example", "authority": "http://127.0.0.1"}}'}, "CLOUD_ENDPOINTS"),
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], named: str
) -> None:
    _set(monkeypatch, DEVELOPING, given)
    with pytest.raises(Unavailable) as refused:
        settings.load()
    assert refused.value.code == "setting-invalid" and named in refused.value.detail and refused.value.remedy
    assert _ask(RIGHT)[0] == "setting-invalid"
    asked = func.HttpRequest(
        method="GET", url="http://127.0.0.1/api/v1/health", headers={}, params={}, route_params={}, body=b""
    )
    health = asyncio.run(endpoint(TABLE["health"])(asked))
    assert health.status_code == 503
    assert json.loads(health.get_body()) == {"status": "degraded", "checks": {"settings": "setting-invalid"}}


@pytest.mark.parametrize("mark", MARKS)
def test_addresses_that_stand_in_for_microsofts_are_refused_in_azure(
    monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    hosts = {"global": {"graph": "http://127.0.0.1:1", "authority": "http://127.0.0.1:2"}}
    _set(monkeypatch, {"ROLLCALL_CLOUD_ENDPOINTS": json.dumps(hosts)})
    assert settings.load().overridden
    _set(monkeypatch, {mark: "x"})
    with pytest.raises(Unavailable):
        settings.load()


def test_the_settings_show_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, DEVELOPING)
    assert TOKEN not in repr(settings.load())
