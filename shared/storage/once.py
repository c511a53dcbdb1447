"""What was asked for with an Idempotency-Key, and what came of it: a request whose answer was lost is sent again, and done once."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from shared.clock import Clock, iso, parse_iso
from shared.domain.base import new_id
from shared.names import STATE
from shared.storage.tables import RowExists, Tables

PARTITION = "once"
KEPT = timedelta(days=2)


@dataclass(frozen=True)
class Asked:
    """A request as it was first sent. `id` names what it makes, however often it is sent; `answer`: what came of it, None as
    long as that is not known.
    """

    key: str
    id: str
    fingerprint: str
    at: datetime
    answer: dict[str, Any] | None = None


class Once:
    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables, self._clock = tables, clock

    def now(self) -> datetime:
        return self._clock.now()

    def begin(self, key: str, fingerprint: str) -> tuple[Asked, bool]:
        """The request as it was first sent, and whether that is now."""
        asked = Asked(key, new_id(), fingerprint, self._clock.now())
        try:
            self._tables.insert(STATE, _row(asked))
        except RowExists:
            found = self._tables.get(STATE, PARTITION, key)
            if found and parse_iso(str(found.row["At"])) > self._clock.now() - KEPT:
                row = found.row
                answer = orjson.loads(row["Answer"]) if row.get("Answer") else None
                before = Asked(key, row["Id"], row["Fingerprint"], parse_iso(str(row["At"])), answer)
                return before, before.id == asked.id
            self._tables.put(STATE, _row(asked))
        return asked, True

    def end(self, asked: Asked, answer: dict[str, Any]) -> None:
        """Notes what came of it."""
        self._tables.put(STATE, _row(asked) | {"Answer": orjson.dumps(answer).decode()})

    def again(self, asked: Asked) -> None:
        """It is being tried once more."""
        self._tables.put(STATE, _row(asked) | {"At": iso(self._clock.now())})

    def forget(self, asked: Asked) -> None:
        """It was refused: nothing came of it, and the key may be used again."""
        self._tables.delete(STATE, PARTITION, asked.key)


def _row(asked: Asked) -> dict[str, Any]:
    return {
        "PartitionKey": PARTITION, "RowKey": asked.key, "Id": asked.id, "Fingerprint": asked.fingerprint, "At": iso(asked.at),
    }  # fmt: skip
