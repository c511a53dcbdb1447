"""Threads for handlers, which wait for services that are asked synchronously. Each dependency has a bounded number of its own:
one that hangs takes its own threads and no others, and where all of them wait the next request is told so at once.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from shared import deadline
from shared.deadline import Deadline
from shared.errors import Unavailable

STORAGE, VAULT, GRAPH = "storage", "vault", "graph"
SIZES = {STORAGE: 16, VAULT: 4, GRAPH: 8}
_GRACE = 0.25
"""Requests to services end within the deadline by themselves; this is for what they still have to do with the answer."""


class Pool:
    def __init__(self, name: str, size: int) -> None:
        self.name, self._size = name, size
        self._executor = ThreadPoolExecutor(size, f"http-{name}")
        self._free = threading.Semaphore(size)

    async def run[T](self, work: Callable[[], T], until: Deadline) -> T:
        """The work's result. Raises Unavailable where all threads are busy, OutOfTime or Unanswered at the deadline; the
        thread goes on until the service it waits for has answered, or its own time is over.
        """
        if not self._free.acquire(blocking=False):
            raise Unavailable(
                f"All that may wait for {self.name} at a time do so.",
                code="busy",
                remedy="Try again in some seconds; /api/v1/health says which service does not answer.",
                headers={"Retry-After": "5"},
            )
        context = contextvars.copy_context()

        def called() -> T:
            with deadline.within(until):
                return work()

        future: Future[T] = self._executor.submit(context.run, called)
        future.add_done_callback(lambda _future: self._free.release())
        waiting = asyncio.wrap_future(future)
        waiting.add_done_callback(_read)
        done, _ = await asyncio.wait({waiting}, timeout=max(0.0, until.left()) + _GRACE)
        if not done:
            raise until.over()
        return waiting.result()


def _read(waiting: "asyncio.Future[Any]") -> None:
    """Nobody may be waiting any more for what went wrong."""
    if not waiting.cancelled():
        waiting.exception()
