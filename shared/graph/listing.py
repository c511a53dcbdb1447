"""Listings of the directory: addresses, pages, counts, and what changed since (delta)."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from shared.domain.page import Page
from shared.errors import SourceProblem
from shared.graph import batch
from shared.graph.ahead import PagesAhead
from shared.graph.answers import Denied, Missing, PageTokenExpired, ResyncNeeded
from shared.graph.client import GraphClient
from shared.graph.guard import PageGuard
from shared.graph.pages import Parsed, read_page

_EXPAND_LIMIT = 20  # $expand on directory objects gives 20 entries at most and no link to the rest
_COUNT = {"ConsistencyLevel": "eventual", "Accept": "text/plain"}


@dataclass(frozen=True)
class Listing:
    """One collection of the directory as it is asked for. `expand`: navigation properties; those in `delta_links` delta
    reports by itself, the others are asked for object by object. `deleted`: deleted objects can be asked for.
    """

    path: str
    select: Sequence[str]
    permission: str
    expand: Sequence[str] = ()
    follow: str | None = None
    page_size: int = 999
    delta_links: Sequence[str] = ()
    deleted: bool = False
    licence_tries: int = 1
    """How often a page is asked for that is denied for want of a licence."""

    @property
    def _plain(self) -> list[str]:
        return [name for name in self.select if name not in self.expand and name != "id"]  # the id is always asked for

    @property
    def first(self) -> str:
        return self.sized(self.page_size)

    def sized(self, page_size: int) -> str:
        """The first page, of so many objects; 0: as many as Graph likes."""
        query = f"$select={','.join(['id', *self._plain])}"
        if page_size:
            query += f"&$top={page_size}"
        if self.expand:
            query += "&$expand=" + ",".join(f"{name}($select=id)" for name in self.expand)
        return f"{self.path}?{query}"

    def newer(self, condition: str) -> str:
        """The list of those that meet a filter."""
        return f"{self.first}&$filter={quote(condition, safe='/:')}"

    @property
    def delta(self) -> str:
        return f"{self.path}/delta?$select={','.join(['id', *self._plain, *self.delta_links])}"

    def one(self, object_id: str) -> str:
        """A single object, with everything that the listing asks for."""
        query = f"$select={','.join(['id', *self._plain])}"
        if self.expand:
            query += "&$expand=" + ",".join(f"{name}($select=id)" for name in self.expand)
        return f"{self.path}/{object_id}?{query}"


async def without_property(client: GraphClient, path: str, names: Sequence[str], permission: str) -> list[str]:
    """Those of the names that objects of the collection do not have in this tenant: Graph refuses the whole list for one of them,
    and an application may rename or remove its extensions.
    """
    found = []
    for name in names:
        try:
            await client.get_json(f"{path}?$select=id,{name}&$top=1", permission)
        except SourceProblem as problem:
            if problem.code != "graph-refused":
                raise
            found.append(name)
    return found


def no_such_property(names: Sequence[str]) -> SourceProblem:
    """What to do about a mapping that names what the tenant does not have."""
    return SourceProblem(
        f"The tenant has no attribute {', '.join(names)}, which the mapping names.",
        code="graph-no-such-attribute",
        remedy="Correct the connector's mapping: names of extensions are those of the app registration that defines them, in its "
        "upper and lower case. Nothing was lost and nobody was removed.",
    )


_SMALLER = (500, 100)
"""Objects of a page, where a tenant's Graph refuses the usual number ("Cannot query data for more than 120 users")."""


