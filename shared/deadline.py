"""How long somebody waits for an answer, known wherever the work for it is done: no request to a service outlives it, and
none that writes is begun behind it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from shared.clock import Clock
from shared.errors import OutOfTime, Unanswered, Unavailable

_current: ContextVar["Deadline | None"] = ContextVar("deadline", default=None)


class Deadline:
    """`seconds` from now. Work that runs on several threads may share it."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self.seconds = seconds
        self._clock, self._ends = clock, clock.monotonic() + seconds
        self.unanswered = False
        """Whether the last write that was sent has had no answer so far: it may have been done or not."""

    def left(self) -> float:
        return self._ends - self._clock.monotonic()

    def check(self) -> None:
        """Raises OutOfTime where nothing more may be begun."""
        if self.left() <= 0:
            raise OutOfTime(f"A service that this needs did not answer within {self.seconds:g} seconds.")

    def over(self) -> Unavailable:
        """What to tell who waited."""
        if self.unanswered:
            return Unanswered(f"A service took a change and did not answer within {self.seconds:g} seconds.")
        return OutOfTime(f"A service that this needs did not answer within {self.seconds:g} seconds.")


def current() -> Deadline | None:
    """The deadline of the request that this thread works for; None for timers and runs, which have lives of their own."""
    return _current.get()


@contextmanager
def within(deadline: Deadline) -> Iterator[None]:
    """Everything inside, on this thread, is work for who waits that long."""
    token = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(token)
