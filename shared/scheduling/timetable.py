"""When each job of a connector is due: its rows in the table Schedule, kept in step with the configuration."""

from dataclasses import replace
from datetime import datetime, timedelta

from shared.clock import Clock, iso, parse_iso
from shared.connectors.base import Job
from shared.connectors.registry import Registry
from shared.domain.configuration import JobState
from shared.domain.document import Document
from shared.domain.run import job_of, track_of
from shared.domain.schedule import Schedule, next_due
from shared.domain.schedule_row import ScheduleRow
from shared.scheduling.backoff import backoff_of
from shared.scheduling.quarantine import quarantine_of
from shared.storage.schedules import Schedules

_TRIES = 5


def schedule_of(document: Document) -> Schedule:
    return Schedule.model_validate(document.body["schedule"])


class Timetable:
    def __init__(self, registry: Registry, schedules: Schedules, clock: Clock) -> None:
        self._registry, self._schedules, self._clock = registry, schedules, clock

    def put(self, document: Document) -> None:
        """Brings the rows of all jobs that are on in step with the connector."""
        for job in self._registry.jobs_of(document):
            self.put_job(document, job)

    def put_job(self, document: Document, job: Job) -> None:
        """A changed schedule gets a new due time; a run that goes on stays."""
        schedule, active, track = schedule_of(document), bool(document.body["active"]), track_of(document.id, job.name)
        for _ in range(_TRIES):
            now = self._clock.now()
            old = self._schedules.get(track)
            if old and old.revision >= document.revision:
                return
            mark = schedule.model_dump_json()
            if old and old.fingerprint == mark and old.active == active:
                row = replace(old, revision=document.revision)  # a due time that was missed stays due
            else:
                at_once = old is None and schedule.first_run == "at-once"
                due = iso(now if at_once else next_due(schedule, now, anchor=now)) if active else ""
                base = old or ScheduleRow(track, 0, active, due, iso(now))
                row = replace(
                    base, revision=document.revision, active=active, next_due=due, anchor=iso(now), fingerprint=mark
                )
            if self._schedules.save(row):
                return
        # Somebody else keeps changing the row: the next tick compares revisions and does this again.

    def describe(self, document: Document, *, on: bool = True) -> list[JobState]:
        """What the API shows of a connector's jobs; without due times where it gathers nothing."""
        rows = {row.track: row for row in self._schedules.of(document.id)}
        return [
            self._state(document, job, rows.get(track_of(document.id, job.name)), on=on)
            for job in self._registry.jobs_of(document)
        ]

    def _state(self, document: Document, job: Job, row: ScheduleRow | None, *, on: bool) -> JobState:
        due: list[datetime] = []
        quarantine = quarantine_of(row, self._clock.now())
        if on and row and row.active and row.next_due and not (quarantine and quarantine.state == "off"):
            due = [parse_iso(row.next_due)]
            for _ in range(0 if quarantine else 4):  # slowed: what comes behind the next attempt depends on it
                due.append(self._after(document, job, row, due[-1]))
        run = (row.run or None) if row else None
        return JobState(
            name=job.name,
            title=job.title,
            next_due=due,
            current_run_id=run,
            quarantine=quarantine,
            backoff=backoff_of(row),
        )

    def _after(self, document: Document, job: Job | None, row: ScheduleRow, moment: datetime) -> datetime:
        """The first due time behind a moment at which the job ran, or will."""
        schedule, anchor = schedule_of(document), parse_iso(row.anchor)
        due = next_due(schedule, moment, anchor=anchor)
        if job and due - moment < job.least_every:
            due = next_due(schedule, moment + job.least_every, anchor=anchor)
        return due

    def rhythm(self, document: Document, row: ScheduleRow, now: datetime) -> timedelta | None:
        """What lies between the next two due times; None for a job without a schedule."""
        if not (row.active and row.anchor and row.next_due):
            return None
        job = self._registry.kind_of(document).job(job_of(row.track))
        first = self._after(document, job, row, now)
        return self._after(document, job, row, first) - first

    def due_after(self, document: Document, row: ScheduleRow, moment: datetime) -> str:
        job = self._registry.kind_of(document).job(job_of(row.track))
        return iso(self._after(document, job, row, moment))
