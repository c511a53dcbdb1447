"""The table Mappings: what each version of a mapping says, and who made it. A version is named after its content, so a row of
it never changes and may be kept in memory for as long as the process lives.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from shared.clock import iso, parse_iso
from shared.domain.actor import Actor
from shared.names import MAPPINGS
from shared.storage import keys
from shared.storage.layout import Row
from shared.storage.tables import Insert, RowExists, Tables


@dataclass(frozen=True)
class Made:
    """One revision of a mapping: who made it and when, and the version that it says."""

    revision: int
    version: str
    at: datetime
    by_id: str
    by_name: str
    note: str


class MappingRows:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def put(self, mapping: str, version: str, content: bytes, made: Made) -> None:
        """Writes what a revision will say, before the mapping itself names it. A revision that came to nothing leaves its row:
        a mapping's revisions are those whose version it names.
        """
        base: Row = {"PartitionKey": keys.MAPPINGS_PARTITION}
        said: Row = {**base, "RowKey": keys.mapping_version(mapping, version), "Content": content.decode()}
        who: Row = {
            **base, "RowKey": keys.mapping_revision(mapping, made.revision, version), "At": iso(made.at),
            "ById": made.by_id, "ByName": made.by_name, "Note": made.note,
        }  # fmt: skip
        for row in (said, who):
            with contextlib.suppress(RowExists):
                self._tables.transaction(MAPPINGS, [Insert(row)])

    def content(self, mapping: str, version: str) -> bytes | None:
        """What a version says."""
        found = self._tables.get(MAPPINGS, keys.MAPPINGS_PARTITION, keys.mapping_version(mapping, version))
        return str(found.row["Content"]).encode() if found else None

    def made(self, mapping: str) -> Iterator[Made]:
        """Who made which revision, newest first; also of revisions that came to nothing."""
        prefix = f"{mapping}|r|"
        for stamped in self._tables.query(MAPPINGS, keys.MAPPINGS_PARTITION, keys.prefix_range(prefix)):
            row = stamped.row
            counted, _, version = str(row["RowKey"]).removeprefix(prefix).partition("|")
            yield Made(
                9_999_999_999 - int(counted),
                version,
                parse_iso(str(row["At"])),
                row["ById"],
                row["ByName"],
                row["Note"],
            )


def made_by(who: Actor, revision: int, version: str, at: datetime, note: str) -> Made:
    return Made(revision, version, at, who.id, who.name, note)
