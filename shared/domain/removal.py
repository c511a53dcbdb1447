"""Why a record may have to go, and how many may go without a person's word."""

from collections.abc import Container, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from shared.clock import iso, parse_iso
from shared.domain.run import made_at

LEAST, WINDOW = 10, timedelta(hours=24)
SECOND_ANSWER = timedelta(hours=1)
"""How long after the first answer that an absent object is not there the second one counts."""


class Cause(StrEnum):
    """The cause of one removal, as holds and tombstones show it."""

    DELETED = "deleted"
    """Deleted in Entra: may be restored there for 30 days."""
    GONE = "gone"
    """Gone at the source for good, or never to be found there again."""
    DOMAIN = "domain"
    """Its primary mail address is in none of the source's domains any more."""
    EXCLUDED_GROUP = "excluded-group"
    """Became a member of an excluded group."""
    THRESHOLD = "threshold"
    """Past the threshold in days."""
    ABSENT = "absent"
    """Absent from the read and not found when it was asked for, once: another replica may know it. It waits for a second
    answer, not for a person.
    """
    NOT_CONFIRMED = "not-confirmed"
    """Absent from the read, but Microsoft Graph gave no clear answer when it was asked for."""
    NOT_ASKED = "not-asked"
    """Absent from the read, one of too many to ask for each."""

    @property
    def of_scope(self) -> bool:
        return self in (Cause.DOMAIN, Cause.EXCLUDED_GROUP, Cause.THRESHOLD)

    @property
    def unproved(self) -> bool:
        return self in (Cause.ABSENT, Cause.NOT_CONFIRMED, Cause.NOT_ASKED)


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
    decided_by_id: str
    row: dict[str, Any]

    @property
    def doubtful(self) -> bool:
        """It waits only because Graph gave no clear answer, and nobody has decided: a clear answer settles it."""
        return self.cause.unproved and not self.decision

    @property
    def reported(self) -> bool:
        """Whether Graph reported it as removed."""
        return bool(self.row.get("Reported"))

    @property
    def due(self) -> str:
        """Of an absent one: from when on a second answer counts, ISO 8601."""
        return str(self.row.get("NotBefore", ""))


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
    return before is None or (before.doubtful and (cause is Cause.ABSENT or not cause.unproved))


def judge(
    candidates: Mapping[str, Candidate],
    stored: Container[str],
    held: Mapping[str, Held],
    settled: AbstractSet[str],
    *,
    lately: int,
    limit: int,
    emptied: bool = False,
) -> Verdict:
    """Decides about removals. `stored`: ids that have a record; `settled`: held ones that were released, or confirmed and
    asked for again; `lately`: removals of the last 24 hours; `limit`: how many need no person's word; `emptied`: hardly
    anybody would be left of a copy whose scope the owner changed.

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
    may = lately + len(proved) <= limit and not emptied
    waits = [key for key, c in fresh.items() if key in stored and (c.cause.unproved or not may)]
    return Verdict(may, fresh, proved if may else [], waits, waiting, renamed)


def _proved(candidates: Mapping[str, Candidate], stored: Container[str]) -> list[str]:
    return [key for key, c in candidates.items() if not c.cause.unproved and key in stored]


def causes_of(candidates: Mapping[str, Candidate], keys: Iterable[str]) -> list[Cause]:
    return [candidates[key].cause for key in keys]


def not_before(first_answer: datetime, row: Mapping[str, Any], grace: timedelta) -> datetime:
    """When an object that was not found once may go, should it not be found again: not while it is so new (or so newly
    returned) that a replica may not know it. `row`: as it is stored.
    """
    written_as, _, run_id = row.get("ChangedBy", "").partition("|")
    newest = made_at(run_id) if written_as == "returned" else parse_iso(row["FirstSeenAt"])
    return max(first_answer + SECOND_ANSWER, newest + grace)


def empties(candidates: Mapping[str, Candidate], stored: Container[str], moved: Container[Cause], records: int) -> bool:
    """Whether a change of scope would leave hardly anybody: rather a mistake than what the owner wants."""
    leaving = [key for key in _proved(candidates, stored) if candidates[key].cause in moved]
    return bool(leaving) and leaves_hardly_anybody(records, len(leaving))


def leaves_hardly_anybody(records: int, leaving: int) -> bool:
    """Whether a tenth of the records or less would be left."""
    return records - leaving <= records // 10


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
