"""The lease of a connector's run, and fencing: every control commit carries the lease's ETag.

Table Storage has no locks. A holder renews from its own thread. Who finds the lease held has the queue bring the message
again after a full term, with the ETag that it saw: a lease that still has it was not renewed for a term, and may be taken.
No wall clock decides, and no worker is kept waiting. A writer stops some time before its own deadline, so that nothing it
sent lands after another has taken over.
"""

import asyncio
import logging
import threading
import uuid
from collections.abc import Sequence
from typing import Any

from shared.clock import Clock, iso
from shared.domain.state import Change
from shared.errors import LeaseLost
from shared.names import STATE
from shared.storage.layout import Row
from shared.storage.runs import CANCEL, LEASE_ROW, operation_of
from shared.storage.tables import Insert, Operation, Put, RowChanged, RowExists, Stamped, Tables
from shared.storage.timing import MARGIN, RENEW_EVERY, TERM

_log = logging.getLogger("rollcall.lease")


class Lease:
    """Held on one track (what can run once at a time) for one run."""

    def __init__(self, tables: Tables, track: str, run: str, clock: Clock) -> None:
        self._tables, self._track, self._run, self._clock = tables, track, run, clock
        self._owner = uuid.uuid4().hex
        self._etag: str | None = None
        self._deadline = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lost = False
        self._released = False
        self._found: Stamped | None = None

    async def look(self) -> frozenset[str]:
        """Keys of the track's runs that somebody asked to cancel. Reads the lease with the same query."""
        found = await asyncio.to_thread(self._tables.query, STATE, self._track, (CANCEL, LEASE_ROW + "~"))
        self._found = next((stamped for stamped in found if stamped.row["RowKey"] == LEASE_ROW), None)
        return frozenset(stamped.row["RowKey"].removeprefix(CANCEL) for stamped in found if stamped is not self._found)

    @property
    def held(self) -> str:
        """The ETag of a lease that somebody holds, or held when he died, as it was looked at; empty: it is free."""
        return self._found.etag if self._found and self._found.row.get("Owner") else ""

    @property
    def etag(self) -> str:
        """Of the lease as it was taken or renewed last."""
        return self._etag or ""

    async def take(self, changes: Sequence[Change] = ()) -> bool:
        """Takes the lease as it was looked at, and makes the changes with it, all or nothing; False where somebody was faster."""
        etag = self._found.etag if self._found else None
        try:
            await asyncio.to_thread(self._write, changes, self._owner, etag)
        except (LeaseLost, RowExists):
            return False
        return True

    def start(self) -> None:
        """Renews from a thread of its own, so that a busy event loop can't lose the lease."""
        self._thread = threading.Thread(target=self._renew, name=f"lease-{self._track}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=5)

    def guard(self) -> None:
        """Raises LeaseLost when this worker must not send another write."""
        if self._lost or self._released or self._clock.monotonic() > self._deadline - MARGIN:
            raise LeaseLost(self._run)

    def commit(self, changes: Sequence[Change], *, release: bool = False) -> None:
        """Writes rows of the track's partition and renews (or gives back) the lease, all or nothing."""
        with self._lock:
            if self._lost or self._released:
                raise LeaseLost(self._run)
            self._write(changes, "" if release else self._owner, self._etag)
            self._released = release  # a renewal that comes now must not take it back

    def _write(self, changes: Sequence[Change], owner: str, etag: str | None) -> None:
        stamp = uuid.uuid4().hex
        sent = self._clock.monotonic()
        row: Row = {
            "PartitionKey": self._track, "RowKey": LEASE_ROW, "Owner": owner, "Run": self._run, "Stamp": stamp,
            "RenewedAt": iso(self._clock.now()),
        }  # fmt: skip
        first: Operation = Put(row, etag) if etag else Insert(row)
        try:
            self._etag = self._tables.transaction(STATE, [first, *map(operation_of, changes)])[0]
        except (RowChanged, RowExists) as error:
            # The transaction may have been done by an attempt whose answer was lost: the stamp tells.
            found = self._tables.get(STATE, self._track, LEASE_ROW)
            if not found or found.row.get("Stamp") != stamp:
                self._lost = True
                raise LeaseLost(self._run) from error
            self._etag = found.etag
        self._deadline = sent + TERM

    def _renew(self) -> None:
        while not self._clock.wait(self._stop, RENEW_EVERY):
            try:
                self.commit([])
            except LeaseLost:
                return
            except Exception as error:  # noqa: BLE001 - a failed renewal is tried again until the deadline
                _log.warning("the lease of %s could not be renewed: %s", self._track, type(error).__name__)


def suspicious(row: dict[str, Any] | None, run: str) -> bool:
    """Whether nobody seems to work on the run: a hint for sending its message again, never a decision."""
    return row is None or not row.get("Owner") or row.get("Run") != run
