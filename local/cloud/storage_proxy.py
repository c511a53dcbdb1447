"""A proxy before the storage emulator: passes everything on, counts it, and can fail on purpose."""

import asyncio
import re
import ssl
from collections import Counter
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from local.cloud.faults import Faults

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade", "host"}


def reset(request: web.Request) -> None:
    """Cuts the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()


def _refused_inside() -> web.Response:
    """A batch that Table Storage is too busy for: accepted as a request, refused as a change set."""
    text = (
        "--batchresponse_a\r\nContent-Type: multipart/mixed; boundary=changesetresponse_b\r\n\r\n"
        "--changesetresponse_b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        "HTTP/1.1 503 Service Unavailable\r\nDataServiceVersion: 3.0;\r\n"
        "Content-Type: application/json;odata=minimalmetadata;charset=utf-8\r\n\r\n"
        '{"odata.error":{"code":"ServerBusy","message":{"lang":"en-US","value":"0:Injected fault."}}}\r\n'
        "--changesetresponse_b--\r\n--batchresponse_a--\r\n"
    )
    return web.Response(
        status=202, body=text.encode(), headers={"Content-Type": "multipart/mixed; boundary=batchresponse_a"}
    )


class StorageProxy:
    """`upstream` is the emulator's address of one service; `count` sums requests by method and path."""

    def __init__(self, upstream: str, faults: Faults) -> None:
        self._upstream, self._faults = upstream, faults
        self._session: aiohttp.ClientSession | None = None
        self.count: Counter[str] = Counter()
        self.filters: Counter[str] = Counter()
        """Each different query: table and filter, with ? for the values."""

    async def start(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # this process' own emulator, on loopback
        connector = aiohttp.TCPConnector(ssl=context, limit=64)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)

    async def stop(self) -> None:
        if self._session:
            await self._session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.count[f"{request.method} {request.path}"] += 1
        if "$filter" in request.query:
            table = request.path.rpartition("/")[2].partition("(")[0]
            shape = re.sub(r"'(?:[^']|'')*'", "?", request.query["$filter"])
            self.filters[f"{table}: {shape}"] += 1
        fault = self._faults.hit("storage", f"{request.method} {request.raw_path}")
        kind = fault.kind if fault else ""
        if fault and (kind == "reset" or (kind == "hang" and await self._faults.hangs(fault))):
            reset(request)
            return web.Response()
        if kind in ("503", "500"):
            code = "ServerBusy" if kind == "503" else "InternalError"
            body = {"odata.error": {"code": code, "message": {"lang": "en-US", "value": "Injected fault."}}}
            return web.json_response(body, status=int(kind))
        if kind == "being-deleted":
            message = {"lang": "en-US", "value": "The specified table is being deleted."}
            return web.json_response({"odata.error": {"code": "TableBeingDeleted", "message": message}}, status=409)
        if kind == "inner-503" and request.path.endswith("$batch"):
            return _refused_inside()
        if fault and kind == "delay":
            await request.read()  # it has arrived, and is done however long the sender waits
            await asyncio.sleep(fault.seconds)
        if (
            kind == "empty-page"
            and request.method == "GET"
            and "$filter" in request.query
            and "NextPartitionKey" not in request.query
        ):
            # Table Storage may answer a query with no rows and a continuation: this one leads to the very same query.
            headers = {"x-ms-continuation-NextPartitionKey": "1!4!ICA-", "x-ms-continuation-NextRowKey": "1!4!ICA-"}
            return web.json_response({"value": []}, headers=headers)
        response = await self._pass(request)
        if kind == "answer-lost":
            reset(request)
        return response

    async def _pass(self, request: web.Request) -> web.Response:
        assert self._session is not None
        path = request.raw_path.replace("NextPartitionKey=1!4!ICA-", "").replace("NextRowKey=1!4!ICA-", "")
        path = (
            path.replace("NextPartitionKey=1%214%21ICA-", "")
            .replace("NextRowKey=1%214%21ICA-", "")
            .rstrip("&")
            .replace("&&", "&")
        )
        headers: Any = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP]
        body = await request.read()
        # yarl must not touch the path: signatures and keys depend on its spelling.
        url = URL(f"{self._upstream}{path}", encoded=True)
        try:
            async with self._session.request(
                request.method,
                url,
                headers=headers,
                data=body or None,
                skip_auto_headers=("Content-Type", "User-Agent", "Accept"),
            ) as answer:
                content = await answer.read()
        except aiohttp.ClientError:
            return web.Response(status=503)
        kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP]
        return web.Response(status=answer.status, body=content, headers=kept)
