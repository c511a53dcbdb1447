"""A list of another service about objects of the directory: its entries are given the ids of the objects that they are about."""

from collections.abc import Callable, Iterator, Sequence
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
        self._chosen: dict[str, tuple[str, str]] | None = None

    async def page(self, link: str | None) -> Page:
        """The entries of a page that count. Which those are is looked up first, in the whole list: an entry on a later page may be the
        newer one, and whoever goes on in the middle has not seen the beginning.
        """
        if self._chosen is None:
            self._chosen = await self._looked_through()
        page = await super().page(link)
        found: dict[str, dict[str, Any]] = {}
        mended: dict[str, list[str]] = {}
        for object_id, item in self._known(page):
            if self._chosen.get(object_id) == self._rank(item):
                found[object_id] = {**item, "id": object_id}
                if names := (page.mended or {}).get(item["id"]):
                    mended[object_id] = names
        return replace(page, items=list(found.values()), mended=mended)

    async def _looked_through(self) -> dict[str, tuple[str, str]]:
        """Of each object the entry that counts."""
        chosen: dict[str, tuple[str, str]] = {}
        link, met = None, set[str]()
        while True:
            page = await super().page(link)
            for object_id, item in self._known(page):
                chosen[object_id] = max(chosen.get(object_id, ("", "")), self._rank(item))
            link = page.next_link
            if not link or link in met:  # a list that goes in circles is found out where it is read
                return chosen
            met.add(link)

    def _known(self, page: Page) -> Iterator[tuple[str, dict[str, Any]]]:
        for item in page.items:
            shared = item.get(self._on)
            object_id = self._find(shared) if isinstance(shared, str) and shared else None
            if object_id:
                yield object_id, item

    def _rank(self, item: dict[str, Any]) -> tuple[str, str]:
        return str(item.get(self._newest) or ""), str(item["id"])

    async def ask(self, object_ids: Sequence[str]) -> dict[str, str]:
        """A list that was read to its end is all that there is to know: what it lacks is gone."""
        return dict.fromkeys(object_ids, "deleted")

    async def fetch(self, object_ids: Sequence[str]) -> dict[str, dict[str, Any] | None]:
        return dict.fromkeys(object_ids[:0])
