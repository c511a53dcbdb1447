"""Requests side by side over one client: trouble of one is not the other's; nonsense from Graph is called that."""

import asyncio
from collections import Counter
from typing import Any

import orjson
import pytest
from aiohttp import web

from shared.errors import SourceProblem
from shared.graph import batch
from shared.graph.answers import Postponed
from shared.graph.listing import DirectoryReader, Listing
from shared.tasks import both, together
from tests.served import Tireless, run, served


def test_a_503_renews_the_connections_without_harm_to_what_is_under_way() -> None:
    """Nothing is asked twice for it, and no socket stays open: every warning is an error here."""
    asked: Counter[str] = Counter()
    under_way, second_of_a = asyncio.Event(), asyncio.Event()

    async def handle(request: web.BaseRequest) -> web.Response:
        asked[request.path] += 1
        if asked[request.path] == 1:
            if request.path == "/a":
                await under_way.wait()
                return web.Response(status=503)
            under_way.set()
            await second_of_a.wait()
        elif request.path == "/a":
            second_of_a.set()
        return web.json_response({"path": request.path})

    async def test() -> None:
        async with served(handle) as client:
            answers = await both(client.get_json("/a", "x"), client.get_json("/b", "x"))
            assert answers == ({"path": "/a"}, {"path": "/b"})
            assert asked == {"/a": 2, "/b": 1}

    run(test)


@pytest.mark.parametrize("trouble", ["503", "reset", "cut short"])
def test_a_request_that_is_cancelled_at_any_moment_leaves_no_connection_open(trouble: str) -> None:
    """Several are kept by then, and trouble closes them: the closing was once cancelled after the first of them."""
    opened: set[asyncio.Transport] = set()
    asked: Counter[str] = Counter()

    async def handle(request: web.BaseRequest) -> web.Response:
        assert isinstance(request.transport, asyncio.Transport)
        opened.add(request.transport)
        asked[request.path] += 1
        if request.path == "/kept" or asked[request.path] > 2:
            return web.json_response({})
        if trouble == "reset":
            request.transport.abort()
        return web.Response(status=503) if trouble == "503" else web.Response(body=b'{"value": [')

    async def test() -> None:
        done, turns = False, 0
        while not done:
            async with served(handle) as client:
                await together(client.get_json("/kept", "x") for _ in range(3))
                asking = asyncio.create_task(client.get_bytes(f"/{turns}", "x"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                done, turns = asking.done(), turns + 1
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                await client.close()
                async with asyncio.timeout(5):
                    while not all(transport.is_closing() for transport in opened):  # noqa: ASYNC110 - a transport tells nobody
                        await asyncio.sleep(0)
        assert turns > 20

    run(test)


@pytest.mark.parametrize(
    "page",
    [[], {}, {"value": None}, {"value": {}}, {"value": [], "@odata.nextLink": 7}, {"value": [], "@odata.deltaLink": 7}],
)  # fmt: skip
@pytest.mark.parametrize("ahead", [False, True])
def test_a_page_of_nonsense_is_called_that(page: Any, *, ahead: bool) -> None:
    async def handle(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=orjson.dumps(page), content_type="application/json")

    async def test() -> None:
        async with served(handle) as client:
            reader = DirectoryReader(client, Listing("/users", ["displayName"], "x"), ahead=ahead)
            with pytest.raises(SourceProblem) as found:
                await reader.page(None)
            assert found.value.code in ("graph-malformed", "graph-unavailable") and found.value.transient
            await reader.stop()

    run(test)


@pytest.mark.parametrize(
    ("items", "nameless"),
    [([1, None, "x"], 0), ([{"x": 1}], 1), ([{"id": None}], 1), ([{"id": 'a"b'}, {"id": "a/b"}], 2), ([{"id": ""}], 1)],
)
@pytest.mark.parametrize("ahead", [False, True])
def test_what_has_no_usable_id_is_left_out_and_counted(items: list[Any], nameless: int, *, ahead: bool) -> None:
    async def handle(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=orjson.dumps({"value": [{"id": "good"}, *items]}), content_type="application/json")

    async def test() -> None:
        async with served(handle) as client:
            reader = DirectoryReader(client, Listing("/users", ["displayName"], "x"), ahead=ahead)
            page = await reader.page(None)
            assert (page.items, page.nameless) == ([{"id": "good"}], nameless)
            await reader.stop()

    run(test)


def test_throttling_that_goes_on_postpones_for_as_long_as_was_asked() -> None:
    async def handle(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "600"})

    async def test() -> None:
        async with served(handle) as client:
            with pytest.raises(Postponed) as postponed:
                await client.get_json("/a", "x")
            assert postponed.value.seconds == 600

    run(test)


def test_a_part_of_a_batch_that_is_throttled_holds_the_next_request_back() -> None:
    """Forty reads are two requests: the second leaves when the wait of the first is over."""
    told: list[str] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        asked = orjson.loads(await request.read())["requests"]
        told.append(f"{len(asked)} asked")
        parts = [{"id": part["id"], "status": 200, "body": {}} for part in asked]
        if len(told) == 1:
            parts[3] = {"id": asked[3]["id"], "status": 429, "headers": {"Retry-After": "7"}, "body": {}}
        return web.Response(body=orjson.dumps({"responses": parts}), content_type="application/json")

    class Noting(Tireless):
        async def sleep(self, seconds: float) -> None:
            told.append(f"waited {seconds:.0f} s")
            await super().sleep(seconds)

    async def test() -> None:
        async with served(handle, Noting()) as client:
            answers = await batch.get(client, {f"{n}": f"/users/{n}" for n in range(40)}, "x")
            assert {part.status for part in answers.values()} == {200}
            assert told == ["20 asked", "waited 7 s", "20 asked", "1 asked"]

    run(test)
