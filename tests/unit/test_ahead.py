"""Pages that are read ahead: over a real client and a server that gives them, in order, in time, and whole."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from shared.graph.ahead import MOST_AHEAD, PagesAhead, following
from shared.graph.answers import PageTokenExpired
from shared.graph.client import GraphClient
from shared.tasks import RightOfWay
from tests.served import run, served

Special = Callable[[int, str], Awaitable[web.Response]]
NEXT = "@odata.nextLink"


@asynccontextmanager
async def _served(pages: int, special: Special | None = None) -> AsyncIterator[tuple[GraphClient, list[int]]]:
    """A list of so many pages at /p/1, /p/2 ...; `special` may answer instead."""
    asked: list[int] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        number = int(request.path.rpartition("/")[2])
        asked.append(number)
        base = f"http://{request.host}"
        if special and (answer := await special(number, base)).status != 204:
            return answer
        link = {NEXT: f"{base}/p/{number + 1}"} if number < pages else {}
        return web.Response(body=orjson.dumps({**link, "value": [number]}), content_type="application/json")

    async with served(handle) as client:
        yield client, asked


async def _all(ahead: PagesAhead, first: str) -> list[int]:
    found, link = [], first
    while link:
        page, _ = await ahead.get(link)
        found += page["value"]
        link = page.get(NEXT)
    return found


def test_pages_come_once_and_in_order() -> None:
    async def test() -> None:
        async with _served(7) as (client, asked):
            ahead = PagesAhead(client, "x")
            assert await _all(ahead, "/p/1") == asked == [1, 2, 3, 4, 5, 6, 7]
            assert await _all(ahead, "/p/5") == [5, 6, 7]  # the same reader, another list

    run(test)


def test_no_more_pages_wait_than_allowed_and_none_is_asked_for_after_the_stop() -> None:
    async def test() -> None:
        async with _served(50) as (client, asked):
            ahead = PagesAhead(client, "x")
            await ahead.get("/p/1")
            for _ in range(300):
                await asyncio.sleep(0.001)
            assert len(asked) == 1 + MOST_AHEAD + 1  # what waits, and one that came and has no room yet
            await ahead.stop()
            await asyncio.sleep(0.05)
            assert len(asked) == 1 + MOST_AHEAD + 1

    run(test)


def test_what_goes_wrong_with_a_page_is_raised_when_its_turn_comes() -> None:
    async def expired(number: int, _base: str) -> web.Response:
        if number != 3:
            return web.Response(status=204)
        body = {"error": {"code": "Directory_ExpiredPageToken", "message": "expired"}}
        return web.json_response(body, status=400)

    async def test() -> None:
        async with _served(5, expired) as (client, _):
            ahead = PagesAhead(client, "x")
            link = "/p/1"
            for number in (1, 2):
                page, _ = await ahead.get(link)
                assert page["value"] == [number]
                link = page[NEXT]
            with pytest.raises(PageTokenExpired):
                await ahead.get(link)

    run(test)


def test_a_page_that_is_cut_short_is_read_again_even_where_its_end_looks_whole() -> None:
    times: list[int] = []

    async def cut(number: int, base: str) -> web.Response:
        times.append(number)
        if number != 2 or times.count(2) > 2:
            return web.Response(status=204)
        whole = orjson.dumps({NEXT: f"{base}/p/3", "value": [{"a": 1}, {"b": 2}]})
        end = -1 if times.count(2) == 1 else -3  # `...{"b":2}]` and `...{"b":2`
        body = whole[:end] if times.count(2) == 1 else whole[:end] + b"}"
        return web.Response(body=body, content_type="application/json")

    async def test() -> None:
        async with _served(3, cut) as (client, _):
            assert await _all(PagesAhead(client, "x"), "/p/1") == [1, 2, 3]
            assert times.count(2) == 3

    run(test)


ITEMS = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), max_size=3)
HEADS = st.dictionaries(st.sampled_from(["@odata.context", "x", 'y"value']), st.text(max_size=20), max_size=3)


@given(ITEMS, HEADS, st.one_of(st.none(), st.text(max_size=40)), st.sampled_from(["first", "last", "none"]))
def test_the_link_is_the_pages_own_wherever_it_stands(items: Any, head: Any, link: str | None, place: str) -> None:
    mine = {} if place == "none" else {NEXT: link}
    page = {**head, **mine, "value": items} if place == "first" else {**head, "value": items, **mine}
    assert following(orjson.dumps(page)) == (page.get(NEXT) or None)  # an empty link is none


def test_a_nested_link_is_not_the_pages_own() -> None:
    nested = {
        "value": [{"id": "1", NEXT: "https://elsewhere.example/", "members@odata.nextLink": "https://x.example/"}]
    }
    assert following(orjson.dumps(nested)) is None


def test_the_right_of_way_is_given_and_ends_by_itself() -> None:
    async def test() -> None:
        way, told = RightOfWay(), list[str]()

        async def second() -> None:
            await way.give()
            told.append("second")

        way.claim()
        other = asyncio.create_task(second())
        for _ in range(20):
            await asyncio.sleep(0)
        assert told == []
        told.append("first")
        way.release()
        await other
        assert told == ["first", "second"]
        way.claim()  # and nobody releases it
        await asyncio.wait_for(way.give(), 5)

    run(test)
