"""The two surfaces on a made-up table: JSON beside pages with forms, and what each refuses. A second one runs on Microsoft's
worker library, so that what is shown here holds there too.
"""

import asyncio
import base64
import csv
import io
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import azure.functions as func
import pytest

from functions.meta import DOCS_POLICY
from local.bootstrap import ROOT
from local.processes import clean_environment
from shared.api import Call, Reply, Routes, RouteTable
from shared.api.answering import csv_bytes
from shared.api.blueprint import endpoint
from shared.api.csrf import LIFETIME_SECONDS, CsrfTokens
from shared.api.openapi import document
from shared.api.surfaces import PAGE_HEADERS, pages
from shared.clock import Clock
from shared.domain.base import Model
from shared.errors import Changed, MissingPrecondition
from shared.names import Role
from shared.principal import ANYBODY

SITE = "https://rollcall.example"


class Moved(Clock):
    at = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class Thing(Model):
    """What is sent."""

    name: str
    """Its name."""
    count: int = 0
    """How many."""
    on: bool = False
    """Whether it is on."""


def _table(clock: Clock) -> RouteTable:
    api = Routes(tag="Things", role=Role.READ)
    page = Routes(tag="Pages", role=Role.READ, surface=pages(CsrfTokens(lambda: b"k" * 32, clock)))

    @api.get("things/{kind}/parts/{part}", "Read a part", returns=Thing)
    def read_part(call: Call) -> Reply:
        return Reply(Thing(name=f"{call.path['kind']} {call.path['part']}"))

    @api.post("things", "Make a thing", role=Role.CONFIGURE, body=Thing, returns=Thing, status=201)
    def make_thing(call: Call) -> Reply:
        return Reply(call.body, 201)

    @api.post("things/start", "Start a thing", role=Role.CONFIGURE, status=202)
    def start_thing(call: Call) -> Reply:
        return Reply(None, 202)

    @api.get("things.csv", "Download things", content_type="text/csv")
    def download_things(call: Call) -> Reply:
        return Reply.file(csv_bytes(["Name"], [["=cmd()"]]), 'Zoë "all".csv', "text/csv")

    @page.get("things", "The things", content_type="text/html")
    def show_things(call: Call) -> Reply:
        return Reply(f"<form><input name=csrf value={call.csrf}></form>", content_type="text/html")

    @page.post("things", "Make a thing", role=Role.CONFIGURE, body=Thing, status=303)
    def send_thing(call: Call) -> Reply:
        return Reply(
            "", 303, {"Location": f"/console/things?made={call.body.name}&count={call.body.count}"}, "text/html"
        )

    return RouteTable(api, page)


HOME = "7e4a0000-0000-4000-8000-000000000001"


def _principal(object_id: str, *roles: Role) -> str:
    claims = [{"typ": "roles", "val": role.value} for role in roles]
    claims += [{"typ": "oid", "val": object_id}, {"typ": "tid", "val": HOME}, {"typ": "name", "val": "Ada"}]
    return base64.b64encode(json.dumps({"auth_typ": "aad", "claims": claims}).encode()).decode()


@pytest.fixture
def clock() -> Moved:
    return Moved()


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, clock: Moved) -> RouteTable:
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    monkeypatch.setenv("WEBSITE_SITE_NAME", "rollcall")
    monkeypatch.setenv("ROLLCALL_TENANTS", HOME)
    monkeypatch.delenv("ROLLCALL_CLOUD_ENDPOINTS", raising=False)
    return _table(clock)


def _ask(
    table: RouteTable, name: str, *, who: str = "ada", method: str = "", body: bytes = b"", params: dict[str, str] | None = None,
    **headers: str,
) -> tuple[int, str, dict[str, str]]:  # fmt: skip
    route = table[name]
    given = {"X-MS-CLIENT-PRINCIPAL": _principal(who, *Role), **{k.replace("_", "-"): v for k, v in headers.items()}}
    request = func.HttpRequest(
        method=method or route.method, url=f"{SITE}/{route.address}", headers=given, params={}, route_params=params or {},
        body=body,
    )  # fmt: skip
    response = asyncio.run(endpoint(route)(request))
    return response.status_code, response.get_body().decode(), {
        "content-type": response.mimetype, **{k.lower(): v for k, v in response.headers.items()},
    }  # fmt: skip


