"""Listings of the directory: addresses, pages and counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from shared.errors import SourceProblem
from shared.graph.answers import Denied, Missing
from shared.graph.client import GraphClient

_EXPAND_LIMIT = 20  # $expand on directory objects gives 20 entries at most and no link to the rest
_COUNT = {"ConsistencyLevel": "eventual", "Accept": "text/plain"}


@dataclass(frozen=True)
class Page:
    """Objects and the link to the next page; None behind the last."""

    items: list[dict[str, Any]]
    next_link: str | None


@dataclass(frozen=True)
class Listing:
    """One collection of the directory as it is asked for."""

    path: str
    select: Sequence[str]
    permission: str
    expand: Sequence[str] = ()
    follow: str | None = None
    page_size: int = 999

    @property
    def first(self) -> str:
        plain = [name for name in self.select if name not in self.expand]
        query = f"$select=id,{','.join(plain)}&$top={self.page_size}"
        if self.expand:
            query += "&$expand=" + ",".join(f"{name}($select=id)" for name in self.expand)
        return f"{self.path}?{query}"


class DirectoryReader:
    """Reads a listing page by page through the client."""

    def __init__(self, client: GraphClient, listing: Listing) -> None:
        self._client, self._listing = client, listing

    async def page(self, link: str | None) -> Page:
        """The page behind a link, or the first. Raises PageTokenExpired, Postponed, SourceProblem."""
        listing = self._listing
        body = await self._client.get_json(link or listing.first, listing.permission)
        items = body.get("value")
        if not isinstance(items, list):
            raise SourceProblem(
                "Microsoft Graph sent a page without a list.",
                code="graph-malformed",
                remedy="The next run tries again by itself.",
                transient=True,
            )
        if listing.follow:
            await self._complete(items, listing.follow)
        return Page(items, body.get("@odata.nextLink"))

    async def _complete(self, items: list[dict[str, Any]], name: str) -> None:
        for item in items:
            if len(item.get(name) or ()) >= _EXPAND_LIMIT:
                url = f"{self._listing.path}/{item['id']}/{name}?$select=id"
                try:
                    item[name] = await read_all(self._client, url, self._listing.permission)
                except Missing:
                    continue  # deleted since the page was made: the next read does not bring it

    async def count(self) -> int | None:
        """Graph's own count, None where it gives none."""
        try:
            answer = await self._client.get_json(f"{self._listing.path}/$count", self._listing.permission, _COUNT)
        except Denied:
            raise
        except SourceProblem as problem:
            if problem.transient:
                raise
            return None
        return int(answer) if isinstance(answer, int) else None


async def read_all(client: GraphClient, url: str, permission: str) -> list[dict[str, Any]]:
    """All objects of a short listing."""
    objects: list[dict[str, Any]] = []
    link: str | None = url
    while link:
        body = await client.get_json(link, permission)
        objects += body["value"]
        link = body.get("@odata.nextLink")
    return objects


async def find_groups(client: GraphClient, name: str, permission: str) -> list[str]:
    """Object ids of the groups with a display name, compared exactly. Display names are not unique."""
    escaped = quote(name.replace("'", "''"), safe="")
    url = f"/groups?$filter=displayName eq '{escaped}'&$select=id,displayName"
    return [group["id"] for group in await read_all(client, url, permission)]


async def members_of(client: GraphClient, group: str, permission: str) -> list[str] | None:
    """Object ids of a group's people, nested groups included; None where there is no such group."""
    url = f"/groups/{group}/transitiveMembers/microsoft.graph.user?$select=id&$top=999"
    try:
        return [member["id"] for member in await read_all(client, url, permission)]
    except Missing:
        return None
