"""The timer's work: starts what is due, and mends what is half started."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial

from shared.clock import Clock, iso, parse_iso
from shared.connectors.registry import Registry
from shared.domain.actor import NOBODY, SYSTEM, Actor
from shared.domain.document import Document
from shared.domain.run import DELETE, INSTALLATION, PURGE, connector_of, track_of
from shared.domain.schedule_row import ScheduleRow, bare
from shared.scheduling.claims import Claims
from shared.scheduling.dispatch import Dispatch
from shared.scheduling.quarantine import SLOWED_TO, healed, quarantine_of
from shared.scheduling.timetable import Timetable
from shared.storage.config import ConfigStore
from shared.storage.runs import Runs
from shared.storage.schedules import Schedules

PURGE_EVERY = timedelta(days=1)
MOST_LATE = timedelta(days=8)
"""A purge that is later than this waits for another day: the clock may have jumped, and would take a year's history."""
_log = logging.getLogger("rollcall.tick")


class Tick:
    def __init__(
        self,
        registry: Registry,
        config: ConfigStore,
        schedules: Schedules,
        timetable: Timetable,
        runs: Runs,
        claims: Claims,
        dispatch: Dispatch,
        clock: Clock,
        may_run: Callable[[], None],
        chores: Mapping[str, Callable[[], object]],
    ) -> None:
        """`may_run` raises where this release must not work any more; `chores`: what else the timer looks after."""
        self._may_run, self._chores = may_run, chores
        self._registry, self._config, self._schedules, self._timetable = registry, config, schedules, timetable
        self._runs, self._claims, self._dispatch, self._clock = runs, claims, dispatch, clock

    def run(self) -> list[str]:
        """Gives the runs that it started. One failing connector does not keep the others from their turn."""
        self._may_run()
        rows = {row.track: row for row in self._schedules.all()}  # first: a row without its connector is left over then
        connectors = {document.id: document for document in self._config.all("connector")}
        started: list[str] = []
        for document in connectors.values():
            self._guarded(f"connector {document.id}", partial(self._look_after, document, rows, started))
        for track, row in rows.items():
            if connector_of(track) not in connectors:
                self._guarded(f"track {track}", partial(self._left_over, row))
        for what, chore in self._chores.items():
            self._guarded(what, chore)
        self._guarded("the purge", partial(self._purge, rows.get(track_of(INSTALLATION, PURGE)), started))
        return started

    def _guarded(self, what: str, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception:  # noqa: BLE001 - one connector must not keep the others from their turn
            _log.exception("the tick could not look after %s", what)

    def _look_after(self, document: Document, rows: dict[str, ScheduleRow], started: list[str]) -> None:
        own = {track: row for track, row in rows.items() if connector_of(track) == document.id}
        jobs = [] if document.deleting else self._registry.jobs_of(document)
        on = {track_of(document.id, job.name): job for job in jobs}
        for track, row in own.items():
            if track not in on and row.run and track != track_of(document.id, DELETE):
                self._mend(row)
        if document.deleting:
            self._dispatch.delete_records(document, SYSTEM)
            return
        for track, job in on.items():
            found = own.get(track)
            if found is None or found.revision < document.revision:
                self._timetable.put_job(document, job)
            elif run := self._turn(document, found):
                started.append(run)

    def _turn(self, document: Document, row: ScheduleRow) -> str | None:
        if row.run:
            if not (document.body.get("active") and self._dispatch.crawled(document)):
                self._dispatch.stop(row, "the connector gathers nothing any more")  # where that failed at the change
            self._mend(row)
            return None
        now = self._clock.now()
        row = self._freed(document, row)
        if row.want_full and row.active:
            return self._start(document, row)
        if not (row.active and row.next_due):
            return None
        wait = parse_iso(row.next_due) - now
        if wait > timedelta():
            if wait > SLOWED_TO and row.next_due > (due := self._timetable.due_after(document, row, now)):
                self._schedules.save(replace(row, next_due=due))  # made when the clock was ahead
            return None
        found = quarantine_of(row, now)
        return None if found and found.state == "off" else self._start(document, row)

    def _mend(self, row: ScheduleRow) -> None:
        if closed := self._claims.mend(row):
            self._dispatch.closed(closed)

    def _freed(self, document: Document, row: ScheduleRow) -> ScheduleRow:
        """A changed credential ends a quarantine at once."""
        if not row.quarantined_at or row.failed_with == self._dispatch.credential_mark(document):
            return row
        fresh = replace(healed(row), next_due=iso(self._clock.now()))
        return self._schedules.save(fresh) or row

    def _start(self, document: Document, row: ScheduleRow) -> str | None:
        due = self._timetable.due_after(document, row, self._clock.now())
        if not self._dispatch.crawled(document):
            self._schedules.save(replace(row, next_due=due, want_full=False))
            return None
        asked = row.want_full  # a person's wish that came in during another run
        run = self._claims.claim(
            row, trigger="manual" if asked else "schedule",
            who=Actor(row.requested_by_id, row.requested_by) if asked else NOBODY, full=asked, next_due=due,
        )  # fmt: skip
        return run.id if run else None

    def _purge(self, row: ScheduleRow | None, started: list[str]) -> None:
        track, now = track_of(INSTALLATION, PURGE), self._clock.now()
        if row is None:
            self._schedules.save(replace(bare(track), next_due=iso(now + PURGE_EVERY)))
            return
        if row.run:
            self._mend(row)
            return
        late = now - parse_iso(row.next_due) if row.next_due else timedelta.max
        if not -PURGE_EVERY <= late <= MOST_LATE:
            self._schedules.save(replace(row, next_due=iso(now + PURGE_EVERY)))
            return
        if late < timedelta():
            return
        if run := self._claims.claim(row, trigger="system", next_due=iso(now + PURGE_EVERY)):
            started.append(run.id)

    def _left_over(self, row: ScheduleRow) -> None:
        """The row of a connector that is gone: its run ends, then it goes too."""
        if row.track == track_of(INSTALLATION, PURGE):
            return
        run = self._runs.get(row.run) if row.run else None
        if run is None or run.state.closed:
            self._schedules.remove(row.track)
        else:
            self._dispatch.stop(row, "the connector is gone")
            self._mend(row)
