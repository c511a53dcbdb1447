"""What failures that only a person can mend (a secret, a permission, the configuration) do to a schedule: after three in a
row a job is slowed to once a day, after four weeks it runs no more by itself. Pure decisions over a schedule row.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from shared.clock import iso, parse_iso
from shared.domain.configuration import Quarantine
from shared.domain.run import Run, RunState
from shared.domain.schedule_row import ScheduleRow

AFTER = 3
"""Failed runs in a row."""
SLOWED_TO = timedelta(days=1)
OFF_AFTER = timedelta(weeks=4)
"""A job that was quarantined for so long runs no more by itself."""


def quarantine_of(row: ScheduleRow | None, now: datetime) -> Quarantine | None:
    """What the API shows of a job that kept failing."""
    if row is None or not row.quarantined_at:
        return None
    since = parse_iso(row.quarantined_at)
    state: Literal["slowed", "off"] = "off" if now - since >= OFF_AFTER else "slowed"
    return Quarantine(
        since=since, state=state, code=row.failure_code, message=row.failure_message, remedy=row.failure_remedy,
        failures=row.failures,
    )  # fmt: skip


def healed(row: ScheduleRow) -> ScheduleRow:
    """Without what it says of failures."""
    return replace(
        row, failures=0, failure_code="", failure_message="", failure_remedy="", failed_with="", quarantined_at="",
        passing=0, passing_since="",
    )  # fmt: skip


def succeeded(run: Run) -> bool:
    """Whether a closed run was of use: one stream that is closed to us stops no other."""
    useful = any(stream.phase == "done" for stream in run.streams)
    return run.state in (RunState.SUCCEEDED, RunState.HELD, RunState.INCOMPLETE) or (
        run.state is RunState.FAILED and useful
    )


def failed(row: ScheduleRow, run: Run, now: datetime, credential: str) -> ScheduleRow:
    """The row after another failed run. `credential` names what it failed with: a changed one ends a quarantine."""
    row = replace(row, failures=row.failures + 1, failed_with=credential, passing=0, passing_since="")
    if run.problems:
        last = run.problems[-1]
        row = replace(row, failure_code=last.code, failure_message=last.message, failure_remedy=last.remedy)
    if row.failures < AFTER:
        return row
    slowed = iso(now + SLOWED_TO)
    return replace(row, quarantined_at=row.quarantined_at or iso(now), next_due=max(row.next_due, slowed))
