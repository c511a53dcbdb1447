"""The change journal: what differed, per object and by time. Written before the record, under keys that an attempt which
is made again writes again: the run's own time and the digests before and after.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from shared.clock import iso
from shared.domain.columns import MALFORMED, TIME_SUFFIX
from shared.names import CHANGES
from shared.storage import keys
from shared.storage.bulk import Entity
from shared.storage.layout import CURRENT
from shared.storage.wide import LIMIT, split

_OURS = frozenset(
    f"PartitionKey RowKey Timestamp V Digest ChangedAt ChangedBy FirstSeenAt FirstSeenRun odata.etag {MALFORMED}".split()
)


@dataclass(frozen=True)
class Entry:
    """`kind`: hired, changed, returned, removed or left-scope; `fields`: column to before and after."""

    kind: str
    object_id: str
    before: int
    after: int
    fields: Mapping[str, tuple[Any, Any]]
    name: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Author:
    """Who writes: source, record type, connector, stream, run, and the run's time."""

    source: str
    record_type: str
    connector: str
    stream: str
    run: str
    at: datetime


def differing(
    before: Mapping[str, Any], after: Mapping[str, Any], comparable: frozenset[str] | None
) -> dict[str, tuple[Any, Any]]:
    """Columns whose values differ. `comparable`: columns whose mapping did not change; None: all."""
    names = {name for name in (*before, *after) if name not in _OURS and "@" not in name}
    if comparable is not None:
        names &= comparable
    pairs = {name: (before.get(name), after.get(name)) for name in sorted(names)}
    times = {name for name in names if f"{name}{TIME_SUFFIX}" in after}
    return {name: pair for name, pair in pairs.items() if not _same(*pair, time=name in times)}


def _same(one: Any, other: Any, *, time: bool) -> bool:
    if one == other:
        return True
    # Table Storage gives times back with as many fractional digits as it likes.
    return time and isinstance(one, str) and isinstance(other, str) and _bare(one) == _bare(other)


def _bare(moment: str) -> str:
    return moment[:-1].rstrip("0").rstrip(".") if "." in moment else moment[:-1]


def month_table(moment: datetime) -> str:
    return f"{CHANGES}{moment:%Y%m}"


def rows(author: Author, entry: Entry) -> tuple[Entity, Entity]:
    """The same entry twice: for the object's table and for the month's."""
    tail = f"{author.stream}|{entry.before & 0xFFFFFFFF:08x}{entry.after & 0xFFFFFFFF:08x}"
    run_key = author.run.partition("~")[2]
    body: dict[str, Any] = {
        "V": CURRENT.writes, "Kind": entry.kind, "At": iso(author.at), "At@odata.type": "Edm.DateTime",
        "Run": author.run, "Connector": author.connector, "Stream": author.stream, "RecordType": author.record_type,
        "Source": author.source, "ObjectId": entry.object_id, "Name": entry.name, "Reason": entry.reason,
        "Fields": orjson.dumps({name: list(pair) for name, pair in entry.fields.items()}).decode(),
    }  # fmt: skip
    by_object = (
        keys.record_partition(author.source, author.record_type, entry.object_id),
        keys.change_row(entry.object_id, author.at, run_key, tail),
    )
    by_time = (
        keys.change_hour(author.source, author.at, entry.object_id),
        keys.change_moment(author.at, entry.object_id, run_key, tail),
    )
    return _entity(by_object, body), _entity(by_time, body)


def _entity(key: tuple[str, str], body: dict[str, Any]) -> Entity:
    row = {"PartitionKey": key[0], "RowKey": key[1], **body}
    if len(body["Fields"]) > LIMIT // 2:
        row = split(row)
    return (key[0], key[1], orjson.dumps(row))
