"""Whether what was read back is what a request should have led to. By id, never by filter or search: their index is late."""

import re
from typing import Any

from shared.clock import parse_iso
from shared.domain.plan import Check, Proof
from shared.graph.answers import Missing
from shared.graph.client import GraphClient

_FIRST_LOOKS = (2.0, 3.0, 5.0)
_MOST_PAGES = 20
NEEDED = 3
"""Looks in a row that have to say the same."""
CERTAIN_SECONDS = 3600.0
"""A replica may be late: nothing is contradicted before."""
WATCHED_SECONDS = 86_400.0
_PLACE = re.compile(r"\{answer:([\w.]+)\}")


def next_look(looks: int, since_sent: float) -> float:
    """Seconds until it is looked at again: 2, 5, 10, 20, 40 seconds after it was sent, and so on, at most an hour."""
    if looks < len(_FIRST_LOOKS):
        return _FIRST_LOOKS[looks]
    return min(3600.0, max(10.0, since_sent))


async def looked(client: GraphClient, proof: Proof) -> bool:
    """One look. Raises SourceProblem where it could not be read."""
    try:
        found = await client.get_json(proof.path, "to read it back")
        for _ in range(_MOST_PAGES):
            link = found.get("@odata.nextLink") if isinstance(found, dict) else None
            if not link:
                break
            following = await client.get_json(link, "to read it back")
            found = {**following, "value": [*found.get("value", []), *following.get("value", [])]}
    except Missing:
        return any(check.how == "gone" for check in proof.checks)
    return isinstance(found, dict) and all(holds(check, found) for check in proof.checks)


def holds(check: Check, found: dict[str, Any]) -> bool:
    """Whether an object passes."""
    if check.how == "gone":
        return False
    value: Any = found
    for name in check.property.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    match check.how:
        case "is":
            return _same(value, check.value)
        case "differs":
            return value is not None and not _same(value, check.value)
        case "has":
            return any(_within(check.value, entry) for entry in _entries(value))
        case _:
            return not any(_within(check.value, entry) for entry in _entries(value))


def _entries(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _within(wanted: Any, entry: Any) -> bool:
    return isinstance(entry, dict) and all(_named(entry.get(name), value) for name, value in wanted.items())


def _named(one: Any, other: Any) -> bool:
    """Ids are the same in capitals."""
    if isinstance(one, list) and isinstance(other, list):
        return _same([str(each).lower() for each in one], [str(each).lower() for each in other])
    return _same(one, other) or (isinstance(one, str) and isinstance(other, str) and one.lower() == other.lower())


def _same(one: Any, other: Any) -> bool:
    """Empty is empty, whether it is null, no text or no list; times are compared as times."""
    if one in (None, "", []) and other in (None, "", []):
        return True
    if isinstance(one, str) and isinstance(other, str):
        return one == other or (_moment(one) is not None and _moment(one) == _moment(other))
    if isinstance(one, list) and isinstance(other, list):
        return sorted(map(str, one)) == sorted(map(str, other))
    return bool(one == other)


def _moment(text: str) -> Any:
    try:
        return parse_iso(text) if len(text) > 9 and text[4:5] == "-" else None
    except ValueError:
        return None


def placed(proof: Proof, answer: Any) -> Proof:
    """The proof with ids that only Graph's answer holds. Without them its own answer is all there is."""

    def found(match: re.Match[str]) -> str:
        value = answer
        for name in match[1].split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return str(value) if value else ""

    if not _PLACE.search(proof.path):
        return proof
    if any(not found(match) for match in _PLACE.finditer(proof.path)):
        return Proof()
    return proof.model_copy(update={"path": _PLACE.sub(found, proof.path)})
