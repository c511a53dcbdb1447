"""The table Audit: a chain of entries for each source, one partition a day.

An entry and the day's head are one transaction under the head's ETag, so that entries have one order and none is lost. A
closing entry ends a day, and the next day begins with its hash. A pointer names the last day, and the one before it: the
last one may still be without an entry.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from shared.clock import Clock, iso
from shared.domain.actor import SYSTEM, Actor
from shared.domain.audit import CLOSING, FIRST, AuditEntry
from shared.errors import Unavailable
from shared.names import AUDIT
from shared.storage import keys
from shared.storage.tables import Insert, Operation, Put, RowChanged, RowExists, Stamped, Tables

INSTALLATION = "installation"
_TRIES = 60  # whoever is overtaken is so by somebody who got on
_PAGE = 500
_log = logging.getLogger("rollcall.audit")


class _Moved(Exception):
    """Somebody else wrote meanwhile."""


@dataclass(frozen=True)
class _End:
    """Where the next entry goes: behind `sequence` entries, the last with this hash. `etag` of the head, empty without one."""

    day: str
    sequence: int
    hash: str
    etag: str


class Audit:
    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables, self._clock = tables, clock

    def note(
        self, source: str, who: Actor, what: str, subject: str, details: dict[str, Any] | None = None
    ) -> AuditEntry:
        """Adds an entry to a source's chain. Raises Unavailable where it could not be written."""
        at = self._clock.now()
        for _ in range(_TRIES):
            try:
                end = self._end(source, f"{at:%Y%m%d}")
                return self._append(source, end, at, who, what, subject, details or {})
            except _Moved:
                continue
        raise Unavailable("The audit trail could not be written: others keep writing to it.", code="busy")

    def _append(
        self, source: str, end: _End, at: datetime, who: Actor, what: str, subject: str, details: dict[str, Any]
    ) -> AuditEntry:
        entry = AuditEntry(
            at=at.replace(microsecond=at.microsecond // 1000 * 1000), by_id=who.id, by_name=who.name,
            by_application=who.application, source_id=source, day=end.day, sequence=end.sequence + 1, what=what,
            subject=subject, details=details, previous=end.hash,
        )  # fmt: skip
        entry.hash = entry.computed()
        place = keys.audit_day(source, end.day)
        row = {
            "PartitionKey": place, "RowKey": f"{entry.sequence:08d}", "At": iso(at), "What": what, "Hash": entry.hash,
            "Body": entry.model_dump_json(by_alias=True),
        }  # fmt: skip
        head = {
            "PartitionKey": place, "RowKey": "head", "Sequence": entry.sequence, "Hash": entry.hash, "Closed": what == CLOSING,
        }  # fmt: skip
        operations: list[Operation] = [Put(head, end.etag) if end.etag else Insert(head), Insert(row)]
        try:
            self._tables.transaction(AUDIT, operations)
        except (RowChanged, RowExists) as error:
            found = self._tables.get(AUDIT, place, "head")
            if not (found and found.row["Hash"] == entry.hash):  # otherwise an earlier attempt did it
                raise _Moved from error
        # Written down elsewhere too: whoever can change the table can't change that.
        _log.info("audit head %s %s %d %s", source, end.day, entry.sequence, entry.hash)
        return entry

    def _end(self, source: str, today: str) -> _End:
        head = self._head(source, today)
        if head and not head.row["Closed"]:
            return _end(today, head)
        pointer = self._tables.get(AUDIT, source, "last")
        day = max(str(pointer.row["Day"]), today) if pointer else today
        before = self._turn(source, pointer, day)
        head = self._head(source, day)
        if head and head.row["Closed"]:
            raise _Moved
        if head:
            return _end(day, head)
        last = self._head(source, before) if before else None
        return _End(day, 0, str(last.row["Hash"]) if last else FIRST, "")

    def _turn(self, source: str, pointer: Stamped | None, day: str) -> str:
        """Makes `day` the chain's last one; gives the day before it that has entries, closed."""
        if pointer is None:
            self._point(source, day, "", "")
            return ""
        last, before = str(pointer.row["Day"]), str(pointer.row["Before"])
        if last == day:
            return before
        before = self._closed(source, last) or before
        self._point(source, day, before, pointer.etag)
        return before

    def _closed(self, source: str, day: str) -> str:
        """Ends a day; gives it, or nothing where it has no entries."""
        head = self._head(source, day)
        if head is None:
            return ""
        if not head.row["Closed"]:
            self._append(source, _end(day, head), self._clock.now(), SYSTEM, CLOSING, day, {})
        return day

    def _point(self, source: str, day: str, before: str, etag: str) -> None:
        row = {"PartitionKey": source, "RowKey": "last", "Day": day, "Before": before}
        try:
            self._tables.transaction(AUDIT, [Put(row, etag) if etag else Insert(row)])
        except (RowChanged, RowExists) as error:
            raise _Moved from error

    def _head(self, source: str, day: str) -> Stamped | None:
        return self._tables.get(AUDIT, keys.audit_day(source, day), "head")

    def page(
        self, source: str | None, since: str, *, after: tuple[str, str] | None, limit: int
    ) -> tuple[list[AuditEntry], tuple[str, str] | None]:
        """Entries by source, day and number, from a day on; and the place of the last one where there are more."""
        found: list[tuple[tuple[str, str], AuditEntry]] = []
        for place, entry in self._walk(source, since, after):
            found.append((place, entry))
            if len(found) > limit:
                break
        more, found = len(found) > limit, found[:limit]
        return [entry for _, entry in found], found[-1][0] if more else None

    def chain(self, source: str) -> Iterator[AuditEntry]:
        """The whole chain of a source, as far as it is kept."""
        return (entry for _, entry in self._walk(source, "", None))

    def _walk(
        self, source: str | None, since: str, after: tuple[str, str] | None
    ) -> Iterator[tuple[tuple[str, str], AuditEntry]]:
        """A documented scan: days of one source, or of all."""
        span = (f"{source}|{since}", f"{source}|~") if source else ("", "~")
        while True:
            rows = [stamped.row for stamped in self._tables.scan(AUDIT, span, after=after, limit=_PAGE)]
            for row in rows:
                after = row["PartitionKey"], row["RowKey"]
                if "Body" in row and after[0].rpartition("|")[2] >= since:
                    yield after, AuditEntry.model_validate_json(row["Body"])
            if len(rows) < _PAGE:
                return

    def refused(self, who: Actor, needed: str) -> None:
        """Counts a refusal, by who was refused and hour: a loop of some program must not fill the chain."""
        now = self._clock.now()
        key = f"{now:%Y%m%d%H}|{who.id}"
        for _ in range(_TRIES):
            found = self._tables.get(AUDIT, keys.REFUSALS, key)
            needs = set(orjson.loads(found.row["Needed"])) if found else set()
            row: dict[str, Any] = {
                "PartitionKey": keys.REFUSALS, "RowKey": key, "ById": who.id, "ByName": who.name,
                "ByApplication": who.application, "Count": (found.row["Count"] if found else 0) + 1,
                "Needed": orjson.dumps(sorted(needs | {needed})).decode(),
            }  # fmt: skip
            try:
                self._tables.transaction(AUDIT, [Put(row, found.etag) if found else Insert(row)])
            except (RowChanged, RowExists):
                continue
            return

    def fold(self) -> None:
        """Refusals of the hours that are over become entries. Cut off in between, one may be there twice, with its hour."""
        hour = f"{self._clock.now():%Y%m%d%H}"
        for stamped in self._tables.query(AUDIT, keys.REFUSALS, ("", hour)):
            row = stamped.row
            who = Actor(row["ById"], row["ByName"], bool(row["ByApplication"]))
            needed, during = orjson.loads(row["Needed"]), row["RowKey"].partition("|")[0]
            self.note(INSTALLATION, who, "refused", ", ".join(needed), {"count": row["Count"], "hour": during})
            self._tables.delete(AUDIT, keys.REFUSALS, row["RowKey"])


def _end(day: str, head: Stamped) -> _End:
    return _End(day, int(head.row["Sequence"]), str(head.row["Hash"]), head.etag)
