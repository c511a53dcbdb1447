"""Files behind a redirection: Graph answers a report's address with one that needs no token and is good for minutes.

https://learn.microsoft.com/graph/api/reportroot-getoffice365activeuserdetail
"""

import codecs
from collections.abc import AsyncIterator
from contextlib import aclosing
from urllib.parse import urljoin, urlsplit

from shared.errors import SourceProblem
from shared.graph.client import GraphClient
from shared.graph.connection import trust
from shared.settings import is_loopback

_MOST_LINE = 1024 * 1024  # characters


async def download(client: GraphClient, url: str, permission: str) -> AsyncIterator[bytes]:
    """The file's bytes as they come. The token goes to Graph only: the address that it names gets none. Raises
    SourceProblem where the transfer breaks; what came until then is not the whole file.
    """
    answer = await client.get_answer(url, permission)
    if answer.status < 300:
        yield answer.content  # some clouds give the file at once
        return
    async for chunk in _stream(target(client.base_url, answer.headers.get("location", ""))):
        yield chunk


def target(base_url: str, location: str) -> str:
    """Where a redirection leads. Raises SourceProblem unless it is https without a name and password in it. Only a Graph on
    this machine may name an address on this machine.
    """
    try:
        address = urljoin(base_url, location)
        parts = urlsplit(address)
        safe = bool(location and parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        raise _broken("named no address that can be read") from None
    if is_loopback(base_url) and is_loopback(address):
        safe = safe and parts.scheme in ("http", "https")
    else:
        safe = safe and parts.scheme == "https" and not is_loopback(address)
    if not safe:
        raise _broken("named no address that can be trusted")
    return address


async def _stream(target: str) -> AsyncIterator[bytes]:
    import httpx

    try:
        async with (
            httpx.AsyncClient(timeout=httpx.Timeout(100.0, connect=15.0), verify=trust()) as http,
            http.stream("GET", target) as response,
        ):
            if response.status_code != 200:
                raise _broken(f"was answered {response.status_code}")
            async for chunk in response.aiter_bytes():
                yield chunk
    except httpx.HTTPError as error:
        raise _broken(f"broke ({type(error).__name__})") from error


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[str]]:
    """The lines of a text file, as many at a time as came: UTF-8 with or without a byte-order mark, either kind of line end."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    rest = ""
    async for chunk in chunks:
        rest += decoder.decode(chunk)
        *whole, rest = rest.split("\n")
        if whole:
            yield [line.removesuffix("\r") for line in whole]
        if len(rest) > _MOST_LINE:
            raise _broken("brought a line without an end")
    if rest := rest + decoder.decode(b"", final=True):
        yield [rest.removesuffix("\r")]


async def download_lines(client: GraphClient, url: str, permission: str) -> AsyncIterator[list[str]]:
    """The lines of a file behind a redirection. The connection closes with the iteration."""
    async with aclosing(download(client, url, permission)) as chunks:  # type: ignore[type-var] # it is a generator
        async for some in lines(chunks):
            yield some


def _broken(what: str) -> SourceProblem:
    return SourceProblem(
        f"The download of a file from Microsoft {what}.",
        code="graph-download-broken",
        remedy="Nothing of it was used; the next run downloads it again by itself.",
        transient=True,
    )