def test_parameters_of_the_path_have_any_name(table: RouteTable) -> None:
    status, body, _ = _ask(table, "read_part", params={"kind": "car", "part": "front%20wheel"})
    assert (status, json.loads(body)["name"]) == (200, "car front wheel")
    operation = document(table)["paths"]["/api/v1/things/{kind}/parts/{part}"]["get"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["kind", "part"]
    assert table.allowed_methods("api/v1/things/car/parts/7") == ["GET", "HEAD"]
    assert table.allowed_methods("api/v1/things/car/parts/7/") == ["GET", "HEAD"]
    assert table.allowed_methods("api/v1/things/car/parts") == []


def test_names_and_addresses_that_clash_are_refused() -> None:
    group = Routes(tag="Things", role=None)
    for name in ("one", "other"):
        group.add("GET", "things", "List things", lambda _call: Reply(), name=name)
    with pytest.raises(ValueError, match="two routes"):
        RouteTable(group)


def test_pages_stay_out_of_the_description_of_the_api(table: RouteTable) -> None:
    assert set(document(table)["paths"]) == {
        "/api/v1/things",
        "/api/v1/things/start",
        "/api/v1/things/{kind}/parts/{part}",
        "/api/v1/things.csv",
    }


def test_head_is_answered_wherever_get_is_and_without_a_body(table: RouteTable) -> None:
    status, body, headers = _ask(table, "read_part", method="HEAD", params={"kind": "a", "part": "b"})
    assert (status, body) == (200, "") and headers["x-content-type-options"] == "nosniff"


# Files


def test_a_file_has_a_name_of_any_letters_and_runs_no_formula(table: RouteTable) -> None:
    status, body, headers = _ask(table, "download_things")
    assert status == 200 and headers["content-disposition"] == (
        "attachment; filename=\"Zo_ _all_.csv\"; filename*=UTF-8''Zo%C3%AB%20%22all%22.csv"
    )
    assert body == "\ufeffName\r\n'=cmd()\r\n"
    rows: list[list[Any]] = [["a,b", 'say "x"'], ["-1", -1], ["line\nbreak", None]]
    text = csv_bytes(["One", "Two"], rows).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["One", "Two"], ["a,b", 'say "x"'], ["'-1", "-1"], ["line\nbreak", ""],
    ]  # fmt: skip


# JSON bodies


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b'{"name":"x"}', "application/json", 201, ""),
        (b'\xef\xbb\xbf{"name":"x"}', "application/json; charset=UTF-8", 201, ""),
        (b'{"name":"x"}', "application/json; charset=latin-1", 415, "not-json"),
        (b"name=x", "application/x-www-form-urlencoded", 415, "not-json"),
        (b'{"name":"x","name":"y"}', "application/json", 400, "duplicate-key"),
        (b'{"name":"x","count":"24"}', "application/json", 422, "invalid-fields"),
        (b'{"name":"x","on":"false"}', "application/json", 422, "invalid-fields"),
        (b'{"name":"x","count":2.0}', "application/json", 422, "invalid-fields"),
        (b'{"name":', "application/json", 400, "malformed-json"),
        (b"", "application/json", 400, "body-missing"),
        (b"[" * 100 + b"]" * 100, "application/json", 400, "too-deep"),
    ],
)
def test_a_body_is_taken_as_json_has_it(
    table: RouteTable, body: bytes, content_type: str, status: int, code: str
) -> None:
    got, text, _ = _ask(table, "make_thing", body=body, Content_Type=content_type)
    assert (got, json.loads(text).get("code", "")) == (status, code), text


@pytest.mark.parametrize(
    ("header", "revisions"),
    [('"r3"', {3}), ("*", None), ('"r3", "r4"', {3, 4}), ('W/"r3", "r5"', {5}), ('"other" , "r7"', {7})],
)
def test_if_match_may_name_several_versions(header: str, revisions: set[int] | None) -> None:
    assert Call(ANYBODY, {}, None, None, {"if-match": header}).revisions() == revisions


@pytest.mark.parametrize("header", ['W/"r3"', "r3", '"x"', '"r3" "r4"', '"r3', '"r3",junk'])
def test_an_if_match_that_names_no_version_of_ours_matches_nothing(header: str) -> None:
    with pytest.raises(Changed):
        Call(ANYBODY, {}, None, None, {"if-match": header}).revisions()
    with pytest.raises(MissingPrecondition):
        Call(ANYBODY, {}, None, None, {}).revisions()


# Requests that another site caused


