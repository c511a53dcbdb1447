"""Starting runs. The schedule row is the truth, a message only a hint: whatever is missing is made again by the tick."""

import logging
import secrets
from dataclasses import replace
from typing import Any

from shared.clock import Clock, iso, parse_iso
from shared.domain.configuration import CLOUD_SERVER_ID
from shared.domain.run import Run
from shared.errors import Conflict, NotFound
from shared.scheduling import Scheduling
from shared.storage.config import ConfigStore, Document
from shared.storage.lease import suspicious
from shared.storage.queues import Queues
from shared.storage.runs import Runs, new_run_id
from shared.storage.schedules import ScheduleRow, Schedules

QUEUE = "rollcall-cloud"
_SILENT = 40.0  # seconds without a renewal (every 15) after which the message is sent again, as a hint
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
        connectors = {document.id: document for document in self._config.all("connector")}
        rows = {row.connector: row for row in self._schedules.all()}
        started = []
        for connector, document in connectors.items():
            row = rows.get(connector)
            try:
                if row is None or row.revision < document.revision:
                    self._scheduling.put(document)
                elif row.run:
                    self._mend(row)
                elif row.active and row.next_due and parse_iso(row.next_due) <= self._clock.now():
                    run = self._claim(document, row)
                    started += [run] if run else []
            except Exception:  # noqa: BLE001 - one connector must not keep the others from their turn
                _log.exception("the tick could not look after connector %s", connector)
        return started

    def _claim(self, document: Document, row: ScheduleRow) -> str | None:
        now = self._clock.now()
        due = self._scheduling.due_after(document, row, now)
        if not self._crawled(document):
            self._schedules.save(replace(row, next_due=due))
            return None
        run_id = new_run_id(document.id, now, secrets.token_hex(4))
        claimed = self._schedules.save(
            replace(row, next_due=due, run=run_id, trigger="schedule", requested_by="", hinted_at=iso(now))
        )
        if claimed is None:
            return None
        self._make(claimed)
        return run_id

    def _crawled(self, document: Document) -> bool:
        if document.body["connectorServerId"] != CLOUD_SERVER_ID:
            return False  # its own server takes the work; this one must not
        source = self._config.get("source", document.body["sourceId"])
        return bool(source and source.body["crawl"])

    def run_now(self, connector: str, who: str) -> tuple[Run, bool]:
        """A run of the connector, and whether it is new: during a run it is that run."""
        document = self._config.get("connector", connector)
        if document is None:
            raise NotFound(f"There is no connector with the id {connector}.")
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
        for _ in range(5):
            row = self._schedules.get(connector)
            if row is None:
                self._scheduling.put(document)
                continue
            if row.run:
                run = self._runs.get(row.run)
                if run and not run.state.closed:
                    return run, False
                self._mend(row)
                continue
            now = self._clock.now()
            run_id = new_run_id(connector, now, secrets.token_hex(4))
            wanted = replace(row, run=run_id, trigger="manual", requested_by=who, hinted_at=iso(now))
            claimed = self._schedules.save(wanted)
            if claimed:
                return self._make(claimed), True
        raise Conflict("The connector's schedule keeps changing.", code="busy", remedy="Try again in a few seconds.")

    def _make(self, row: ScheduleRow) -> Run:
        """Run row and message of a claim; doing it twice is harmless."""
        now = self._clock.now()
        run = Run(
            id=row.run, connector_id=row.connector, trigger=row.trigger, requested_by=row.requested_by or None,
            created_at=now, updated_at=now,
        )  # fmt: skip
        self._runs.create(run)
        self._queues.send(QUEUE, message(run))
        return run

    def _mend(self, row: ScheduleRow) -> None:
        run = self._runs.get(row.run)
        if run is None:
            self._make(row)
        elif run.state.closed:
            self._schedules.save(replace(row, run="", trigger="", requested_by=""))
        elif self._needs_hint(row, run) and self._schedules.save(replace(row, hinted_at=iso(self._clock.now()))):
            self._queues.send(QUEUE, message(run))

    def _needs_hint(self, row: ScheduleRow, run: Run) -> bool:
        now = self._clock.now()
        if (now - parse_iso(row.hinted_at)).total_seconds() < _SILENT:
            return False
        if run.not_before and (now - run.not_before).total_seconds() < _SILENT:
            return False
        lease = self._runs.lease(row.connector)
        if suspicious(lease, run.id):
            return True
        assert lease is not None
        return (now - parse_iso(lease["RenewedAt"])).total_seconds() >= _SILENT

    def next_slice(self, run: Run, delay_seconds: float) -> None:
        self._queues.send(QUEUE, message(run), delay_seconds)

    def closed(self, run: Run) -> None:
        """Frees the schedule row of a closed run; the tick does the same should this be missed."""
        row = self._schedules.get(run.connector_id)
        if row and row.run == run.id:
            self._schedules.save(replace(row, run="", trigger="", requested_by=""))

    def cancel(self, run_id: str, who: str) -> Run:
        """Asks the run to stop; it does so within one page."""
        run = self._runs.get(run_id)
        if run is None:
            raise NotFound(f"There is no run with the id {run_id}.")
        if run.state.closed:
            raise Conflict(
                f"The run has {run.state.value} already.", code="run-closed", remedy="There is nothing to cancel."
            )
        self._runs.ask_to_cancel(run, who)
        self._queues.send(QUEUE, message(run))  # a run that waits for its next slice is told at once
        return run


def message(run: Run) -> dict[str, Any]:
    """What the queue carries: no tokens, no links, no secrets."""
    return {"run": run.id, "connector": run.connector_id, "slice": run.slice}
