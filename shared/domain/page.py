"""A page of a collection, as a source gives it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Page:
    """Objects and the link to the next page; None behind the last. A delta round ends with `delta_link`."""

    items: list[dict[str, Any]]
    next_link: str | None
    delta_link: str | None = None
