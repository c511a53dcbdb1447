"""Files behind a redirection: no token for the second address, streamed lines, and transfers that break."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import SourceProblem
from shared.graph.files import download_lines, lines, target
from tests.served import run, served

CSV = '\ufeffReport Refresh Date,User Principal Name\r\n2026-11-24,"Ann, Zoë"\r\n2026-11-24,王'
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def _lines(file: Handler, *, first: list[int] | None = None) -> tuple[list[str], list[dict[str, str]]]:
    """What a report brings whose first address answers with these statuses, then with a redirection."""
    statuses, asked = list(first or ()), list[dict[str, str]]()

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append({"path": request.path, "authorization": request.headers.get("Authorization", "")})
        if request.path == "/file":
            return await file(request)
        if statuses:
            return web.Response(status=statuses.pop(0), headers={"Retry-After": "1"})
        return web.Response(status=302, headers={"Location": f"{request.scheme}://{request.host}/file?sig=secret"})

    async with served(answer) as client:
        found = [line async for some in download_lines(client, "/reports/x", "Reports.Read.All") for line in some]
    return found, asked


def _file(text: str, status: int = 200) -> Handler:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=text.encode())

    return answer


def test_the_token_goes_to_graph_and_not_to_where_it_leads() -> None:
    async def go() -> None:
        found, asked = await _lines(_file(CSV))
        assert found == ["Report Refresh Date,User Principal Name", '2026-11-24,"Ann, Zoë"', "2026-11-24,王"]
        assert asked == [
            {"path": "/reports/x", "authorization": "Bearer x"},
            {"path": "/file", "authorization": ""},
        ]

    run(go)


def test_the_first_address_is_asked_with_patience() -> None:
    async def go() -> None:
        found, asked = await _lines(_file(CSV), first=[429, 503])
        assert len(found) == 3 and [entry["path"] for entry in asked] == ["/reports/x"] * 3 + ["/file"]

    run(go)


def test_a_file_that_is_given_at_once_is_taken() -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=CSV.encode())

    async def go() -> None:
        async with served(answer) as client:
            assert (
                len([line async for some in download_lines(client, "/reports/x", "Reports.Read.All") for line in some])
                == 3
            )

    run(go)


@pytest.mark.parametrize("status", [301, 403, 404, 500])
def test_an_address_that_does_not_serve_is_a_broken_download(status: int) -> None:
    async def go() -> None:
        with pytest.raises(SourceProblem) as broken:
            await _lines(_file("", status))
        assert (broken.value.code, broken.value.transient) == ("graph-download-broken", True)
        assert "secret" not in broken.value.detail

    run(go)


def test_a_transfer_that_ends_too_early_is_no_whole_file() -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"a,b\r\n1,2\r\n")
        await asyncio.sleep(0)
        assert request.transport is not None
        request.transport.abort()
        return response

    async def go() -> None:
        with pytest.raises(SourceProblem) as broken:
            await _lines(half)
        assert broken.value.code == "graph-download-broken"

    run(go)


@pytest.mark.parametrize(
    "address",
    ["http://reports.example/file", "https://ann:word@127.0.0.1:1/file", "ftp://127.0.0.1/file", "https:///file", ""],
)
def test_an_address_that_can_not_be_trusted_is_not_followed(address: str) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": address} if address else {})

    async def go() -> None:
        async with served(answer) as client:
            with pytest.raises(SourceProblem) as broken:
                await anext(download_lines(client, "/reports/x", "Reports.Read.All"))
            assert "no address that can be trusted" in broken.value.detail

    run(go)


def test_graph_may_not_lead_into_this_machine() -> None:
    """Only a simulated Graph, which is on this machine itself, may name an address here without TLS."""
    with pytest.raises(SourceProblem):
        target("https://graph.microsoft.com/v1.0", "http://127.0.0.1:8080/file")
    for odd in ("https://[x/f", "https://a:9999999/f"):
        with pytest.raises(SourceProblem, match="can be read"):
            target("https://graph.microsoft.com/v1.0", odd)
    assert target("http://127.0.0.1:1/v1.0", "http://127.0.0.1:8080/file") == "http://127.0.0.1:8080/file"
    assert (
        target("https://graph.microsoft.com/v1.0", "https://reports.example/f?s=1") == "https://reports.example/f?s=1"
    )


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n\ufeff", exclude_categories=["Cs"]), min_size=1)),
    st.integers(1, 7),
    st.booleans(),
)
def test_lines_are_the_same_wherever_chunks_are_cut(texts: list[str], size: int, ended: bool) -> None:
    data = ("\ufeff" + "\r\n".join(texts) + ("\r\n" if ended and texts else "")).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    async def go() -> list[str]:
        return [line async for some in lines(chunks()) for line in some]

    assert asyncio.run(go()) == texts
