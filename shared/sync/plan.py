"""What reading one stream needs from outside: the source, the store, the run's plan, and what it may."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.clock import Clock
from shared.domain.checkpoint import Checkpoint
from shared.domain.removal import Cause
from shared.domain.run import StreamProgress
from shared.domain.write import Head, Intent, Known, Write
from shared.graph.listing import Page
from shared.tasks import RightOfWay


class SliceOver(Exception):
    """The time budget is used up; everything up to the checkpoint is durable."""


class StartOver(Exception):
    """A delta round can't be had: read everything. `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Source(Protocol):
    """A collection at the source."""

    async def page(self, link: str | None) -> Page: ...
    async def enumerate(self, link: str | None) -> Page: ...
    async def stop(self) -> None: ...
    async def changes(self, link: str) -> Page: ...
    async def latest(self) -> str | None: ...
    async def count(self) -> int | None: ...
    async def ask(self, object_ids: Sequence[str]) -> dict[str, str]: ...
    async def fetch(self, object_ids: Sequence[str]) -> dict[str, dict[str, Any] | None]: ...


class Store(Protocol):
    """The records of one stream."""

    def heads(self, table: str = ...) -> AsyncIterator[list[Head]]: ...
    async def find(self, object_ids: Iterable[str], *, stubs: bool) -> dict[str, Known]: ...
    async def write(self, writes: Sequence[Write]) -> int: ...
    async def settle(self, intent: Intent) -> None: ...
    async def drop_stubs(self, object_ids: Iterable[str]) -> None: ...


@dataclass(frozen=True)
class Control:
    """What the run allows and wants to know: `save` makes a checkpoint durable, `beat` reports progress and raises
    when the run was cancelled or the lease is lost, `time_left` is the slice's rest in seconds, `way` is held while the
    source is being asked or read.
    """

    save: Callable[[Checkpoint], Awaitable[None]]
    beat: Callable[[StreamProgress], Awaitable[None]]
    time_left: Callable[[], float]
    clock: Clock
    way: RightOfWay


@dataclass(frozen=True)
class Plan:
    """How the stream is read by this run. `full`: why everything is read; empty for a delta round from `delta_link`.
    `records`, `stubs`: what is stored, as far as is known; `limit`: removals that need no person's word, `lately` those
    of the last 24 hours; `moved`: causes whose part of the scope the owner changed since the last complete read; `ageing_asks`: who grows
    past a threshold counts as a removal, for the clock has gone a long way since; `unfinished`: runs that may have left
    records without their look-up rows; `unseen`: records that the last full read did not bring; `fresh`: the checkpoint
    to begin with.
    """

    fresh: Checkpoint
    full: str = ""
    delta_link: str = ""
    records: int = 0
    stubs: int = 0
    limit_count: int = 500
    limit_percent: int = 20
    lately: int = 0
    moved: frozenset[Cause] = field(default_factory=frozenset)
    ageing_asks: bool = False
    unfinished: frozenset[str] = field(default_factory=frozenset)
    unseen: tuple[str, ...] = ()
