"""A page of a collection, as a source gives it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Page:
    """Objects and the link to the next page; None behind the last. A delta round ends with `delta_link`. `mended`: object
    id to properties in which characters had to be replaced; `nameless`: objects that were left out for want of an id.
    """

    items: list[dict[str, Any]]
    next_link: str | None
    delta_link: str | None = None
    mended: Mapping[str, list[str]] = field(default_factory=dict)
    nameless: int = 0
