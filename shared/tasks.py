"""Doing several things at once: failing with the first failure itself rather than with a group of them, and letting the
one go first that everything else waits for.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

_LONGEST_HOLD = 0.25


class RightOfWay:
    """One loop, two kinds of work: what a chain of requests waits for (sending the next, reading the answer) goes before
    what only has to be done some time. Without it each of the couple of dozen turns of the loop that a request takes
    stands behind whatever else is ready (measured: a fifth of a first sync's wall).
    """

    def __init__(self) -> None:
        self._free = asyncio.Event()
        self._free.set()

    def claim(self) -> None:
        """The chain has something to do."""
        self._free.clear()

    def release(self) -> None:
        """The chain waits for somebody else."""
        self._free.set()

    async def give(self) -> None:
        """Returns when nothing goes first; at the latest after a quarter of a second, for a claim may hang on a line
        that does not move.
        """
        await asyncio.sleep(0)
        if self._free.is_set():
            return
        try:
            async with asyncio.timeout(_LONGEST_HOLD):
                while not self._free.is_set():
                    await self._free.wait()
                    await asyncio.sleep(0)  # what was read may be answered with the next request
        except TimeoutError:
            self._free.set()


async def together(coroutines: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Runs all; when one fails the others are cancelled and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures


async def finished(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Runs it to its end, even if the caller is cancelled meanwhile: the cancellation is raised afterwards. For what closes
    several things one after the other.
    """
    task = asyncio.ensure_future(coroutine)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            await asyncio.wait([task])
        raise


async def both[A, B](one: Coroutine[Any, Any, A], other: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Two results at once; like `together` where one fails."""
    found: list[Any] = [None, None]

    async def keep(place: int, coroutine: Coroutine[Any, Any, Any]) -> None:
        found[place] = await coroutine

    await together((keep(0, one), keep(1, other)))
    return found[0], found[1]
