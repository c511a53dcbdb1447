"""A request that must not be repeated arrives at most once, and its caller learns what is known of its outcome."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from shared.clock import Clock
from shared.domain.run import Waits
from shared.graph.answers import NotSent, OutcomeUnknown
from shared.graph.client import Answer, GraphClient
from shared.graph.pacing import Pace
from tests.bench.run_once import StaticToken
from tests.served import run, served

_CHALLENGE = {"WWW-Authenticate": 'Bearer error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="'}


async def _once(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> tuple[Answer | Exception, list[str]]:
    arrived: list[str] = []

    async def counted(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        arrived.append(f"{request.method} {request.path} {body.decode()} {request.headers['Authorization']}")
        return await handler(request)

    async with served(counted) as client:
        try:
            answer: Answer | Exception = await client.send_once("PATCH", "/users/1", {"accountEnabled": False})
        except (NotSent, OutcomeUnknown) as error:
            answer = error
    return answer, arrived


@pytest.mark.parametrize(
    ("status", "headers", "unknown"),
    [(204, {}, False), (400, {}, False), (401, {}, False), (401, _CHALLENGE, False), (403, {}, False),
     (429, {"Retry-After": "1"}, False), (499, {}, True), (302, {"Location": "/elsewhere"}, False), (408, {}, True), (500, {}, True),
     (503, {"Retry-After": "1"}, True), (504, {}, True)],
)  # fmt: skip
def test_every_answer_is_given_as_it_is(status: int, headers: dict[str, str], unknown: bool) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers=headers)

    async def go() -> None:
        found, arrived = await _once(answer)
        assert isinstance(found, Answer)
        assert (found.status, found.outcome_unknown) == (status, unknown)
        assert arrived == ['PATCH /users/1 {"accountEnabled":false} Bearer x']

    run(go)


def _abort(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


def test_a_connection_that_breaks_leaves_the_outcome_unknown() -> None:
    async def before(request: web.Request) -> web.StreamResponse:
        _abort(request)
        return web.Response()

    async def after_half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"x" * 50)
        await asyncio.sleep(0)
        _abort(request)
        return response

    async def go() -> None:
        for handler in (before, after_half):
            found, arrived = await _once(handler)
            assert isinstance(found, OutcomeUnknown) and found.code == "graph-outcome-unknown"
            assert len(arrived) == 1

    run(go)


def test_a_kept_connection_that_graph_closes_makes_no_outcome_unknown() -> None:
    """Whatever came over a connection, the next request over it is cut off."""
    used: set[asyncio.BaseTransport | None] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.transport in used:
            _abort(request)
        used.add(request.transport)
        return web.json_response({})

    async def go() -> None:
        async with served(answer) as client:
            await client.get_json("/users/1", "User.Read.All")
            for _ in range(3):
                assert (await client.send_once("POST", "/users/1/revokeSignInSessions")).status == 200

    run(go)


def test_bytes_arrive_as_they_are() -> None:
    arrived: list[tuple[str, bytes]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        arrived.append((request.content_type, await request.read()))
        return web.Response(status=204)

    async def go() -> None:
        async with served(answer) as client:
            await client.send_once("PUT", "/users/1/photo/$value", b"\xff\xd8", {"Content-Type": "image/jpeg"})
        assert arrived == [("image/jpeg", b"\xff\xd8")]

    run(go)


def test_a_refused_token_is_replaced_for_the_next_request_and_not_for_the_same_one() -> None:
    tokens, arrived = iter(["old", "new"]), list[str]()

    async def answer(request: web.Request) -> web.StreamResponse:
        arrived.append(request.headers["Authorization"])
        return web.Response(status=401 if arrived[-1] == "Bearer old" else 204)

    async def go() -> None:
        async with served(answer) as other:
            client = GraphClient(other.base_url, lambda: StaticToken(next(tokens)), "x", Clock(), Waits())
            assert (await client.send_once("POST", "/users/1/revokeSignInSessions")).status == 401
            assert (await client.send_once("POST", "/users/1/revokeSignInSessions")).status == 204
            await client.close()
        assert arrived == ["Bearer old", "Bearer new"]

    run(go)


class Told(Pace):
    """Notes the waits that Graph asked for."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def turn(self) -> None:
        pass

    async def throttled(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_a_throttled_request_tells_the_others_how_long_to_wait() -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": "40"})

    async def go() -> None:
        async with served(answer) as client:
            client.pace = told = Told()
            assert (await client.send_once("POST", "/users/1/revokeSignInSessions")).status == 429
        assert told.seconds == [40.0] and client.waits.throttled == 1

    run(go)


def test_what_never_left_says_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listened on: connections are refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"

        async def go() -> None:
            client = GraphClient(url, lambda: StaticToken("x"), "x", Clock(), Waits())
            with pytest.raises(NotSent) as refused:
                await client.send_once("POST", "/users/1/revokeSignInSessions")
            assert refused.value.code == "graph-not-sent" and "nothing was sent" in refused.value.detail
            await client.close()

        run(go)