class PageReader:
    """Reads a listing without delta page by page. `counted`: Graph can be asked how many objects there are; `page_size`:
    what this tenant's Graph was content with before, 0: not known to be less than usual.
    """

    def __init__(
        self, client: GraphClient, listing: Listing, *, counted: bool = True, ahead: bool = False, page_size: int = 0
    ) -> None:
        self._client, self._listing, self._counted = client, listing, counted
        self.page_size = page_size
        self._ahead = PagesAhead(client, listing.permission) if ahead else None

    async def page(self, link: str | None) -> Page:
        """The page behind a link, or the first. Raises PageTokenExpired, Postponed, SourceProblem."""
        page = await self._page(link, self._ahead) if link else await self._first()
        if self._listing.follow:
            await self._complete(page.items, self._listing.follow)
        return page

    async def _first(self) -> Page:
        """The first page, with fewer objects where Graph refuses as many as usual."""
        listing, refused = self._listing, None
        usual = self.page_size or listing.page_size
        for size in (usual, usual, *(size for size in _SMALLER if size < usual)):  # once may be an accident
            try:
                page = await self._page(listing.sized(size), self._ahead)
            except SourceProblem as problem:
                if problem.code != "graph-refused":
                    raise
                refused = refused or problem
            else:
                self.page_size = size if size < usual else self.page_size
                return page
        assert refused
        raise refused

    def ask_less(self) -> None:
        """The next list asks for fewer objects a page: Graph has ended lists after a large first page, without a link."""
        usual = self.page_size or self._listing.page_size
        self.page_size = next((size for size in _SMALLER if size < usual), self.page_size)

    async def enumerate(self, link: str | None) -> Page:
        """The whole collection in another way, where there is one."""
        return await self.page(link)

    async def changes(self, link: str) -> Page:
        """A page of what is newer. Raises ResyncNeeded where the link is of no use any more."""
        try:
            return await self._page(link)
        except (Missing, PageTokenExpired):
            raise
        except SourceProblem as problem:
            if problem.code == "graph-refused":  # any 400 on a stored link means: begin again
                raise ResyncNeeded from problem
            raise

    async def stop(self) -> None:
        """No more pages are wanted for now."""
        if self._ahead:
            await self._ahead.stop()

    async def latest(self) -> str | None:
        """A link to what changes from now on, where the collection has one."""
        return None

    async def ask(self, object_ids: Sequence[str]) -> dict[str, str]:
        """Whether objects are there: there, deleted (restorable), gone, or unknown where Graph gave no clear answer."""
        path, permission = self._listing.path, self._listing.permission
        urls = {f"{n}": f"{path}/{object_id}?$select=id" for n, object_id in enumerate(object_ids)}
        if self._listing.deleted:
            urls |= {
                f"d{n}": f"/directory/deletedItems/{object_id}?$select=id" for n, object_id in enumerate(object_ids)
            }
        answers = await batch.get(self._client, urls, permission)
        found: dict[str, str] = {}
        for n, object_id in enumerate(object_ids):
            there, deleted = answers[f"{n}"], answers.get(f"d{n}")
            if there.named(object_id):
                found[object_id] = "there"
            elif there.gone and deleted is not None and deleted.named(object_id):
                found[object_id] = "deleted"
            elif there.gone and (deleted is None or deleted.gone):
                found[object_id] = "gone"
            else:
                found[object_id] = "unknown"
        return found

    async def fetch(self, object_ids: Sequence[str]) -> dict[str, dict[str, Any] | None]:
        """Whole objects by id, None for one that is gone; one without a clear answer is left out."""
        urls = {object_id: self._listing.one(object_id) for object_id in object_ids}
        answers = await batch.get(self._client, urls, self._listing.permission)
        return {
            object_id: answer.body if answer.status == 200 else None
            for object_id, answer in answers.items()
            if answer.gone or (answer.status == 200 and answer.named(object_id))
        }

    async def _page(self, url: str, ahead: PagesAhead | None = None) -> Page:
        return await read_page(self._client, partial(ahead.get if ahead else self._patient, url))

    async def _patient(self, url: str) -> Parsed:
        """Graph is known to deny a licensed tenant now and then."""
        for _ in range(self._listing.licence_tries - 1):
            try:
                return await self._client.get_mended(url, self._listing.permission)
            except Denied as denied:
                if denied.reason != "licence":
                    raise
        return await self._client.get_mended(url, self._listing.permission)

    async def _complete(self, items: list[dict[str, Any]], name: str) -> None:
        for item in items:
            if isinstance(item.get(name), list) and len(item[name]) >= _EXPAND_LIMIT:
                url = f"{self._listing.path}/{item['id']}/{name}?$select=id"
                try:
                    item[name] = await read_all(self._client, url, self._listing.permission)
                except Missing:
                    continue  # deleted since the page was made: the next read does not bring it

    async def count(self) -> int | None:
        """Graph's own count, None where it gives none."""
        if not self._counted:
            return None
        try:
            answer = await self._client.get_json(f"{self._listing.path}/$count", self._listing.permission, _COUNT)
        except Denied:
            raise
        except SourceProblem as problem:
            if problem.transient:
                raise
            return None
        return answer if type(answer) is int and answer >= 0 else None


