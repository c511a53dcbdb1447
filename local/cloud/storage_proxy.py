"""A proxy before the storage emulator: passes everything on, counts it, and can fail on purpose.

It passes bytes on as they are: signatures and keys depend on their spelling, and every test's storage requests go through it.
"""

import asyncio
import json
import re
import ssl
import time
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import parse_qsl, unquote, urlsplit

from local.cloud.faults import Fault, Faults

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
_HEAD = 64 * 1024
_IDLE = 2.0
"""Seconds after which a connection is not used again: the emulator closes idle ones after five."""
_LEAD = "1!4!ICA-"
"""The continuation of a page that we made: it leads to the very same query."""
_REASONS = {202: "Accepted", 409: "Conflict", 500: "Internal Server Error", 503: "Service Unavailable"}


class Cut(Exception):
    """The connection is cut without an answer."""


@dataclass
class Asked:
    """A request as it came. `head`: its first line and headers with the blank line behind them; `target`: path and query."""

    method: str
    target: str
    head: bytes
    body: bytes

    @cached_property
    def path(self) -> str:
        """Decoded."""
        return unquote(self.target.partition("?")[0])

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """An answer of our own."""
    made = {"Content-Length": str(len(body)), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in made.items())
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'OK')}\r\n{lines}\r\n".encode() + body


def _json(status: int, value: object, headers: Mapping[str, str] | None = None) -> bytes:
    return answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})


def _failure(status: int, code: str, text: str = "Injected fault.") -> bytes:
    return _json(status, {"odata.error": {"code": code, "message": {"lang": "en-US", "value": text}}})


def _refused_inside() -> bytes:
    """A batch that Table Storage is too busy for: accepted as a request, refused as a change set."""
    text = (
        "--batchresponse_a\r\nContent-Type: multipart/mixed; boundary=changesetresponse_b\r\n\r\n"
        "--changesetresponse_b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        "HTTP/1.1 503 Service Unavailable\r\nDataServiceVersion: 3.0;\r\n"
        "Content-Type: application/json;odata=minimalmetadata;charset=utf-8\r\n\r\n"
        '{"odata.error":{"code":"ServerBusy","message":{"lang":"en-US","value":"0:Injected fault."}}}\r\n'
        "--changesetresponse_b--\r\n--batchresponse_a--\r\n"
    )
    return answer(202, text.encode(), {"Content-Type": "multipart/mixed; boundary=batchresponse_a"})


class _Upstream:
    """The emulator's side of one client's connection."""

    def __init__(self, address: str, context: ssl.SSLContext | None) -> None:
        parts = urlsplit(address)
        self._host, self._port, self._context = parts.hostname or "", parts.port, context
        self._line: tuple[StreamReader, StreamWriter] | None = None
        self._used = 0.0

    async def send(self, head: bytes, body: bytes, *, bodiless: bool) -> bytes:
        """The answer, whole. Raises OSError, EOFError."""
        if self._line and (self._line[0].at_eof() or time.monotonic() - self._used > _IDLE):
            self.close()
        if self._line is None:
            self._line = await asyncio.open_connection(self._host, self._port, ssl=self._context, limit=_HEAD)
        reader, writer = self._line
        writer.write(head + body)
        found = await reader.readuntil(b"\r\n\r\n")
        content = b"" if bodiless else await _body(reader, found)
        self._used = time.monotonic()
        return found + content

    def close(self) -> None:
        if self._line:
            self._line[1].transport.abort()
            self._line = None


async def _body(reader: StreamReader, head: bytes) -> bytes:
    """What follows the head, as it is on the wire."""
    if length := _LENGTH.search(head):
        return await reader.readexactly(int(length[1]))
    if not _CHUNKED.search(head):
        return b""
    parts: list[bytes] = []
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        parts += [line, await reader.readexactly(size + 2)]
        if not size:
            return b"".join(parts)


