"""What the objects of a list consist of, as objects of their own: one object of the list gives several, or none."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from shared.domain.page import Page
from shared.graph.client import GraphClient
from shared.graph.listing import Listing, PageReader

Parts = Callable[[dict[str, Any]], list[dict[str, Any]] | None]


class PartsReader(PageReader):
    """`parts` makes an object's parts; their ids begin with its id and a point. None: the object does not say."""

    def __init__(
        self, client: GraphClient, listing: Listing, parts: Parts, *, ahead: bool = True, page_size: int = 0
    ) -> None:
        super().__init__(client, listing, counted=False, ahead=ahead, page_size=page_size)
        self._parts = parts

    async def page(self, link: str | None) -> Page:
        page = await super().page(link)
        parts: list[dict[str, Any]] = []
        mended: dict[str, list[str]] = {}
        for item in page.items:
            made = self._parts(item) or ()
            parts += made
            if page.mended and (names := page.mended.get(item["id"])):
                mended |= {part["id"]: names for part in made}
        return replace(page, items=parts, mended=mended)

    async def ask(self, object_ids: Sequence[str]) -> dict[str, str]:
        """A part that its object does not have is gone, for the object was read. Of an object that is not there, its parts are
        as gone as the object itself.
        """
        wholes = await super().fetch(_owners(object_ids))
        answers: dict[str, str] = {}
        for part in object_ids:
            owner = _owner(part)
            if owner not in wholes:
                answers[part] = "unknown"
                continue
            whole = wholes[owner]
            there = self._parts(whole) if whole is not None else []
            if whole is None:
                answers[part] = "gone"
            elif there is None:
                answers[part] = "unknown"
            else:
                answers[part] = "there" if any(one["id"] == part for one in there) else "deleted"
        return answers

    async def fetch(self, object_ids: Sequence[str]) -> dict[str, dict[str, Any] | None]:
        wholes = await super().fetch(_owners(object_ids))
        found: dict[str, dict[str, Any] | None] = {}
        for part in object_ids:
            owner = _owner(part)
            if owner in wholes:
                whole = wholes[owner]
                there = self._parts(whole) if whole is not None else []
                if there is not None:
                    found[part] = next((one for one in there if one["id"] == part), None)
        return found


def _owner(part: str) -> str:
    return part.partition(".")[0]


def _owners(parts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(_owner(part) for part in parts))
