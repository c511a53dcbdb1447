"""A connector's row in the table Schedule: kept in step with its configuration, claimed for runs."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.clock import Clock, iso, parse_iso
from shared.domain.configuration import Quarantine
from shared.domain.run import track_of
from shared.domain.schedule import Schedule, next_due, next_times
from shared.storage.config import Document
from shared.storage.schedules import ScheduleRow, Schedules

_TRIES = 5
OFF_AFTER = timedelta(weeks=4)
"""A connector that was quarantined so long runs no more by itself."""


def quarantine_of(row: ScheduleRow | None, now: datetime) -> Quarantine | None:
    """What the API shows of a connector that kept failing."""
    if row is None or not row.quarantined_at:
        return None
    since = parse_iso(row.quarantined_at)
    state: Literal["slowed", "off"] = "off" if now - since >= OFF_AFTER else "slowed"
    return Quarantine(
        since=since, state=state, code=row.failure_code, message=row.failure_message, remedy=row.failure_remedy,
        failures=row.failures,
    )  # fmt: skip


def schedule_of(document: Document) -> Schedule:
    return Schedule.model_validate(document.body["schedule"])


class Scheduling:
    def __init__(self, schedules: Schedules, clock: Clock) -> None:
        self._schedules, self._clock = schedules, clock

    def put(self, document: Document) -> None:
        """Brings the row in step with the connector. A changed schedule gets a new due time; a run that goes on stays."""
        schedule, active = schedule_of(document), bool(document.body["active"])
        for _ in range(_TRIES):
            now = self._clock.now()
            old = self._schedules.get(document.id)
            if old and old.revision >= document.revision:
                return
            mark = schedule.model_dump_json()
            if old and old.fingerprint == mark and old.active == active:
                row = replace(old, revision=document.revision)  # a due time that was missed stays due
            else:
                at_once = old is None and schedule.first_run == "at-once"
                due = iso(now if at_once else next_due(schedule, now, anchor=now)) if active else ""
                base = old or ScheduleRow(document.id, 0, active, due, iso(now))
                row = replace(
                    base, revision=document.revision, active=active, next_due=due, anchor=iso(now), fingerprint=mark
                )
            if self._schedules.save(row):
                return
        # Somebody else keeps changing the row: the next tick compares revisions and does this again.

    def describe(self, document: Document) -> dict[str, Any]:
        """What the API shows of a connector beside its configuration."""
        row = self._schedules.get(document.id)
        due: list[str] = []
        quarantine = quarantine_of(row, self._clock.now())
        if row and row.active and row.next_due and not (quarantine and quarantine.state == "off"):
            first = parse_iso(row.next_due)
            count = 0 if quarantine else 4  # slowed: what comes behind the next attempt depends on it
            following = next_times(schedule_of(document), first, anchor=parse_iso(row.anchor), count=count)
            due = [iso(moment) for moment in (first, *following)]
        return {
            "nextDue": due,
            "currentRunId": (row.run or None) if row else None,
            "quarantine": quarantine,
            "signInsQuarantine": quarantine_of(
                self._schedules.get(track_of(document.id, "sign-ins")), self._clock.now()
            ),
        }

    def due_after(self, document: Document, row: ScheduleRow, moment: datetime) -> str:
        return iso(next_due(schedule_of(document), moment, anchor=parse_iso(row.anchor)))