_OTHER = "https://attacker.example"


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({}, True),
        ({"Sec_Fetch_Site": "same-origin", "Origin": SITE}, True),
        ({"Sec_Fetch_Site": "none"}, True),
        ({"Sec_Fetch_Site": "cross-site", "Origin": _OTHER}, False),
        ({"Sec_Fetch_Site": "same-site", "Origin": "https://other.rollcall.example"}, False),
        ({"Sec_Fetch_Site": "cross-site", "Origin": SITE}, False),
        ({"Origin": SITE}, True),
        ({"Origin": _OTHER}, False),
        ({"Origin": "null"}, False),
        # A page with Referrer-Policy: no-referrer sends its own forms so.
        ({"Sec_Fetch_Site": "same-origin", "Origin": "null"}, True),
        ({"Origin": "http://rollcall.example"}, False),
        ({"Origin": "https://rollcall.example:8443"}, False),
        # A reverse proxy: the address that the browser knows is not the one that the app is called by.
        ({"Sec_Fetch_Site": "same-origin", "Origin": "https://directory.contoso.example"}, True),
        # A single-page app of another site that the owner allows by CORS sends no cookie, but a token.
        ({"Sec_Fetch_Site": "cross-site", "Origin": _OTHER, "Authorization": "Bearer x"}, True),
    ],
)
@pytest.mark.parametrize("name", ["make_thing", "start_thing", "send_thing"])
def test_a_change_that_another_site_caused_is_refused(
    table: RouteTable, name: str, headers: dict[str, str], taken: bool
) -> None:
    kept: dict[str, Any] = dict(headers)
    body = b""
    if name == "make_thing":
        body, kept["Content_Type"] = b'{"name":"x"}', "application/json"
    elif name == "start_thing":
        kept["X_Requested_With"] = "test"
    elif name == "send_thing":
        body, kept["Content_Type"] = (
            urlencode({"name": "x", "csrf": _token(table)}).encode(), "application/x-www-form-urlencoded",
        )  # fmt: skip
    status, text, _ = _ask(table, name, body=body, **kept)
    assert (status < 400) == taken, text
    assert taken or (status == 403 and "cross-site" in text)


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({}, False),
        ({"Content_Type": "text/plain"}, False),
        ({"Content_Type": "application/x-www-form-urlencoded"}, False),
        ({"Content_Type": "multipart/form-data; boundary=x"}, False),
        ({"Content_Type": "text/plain; application/json"}, False),
        ({"Authorization": "Basic eDp5"}, False),
        ({"Authorization": "Bearer x"}, True),
        ({"Content_Type": "application/json"}, True),
        ({"Content_Type": "Application/JSON; charset=utf-8"}, True),
        ({"X_Requested_With": "curl"}, True),
        ({"Sec_Fetch_Site": "same-origin"}, True),
        ({"Sec_Fetch_Site": "cross-site", "X_Requested_With": "x"}, False),
    ],
)
def test_no_form_of_another_site_starts_anything(table: RouteTable, headers: dict[str, str], taken: bool) -> None:
    given: dict[str, Any] = dict(headers)
    status, text, _ = _ask(table, "start_thing", **given)
    assert (status < 400) == taken, text
    assert taken or json.loads(text)["code"] in ("simple-request", "cross-site")


@pytest.mark.parametrize("origin", ["http://[::1", "https://[", "null", "x", "https://rollcall.example]"])
def test_an_origin_that_is_no_address_is_another_site(table: RouteTable, origin: str) -> None:
    status, text, _ = _ask(table, "start_thing", Origin=origin, X_Requested_With="x")
    assert (status, json.loads(text)["code"]) == (403, "cross-site")


def test_a_password_that_the_browser_adds_by_itself_is_no_sign_of_consent(table: RouteTable) -> None:
    status, text, _ = _ask(table, "start_thing", Origin=_OTHER, Authorization="Basic eDp5", X_Requested_With="x")
    assert (status, json.loads(text)["code"]) == (403, "cross-site")


@pytest.mark.parametrize("policy", [PAGE_HEADERS["Content-Security-Policy"], DOCS_POLICY])
def test_no_page_can_be_framed(policy: str) -> None:
    assert "frame-ancestors 'none'" in policy and "form-action" in policy and "base-uri 'none'" in policy


def test_reading_is_open_to_links_from_other_sites(table: RouteTable) -> None:
    assert _ask(table, "show_things", Sec_Fetch_Site="cross-site", Origin=_OTHER)[0] == 200


# Pages and forms


