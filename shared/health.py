"""Whether what the app depends on answers. Each dependency is looked at on a thread of its own, by whoever asks and at most
every few seconds, so that an answer takes no longer than two seconds whatever hangs.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from shared import deadline
from shared.clock import Clock
from shared.deadline import Deadline
from shared.errors import RollcallError

WAIT, FRESH = 1.5, 2.0
NO_ANSWER = "no-answer"


class Check:
    """One dependency. `look` raises a RollcallError, whose code is what is shown."""

    def __init__(self, name: str, look: Callable[[], None], clock: Clock) -> None:
        self._look, self._clock = look, clock
        self._thread = ThreadPoolExecutor(1, f"health-{name}")
        self._lock = threading.Lock()
        self._running: Future[str] | None = None
        self._known: tuple[float, str] | None = None

    async def result(self) -> str:
        """ok, or the code of what is wrong."""
        with self._lock:
            now = self._clock.monotonic()
            if self._known and now - self._known[0] < FRESH:
                return self._known[1]
            if self._running is None or self._running.done():
                self._running = self._thread.submit(self._looked)
            waiting = asyncio.wrap_future(self._running)
        done, _ = await asyncio.wait({waiting}, timeout=WAIT)
        return waiting.result() if done else NO_ANSWER

    def _looked(self) -> str:
        try:
            with deadline.within(Deadline(WAIT, self._clock)):
                self._look()
            found = "ok"
        except RollcallError as error:
            found = NO_ANSWER if error.code == "out-of-time" else error.code
        except Exception:  # noqa: BLE001 - whatever it is, the app can't use it
            found = "error"
        with self._lock:
            self._known = self._clock.monotonic(), found
        return found


class Checks:
    def __init__(self, looks: Mapping[str, Callable[[], None]], clock: Clock) -> None:
        self._checks = {name: Check(name, look, clock) for name, look in looks.items()}

    async def results(self) -> dict[str, str]:
        """By dependency."""
        found = await asyncio.gather(*(check.result() for check in self._checks.values()))
        return dict(zip(self._checks, found, strict=True))
