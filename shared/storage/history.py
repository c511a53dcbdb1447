"""The history of the configuration: two rows in a change's own transaction, by object and by time, newest first."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from shared.clock import counted_down, iso
from shared.domain.actor import Actor
from shared.domain.audit import ConfigurationChange, FieldChanged
from shared.domain.document import Document
from shared.names import CONFIG
from shared.storage import keys
from shared.storage.tables import Insert, Operation, Tables


@dataclass(frozen=True)
class Note:
    """Who changes an object, and how."""

    who: Actor
    at: datetime
    action: str
    changes: Sequence[FieldChanged] = ()

    def operations(self, document: Document) -> list[Operation]:
        later_first = 9_999_999 - document.revision  # of two changes in one millisecond too
        of = hashlib.sha256(f"{document.ref}|{document.revision}|{self.action}".encode()).hexdigest()[:8]
        place = f"{counted_down(self.at)}{later_first:07d}{of}"
        row: dict[str, Any] = {
            "PartitionKey": keys.CONFIG_PARTITION, "At": iso(self.at), "ById": self.who.id, "ByName": self.who.name,
            "ByApplication": self.who.application, "Action": self.action, "Kind": document.kind, "Id": document.id,
            "Name": document.name, "Revision": document.revision,
            "Changes": orjson.dumps([change.model_dump(mode="json") for change in self.changes]).decode(),
        }  # fmt: skip
        return [
            Insert({**row, "RowKey": f"{keys.history_of(document.ref)}{place}"}),
            Insert({**row, "RowKey": f"{keys.HISTORY_BY_TIME}{place}"}),
        ]


class History:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def newest(self, ref: str | None, *, after: str | None, limit: int) -> tuple[list[ConfigurationChange], str | None]:
        """Of one object (`kind.id`), or of all; and where the next page begins."""
        prefix = keys.history_of(ref) if ref else keys.HISTORY_BY_TIME
        start, end = keys.prefix_range(prefix)
        if after:
            start = f"{prefix}{after}\x7f"
        found = [
            stamped.row for stamped in self._tables.query(CONFIG, keys.CONFIG_PARTITION, (start, end), limit=limit + 1)
        ]
        more, found = len(found) > limit, found[:limit]
        following = str(found[-1]["RowKey"]).removeprefix(prefix) if more else None
        return [_shown(row) for row in found], following


def _shown(row: dict[str, Any]) -> ConfigurationChange:
    return ConfigurationChange(
        at=row["At"], by_id=row["ById"], by_name=row["ByName"], by_application=row["ByApplication"], action=row["Action"],
        kind=row["Kind"], id=row["Id"], name=row["Name"], revision=row["Revision"],
        changes=[FieldChanged.model_validate(change) for change in orjson.loads(row["Changes"])],
    )  # fmt: skip
