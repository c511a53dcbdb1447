"""A list of another service about objects of the directory: its entries are given the ids of the objects that they are about."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from shared.domain.page import Page
from shared.graph.client import GraphClient
from shared.graph.listing import Listing, PageReader


class JoinedReader(PageReader):
    """`find` gives the object id by the property `on` of an entry; None for an object that is not in the copy, whose entries are
    passed over. Of several entries about one object the one with the latest `newest` counts.
    """

    def __init__(
        self,
        client: GraphClient,
        listing: Listing,
        on: str,
        newest: str,
        find: Callable[[str], str | None],
        *,
        page_size: int = 0,
    ) -> None:
        super().__init__(client, listing, counted=False, page_size=page_size)
        self._on, self._newest, self._find = on, newest, find
        self._met: dict[str, str] = {}

    async def page(self, link: str | None) -> Page:
        if link is None:
            self._met.clear()
        page = await super().page(link)
        found: dict[str, dict[str, Any]] = {}
        mended: dict[str, list[str]] = {}
        for item in page.items:
            shared = item.get(self._on)
            object_id = self._find(shared) if isinstance(shared, str) and shared else None
            newest = str(item.get(self._newest) or "")
            if object_id is None or newest < self._met.get(object_id, ""):
                continue
            self._met[object_id] = newest
            found[object_id] = {**item, "id": object_id}
            if names := (page.mended or {}).get(item["id"]):
                mended[object_id] = names
        return replace(page, items=list(found.values()), mended=mended)

    async def ask(self, object_ids: Sequence[str]) -> dict[str, str]:
        """A list that was read to its end is all that there is to know: what it lacks is gone."""
        return dict.fromkeys(object_ids, "deleted")

    async def fetch(self, object_ids: Sequence[str]) -> dict[str, dict[str, Any] | None]:
        return dict.fromkeys(object_ids[:0])
