"""Runs on demand: started, stopped, asked for again, and taken off their schedule row when they have closed."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from shared.clock import Clock, iso
from shared.connectors.base import Job
from shared.connectors.registry import Registry
from shared.domain.actor import SYSTEM, Actor
from shared.domain.configuration import CLOUD_SERVER_ID, reading_credential
from shared.domain.document import Document
from shared.domain.pending import Pending
from shared.domain.run import DELETE, INSTALLATION, PURGE, Run, RunRow, RunState, job_of, new_run_id, track_of
from shared.domain.schedule_row import ScheduleRow, bare
from shared.errors import Conflict, FieldError, Invalid, NotFound, Unavailable
from shared.scheduling import backoff, quarantine
from shared.scheduling.claims import Claims
from shared.scheduling.timetable import Timetable
from shared.storage.config import ConfigStore
from shared.storage.runs import Runs
from shared.storage.schedules import Schedules

STOP = Pending(code="stop-runs", message="The run stops with the timer's next turn: its message could not be sent.")
_TRIES = 5


def made_with(object_id: str) -> datetime:
    """When an id of new_id() was made."""
    return datetime.fromtimestamp(int(object_id[:12], 16) / 1000, UTC)


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
        audit: Callable[[str, Actor, str, str, dict[str, Any]], object],
    ) -> None:
        """`audit` notes who did what: source, who, what, to what, details."""
        self._audit = audit
        self._registry, self._config, self._schedules = registry, config, schedules
        self._timetable, self._runs, self._claims, self._clock = timetable, runs, claims, clock

    def run_now(
        self, connector: str, who: Actor, *, job: str | None = None, full: bool = False, once: str = ""
    ) -> tuple[RunRow, bool]:
        """A run of one of the connector's jobs (the first one where none is named), and whether it is new: during a run it
        is that run. A full read that is asked for during another one follows it, once. `once`: an id of this very request,
        so that its repetition finds the run that it started.
        """
        document = self._config.get("connector", connector)
        if document is None:
            raise NotFound(f"There is no connector with the id {connector}.")
        chosen = self.job_named(document, job)
        track = track_of(connector, chosen.name)
        run_id = new_run_id(track, made_with(once), once[-8:]) if once else ""
        if run_id and (made := self._runs.get(run_id)):
            return made, True
        self.refuse(document, chosen)
        noted = False
        for _ in range(_TRIES):
            row = self._schedules.get(track)
            if row is None:
                self._timetable.put_job(document, chosen)
                continue
            if row.run:
                run = self._runs.get(row.run)
                if run and not run.state.closed:
                    asked = not full or row.full or self._schedules.save(
                        replace(row, want_full=True, requested_by=who.name, requested_by_id=who.id)
                    )  # fmt: skip
                    if asked:
                        return run, row.run == run_id
                    continue
                self._mend(row)
                continue
            if not noted:
                self._audit(document.source_id, who, "run-asked", connector, {"job": chosen.name, "full": full})
                noted = True
            if made := self._claims.claim(row, trigger="manual", who=who, full=full, run_id=run_id):
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

    def refuse(self, document: Document, job: Job) -> None:
        """Raises Conflict where the function app may not run the job."""
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
        if not document.body.get("active"):
            raise Conflict(
                "The connector is not active, so it gathers nothing.",
                code="inactive",
                remedy="Set active to true, then run again.",
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
        named = reading_credential(document.body, source.body if source else {})
        credential = self._config.get("credential", named) if named else None
        return f"{credential.id}.{credential.revision}" if credential else ""

    def delete_records(self, document: Document, who: Actor) -> RunRow | None:
        """The run that deletes a connector with everything it collected; made once, mended by the tick."""
        with contextlib.suppress(Unavailable):  # the deletion waits for them, and the tick asks again
            self.halt(document.id, "deletion of the connector")
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
            if made := self._claims.claim(row, trigger="system" if who == SYSTEM else "manual", who=who):
                return made  # otherwise the tick was faster: its run is the answer
        return None

    def halt(self, connector: str, why: str) -> None:
        """Asks whatever reads for this connector to stop. Raises Unavailable once all were asked that could be."""
        failed: Unavailable | None = None
        for row in self._schedules.of(connector):
            if row.want_full:
                self._schedules.save(replace(row, want_full=False))
            try:
                self.stop(row, why)
            except Unavailable as error:
                failed = error
        if failed:
            raise failed

    def stop(self, row: ScheduleRow, why: str) -> None:
        """Asks the run of a track to stop, once; a deletion goes on to its end."""
        run = self._runs.get(row.run) if row.run and job_of(row.track) != DELETE else None
        if run and not run.state.closed and not self._runs.cancel_asked(run):
            self._runs.ask_to_cancel(run, Actor(SYSTEM.id, why, application=True))
            self._claims.hint(run)

    def cancel(self, run_id: str, who: Actor) -> RunRow:
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
        document = self._config.get("connector", run.connector_id)
        source = document.source_id if document else INSTALLATION
        self._audit(source, who, "run-cancelled", run.id, {"connector": run.connector_id, "job": run.job})
        self._runs.ask_to_cancel(run, who)
        try:
            self._claims.hint(run)  # a run that waits for its next slice is told at once
        except Unavailable:
            return run.model_copy(update={"pending": [STOP]})
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
            free = replace(row, run="", trigger="", full=False)
            if not row.want_full:
                free = replace(free, requested_by="", requested_by_id="")
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
