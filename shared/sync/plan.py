"""How one stream is read by one run, and what the run allows."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from shared.clock import Clock
from shared.domain.checkpoint import Checkpoint
from shared.domain.removal import Cause
from shared.domain.run import StreamProgress
from shared.sync.limits import Limits
from shared.tasks import RightOfWay


class SliceOver(Exception):
    """The time budget is used up; everything up to the checkpoint is durable."""


class Cancelled(Exception):
    """Somebody asked the run to stop, or what it needs was switched off."""


class StartOver(Exception):
    """A delta round can't be had: read everything. `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
    limits: Limits


@dataclass(frozen=True)
class Plan:
    """`full`: why everything is read; empty for a delta round from `delta_link`. `records`, `stubs`: what is stored, as far
    as is known; `limit`: removals that need no person's word, `lately` those of the last 24 hours; `grace`: for so long an object is too new to be
    removed for being absent; `moved`: causes whose
    part of the scope the owner changed since the last complete read; `ageing_asks`: who grows past a threshold counts as
    a removal, for the clock has gone a long way since; `unfinished`: runs that may have left records without their
    look-up rows; `unseen`: records that the last full read did not bring;
    `remapped`: attributes that stored rows hold as another mapping made them;
    `look_ups_anew`: look-up rows of unchanged records are written too; `fresh`: the checkpoint to begin with.
    """

    fresh: Checkpoint
    full: str = ""
    delta_link: str = ""
    records: int = 0
    stubs: int = 0
    limit_count: int = 500
    limit_percent: int = 20
    grace: timedelta = timedelta(hours=24)
    lately: int = 0
    moved: frozenset[Cause] = field(default_factory=frozenset)
    ageing_asks: bool = False
    unfinished: frozenset[str] = field(default_factory=frozenset)
    unseen: tuple[str, ...] = ()
    look_ups_anew: bool = False
    remapped: frozenset[str] = frozenset()
