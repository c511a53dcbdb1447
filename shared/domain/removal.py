"""Why a record may have to go, and how many may go without a person's word."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

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
