"""What the rows of one object say, value by value: present, empty at the source, or missing with a reason."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson

from shared.clock import parse_iso
from shared.connectors.base import Stream
from shared.domain.checkpoint import StreamState
from shared.domain.columns import malformed_in
from shared.domain.records import LastActivity, Value
from shared.mapping.attribute import Attribute, Type
from shared.storage.layout import Row

_MALFORMED = "Microsoft Graph sent a value that can't be stored: correct it in the directory."


def merged(described: Iterable[dict[str, Value]]) -> dict[str, Value]:
    """Values of several rows: the first that has one counts, and one that is missing gives way."""
    values: dict[str, Value] = {}
    for found in described:
        values |= {name: value for name, value in found.items() if name not in values or values[name].missing}
    return values


def last_activity(described: Iterable[tuple[Stream, dict[str, Value]]]) -> LastActivity | None:
    """The newest time of activity among the values of several rows."""
    found = [
        LastActivity(
            at=parse_iso(value.value), value=one.name, stream=stream.name, connector_id=value.connector_id or ""
        )
        for stream, values in described
        for one in stream.attributes
        if one.type is Type.TIME and (one.name in stream.seen or one.source == (stream.last_seen,))
        if (value := values.get(one.name)) and value.value
    ]
    return max(found, key=lambda one: one.at, default=None)


def own_values(stream: Stream, state: StreamState, connector: str, row: Row) -> dict[str, Value]:
    """What the stream's own row says."""
    changed = as_of = late = time_of(row["ChangedAt"])
    object_id = row["RowKey"].split("|", 1)[0]
    if state.completed_at and not state.many_unseen and object_id not in state.unseen:
        as_of = max(changed, parse_iso(state.completed_at))
        late = max(changed, parse_iso(state.full_at)) if state.full_at else changed
    values, malformed = {}, malformed_in(row)
    for attribute in stream.attributes:
        missing = attribute.missing or state.missing.get(attribute.name)
        if attribute.name in malformed:
            missing = "malformed"
        if not missing and state.attributes and attribute.name not in state.attributes:
            missing = "not-requested"  # mapped since the last complete read
        value, readable = plain(row.get(attribute.column), attribute.type)
        missing = missing or (None if readable else "not-requested")  # written by another mapping
        values[attribute.name] = Value(
            value=None if missing else value,
            missing=missing,
            note=_MALFORMED if missing == "malformed" else attribute.note if missing else None,
            attribute=attribute.source[0] if attribute.source else None,
            connector_id=connector,
            stream=stream.name,
            as_of=None if missing else late if attribute.name in stream.not_in_delta else as_of,
        )
    return values


def added_values(stream: Stream, state: StreamState, connector: str, row: Row, leader: Row) -> dict[str, Value]:
    """What a stream adds to the leader's record: with its own times, and its own reasons where it has none. `row` is empty
    where there is none.
    """
    changed = time_of(row["ChangedAt"]) if row else None
    full = parse_iso(state.full_at) if state.full_at else None
    newest = parse_iso(state.completed_at) if state.completed_at else None
    # A read that began after we first saw the object and brought nothing: there is nothing to know of.
    known = bool(row) or bool(full and full >= time_of(leader["FirstSeenAt"]))
    values, malformed = {}, malformed_in(row)
    for attribute in stream.attributes:
        missing = None if row else state.missing.get(attribute.name) or (None if known else "not-requested")
        missing = attribute.missing or missing
        if state.attributes and attribute.name not in state.attributes:
            missing = missing or state.missing.get(attribute.name) or "not-requested"
        value, readable = plain(row.get(attribute.column), attribute.type)
        missing = missing or (None if readable else "not-requested")
        if attribute.name in malformed:
            missing = "malformed"
        times = [t for t in (changed, full if attribute.name in stream.not_in_delta else newest) if t]
        values[attribute.name] = Value(
            value=None if missing else value, missing=missing,
            note=_note(attribute, stream, row, missing), attribute=attribute.source[0] if attribute.source else None, connector_id=connector,
            stream=stream.name, as_of=max(times) if times and not missing else None,
        )  # fmt: skip
    return values


def _note(attribute: Attribute, stream: Stream, row: Row, missing: str | None) -> str | None:
    if missing == "not-requested":
        return stream.unread_note or None
    if missing == "malformed":
        return _MALFORMED
    if missing:
        return "Microsoft Graph denied it; the next run asks again."
    return next((text for column, value, text in attribute.remarks if row.get(column) == value), None)


def plain(value: Any, kind: Type) -> tuple[Any, bool]:
    """A stored value as the API shows it; and whether it can be read at all: another mapping may have written it."""
    if value is None:
        return None, True
    try:
        if kind is Type.JSON:
            return orjson.loads(value), True
        return (time_of(value).isoformat().replace("+00:00", "Z") if kind is Type.TIME else value), True
    except ValueError:
        return None, False


def time_of(value: Any) -> datetime:
    """A stored time, however the client gave it."""
    return value if isinstance(value, datetime) else parse_iso(str(value))
