"""How a run begins: its schedule row is claimed, then its own row and its message are made. The schedule row is the truth, the
message only a hint: whatever is missing is made again.
"""

import contextlib
import logging
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.clock import Clock, iso, parse_iso
from shared.domain.actor import NOBODY, Actor
from shared.domain.pending import Pending
from shared.domain.run import Run, RunRow, connector_of, job_of, new_run_id
from shared.domain.schedule_row import ScheduleRow
from shared.errors import Unavailable
from shared.names import RUN_QUEUE
from shared.storage.lease import suspicious
from shared.storage.queues import Queues
from shared.storage.runs import Runs
from shared.storage.schedules import Schedules
from shared.storage.timing import RENEW_EVERY, TERM

_SILENT = 3 * RENEW_EVERY + 2  # seconds without a renewal after which the message is sent again, as a hint
_LONGEST_WAIT = timedelta(hours=2)  # a run that waits for longer was put off by a clock that was ahead


MESSAGE = Pending(
    code="run-message", message="The run begins with the timer's next turn: its message could not be sent."
)
_NEVER = datetime(2000, 1, 1, tzinfo=UTC)
_log = logging.getLogger("rollcall.runs")


class Claims:
    def __init__(self, schedules: Schedules, runs: Runs, queues: Queues, clock: Clock) -> None:
        self._schedules, self._runs, self._queues, self._clock = schedules, runs, queues, clock

    def claim(
        self,
        row: ScheduleRow,
        *,
        trigger: str,
        who: Actor = NOBODY,
        full: bool = False,
        next_due: str | None = None,
        run_id: str = "",
    ) -> RunRow | None:
        """A new run on the row's track; None where somebody was faster. `next_due`: the row's next due time, where it
        changes with it. From here on the run is sure to come: what can't be made now is `pending`.
        """
        now = self._clock.now()
        wanted = replace(
            row, run=run_id or new_run_id(row.track, now, secrets.token_hex(4)), trigger=trigger, requested_by=who.name,
            requested_by_id=who.id, hinted_at=iso(now), full=full, want_full=False,
            next_due=row.next_due if next_due is None else next_due,
        )  # fmt: skip
        claimed = self._schedules.save(wanted)
        return self._make(claimed) if claimed else None

    def _make(self, row: ScheduleRow) -> RunRow:
        """Run row and message of a claim; doing it twice is harmless."""
        now = self._clock.now()
        run = RunRow(
            id=row.run, connector_id=connector_of(row.track), job=job_of(row.track), full=row.full, trigger=row.trigger,
            requested_by=row.requested_by or None, requested_by_id=row.requested_by_id or None, created_at=now,
            updated_at=now,
        )  # fmt: skip
        try:
            self._runs.create(run)
            self.hint(run)
        except Unavailable as error:
            _log.warning(
                "run %s is claimed; its message could not be sent (%s), the timer sends it", run.id, error.code
            )
            with contextlib.suppress(Unavailable):
                self._schedules.save(replace(row, hinted_at=iso(_NEVER)))  # the timer need not wait for a sign of life
            return run.model_copy(update={"pending": [MESSAGE]})
        return run

    def mend(self, row: ScheduleRow) -> RunRow | None:
        """Makes what is missing of a claimed run; gives the run where it has closed and its row is still to be freed."""
        run = self._runs.get(row.run)
        if run is None:
            self._make(row)
        elif run.state.closed:
            return run
        elif self._needs_hint(row, run):
            self.hint(run)  # first: noted and not sent, it would be missing until the next time
            self._schedules.save(replace(row, hinted_at=iso(self._clock.now())))
        return None

    def hint(self, run: Run, delay_seconds: float = 0) -> None:
        """The message that a worker may take: no tokens, no links, no secrets."""
        self._queues.send(RUN_QUEUE, message(run), delay_seconds)

    def watch(self, run: Run, seen: str, *, guard: bool) -> None:
        """The message that looks whether the lease changed within a term: whoever finds it as it was `seen` takes the run
        over. `guard`: it is left again and again until the slice is over.
        """
        self._queues.send(RUN_QUEUE, message(run) | {"seen": seen} | ({"guard": True} if guard else {}), TERM)

    def _needs_hint(self, row: ScheduleRow, run: Run) -> bool:
        now = self._clock.now()
        if 0 <= (now - parse_iso(row.hinted_at)).total_seconds() < _SILENT:
            return False
        if run.not_before:
            waits = run.not_before - now
            if waits.total_seconds() > -_SILENT and waits < _LONGEST_WAIT:
                return False
        lease = self._runs.lease(row.track)
        if suspicious(lease, run.id):
            return True
        assert lease is not None
        return not 0 <= (now - parse_iso(lease["RenewedAt"])).total_seconds() < _SILENT


def message(run: Run) -> dict[str, Any]:
    """What the queue carries of a run."""
    return {"run": run.id, "connector": run.connector_id, "slice": run.slice}
