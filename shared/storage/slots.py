"""Slow services of Graph: one row for each tenant, app and service says who uses it and what was asked lately."""

from dataclasses import dataclass, replace

import orjson

from shared.names import STATE
from shared.storage.tables import Insert, Put, RowChanged, RowExists, Tables

_PARTITION = "slots"


@dataclass(frozen=True)
class Slot:
    """`holder`: the run that uses it or empty; `recent`: when the last requests left, seconds since 1970."""

    key: str
    holder: str
    recent: tuple[float, ...]
    etag: str = ""


class Slots:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, tenant: str, app: str, service: str) -> Slot:
        key = f"{tenant}|{app}|{service}"
        found = self._tables.get(STATE, _PARTITION, key)
        if found is None:
            return Slot(key, "", ())
        return Slot(key, found.row["Holder"], tuple(orjson.loads(found.row["Recent"])), found.etag)

    def save(self, slot: Slot) -> Slot | None:
        """None where somebody else changed it."""
        row = {
            "PartitionKey": _PARTITION, "RowKey": slot.key, "Holder": slot.holder,
            "Recent": orjson.dumps(slot.recent).decode(),
        }  # fmt: skip
        try:
            (etag,) = self._tables.transaction(STATE, [Put(row, slot.etag) if slot.etag else Insert(row)])
        except (RowChanged, RowExists):
            return None
        return replace(slot, etag=etag or "")