def _token(table: RouteTable, who: str = "ada") -> str:
    status, body, headers = _ask(table, "show_things", who=who)
    assert status == 200 and headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-frame-options"] == "DENY"
    return body.partition("value=")[2].partition(">")[0]


def _send(table: RouteTable, fields: dict[str, Any], *, who: str = "ada", **headers: str) -> tuple[int, str]:
    form = urlencode(fields).encode()
    kept: dict[str, Any] = {"Content_Type": "application/x-www-form-urlencoded", **headers}
    status, body, answer = _ask(table, "send_thing", who=who, body=form, params=None, **kept)
    return status, answer.get("location", body)


def test_a_form_with_its_token_is_taken_and_its_types_come_from_text(table: RouteTable) -> None:
    fields = {"name": "Zoë", "count": "24", "on": "true", "csrf": _token(table)}
    assert _send(table, fields, Origin=SITE, Sec_Fetch_Site="same-origin") == (303, "/console/things?made=Zoë&count=24")


def test_a_form_without_its_token_from_somebody_else_or_from_long_ago_is_refused(
    table: RouteTable, clock: Moved
) -> None:
    token = _token(table)
    made_at, _, mark = token.partition(".")
    good = {"name": "x", "csrf": token}
    bad = ("", f"{int(made_at) + 1}.{mark}", f"{made_at}.{mark[:-2]}", "é.x", _token(table, who="eve"))
    for fields in ({"name": "x"}, *({**good, "csrf": one} for one in bad)):
        status, body = _send(table, fields)
        assert (status, "csrf-invalid" in body) == (403, True), fields
    clock.at += timedelta(seconds=LIFETIME_SECONDS + 1)
    assert _send(table, good)[0] == 403
    clock.at -= timedelta(seconds=2)
    assert _send(table, good)[0] == 303


def test_what_is_wrong_with_a_form_is_a_page_that_runs_nothing(table: RouteTable) -> None:
    status, body = _send(table, {"name": "x", "<script>": "1", "csrf": _token(table)})
    assert status == 422 and body.startswith("<!doctype html>")
    assert "<script>" not in body and "&lt;script&gt;" in body and "invalid-fields" in body
    status, body, headers = _ask(table, "send_thing", body=b"{}", Content_Type="application/json")
    assert status == 415 and headers["content-type"].startswith("text/html")
    assert _send(table, {f"f{n}": "1" for n in range(1001)})[0] == 400


def test_somebody_without_the_role_gets_a_page_too(table: RouteTable) -> None:
    route = table["show_things"]
    headers = {"X-MS-CLIENT-PRINCIPAL": _principal("ada", Role.ACT)}
    response = asyncio.run(
        endpoint(route)(func.HttpRequest(method="GET", url=f"{SITE}/console/things", headers=headers, body=b""))
    )
    assert response.status_code == 403 and b"Rollcall.Read" in response.get_body()
    assert response.mimetype == "text/html"


_APP = """
import azure.functions as func
from shared.api.blueprint import blueprint
from tests.contract.test_surfaces import Moved, _table

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(blueprint(_table(Moved())))
"""
_DRIVER = """
import asyncio, json, sys
from pathlib import Path
from local.host.engine import Engine
from local.host.messages import PROTOS, TypedData

async def main():
    engine = Engine(Path(sys.argv[1]))
    found = {}
    for function in await engine.load():
        route = function.trigger["route"]
        http = PROTOS.RpcHttp(method=function.trigger["methods"][0], url=f"https://rollcall.example/{route}", headers={},
            params={"kind": "a", "part": "b", "path": "nowhere"}, query={}, body=TypedData())
        outcome = await engine.invoke(function, TypedData(http=http))
        answer = outcome.value.http
        found[function.name] = [route, int(answer.status_code), dict(answer.headers).get("content-type", "")]
    print(json.dumps(found))
    engine.stop()

asyncio.run(main())
"""


def test_both_surfaces_run_on_microsofts_worker_library(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text(_APP)
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, str(tmp_path)], cwd=ROOT, env=clean_environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, list[Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    assert found.keys() == {
        "read_part", "make_thing", "start_thing", "download_things", "show_things", "send_thing", "no_such_address", "no_such_page",
    }  # fmt: skip
    for name, (route, status, content_type) in found.items():
        assert status == 503, "nothing guards this app: it fails closed"
        html = route.startswith("console")
        assert content_type.startswith("text/html" if html else "application/problem+json"), (name, content_type)
