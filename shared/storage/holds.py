"""The table Holds: removals that wait, for a person or for a second answer of Graph. One partition a stream, one row an object, and one row for a decision
about all of them.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson

from shared.clock import iso, parse_iso
from shared.domain.actor import Actor
from shared.domain.removal import Cause, Held
from shared.names import HOLDS
from shared.storage import keys
from shared.storage.bulk import BulkTables
from shared.storage.layout import CURRENT, Row
from shared.storage.tables import Put, Tables

ALL = "!all"  # sorts before every object id


class HoldStore:
    """The worker's view of one stream's holds."""

    def __init__(self, bulk: BulkTables, connector: str, stream: str) -> None:
        self._bulk, self._partition = bulk, keys.holds(connector, stream)
        self.maybe = True

    async def all(self) -> dict[str, Held]:
        """By object id, with the decision that holds for each."""
        rows = await self._bulk.rows(HOLDS, self._partition, ("", "~"))
        return {held.object_id: held for held in decided(rows)}

    async def put(self, rows: Iterable[dict[str, Any]]) -> None:
        await self._bulk.put(
            HOLDS,
            [(self._partition, row["ObjectId"], orjson.dumps(self._entity(row))) for row in rows],
        )

    def _entity(self, row: dict[str, Any]) -> Row:
        return {
            "PartitionKey": self._partition, "RowKey": row["ObjectId"], "V": CURRENT.writes,
            "Since@odata.type": "Edm.DateTime", **row,
        }  # fmt: skip

    async def drop(self, object_ids: Iterable[str]) -> None:
        if object_ids := list(object_ids):
            await self._bulk.delete(HOLDS, [(self._partition, object_id) for object_id in object_ids])


def decided(rows: Iterable[Row]) -> list[Held]:
    """Rows of one partition, in key order, each with its own decision or the one about all."""
    found: list[Held] = []
    general: dict[str, list[str]] = {}
    for row in rows:
        if row["RowKey"] == ALL:
            general = orjson.loads(row["Runs"])
            continue
        since = _time(row["Since"])
        decision, cause = row.get("Decision", ""), Cause(row["Cause"])
        by, by_id = row.get("DecidedBy", ""), row.get("DecidedById", "")
        if not decision and row["Run"] in general and cause is not Cause.ABSENT:  # nobody was told about those
            decision, by, by_id = general[row["Run"]]
        found.append(Held(row["RowKey"], cause, since, row["Run"], decision, by, by_id, row))
    return found


def decide(
    tables: Tables, connector: str, stream: str, decision: str, by: Actor, at: datetime, ids: Sequence[str]
) -> None:
    """Notes a person's decision: about all that waits, or about some (which must be there). All are noted by the runs that
    held them; what was decided about an earlier run's stays so.
    """
    partition = keys.holds(connector, stream)
    if not ids:
        before = tables.get(HOLDS, partition, ALL)
        known: dict[str, list[str]] = orjson.loads(before.row["Runs"]) if before else {}
        held = tables.query(HOLDS, partition, ("", "~"), select=("RowKey", "Run"))
        runs = sorted({str(found.row["Run"]) for found in held if found.row["RowKey"] != ALL})
        decided_now = {
            run: known.get(run, [decision, by.name, by.id]) for run in runs
        }  # runs of which nothing waits are forgotten
        row: Row = {"PartitionKey": partition, "RowKey": ALL, "At": iso(at), "Runs": orjson.dumps(decided_now).decode()}
        if before:
            tables.put(HOLDS, row, before.etag)
        else:
            tables.put(HOLDS, row)
        return
    wanted = [object_id for object_id in dict.fromkeys(ids) if object_id != ALL]
    for start in range(0, len(wanted), 100):
        operations = []
        for object_id in wanted[start : start + 100]:
            found = tables.get(HOLDS, partition, object_id)
            if found:
                changed = {**found.row, "Decision": decision, "DecidedBy": by.name, "DecidedById": by.id}
                operations.append(Put(changed, found.etag))
        if operations:
            tables.transaction(HOLDS, operations)


def _time(value: Any) -> datetime:
    return value if isinstance(value, datetime) else parse_iso(str(value))
