"""A real GraphClient and a small server that answers as a test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from shared.clock import Clock
from shared.domain.run import Waits
from shared.graph.client import GraphClient
from tests.bench.run_once import StaticToken

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Tireless(Clock):
    """Sleeping takes no time."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@asynccontextmanager
async def served(handler: Handler, clock: Clock | None = None) -> AsyncIterator[GraphClient]:
    runner = web.ServerRunner(web.Server(handler))  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = GraphClient(url, lambda: StaticToken("x"), "x", clock or Tireless(), Waits())
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


def run(test: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(test(), 30))
