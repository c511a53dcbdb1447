"""One page of a collection: fetched, checked, and asked for again where it is none.

Microsoft Graph has been seen to send pages without objects' list, pages that are not found in the middle of an enumeration,
and single objects that no reader expects. What is broken as a whole is asked for again; what is odd about one object is
that object's matter.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from shared.domain.page import Page
from shared.errors import SourceProblem
from shared.graph.answers import Missing
from shared.graph.client import GraphClient, is_link
from shared.graph.lenient import replaced_in

ATTEMPTS = 3
_IDS = re.compile(r"[0-9A-Za-z._-]*")
Parsed = tuple[Any, bool]
"""A parsed body, and whether characters were replaced in it."""


async def read_page(
    client: GraphClient, fetch: Callable[[], Awaitable[Parsed]], *, ids: bool = True, may_be_missing: bool = False
) -> Page:
    """The page that `fetch` gets. `ids`: its objects are known by their ids; `may_be_missing`: 404 is an answer. Raises what
    `fetch` does, Missing, and SourceProblem for what stays no page.
    """
    for attempt in range(ATTEMPTS):
        last = attempt == ATTEMPTS - 1
        try:
            body, mended = await fetch()
        except Missing:
            if may_be_missing or last:
                raise
        else:
            if page := _page(body, ids=ids, mended=mended):
                return page
            if last:
                break
        await client.wait_again(attempt)
    raise SourceProblem(
        "Microsoft Graph sent a page that is no list of objects.",
        code="graph-malformed",
        remedy="Nothing was lost and nobody was removed; the next run tries again by itself.",
        transient=True,
    )


def _page(body: Any, *, ids: bool, mended: bool) -> Page | None:
    items = body.get("value") if isinstance(body, dict) else None
    if not isinstance(items, list):
        return None
    link, delta = body.get("@odata.nextLink") or None, body.get("@odata.deltaLink") or None
    if not all(text is None or is_link(text) for text in (link, delta)):
        return None
    usable = items
    if not ids:
        usable = [item for item in items if isinstance(item, dict)]
    elif not _identified(items):
        usable = [item for item in items if _identified([item])]
    odd = {}
    if mended:
        odd = {item["id"]: names for item in usable if ids and (names := replaced_in(item))}
    return Page(usable, link, delta, odd, sum(isinstance(item, dict) for item in items) - len(usable) if ids else 0)


def _identified(items: list[Any]) -> bool:
    """Whether all are objects whose ids can stand in keys and addresses as they are."""
    try:
        ids = [item["id"] for item in items]
        return "" not in ids and _IDS.fullmatch("".join(ids)) is not None
    except (TypeError, KeyError):
        return False
