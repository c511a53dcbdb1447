"""Time, as something that is handed in: nothing below the wiring reads a clock of its own."""

import asyncio
import threading
import time
from datetime import UTC, datetime

_LAST = 9_999_999_999_999


class Clock:
    """Wall time for people, monotonic time for decisions, and the only sleeps there are."""

    def now(self) -> datetime:
        """The time in UTC. For stamps and schedules, never for deciding who holds a lease."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on this process' own clock: does not jump."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def pause(self, seconds: float) -> None:
        """The same on a thread of its own."""
        time.sleep(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Waits on a thread of its own until the event is set, at most so long. Gives whether it is."""
        return event.wait(seconds)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with a Z, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def counted_down(moment: datetime) -> str:
    """Milliseconds counted down, 13 digits: newer sorts first."""
    return f"{_LAST - int(moment.astimezone(UTC).timestamp() * 1000):013d}"


def counted_up(text: str) -> datetime:
    """The reverse of counted_down(). Raises ValueError."""
    return datetime.fromtimestamp((_LAST - int(text[:13])) / 1000, UTC)


def parse_iso(text: str) -> datetime:
    """The reverse of iso(); also takes Graph's seven fractional digits. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
