"""What is known of one track: when it is due, what runs, and how its last runs went. The row is the truth about both."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ScheduleRow:
    """`next_due` ISO 8601 or empty; `run` the run that goes on or empty; `revision` of the connector it was made from;
    `anchor`: when the schedule was saved, `fingerprint` what it said; `requested_by`, `requested_by_id`: name and object id of who asked for it;
    `hinted_at`: when the run's message was last sent;
    `full`: the run reads everything, `want_full`: the next one shall; `failures`: runs in a row that failed,
    `quarantined_at`: since when that slows the schedule down, `failed_with`: the credential it failed with; `passing`: runs
    in a row that failed with what may pass, `passing_since`: when the first of them did.
    """

    track: str
    revision: int
    active: bool
    next_due: str
    anchor: str
    fingerprint: str = ""
    run: str = ""
    trigger: str = ""
    requested_by: str = ""
    requested_by_id: str = ""
    hinted_at: str = ""
    full: bool = False
    want_full: bool = False
    failures: int = 0
    failure_code: str = ""
    failure_message: str = ""
    failure_remedy: str = ""
    failed_with: str = ""
    quarantined_at: str = ""
    passing: int = 0
    passing_since: str = ""
    etag: str = ""


def bare(track: str) -> ScheduleRow:
    """A row without a schedule, for what runs on demand only."""
    return ScheduleRow(track, 0, active=True, next_due="", anchor="")
