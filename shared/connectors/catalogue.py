"""What mappings can name: the properties that Microsoft Graph lists of a stream's objects, with their types."""

import functools
import json
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from shared.connectors.base import DirectoryList, PartsOf, Report, Stream
from shared.mapping import paths
from shared.mapping.attribute import Type

_FILE = Path(__file__).with_name("properties.json")
EXTENSION = re.compile(r"extension_[0-9a-fA-F]{32}_[A-Za-z0-9_]{1,100}|ext[a-z0-9]{8}_[A-Za-z0-9_]{1,100}")
"""Names of directory extensions and schema extensions: each tenant has its own."""
_TYPES = {
    "String": Type.TEXT, "Guid": Type.TEXT, "Boolean": Type.FLAG, "DateTimeOffset": Type.TIME, "Int32": Type.NUMBER,
    "Int64": Type.NUMBER, "Double": Type.NUMBER,
}  # fmt: skip


@functools.cache
def _described() -> dict[str, Any]:
    return dict(json.loads(_FILE.read_text()))


def structure(type_: str) -> dict[str, str] | None:
    """Members of a structure with their types; None for what is none, or is not described here."""
    found: dict[str, str] | None = _described()["structures"].get(type_)
    return found


class Unknown(ValueError):
    """Microsoft Graph has no such attribute, or none that a list brings."""


def properties(stream: Stream) -> dict[str, str]:
    """What the stream's list can bring, name to Microsoft's type; related objects that it expands are of the type
    `relation`. Parts of objects, and what adds to other records, have what the default mapping reads.
    """
    reader, own = stream.reader, {name: "" for one in stream.attributes for name in one.properties}
    if isinstance(reader, PartsOf | Report) or stream.leader:
        return own
    listed: dict[str, str] = _described()["collections"].get(reader.path, {})
    refused = {one.property for one in stream.special if one.refused}
    found = {name: type_ for name, type_ in listed.items() if name not in refused}
    return own | found | dict.fromkeys(reader.expand if isinstance(reader, DirectoryList) else (), "relation")


def type_of(stream: Stream, path: str) -> Type | None:
    """The type of what a path leads to; None where that is known of each value only. Raises Unknown, with what is there
    instead, or ValueError for what is no path.
    """
    inside = paths.parts(path)
    name, known = inside[0][0], properties(stream)
    if EXTENSION.fullmatch(name):
        return None
    if name not in known:
        raise Unknown(_not_there(stream, name, known))
    current, several = known[name], False
    for number, (part, at) in enumerate(inside):
        if number:
            current = _member(part, current)
        if at:
            current, several = _item(part, current), several or at == "*"
    if several:
        return Type.JSON
    return _TYPES.get(current, Type.JSON) if current else None


def _member(part: str, type_: str) -> str:
    """The type of a structure's member; empty where Microsoft's description of the structure is not at hand."""
    if type_ == "relation":
        if part == "id":
            return "String"
        raise Unknown("of related objects the id is read, and nothing else")
    members = structure(type_)
    if members and part in members:
        return members[part]
    if members:
        raise Unknown(f"{type_} has no member {part}: it has {', '.join(sorted(members)[:20])}")
    if type_ in _TYPES or type_.endswith("[]"):
        raise Unknown(f"a value of the type {type_} has no member {part}")
    return ""


def _item(part: str, type_: str) -> str:
    if type_ and type_ != "relation" and not type_.endswith("[]"):
        raise Unknown(f"{part} is no list")
    return type_.removesuffix("[]")


def _not_there(stream: Stream, name: str, known: dict[str, str]) -> str:
    special = next((one for one in stream.special if one.property == name), None)
    if special and special.refused:
        return f"{name} can't be mapped: {special.refused}"
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    folded = [one for one in known if one.casefold() == name.casefold()]
    hint = f"; did you mean {(folded or near)[0]}?" if folded or near else ""
    return f"Microsoft Graph has no attribute {name} that a list of {stream.name} brings{hint}"
