"""The pages of a list, read ahead: the next one is asked for as soon as its link is known, before this one is looked at.

Graph gives one page per link and takes a tenth of a second or more for each, so the chain of links is what a read waits
for. The link stands at the head of a page's bytes: finding it there costs nothing, parsing the page 10 milliseconds.
"""

import asyncio
import re
from typing import Any

from shared.graph.client import GraphClient
from shared.graph.lenient import NotJson, parse

MOST_AHEAD = 2  # pages that wait as bytes, about 1.5 MB each
_LINK = re.compile(rb'"@odata\.nextLink"\s*:\s*("(?:[^"\\]|\\.)*")')


class PagesAhead:
    """One list at a time. What went wrong with a page is raised when its turn comes."""

    def __init__(self, client: GraphClient, permission: str) -> None:
        self._client, self._permission = client, permission
        self._pages: asyncio.Queue[tuple[bytes, str | None] | Exception] = asyncio.Queue(MOST_AHEAD)
        self._task: asyncio.Task[None] | None = None
        self._next: str | None = None

    async def get(self, link: str) -> tuple[Any, bool]:
        """The parsed page behind the link, and whether characters were replaced in it. Raises what GraphClient raises."""
        if self._task is None or self._next != link:
            await self.stop()
            self._task = asyncio.create_task(self._read(link))
        found = await self._pages.get()
        await self._client.way.give()  # first the next request leaves
        if isinstance(found, Exception):
            await self.stop()
            raise found
        raw, following = found
        try:
            body, mended = parse(raw)
        except NotJson:
            body, mended = await self._client.get_mended(link, self._permission)  # looked whole, but is not: once more
        self._next = (body.get("@odata.nextLink") or None) if isinstance(body, dict) else None
        if self._next != following or self._next is None:
            await self.stop()
        return body, mended

    async def stop(self) -> None:
        """Nothing is asked for any more; what was read ahead is forgotten."""
        task, self._task = self._task, None
        if task:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        while not self._pages.empty():
            self._pages.get_nowait()

    async def _read(self, first: str) -> None:
        link: str | None = first
        try:
            while link:
                raw = await self._client.get_bytes(link, self._permission)
                link = following(raw)
                await self._pages.put((raw, link))
        except Exception as problem:  # noqa: BLE001 - it is raised by `get`, where the reader of this page is
            await self._pages.put(problem)


def following(page: bytes) -> str | None:
    """The link to the next page: from the head of the bytes, or wherever else it stands."""
    head = page[: max(page.find(b'"value"'), 0)]
    try:
        if found := _LINK.search(head):
            link = parse(found.group(1))[0]
        else:
            body, _ = parse(page)
            link = body.get("@odata.nextLink") if isinstance(body, dict) else None
    except NotJson:
        return None
    return link if isinstance(link, str) and link else None
