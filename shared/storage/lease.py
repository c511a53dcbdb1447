"""The lease of a connector's run, and fencing: every control commit carries the lease's ETag.

Table Storage has no locks. A holder renews from its own thread; a taker watches until the lease row has not changed for
a full term on the taker's own monotonic clock. No wall clock decides. A writer stops 40 s before its own deadline, so
that nothing it sent lands after another has taken over.
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

TERM, RENEW_EVERY, MARGIN = 90.0, 15.0, 40.0
_WATCH_EVERY = RENEW_EVERY
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
        self._looked = False
        self._found: Stamped | None = None
        self.taken_over = False

    async def look(self) -> frozenset[str]:
        """Keys of the track's runs that somebody asked to cancel. Reads the lease with the same query."""
        found = await asyncio.to_thread(self._tables.query, STATE, self._track, (CANCEL, LEASE_ROW + "~"))
        self._found = next((stamped for stamped in found if stamped.row["RowKey"] == LEASE_ROW), None)
        self._looked = True
        return frozenset(stamped.row["RowKey"].removeprefix(CANCEL) for stamped in found if stamped is not self._found)

    async def watch(self) -> bool:
        """Whether the lease may be taken: at once where nobody holds it, after a full term without a sign of life
        otherwise (then `taken_over` says so). False as soon as its holder shows one.
        """
        if not self._looked:
            await self.look()
        found = self._found
        if found and found.row.get("Owner"):
            began = self._clock.monotonic()
            while self._clock.monotonic() - began < TERM:
                await self._clock.sleep(_WATCH_EVERY)
                again = await asyncio.to_thread(self._tables.get, STATE, self._track, LEASE_ROW)
                if again is None or again.etag != found.etag:
                    return False
            self.taken_over = True
        return True

    async def take(self, changes: Sequence[Change] = ()) -> bool:
        """Takes the lease and makes the changes with it, all or nothing; False where somebody was faster."""
        etag = self._found.etag if self._found else None
        try:
            await asyncio.to_thread(self._write, changes, self._owner, etag)
        except (LeaseLost, RowExists):
            return False
        return True

    async def acquire(self) -> bool:
        """Watches, then takes."""
        return await self.watch() and await self.take()

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
        while not self._stop.wait(RENEW_EVERY):
            try:
                self.commit([])
            except LeaseLost:
                return
            except Exception as error:  # noqa: BLE001 - a failed renewal is tried again until the deadline
                _log.warning("the lease of %s could not be renewed: %s", self._track, type(error).__name__)


def suspicious(row: dict[str, Any] | None, run: str) -> bool:
    """Whether nobody seems to work on the run: a hint for sending its message again, never a decision."""
    return row is None or not row.get("Owner") or row.get("Run") != run
