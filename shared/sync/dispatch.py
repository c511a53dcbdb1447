"""Starting runs. The schedule row is the truth, a message only a hint: whatever is missing is made again by the tick."""

import logging
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.clock import Clock, iso, parse_iso
from shared.domain.configuration import CLOUD_SERVER_ID
from shared.domain.run import INSTALLATION, Run, RunState, track_of
from shared.errors import Conflict, NotFound
from shared.scheduling import Scheduling, quarantine_of
from shared.storage.config import ConfigStore, Document
from shared.storage.lease import suspicious
from shared.storage.queues import Queues
from shared.storage.runs import Runs, new_run_id
from shared.storage.schedules import ScheduleRow, Schedules

QUEUE = "rollcall-cloud"
PURGE_EVERY = timedelta(days=1)
MOST_LATE = timedelta(days=8)
"""A purge that is later than this waits for another day: the clock may have jumped, and would take a year's history."""
QUARANTINE_AFTER = 3  # failed runs in a row
SLOWED_TO = timedelta(days=1)
_SILENT = 40.0  # seconds without a renewal (every 15) after which the message is sent again, as a hint
_TRIES = 5
_TASKS = ("directory", "sign-ins", "delete")
_log = logging.getLogger("rollcall.dispatch")


class Dispatch:
    def __init__(
        self,
        config: ConfigStore,
        schedules: Schedules,
        scheduling: Scheduling,
        runs: Runs,
        queues: Queues,
        clock: Clock,
    ) -> None:
        self._config, self._schedules, self._scheduling = config, schedules, scheduling
        self._runs, self._queues, self._clock = runs, queues, clock

    def tick(self) -> list[str]:
        """Starts what is due, mends what is half started; gives the runs it started. One failing connector does not
        keep the others from their turn.
        """
        rows = {row.track: row for row in self._schedules.all()}  # first: a row without its connector is left over then
        connectors = {document.id: document for document in self._config.all("connector")}
        started: list[str] = []
        for document in connectors.values():
            self._guarded(f"connector {document.id}", lambda d=document: started.extend(self._look_after(d, rows)))
        for track, row in rows.items():
            if track.partition("-")[0] not in connectors:
                self._guarded(f"track {track}", lambda r=row: self._left_over(r))
        self._guarded("the purge", lambda: started.extend(self._purge(rows.get(track_of(INSTALLATION, "purge")))))
        return started

    def _guarded(self, what: str, call: Any) -> None:
        try:
            call()
        except Exception:  # noqa: BLE001 - one connector must not keep the others from their turn
            _log.exception("the tick could not look after %s", what)

    def _look_after(self, document: Document, rows: dict[str, ScheduleRow]) -> list[str]:
        row = rows.get(document.id)
        if document.body.get("deleting"):
            self.delete_records(document, "")
            return [run for track in ("directory", "sign-ins") if (run := self._only_mend(rows, document.id, track))]
        if row is None or row.revision < document.revision:
            self._scheduling.put(document)
            return []
        started = [self._turn(document, row, "directory")]
        if document.body["options"].get("collectSignIns", True):
            track = track_of(document.id, "sign-ins")
            own = self._in_step(rows.get(track) or _bare(track), row)
            if own:
                started.append(self._turn(document, own, "sign-ins"))
        else:
            self._only_mend(rows, document.id, "sign-ins")
        return [run for run in started if run]

    def _in_step(self, own: ScheduleRow, main: ScheduleRow) -> ScheduleRow | None:
        """Sign-ins are read on the connector's schedule, in runs of their own."""
        if (own.fingerprint, own.active, own.anchor) == (main.fingerprint, main.active, main.anchor) and own.etag:
            return own
        return self._schedules.save(
            replace(own, fingerprint=main.fingerprint, active=main.active, anchor=main.anchor, next_due=main.next_due)
        )

    def _only_mend(self, rows: dict[str, ScheduleRow], connector: str, task: str) -> str | None:
        row = rows.get(track_of(connector, task))
        if row and row.run:
            self._mend(row)
        return None

    def _turn(self, document: Document, row: ScheduleRow, task: str) -> str | None:
        if row.run:
            self._mend(row)
            return None
        now = self._clock.now()
        row = self._freed(document, row)
        if row.want_full and row.active:
            return self._claim(document, row, task)
        if not (row.active and row.next_due):
            return None
        wait = parse_iso(row.next_due) - now
        if wait > timedelta():
            if wait > SLOWED_TO and row.next_due > (due := self._scheduling.due_after(document, row, now)):
                self._schedules.save(replace(row, next_due=due))  # made when the clock was ahead
            return None
        found = quarantine_of(row, now)
        return None if found and found.state == "off" else self._claim(document, row, task)

    def _freed(self, document: Document, row: ScheduleRow) -> ScheduleRow:
        """A changed credential ends a quarantine at once."""
        if not row.quarantined_at or row.failed_with == self._credential_mark(document):
            return row
        fresh = replace(_healed(row), next_due=iso(self._clock.now()))
        return self._schedules.save(fresh) or row

    def _credential_mark(self, document: Document) -> str:
        source = self._config.get("source", document.body["sourceId"])
        credential = self._config.get("credential", source.body["credentialId"]) if source else None
        return f"{credential.id}.{credential.revision}" if credential else ""

    def _claim(self, document: Document, row: ScheduleRow, task: str) -> str | None:
        now = self._clock.now()
        due = self._scheduling.due_after(document, row, now)
        if not self._crawled(document):
            self._schedules.save(replace(row, next_due=due, want_full=False))
            return None
        run_id = new_run_id(row.track, now, secrets.token_hex(4))
        asked = row.want_full  # a person's wish that came in during another run
        next_row = replace(
            row, next_due=due, run=run_id, trigger="manual" if asked else "schedule",
            requested_by=row.requested_by if asked else "", hinted_at=iso(now), full=asked, want_full=False,
        )  # fmt: skip
        claimed = self._schedules.save(next_row)
        if claimed is None:
            return None
        self._make(claimed, task)
        return run_id

    def _crawled(self, document: Document) -> bool:
        if document.body["connectorServerId"] != CLOUD_SERVER_ID:
            return False  # its own server takes the work; this one must not
        source = self._config.get("source", document.body["sourceId"])
        return bool(source and source.body["crawl"])

    def run_now(self, connector: str, who: str, *, task: str = "directory", full: bool = False) -> tuple[Run, bool]:
        """A run of the connector, and whether it is new: during a run it is that run. A full read that is asked for
        during a delta round follows it, once.
        """
        document = self._config.get("connector", connector)
        if document is None:
            raise NotFound(f"There is no connector with the id {connector}.")
        self._refuse(document, task)
        track = track_of(connector, task)
        for _ in range(_TRIES):
            row = self._schedules.get(track)
            if row is None:
                if task == "directory":
                    self._scheduling.put(document)
                else:
                    self._schedules.save(_bare(track))
                continue
            if row.run:
                run = self._runs.get(row.run)
                if run and not run.state.closed:
                    if (
                        full
                        and not row.full
                        and not self._schedules.save(replace(row, want_full=True, requested_by=who))
                    ):
                        continue
                    return run, False
                self._mend(row)
                continue
            now = self._clock.now()
            run_id = new_run_id(track, now, secrets.token_hex(4))
            wanted = replace(
                row, run=run_id, trigger="manual", requested_by=who, hinted_at=iso(now), full=full, want_full=False
            )
            claimed = self._schedules.save(wanted)
            if claimed:
                return self._make(claimed, task), True
        raise Conflict("The connector's schedule keeps changing.", code="busy", remedy="Try again in a few seconds.")

    def _refuse(self, document: Document, task: str) -> None:
        if document.body.get("deleting"):
            raise Conflict(
                "The connector is being deleted.", code="deleting", remedy="Wait until it is gone, or look at its run."
            )
        if task == "sign-ins" and not document.body["options"].get("collectSignIns", True):
            raise Conflict(
                "This connector does not collect sign-ins.",
                code="sign-ins-off",
                remedy="Switch options.collectSignIns on, then run again.",
            )
        if document.body["connectorServerId"] != CLOUD_SERVER_ID:
            raise Conflict(
                "This connector belongs to another connector server; the function app does not run it.",
                code="other-server",
                remedy="Choose the connector server cloud, or run it from its own server.",
            )
        if not self._crawled(document):
            raise Conflict(
                "Collection from this source is switched off.",
                code="crawl-off",
                remedy="Switch crawl on at the source, then run again.",
            )

    def delete_records(self, document: Document, who: str) -> Run | None:
        """The run that deletes a connector with everything it collected; made once, mended by the tick."""
        self.halt(document.id, who or "deletion")
        track = track_of(document.id, "delete")
        for _ in range(_TRIES):
            row = self._schedules.get(track) or self._schedules.save(_bare(track))
            if row is None:
                continue
            if row.run:
                self._mend(row)
                row = self._schedules.get(track) or row
                if row.run:
                    return self._runs.get(row.run)
            now = self._clock.now()
            run_id = new_run_id(track, now, secrets.token_hex(4))
            claimed = self._schedules.save(
                replace(row, run=run_id, trigger="manual" if who else "system", requested_by=who, hinted_at=iso(now))
            )
            if claimed:  # otherwise the tick was faster: its run is the answer
                return self._make(claimed, "delete")
        return None

    def _purge(self, row: ScheduleRow | None) -> list[str]:
        track, now = track_of(INSTALLATION, "purge"), self._clock.now()
        if row is None:
            self._schedules.save(replace(_bare(track), next_due=iso(now + PURGE_EVERY)))
            return []
        if row.run:
            self._mend(row)
            return []
        late = now - parse_iso(row.next_due) if row.next_due else timedelta.max
        if not -PURGE_EVERY <= late <= MOST_LATE:
            self._schedules.save(replace(row, next_due=iso(now + PURGE_EVERY)))
            return []
        if late < timedelta():
            return []
        run_id = new_run_id(track, now, secrets.token_hex(4))
        claimed = self._schedules.save(
            replace(row, next_due=iso(now + PURGE_EVERY), run=run_id, trigger="system", hinted_at=iso(now))
        )
        if claimed is None:
            return []
        self._make(claimed, "purge")
        return [run_id]

    def _left_over(self, row: ScheduleRow) -> None:
        """The row of a connector that is gone: its run ends, then it goes too."""
        if row.track == track_of(INSTALLATION, "purge"):
            return
        run = self._runs.get(row.run) if row.run else None
        if run is None or run.state.closed:
            self._schedules.remove(row.track)
        else:
            self._mend(row)

    def halt(self, connector: str, who: str) -> None:
        """Asks whatever reads for this connector to stop."""
        for task in ("directory", "sign-ins"):
            row = self._schedules.get(track_of(connector, task))
            if row and row.want_full:
                self._schedules.save(replace(row, want_full=False))
            run = self._runs.get(row.run) if row and row.run else None
            if run and not run.state.closed:
                self._runs.ask_to_cancel(run, who)
                self._queues.send(QUEUE, message(run))

    def _make(self, row: ScheduleRow, task: str) -> Run:
        """Run row and message of a claim; doing it twice is harmless."""
        now = self._clock.now()
        run = Run(
            id=row.run, connector_id=row.track.removesuffix(f"-{task}"), task=task, full=row.full, trigger=row.trigger,
            requested_by=row.requested_by or None, created_at=now, updated_at=now,
        )  # fmt: skip
        self._runs.create(run)
        self._queues.send(QUEUE, message(run))
        return run

    def _mend(self, row: ScheduleRow) -> None:
        run = self._runs.get(row.run)
        if run is None:
            self._make(row, row.track.partition("-")[2] or "directory")
        elif run.state.closed:
            self.closed(run)
        elif self._needs_hint(row, run) and self._schedules.save(replace(row, hinted_at=iso(self._clock.now()))):
            self._queues.send(QUEUE, message(run))

    def _needs_hint(self, row: ScheduleRow, run: Run) -> bool:
        now = self._clock.now()
        if 0 <= (now - parse_iso(row.hinted_at)).total_seconds() < _SILENT:
            return False
        if (
            run.not_before
            and (now - run.not_before).total_seconds() < _SILENT
            and run.not_before - now < timedelta(hours=2)
        ):
            return False
        lease = self._runs.lease(row.track)
        if suspicious(lease, run.id):
            return True
        assert lease is not None
        return not 0 <= (now - parse_iso(lease["RenewedAt"])).total_seconds() < _SILENT

    def next_slice(self, run: Run, delay_seconds: float) -> None:
        self._queues.send(QUEUE, message(run), delay_seconds)

    def closed(self, run: Run) -> None:
        """Frees the schedule row of a closed run and notes how it went; the tick does the same should this be missed."""
        for _ in range(_TRIES):
            row = self._schedules.get(run.track)
            if row is None or row.run != run.id:
                return
            keep_asker = row.requested_by if row.want_full else ""
            free = replace(row, run="", trigger="", requested_by=keep_asker, full=False)
            if self._schedules.save(self._outcome(free, run)):
                return

    def _outcome(self, row: ScheduleRow, run: Run) -> ScheduleRow:
        useful = any(stream.phase == "done" for stream in run.streams)  # one stream that is closed to us stops no other
        if run.state in (RunState.SUCCEEDED, RunState.HELD) or (run.state is RunState.FAILED and useful):
            fresh = _healed(row)
            document = self._config.get("connector", run.connector_id) if row.quarantined_at else None
            if document and row.active and row.anchor:
                due = self._scheduling.due_after(document, row, self._clock.now())
                fresh = replace(fresh, next_due=min(row.next_due or due, due))
            return fresh
        if run.state is not RunState.FAILED or run.task not in ("directory", "sign-ins"):
            return row
        now = self._clock.now()
        document = self._config.get("connector", run.connector_id)
        failed = replace(
            row, failures=row.failures + 1, failed_with=self._credential_mark(document) if document else ""
        )
        if run.problems:
            last = run.problems[-1]
            failed = replace(failed, failure_code=last.code, failure_message=last.message, failure_remedy=last.remedy)
        if failed.failures >= QUARANTINE_AFTER:
            slowed = iso(now + SLOWED_TO)
            failed = replace(
                failed, quarantined_at=failed.quarantined_at or iso(now), next_due=max(row.next_due, slowed)
            )
        return failed

    def cancel(self, run_id: str, who: str) -> Run:
        """Asks the run to stop; it does so within a page or two seconds. A deletion goes on to its end."""
        run = self._runs.get(run_id)
        if run is None:
            raise NotFound(f"There is no run with the id {run_id}.")
        if run.state.closed:
            raise Conflict(
                f"The run has {run.state.value} already.", code="run-closed", remedy="There is nothing to cancel."
            )
        if run.task == "delete":
            raise Conflict(
                "A deletion goes on to its end: half of a connector would be left.",
                code="deleting",
                remedy="Wait for it; what it removed so far is shown by the run.",
            )
        self._runs.ask_to_cancel(run, who)
        self._queues.send(QUEUE, message(run))  # a run that waits for its next slice is told at once
        return run


def _healed(row: ScheduleRow) -> ScheduleRow:
    """Without what it says of failures."""
    return replace(
        row, failures=0, failure_code="", failure_message="", failure_remedy="", failed_with="", quarantined_at=""
    )


def _bare(track: str) -> ScheduleRow:
    return ScheduleRow(track, 0, active=True, next_due="", anchor="")


def message(run: Run) -> dict[str, Any]:
    """What the queue carries: no tokens, no links, no secrets."""
    return {"run": run.id, "connector": run.connector_id, "slice": run.slice}
