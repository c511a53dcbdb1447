"""Why a record may have to go, and how many may go without a person's word."""

from collections.abc import Container, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from shared.clock import iso, parse_iso

LEAST, WINDOW = 10, timedelta(hours=24)


class Cause(StrEnum):
    """The cause of one removal, as holds and tombstones show it."""

    DELETED = "deleted"
    """Deleted in Entra: may be restored there for 30 days."""
    GONE = "gone"
    """Gone at the source for good, or never to be found there again."""
    DOMAIN = "domain"
    """Its addresses are in none of the source's domains any more."""
    EXCLUDED_GROUP = "excluded-group"
    """Became a member of an excluded group."""
    THRESHOLD = "threshold"
    """Past the threshold in days."""
    NOT_CONFIRMED = "not-confirmed"
    """Absent from the read, but Microsoft Graph gave no clear answer when it was asked for."""
    NOT_ASKED = "not-asked"
    """Absent from the read, one of too many to ask for each."""

    @property
    def of_scope(self) -> bool:
        return self in (Cause.DOMAIN, Cause.EXCLUDED_GROUP, Cause.THRESHOLD)

    @property
    def unproved(self) -> bool:
        return self in (Cause.NOT_CONFIRMED, Cause.NOT_ASKED)


class Candidate(NamedTuple):
    """`digest` and `changed` serve the stub of one that leaves the scope."""

    cause: Cause
    digest: int = 0
    changed: bool = False


@dataclass(frozen=True)
class Held:
    """One removal that waits. `decision`: empty, confirmed or rejected; `row`: as it is stored."""

    object_id: str
    cause: Cause
    since: datetime
    run: str
    decision: str
    decided_by: str
    row: dict[str, Any]

    @property
    def doubtful(self) -> bool:
        """It waits only because Graph gave no clear answer, and nobody has decided: a clear answer settles it."""
        return self.cause.unproved and not self.decision


@dataclass(frozen=True)
class Verdict:
    """What becomes of the candidates. `may`: those that are proved may go without a person's word. `fresh`: whom it
    concerns, `going` and `held` of them; `waiting`: held before and still, of which `renamed` have a clear cause now.
    """

    may: bool
    fresh: dict[str, Candidate]
    going: list[str]
    held: list[str]
    waiting: AbstractSet[str]
    renamed: AbstractSet[str]


def is_new(object_id: str, cause: Cause, held: Mapping[str, Held]) -> bool:
    """Whether a candidate is not held yet, or held for a doubt that is gone now."""
    before = held.get(object_id)
    return before is None or (before.doubtful and not cause.unproved)


def judge(
    candidates: Mapping[str, Candidate],
    stored: Container[str],
    held: Mapping[str, Held],
    settled: AbstractSet[str],
    *,
    lately: int,
    limit: int,
) -> Verdict:
    """Decides about removals. `stored`: ids that have a record; `settled`: held ones that were released, or confirmed and
    asked for again; `lately`: removals of the last 24 hours; `limit`: how many need no person's word.

    A hold whose doubt is gone goes by itself only where all that waits might have: otherwise part of what a person was
    told about would vanish.
    """
    fresh = {key: c for key, c in candidates.items() if is_new(key, c.cause, held)}
    waiting = held.keys() - settled - fresh.keys()
    proved = _proved(fresh, stored)
    renamed = held.keys() & fresh.keys()
    undecided = sum(not held[key].decision for key in waiting)
    if renamed and lately + len(proved) + undecided > limit:
        fresh = {key: c for key, c in fresh.items() if key not in renamed}
        proved = _proved(fresh, stored)
        waiting = waiting | renamed
    else:
        renamed = set()
    may = lately + len(proved) <= limit
    waits = [key for key, c in fresh.items() if key in stored and (c.cause.unproved or not may)]
    return Verdict(may, fresh, proved if may else [], waits, waiting, renamed)


def _proved(candidates: Mapping[str, Candidate], stored: Container[str]) -> list[str]:
    return [key for key, c in candidates.items() if not c.cause.unproved and key in stored]


def causes_of(candidates: Mapping[str, Candidate], keys: Iterable[str]) -> list[Cause]:
    return [candidates[key].cause for key in keys]


def limit_of(records: int, count: int, percent: int) -> int:
    """Removals that a stream may make in 24 hours: the lower of the two, but at least ten (unless the owner set 0)."""
    if count == 0 or percent == 0:
        return 0
    return max(LEAST, min(count, records * percent // 100))


def lately(removals: list[tuple[str, int]], now: datetime) -> list[tuple[str, int]]:
    """Those of the last 24 hours. A time to come (a clock that was set back) counts too."""
    return [(at, count) for at, count in removals if parse_iso(at) > now - WINDOW]


def noted(removals: list[tuple[str, int]], at: datetime, count: int) -> list[tuple[str, int]]:
    return [*lately(removals, at), (iso(at), count)] if count else lately(removals, at)
