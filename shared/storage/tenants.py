"""Which tenant a source was read from first. It stays the source's for good: records of another one are other people."""

from collections.abc import Iterable

from shared.names import STATE
from shared.storage import keys
from shared.storage.tables import RowExists, Tables

_PARTITION = "tenants"


class Tenants:
    """A tenant is named `cloud/tenant id`, as `SourceIn.directory` does."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def of(self, source: str) -> str | None:
        """The tenant that the source was read from; None: it never was, or by a release that did not note it."""
        found = self._tables.get(STATE, _PARTITION, source)
        return str(found.row["Tenant"]) if found else None

    def bind(self, source: str, tenant: str) -> str:
        """Notes the tenant where none is noted; gives the one that is."""
        if known := self.of(source):
            return known
        try:
            self._tables.insert(STATE, {"PartitionKey": _PARTITION, "RowKey": source, "Tenant": tenant})
        except RowExists:  # somebody else was faster
            return self.of(source) or tenant
        return tenant

    def forget(self, source: str) -> None:
        """Of a source that is gone."""
        self._tables.delete(STATE, _PARTITION, source)

    def read_by(self, tracks: Iterable[str]) -> bool:
        """Whether anything was ever read on one of the tracks."""
        return any(self._tables.query(STATE, track, keys.prefix_range("stream|"), limit=1) for track in tracks)
