"""What failures that may pass do to a schedule: an outage of the vault, Entra or Graph costs a job no more than an hour.
Pure decisions over a schedule row.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from shared.clock import iso, parse_iso
from shared.domain.configuration import Backoff
from shared.domain.run import Run
from shared.domain.schedule_row import ScheduleRow

FIRST = timedelta(minutes=5)
MOST = timedelta(hours=1)


def may_pass(run: Run) -> bool:
    """Whether what ended a failed run may be over at the next one. The last problem is what ended it."""
    return bool(run.problems) and run.problems[-1].transient


def wait_after(failures: int, rhythm: timedelta) -> timedelta:
    """How long after so many failures in a row the job is tried again: its own rhythm, or five minutes where that is
    longer, then twice as long each time, up to an hour.
    """
    wait = min(rhythm, FIRST)
    for _ in range(failures - 1):
        wait = min(wait * 2, MOST)
    return wait


def backed_off(row: ScheduleRow, run: Run, now: datetime, rhythm: timedelta | None) -> ScheduleRow:
    """The row after a failure that may pass. `rhythm`: what lies between two due times, None without a schedule."""
    last = run.problems[-1]
    row = replace(
        row, passing=row.passing + 1, passing_since=row.passing_since or iso(now), failure_code=last.code,
        failure_message=last.message, failure_remedy=last.remedy,
    )  # fmt: skip
    if rhythm is None or not row.next_due:
        return row
    again = iso(now + wait_after(row.passing, rhythm))
    own = row.next_due if rhythm > MOST and row.next_due > iso(now) else again
    return replace(row, next_due=min(own, again))


def backoff_of(row: ScheduleRow | None) -> Backoff | None:
    """What the API shows of a job whose last failures may pass."""
    if row is None or not row.passing:
        return None
    return Backoff(
        since=parse_iso(row.passing_since), failures=row.passing, code=row.failure_code, message=row.failure_message,
        remedy=row.failure_remedy,
    )  # fmt: skip
