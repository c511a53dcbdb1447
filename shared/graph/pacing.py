import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from shared.clock import Clock
from shared.domain.pacing import Pacing
from shared.domain.run import Waits
from shared.graph.answers import Postponed


class Pace:
    def __init__(self, pacing: Pacing, slots, tenant: str, app: str, clock: Clock, waits: Waits) -> None:
        self._pacing, self._slots, self._key, self._clock, self._waits = (
            pacing,
            slots,
            (tenant, app, pacing.service),
            clock,
            waits,
        )
        self.slot = None

    async def take(self, holder: str, is_over: Callable[[str], Awaitable[bool]]) -> None:
        slot = await asyncio.to_thread(self._slots.get, *self._key)
        if slot.holder not in ("", holder) and not await is_over(slot.holder):
            raise Postponed(self._pacing.window_seconds)
        self.slot = replace(slot, holder=holder)
        await self.save()

    async def turn(self) -> None:
        now = self._clock.now().timestamp()
        w = self._pacing.window_seconds
        recent = sorted(min(at, now) for at in self.slot.recent if now - at < w)
        if len(recent) >= self._pacing.requests:
            wait = recent[-self._pacing.requests] + w - now + 0.5
            self._waits.paced_seconds = round(self._waits.paced_seconds + wait, 1)
            if wait > 3.0:
                raise Postponed(wait)
            await self._clock.sleep(wait)
            now = self._clock.now().timestamp()
        self.slot = replace(self.slot, recent=(*recent, now)[-self._pacing.requests :])
        await self.save()

    async def release(self) -> None:
        if self.slot:
            self.slot = replace(self.slot, holder="")
            await asyncio.to_thread(self._slots.save, self.slot)

    async def save(self) -> None:
        saved = await asyncio.to_thread(self._slots.save, self.slot)
        if saved is None:
            raise Postponed(self._pacing.window_seconds)
        self.slot = saved
