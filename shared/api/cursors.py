"""Cursors at the edge: a `next` goes on with the list, the order and the filter that it came from, and with no other. Without
that a cursor of one list would be read as a place in another, and leave items out without a word.
"""

import hashlib
from typing import Any

from pydantic import BaseModel

from shared.errors import foreign_cursor

_PLACE = ("after", "limit")
_LENGTH = 12
FORM = f"^[0-9a-f]{{{_LENGTH}}}\\..+$"
"""What each `next` looks like."""


def _mark(address: str, query: BaseModel, place: str) -> str:
    """Names a place in a list as it was asked for, however long its pages are."""
    asked = query.model_dump_json(by_alias=True, exclude=set(_PLACE))
    return hashlib.sha256(f"{address} {asked} {place}".encode()).hexdigest()[:_LENGTH]


def opened(address: str, query: BaseModel) -> BaseModel:
    """The query with the place that its cursor holds. Raises Invalid for a cursor of another list."""
    after = getattr(query, "after", None)
    if after is None:
        return query
    given, dot, place = after.partition(".")
    if not dot or given != _mark(address, query, place):
        raise foreign_cursor()
    return query.model_copy(update={"after": place})


def sealed(address: str, query: BaseModel, page: dict[str, Any]) -> dict[str, Any]:
    """The page, whose `next` fits this list only. It is no secret and protects nothing: whoever may read the list may read
    all of it.
    """
    place = page["next"]
    return {**page, "next": f"{_mark(address, query, place)}.{place}"} if place else page
