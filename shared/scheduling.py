"""A connector's row in the table Schedule: kept in step with its configuration, claimed for runs."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.clock import Clock, iso, parse_iso
from shared.domain.configuration import ConnectorIn
from shared.domain.schedule import Schedule, next_due, next_times
from shared.errors import Conflict
from shared.storage.config import Document
from shared.storage.schedules import ScheduleRow, Schedules

_TRIES = 5


def schedule_of(document: Document) -> Schedule:
    return Schedule.model_validate(document.body["schedule"])


def connector_model(document: Document) -> ConnectorIn:
    return ConnectorIn.model_validate(document.body)


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

    def remove(self, connector: str) -> None:
        self._schedules.remove(connector)

    def refuse_while_running(self, connector: str) -> None:
        row = self._schedules.get(connector)
        if row and row.run:
            raise Conflict(
                f"The run {row.run} of this connector is going on.",
                code="run-going-on",
                remedy=f"Cancel it first: POST /api/v1/runs/{row.run}/cancel.",
            )

    def describe(self, document: Document) -> dict[str, Any]:
        """What the API shows of a connector beside its configuration."""
        row = self._schedules.get(document.id)
        due: list[str] = []
        if row and row.active and row.next_due:
            first = parse_iso(row.next_due)
            following = next_times(schedule_of(document), first, anchor=parse_iso(row.anchor), count=4)
            due = [iso(moment) for moment in (first, *following)]
        return {"nextDue": due, "currentRunId": (row.run or None) if row else None}

    def due_after(self, document: Document, row: ScheduleRow, moment: datetime) -> str:
        return iso(next_due(schedule_of(document), moment, anchor=parse_iso(row.anchor)))
