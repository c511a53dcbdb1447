"""Keeping a limit of Graph together with every other run of the same tenant and application.

The times of the last requests stand in a row that all of them share. Short waits are waited; long ones postpone the run, so
that no worker stands still for them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from shared.clock import Clock
from shared.domain.pacing import Pacing, Slot
from shared.domain.run import Waits
from shared.graph.answers import Postponed

_SHORT_WAIT = 3.0
_LONGEST_WAIT = 3600.0
_AFTER = 0.5  # seconds behind the end of a window: Graph's clock is not ours


class SlotStore(Protocol):
    """Where slots are kept. `save` gives None where somebody else changed the slot since it was read."""

    def get(self, tenant: str, application: str, service: str) -> Slot: ...
    def save(self, slot: Slot) -> Slot | None: ...


class Pace:
    """One run's turn at a service. `take` it before the first request."""

    def __init__(
        self, pacing: Pacing, store: SlotStore, tenant: str, application: str, clock: Clock, waits: Waits
    ) -> None:
        self._pacing, self._store, self._clock, self._waits = pacing, store, clock, waits
        self._key = (tenant, application, pacing.service)
        self._slot: Slot | None = None

    async def take(self, holder: str, is_over: Callable[[str], Awaitable[bool]]) -> None:
        """Raises Postponed while another run holds the service and is not over."""
        slot = await asyncio.to_thread(self._store.get, *self._key)
        if slot.holder not in ("", holder) and not await is_over(slot.holder):
            raise Postponed(self._pacing.window_seconds)
        await self._save(replace(slot, holder=holder))

    async def turn(self) -> None:
        """Returns when the next request may leave, and counts it."""
        assert self._slot is not None
        now = self._clock.now().timestamp()
        wait = self._wait(self._slot, now)
        if wait > 0:
            self._waits.paced_seconds = round(self._waits.paced_seconds + wait, 1)
            if wait > _SHORT_WAIT:
                raise Postponed(wait)
            await self._clock.sleep(wait)
            now = self._clock.now().timestamp()
        recent = (*self._recent(self._slot, now), now)[-self._pacing.requests :]
        await self._save(replace(self._slot, recent=recent, not_before=0.0))

    def _wait(self, slot: Slot, now: float) -> float:
        asked = slot.not_before - now
        if asked > _LONGEST_WAIT:
            asked = 0.0  # written by a clock that was ahead
        recent = self._recent(slot, now)
        if len(recent) < self._pacing.requests:
            return asked
        return max(asked, recent[-self._pacing.requests] + self._pacing.window_seconds - now + _AFTER)

    def _recent(self, slot: Slot, now: float) -> list[float]:
        """Requests of this window, or of as much time to come: a clock was set back a little. What lies further ahead was
        written by a clock that was wrong.
        """
        return sorted(at for at in slot.recent if abs(now - at) < self._pacing.window_seconds)

    async def throttled(self, seconds: float) -> None:
        """Graph asked for a wait: whoever comes next keeps it too."""
        assert self._slot is not None
        until = self._clock.now().timestamp() + min(seconds, _LONGEST_WAIT)
        await self._save(replace(self._slot, not_before=max(until, self._slot.not_before)))

    async def release(self) -> None:
        """Lets others use the service. Nothing happens where it was not taken, or somebody else has it by now."""
        if self._slot is not None:
            slot, self._slot = replace(self._slot, holder=""), None
            await asyncio.to_thread(self._store.save, slot)

    async def _save(self, slot: Slot) -> None:
        saved = await asyncio.to_thread(self._store.save, slot)
        if saved is None:
            self._slot = None
            raise Postponed(self._pacing.window_seconds)  # somebody else took it: wait for a turn
        self._slot = saved