class DirectoryReader(PageReader):
    """Reads a listing that has delta: the whole list, then what changed."""

    async def enumerate(self, link: str | None) -> Page:
        """The whole collection through delta's own pages, the last of which has a delta link."""
        page = await self._page(link or self._listing.delta, self._ahead)
        await self._link(page.items)
        return page

    async def changes(self, link: str) -> Page:
        """A page of what changed. Items hold `@removed`, or all selected properties."""
        page = await super().changes(link)
        await self._link(page.items)
        return page

    async def latest(self) -> str | None:
        """A link from now on; None where this tenant has no delta (B2C)."""
        try:
            body = await self._client.get_json(f"{self._listing.delta}&$deltatoken=latest", self._listing.permission)
        except Denied:
            raise
        except SourceProblem as problem:
            if problem.code == "graph-refused":
                return None
            raise
        link = body.get("@odata.deltaLink") if isinstance(body, dict) else None
        return link if isinstance(link, str) else None

    async def _link(self, items: list[dict[str, Any]]) -> None:
        """Gives delta's items the navigation properties that the list's $expand would have brought."""
        for name in self._listing.delta_links:
            for item in items:
                if f"{name}@delta" in item:
                    item[name] = item.pop(f"{name}@delta")
        asked = [name for name in self._listing.expand if name not in self._listing.delta_links]
        present = {item["id"]: item for item in items if "@removed" not in item}
        for name in asked:
            urls = {object_id: f"{self._listing.path}/{object_id}/{name}?$select=id" for object_id in present}
            for object_id, answer in (await batch.get(self._client, urls, self._listing.permission)).items():
                entries = answer.body.get("value") if isinstance(answer.body, dict) else None
                if answer.status == 200 and isinstance(entries, list):
                    present[object_id][name] = entries
                    if following := answer.body.get("@odata.nextLink"):
                        present[object_id][name] += await read_all(
                            self._client, str(following), self._listing.permission
                        )
                elif not answer.gone:
                    raise SourceProblem(
                        f"Microsoft Graph did not give {name} of an object ({answer.status}).",
                        code="graph-unavailable",
                        remedy="Nothing was lost and nobody was removed; the next run tries again by itself.",
                        transient=True,
                    )


async def read_all(client: GraphClient, url: str, permission: str, *, ids: bool = True) -> list[dict[str, Any]]:
    """All objects of a short listing."""
    return [item async for page in pages_of(client, url, permission, ids=ids) for item in page.items]


async def pages_of(client: GraphClient, url: str, permission: str, *, ids: bool = True) -> AsyncIterator[Page]:
    """A listing page by page, from an address on. Raises Missing where that is not there."""
    guard, met, number = PageGuard(), set[str](), 0
    link: str | None = url
    while link:
        page = await read_page(
            client, partial(client.get_mended, link, permission), ids=ids, may_be_missing=link == url
        )
        met.update(str(item.get("id", number)) for number, item in enumerate(page.items, number))
        number += len(page.items)
        link = page.next_link
        yield page
        guard.follow(link, len(page.items), len(met))


async def find_groups(client: GraphClient, name: str, permission: str) -> list[str]:
    """Object ids of the groups with a display name, compared exactly. Display names are not unique."""
    escaped = quote(name.replace("'", "''"), safe="")
    url = f"/groups?$filter=displayName eq '{escaped}'&$select=id,displayName"
    return [group["id"] for group in await read_all(client, url, permission)]


def members_of(client: GraphClient, group: str, permission: str, link: str | None = None) -> AsyncIterator[Page]:
    """Pages of a group's people, nested groups included, from a link on. Raises Missing where there is no such group."""
    first = f"/groups/{group}/transitiveMembers/microsoft.graph.user?$select=id&$top=999"
    return pages_of(client, link or first, permission)


async def group_changes(client: GraphClient, link: str | None, permission: str) -> tuple[bool, str]:
    """Whether any group changed since the link, and the link from here on. Without a link: from now on."""
    changed, delta = False, ""
    first = link or "/groups/delta?$select=id,displayName,members&$deltatoken=latest"
    async for page in pages_of(client, first, permission, ids=False):
        changed, delta = changed or bool(page.items), page.delta_link or ""
    return changed, delta


async def verified_domains(client: GraphClient) -> list[str]:
    """The tenant's verified domains. Raises Denied without Organization.Read.All."""
    found = await read_all(client, "/organization?$select=id,verifiedDomains", "Organization.Read.All")
    listed = [tenant.get("verifiedDomains") for tenant in found]
    domains = [domain for some in listed if isinstance(some, list) for domain in some if isinstance(domain, dict)]
    return [str(domain.get("name")) for domain in domains]


async def subscriptions(client: GraphClient) -> list[dict[str, Any]]:
    """What the tenant has subscribed to: part number, state, units. Raises Denied without Organization.Read.All."""
    skus = await read_all(client, "/subscribedSkus", "Organization.Read.All", ids=False)
    return [
        {
            "skuPartNumber": sku.get("skuPartNumber"),
            "capabilityStatus": sku.get("capabilityStatus"),
            "enabled": units.get("enabled") if isinstance(units := sku.get("prepaidUnits"), dict) else None,
            "consumed": sku.get("consumedUnits"),
        }
        for sku in skus
    ]
