"""Slow services of Graph: one row for each tenant, application and service."""

from dataclasses import replace

import orjson

from shared.domain.pacing import Slot
from shared.names import STATE
from shared.storage.tables import Insert, Put, RowChanged, RowExists, Tables

_PARTITION = "slots"


class Slots:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, tenant: str, application: str, service: str) -> Slot:
        """As it is stored, or a new one."""
        key = f"{tenant}|{application}|{service}"
        found = self._tables.get(STATE, _PARTITION, key)
        if found is None:
            return Slot(key)
        row = found.row
        return Slot(key, row["Holder"], tuple(orjson.loads(row["Recent"])), float(row["NotBefore"]), found.etag)

    def save(self, slot: Slot) -> Slot | None:
        """None where somebody else changed it."""
        row = {
            "PartitionKey": _PARTITION, "RowKey": slot.key, "Holder": slot.holder,
            "Recent": orjson.dumps(slot.recent).decode(), "NotBefore": slot.not_before,
        }  # fmt: skip
        try:
            (etag,) = self._tables.transaction(STATE, [Put(row, slot.etag) if slot.etag else Insert(row)])
        except (RowChanged, RowExists):
            return None
        return replace(slot, etag=etag or "")
