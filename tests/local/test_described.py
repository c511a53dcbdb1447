"""The simulated Graph over HTTP answers nothing that Microsoft does not describe, and remembers what the app asked of that kind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from local.cloud import tokens
from local.cloud.faults import Faults
from local.cloud.graph.acting import Acting
from local.cloud.graph.directory import Directory
from local.cloud.graph.facts import Facts, facts
from local.cloud.graph.people import KINDS
from local.cloud.graph.replies import GraphRequest
from local.cloud.graph.server import Graph
from local.cloud.graph.web import GraphWeb
from shared.connectors import REGISTRY
from shared.connectors.base import Joined, PartsOf, Report
from shared.graph.reports import OTHER, property_of
from shared.mapping.compiled import selected

TENANT, AUDIENCE = "7e4a0000-0000-4000-8000-000000000001", "https://graph.microsoft.com"
ROLES = ["User.Read.All", "Device.Read.All"]


class Asking:
    """Requests as the app makes them (`marked`), and as any other program does."""

    def __init__(self, session: aiohttp.ClientSession, base: str, face: GraphWeb) -> None:
        self._session, self._base, self.face = session, base, face

    async def __call__(self, address: str, *, marked: bool = True, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {tokens.issue(AUDIENCE, TENANT, 'app', ROLES)}"}
        headers |= {"client-request-id": "1"} if marked else {}
        url = address if address.startswith("http") else f"{self._base}/v1.0{address}"
        method = "GET" if body is None else "POST"
        async with self._session.request(method, url, headers=headers, json=body) as answer:
            content = await answer.json()
            return answer.status, content["error"]["code"] if answer.status >= 400 else content


@asynccontextmanager
async def _asking(known: Facts | None = None) -> AsyncIterator[Asking]:
    graph = Graph(Directory(TENANT, 7, 30, 5), 10)
    face = GraphWeb({TENANT: graph}, {"global": AUDIENCE}, Faults(), known)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", face.handler("global"))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield Asking(session, f"http://127.0.0.1:{runner.addresses[0][1]}", face)
    await runner.cleanup()


def test_what_the_app_asks_and_microsoft_does_not_describe_is_refused_and_remembered() -> None:
    async def go() -> None:
        async with _asking() as ask:
            assert (await ask("/users?$select=id"))[0] == 200
            assert ask.face.undescribed == []
            for address in ("/users?$select=phone", "/users?$filter=phone eq '1'", "/users/1/boss"):
                assert await ask(address) == (400, "NotInMicrosoftsDescription")
            assert len(ask.face.undescribed) == 3
            assert "$select names phone" in ask.face.undescribed[0]

    asyncio.run(go())


def test_a_request_inside_a_batch_is_looked_at_too() -> None:
    async def go() -> None:
        async with _asking() as ask:
            part = {"id": "1", "method": "GET", "url": "/users?$select=id"}
            status, answer = await ask("/$batch", body={"requests": [part]})
            assert (status, answer["responses"][0]["status"]) == (200, 200)
            odd = {"id": "2", "method": "GET", "url": "/users?$select=phone"}
            assert await ask("/$batch", body={"requests": [part, odd]}) == (400, "NotInMicrosoftsDescription")
            assert len(ask.face.undescribed) == 1

    asyncio.run(go())


def test_the_links_that_graph_gives_are_described() -> None:
    async def go() -> None:
        async with _asking() as ask:
            for first in ("/users?$select=id&$top=10&$expand=manager($select=id)", "/users/delta?$select=id,manager"):
                link, pages, delta = first, 0, ""
                while link:
                    status, page = await ask(link)
                    assert status == 200, page
                    link, pages, delta = page.get("@odata.nextLink", ""), pages + 1, page.get("@odata.deltaLink", "")
                assert pages == 3
                assert not delta or (await ask(delta))[0] == 200
            assert ask.face.undescribed == []

    asyncio.run(go())


def test_whoever_asks_gets_no_good_answer_to_what_is_not_described() -> None:
    async def go() -> None:
        async with _asking() as ask:
            _, devices = await ask("/devices?$select=id&$top=1", marked=False)
            owners = f"/devices/{devices['value'][0]['id']}/registeredOwners"
            assert (await ask(owners, marked=False))[0] == 200
            assert await ask(f"{owners}?$skip=1", marked=False) == (400, "NotInMicrosoftsDescription")
            assert await ask("/users?$select=mailboxSettings", marked=False) == (
                501,
                "NotImplemented",
            )  # Graph's own words
            assert ask.face.undescribed == []

    asyncio.run(go())


def test_what_is_described_is_an_argument() -> None:
    """A made-up kind brings its own addresses."""
    toys = {"GET /toys": {"options": {"$select": {"names": "toys"}}, "permissions": ["User.Read.All"]}}

    async def go() -> None:
        async with _asking() as ask:
            assert await ask("/toys?$select=id") == (400, "NotInMicrosoftsDescription")
        async with _asking(facts().extended(toys, {"toys": ["id", "wheels"]})) as ask:
            assert (await ask("/toys?$select=id"))[0] == 404  # described, and not simulated
            assert await ask("/toys?$select=colour") == (400, "NotInMicrosoftsDescription")
            assert (await ask("/users?$select=id"))[0] == 200

    asyncio.run(go())


def test_the_simulated_tenant_has_every_property_that_is_read() -> None:
    """One that it lacks would be null for everybody, and a mistake in its mapping would not show."""
    directory = Directory("t", 7, 50, 50)
    for stream in (stream for kind in REGISTRY.kinds.values() for stream in kind.streams):
        reader, wanted = stream.reader, set(selected(stream.attributes)) - set(getattr(stream.reader, "expand", ()))
        collection = reader.path.strip("/")
        if isinstance(reader, Report):
            row = next(directory.reports.rows(reader.address.rpartition("/")[2], "D30"))
            have = {property_of(column) for column in row} | {OTHER, "personId"}
        elif isinstance(reader, Joined):
            wanted |= {reader.on, reader.newest}
            have = set(next(iter(Acting(directory).managed_rows().values())))
        elif isinstance(reader, PartsOf):
            wanted, have = set(reader.select), set(KINDS[collection].make(directory.maker, 1))
        elif (short := directory.short(collection)) is not None:
            have = set(short[0])
        else:
            have = set(KINDS[collection].make(directory.maker, 1))
        assert wanted <= have, f"local/cloud/graph makes {collection} without {wanted - have}"


def test_an_address_that_only_microsoft_has_says_so() -> None:
    request = GraphRequest("GET", "/auditLogs/directoryAudits", {}, {}, b"", frozenset(), "https://graph.example/v1.0")
    reply = Graph(Directory("t", 7, 5, 5)).answer(request)
    assert (reply.status, reply.body["error"]["code"]) == (501, "NotSimulated")