class StorageProxy:
    """`upstream` is the emulator's address of one service; `count` sums requests by method and path."""

    def __init__(self, upstream: str, faults: Faults) -> None:
        self._upstream, self._faults = upstream, faults
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._context: ssl.SSLContext | None = None
        if upstream.startswith("https"):
            self._context = ssl.create_default_context()
            self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE  # this process' own emulator
        self.count: Counter[str] = Counter()
        self.filters: Counter[str] = Counter()
        """Each different query: table and filter, with ? for the values."""

    async def start(self, port: int = 0, context: ssl.SSLContext | None = None) -> int:
        """Serves on loopback; gives the port. `context`: over TLS."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=context, limit=_HEAD)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        upstream = _Upstream(self._upstream, self._context)
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, target, _ = head.partition(b"\r\n")[0].decode("latin-1").split(" ", 2)
                asked = Asked(method, target, head, await _body(reader, head))
                writer.write(await self.handle(asked, upstream))
                await writer.drain()
                if _CLOSE.search(head):
                    return
        except (Cut, OSError, EOFError, asyncio.LimitOverrunError):
            pass  # the client went, or is to be cut off
        finally:
            self._serving.discard(task)
            writer.transport.abort()
            upstream.close()

    async def handle(self, asked: Asked, upstream: _Upstream) -> bytes:
        """The answer to a request. Raises Cut."""
        self.count[f"{asked.method} {asked.path}"] += 1
        filtered = "%24filter=" in asked.target or "$filter=" in asked.target
        if filtered:
            table = asked.path.rpartition("/")[2].partition("(")[0]
            shape = re.sub(r"'(?:[^']|'')*'", "?", asked.query["$filter"])
            self.filters[f"{table}: {shape}"] += 1
        fault = self._faults.hit("storage", f"{asked.method} {asked.target}")
        if fault is None:
            return await self._pass(asked, upstream)
        if (made := await self._trouble(fault, asked, filtered=filtered)) is not None:
            return made
        passed = await self._pass(asked, upstream)
        if fault.kind == "answer-lost":
            raise Cut
        return passed

    async def _trouble(self, fault: Fault, asked: Asked, *, filtered: bool) -> bytes | None:
        """What the fault answers; None: the request is passed on all the same."""
        kind = fault.kind
        if kind == "reset" or (kind == "hang" and await self._faults.hangs(fault)):
            raise Cut
        if kind in ("503", "500"):
            return _failure(int(kind), "ServerBusy" if kind == "503" else "InternalError")
        if kind == "being-deleted":
            return _failure(409, "TableBeingDeleted", "The specified table is being deleted.")
        if kind == "inner-503" and asked.path.endswith("$batch"):
            return _refused_inside()
        if kind == "delay":
            await asyncio.sleep(fault.seconds)  # it has arrived, and is done however long the sender waits
        if kind == "empty-page" and asked.method == "GET" and filtered and "NextPartitionKey" not in asked.query:
            # Table Storage may answer a query with no rows and a continuation: this one leads to the very same query.
            headers = {f"x-ms-continuation-Next{key}": _LEAD for key in ("PartitionKey", "RowKey")}
            return _json(200, {"value": []}, headers)
        return None

    async def _pass(self, asked: Asked, upstream: _Upstream) -> bytes:
        head = asked.head
        if "ICA-" in asked.target:
            head = _without_lead(asked)
        try:
            return await upstream.send(head, asked.body, bodiless=asked.method == "HEAD")
        except (OSError, EOFError):
            upstream.close()
            return answer(503)


def _without_lead(asked: Asked) -> bytes:
    target = asked.target
    for mark in (_LEAD, _LEAD.replace("!", "%21")):
        for key in ("NextPartitionKey", "NextRowKey"):
            target = target.replace(f"{key}={mark}", "")
    target = target.rstrip("&").replace("&&", "&")
    _, _, rest = asked.head.partition(b"\r\n")
    return f"{asked.method} {target} HTTP/1.1\r\n".encode("latin-1") + rest
