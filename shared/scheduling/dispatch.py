"""Runs on demand: started, stopped, asked for again, and taken off their schedule row when they have closed."""

from dataclasses import replace

from shared.clock import Clock, iso
from shared.connectors.base import Job
from shared.connectors.registry import Registry
from shared.domain.configuration import CLOUD_SERVER_ID
from shared.domain.document import Document
from shared.domain.run import DELETE, PURGE, Run, RunRow, RunState, job_of, track_of
from shared.domain.schedule_row import ScheduleRow, bare
from shared.errors import Conflict, FieldError, Invalid, NotFound
from shared.scheduling import backoff, quarantine
from shared.scheduling.claims import Claims
from shared.scheduling.timetable import Timetable
from shared.storage.config import ConfigStore
from shared.storage.runs import Runs
from shared.storage.schedules import Schedules

_TRIES = 5


class Dispatch:
    def __init__(
        self,
        registry: Registry,
        config: ConfigStore,
        schedules: Schedules,
        timetable: Timetable,
        runs: Runs,
        claims: Claims,
        clock: Clock,
    ) -> None:
        self._registry, self._config, self._schedules = registry, config, schedules
        self._timetable, self._runs, self._claims, self._clock = timetable, runs, claims, clock

    def run_now(self, connector: str, who: str, *, job: str | None = None, full: bool = False) -> tuple[RunRow, bool]:
        """A run of one of the connector's jobs (the first one where none is named), and whether it is new: during a run it
        is that run. A full read that is asked for during another one follows it, once.
        """
        document = self._config.get("connector", connector)
        if document is None:
            raise NotFound(f"There is no connector with the id {connector}.")
        chosen = self.job_named(document, job)
        self._refuse(document, chosen)
        track = track_of(connector, chosen.name)
        for _ in range(_TRIES):
            row = self._schedules.get(track)
            if row is None:
                self._timetable.put_job(document, chosen)
                continue
            if row.run:
                run = self._runs.get(row.run)
                if run and not run.state.closed:
                    asked = not full or row.full or self._schedules.save(replace(row, want_full=True, requested_by=who))
                    if asked:
                        return run, False
                    continue
                self._mend(row)
                continue
            if made := self._claims.claim(row, trigger="manual", who=who, full=full):
                return made, True
        raise Conflict("The connector's schedule keeps changing.", code="busy", remedy="Try again in a few seconds.")

    def job_named(self, document: Document, name: str | None) -> Job:
        """The job of the connector's kind with this name, or its first. Raises Invalid."""
        kind = self._registry.kind_of(document)
        job = kind.job(name) if name else kind.jobs[0]
        if job is None:
            names = ", ".join(job.name for job in kind.jobs)
            fields = (FieldError("job", "unknown", f"is none of {names}"),)
            raise Invalid(f"{kind.title} has no job {name}.", remedy=f"Name one of {names}.", fields=fields)
        return job

    def _refuse(self, document: Document, job: Job) -> None:
        if document.deleting:
            raise Conflict(
                "The connector is being deleted.", code="deleting", remedy="Wait until it is gone, or look at its run."
            )
        if job not in self._registry.jobs_of(document):
            switches = " or ".join(sorted({stream.switch for stream in job.streams}))
            raise Conflict(
                f"The options of this connector switch off what {job.name} reads.",
                code="job-off",
                remedy=f"Switch it on (options: {switches}), then run again.",
            )
        if document.body.get("connectorServerId") != CLOUD_SERVER_ID:
            raise Conflict(
                "This connector belongs to another connector server; the function app does not run it.",
                code="other-server",
                remedy="Choose the connector server cloud, or run it from its own server.",
            )
        if not self.crawled(document):
            raise Conflict(
                "Collection from this source is switched off.",
                code="crawl-off",
                remedy="Switch crawl on at the source, then run again.",
            )

    def crawled(self, document: Document) -> bool:
        """Whether the function app may read for this connector."""
        if document.body.get("connectorServerId") != CLOUD_SERVER_ID:
            return False  # its own server takes the work; this one must not
        source = self._config.get("source", document.source_id)
        return bool(source and source.body.get("crawl"))

    def credential_mark(self, document: Document) -> str:
        """Names the credential that a connector reads with, in its present form."""
        source = self._config.get("source", document.source_id)
        credential = self._config.get("credential", str(source.body.get("credentialId"))) if source else None
        return f"{credential.id}.{credential.revision}" if credential else ""

    def delete_records(self, document: Document, who: str) -> RunRow | None:
        """The run that deletes a connector with everything it collected; made once, mended by the tick."""
        self.halt(document.id, who or "deletion")
        track = track_of(document.id, DELETE)
        for _ in range(_TRIES):
            row = self._schedules.get(track) or self._schedules.save(bare(track))
            if row is None:
                continue
            if row.run:
                self._mend(row)
                row = self._schedules.get(track) or row
                if row.run:
                    return self._runs.get(row.run)
            if made := self._claims.claim(row, trigger="manual" if who else "system", who=who):
                return made  # otherwise the tick was faster: its run is the answer
        return None

    def halt(self, connector: str, who: str) -> None:
        """Asks whatever reads for this connector to stop."""
        for row in self._schedules.of(connector):
            if job_of(row.track) == DELETE:
                continue
            if row.want_full:
                self._schedules.save(replace(row, want_full=False))
            run = self._runs.get(row.run) if row.run else None
            if run and not run.state.closed:
                self._runs.ask_to_cancel(run, who)
                self._claims.hint(run)

    def cancel(self, run_id: str, who: str) -> RunRow:
        """Asks the run to stop; it does so within a page or two seconds. A deletion goes on to its end."""
        run = self._runs.get(run_id)
        if run is None:
            raise NotFound(f"There is no run with the id {run_id}.")
        if run.state.closed:
            raise Conflict(
                f"The run has {run.state.value} already.", code="run-closed", remedy="There is nothing to cancel."
            )
        if run.job == DELETE:
            raise Conflict(
                "A deletion cannot be cancelled: half of the connector would remain.",
                code="deleting",
                remedy="Wait for it; what it removed so far is shown by the run.",
            )
        self._runs.ask_to_cancel(run, who)
        self._claims.hint(run)  # a run that waits for its next slice is told at once
        return run

    def next_slice(self, run: Run, delay_seconds: float) -> None:
        self._claims.hint(run, delay_seconds)

    def watch(self, run: Run, seen: str, *, guard: bool) -> None:
        self._claims.watch(run, seen, guard=guard)

    def _mend(self, row: ScheduleRow) -> None:
        if closed := self._claims.mend(row):
            self.closed(closed)

    def closed(self, run: RunRow) -> None:
        """Frees the schedule row of a closed run and notes how it went; the tick does the same should this be missed."""
        for _ in range(_TRIES):
            row = self._schedules.get(run.track)
            if row is None or row.run != run.id:
                return
            keep_asker = row.requested_by if row.want_full else ""
            free = replace(row, run="", trigger="", requested_by=keep_asker, full=False)
            if self._schedules.save(self._outcome(free, run)):
                return

    def _outcome(self, row: ScheduleRow, run: RunRow) -> ScheduleRow:
        now = self._clock.now()
        if quarantine.succeeded(run):
            fresh = quarantine.healed(row)
            document = self._config.get("connector", run.connector_id) if row.quarantined_at else None
            if document and row.active and row.anchor:
                due = self._timetable.due_after(document, row, now)
                fresh = replace(fresh, next_due=min(row.next_due or due, due))
            if run.again_at and fresh.active and fresh.next_due:
                fresh = replace(fresh, next_due=min(fresh.next_due, iso(run.again_at)))
            return fresh
        if run.state is not RunState.FAILED or run.job in (DELETE, PURGE):
            return row
        document = self._config.get("connector", run.connector_id)
        if backoff.may_pass(run):
            return backoff.backed_off(row, run, now, self._timetable.rhythm(document, row, now) if document else None)
        return quarantine.failed(row, run, now, self.credential_mark(document) if document else "")
