"""Table Storage for measurements: the requests that Rollcall makes, counted, with latency on a switch. Big tables may keep
only what an index reads (`--slim`), so that a million users fit. Correctness is measured against Azurite.
"""

import argparse
import asyncio
import re
from collections import Counter
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import web

_OPERATION = re.compile(
    rb"(PUT|POST|PATCH|MERGE|DELETE) (\S+) HTTP/1\.1\r\n(.*?)\r\n\r\n(.*?)\r\n?(?=--changeset_)", re.DOTALL
)
_KEYS = re.compile(r"/([A-Za-z0-9]+)\(PartitionKey='(.*)',\s*RowKey='(.*)'\)$")
_EXACT = re.compile(r"^PartitionKey eq '(.*)' and RowKey ge '(.*)' and RowKey lt '(.*)'$")
_RANGE = re.compile(r"^PartitionKey ge '(.*)' and PartitionKey lt '(.*)'$")
_SLIM = ("PartitionKey", "RowKey", "V", "Digest", "ChangedAt", "FirstSeenAt", "ChangedBy")
PAGE = 1000


class Server:
    def __init__(self, latency: float, slim: set[str], sink: set[str]) -> None:
        self.latency, self.slim, self.sink = latency, slim, sink
        self.tables: dict[str, dict[str, dict[str, bytes]]] = {}
        self.etags: dict[tuple[str, str, str], str] = {}
        self.operations: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self._stamp = 0

    async def handle(self, request: web.Request) -> web.Response:
        if self.latency:
            await asyncio.sleep(self.latency)
        path = request.raw_path.partition("?")[0]
        body = await request.read()
        name = path.rpartition("/")[2]
        self.requests[f"{request.method} {name.partition('(')[0]}"] += 1
        if name == "$batch":
            return self._batch(body)
        if name == "Tables":
            table = orjson.loads(body)["TableName"]
            if table in self.tables:
                return _error(409, "TableAlreadyExists")
            self.tables[table] = {}
            return web.Response(status=201, body=orjson.dumps({"TableName": table}), content_type="application/json")
        match = _KEYS.search(unquote(path))
        if match and request.method == "GET":
            return self._get(*(text.replace("''", "'") for text in match.groups()))
        if request.method == "GET":
            return self._query(name.partition("(")[0], request.query)
        table = match.group(1) if match else name.partition("(")[0]
        status, etag = self._apply(request.method, path, request.headers.get("If-Match"), body, table)
        code = {404: "ResourceNotFound", 409: "EntityAlreadyExists", 412: "UpdateConditionNotSatisfied"}.get(status, "")
        code = etag if status == 404 and etag else code
        return _error(status, code) if status >= 400 else web.Response(status=204, headers={"ETag": etag})

    def _apply(self, method: str, url: str, if_match: str | None, body: bytes, table: str) -> tuple[int, str]:
        match = _KEYS.search(unquote(url))
        row: dict[str, Any] | None = None
        if match:
            table, partition, key = (text.replace("''", "'") for text in match.groups())
        else:
            row = orjson.loads(body)
            partition, key = row["PartitionKey"], row["RowKey"]
        if table not in self.tables:
            return 404, "TableNotFound"
        self.operations[f"{table} {'delete' if method == 'DELETE' else 'put'}"] += 1
        rows = self.tables[table].setdefault(partition, {})
        place = (table, partition, key)
        there = key in rows
        if method == "POST" and there:
            return 409, ""
        if if_match and if_match != "*" and (not there or self.etags.get(place) != if_match):
            return 412 if there else 404, ""
        if method == "DELETE":
            if not there:
                return 404, ""
            del rows[key]
            self.etags.pop(place, None)
            return 204, ""
        if table in self.slim:
            rows[key] = b"" if table == "Lookup" else self._slimmed(body)
            return 204, 'W/"1"'
        rows[key] = body
        self._stamp += 1
        self.etags[place] = f'W/"{self._stamp}"'
        return 204, self.etags[place]

    @staticmethod
    def _slimmed(body: bytes) -> bytes:
        row = orjson.loads(body)
        return orjson.dumps({name: row[name] for name in _SLIM if name in row})

    def _sunk(self, body: bytes) -> web.Response | None:
        """A batch for a table that only counts: no work beyond reading it, so that the measured process has the machine."""
        start = body.find(b"/devstoreaccount1/") + 18
        table = body[start : body.find(b"(", start)].decode()
        if table not in self.sink:
            return None
        count = body.count(b" HTTP/1.1\r\n")
        self.operations[f"{table} put"] += count
        self.requests["batch operations"] += count
        return _multipart([b'HTTP/1.1 204 No Content\r\nETag: W/"1"\r\n\r\n'] * count)

    def _batch(self, body: bytes) -> web.Response:
        if self.sink and (answer := self._sunk(body)):
            return answer
        parts = []
        operations = list(_OPERATION.finditer(body))
        self.requests["batch operations"] += len(operations)
        before: list[tuple[str, str, str, bytes | None, str | None]] = []
        for number, match in enumerate(operations):
            method, url, headers, content = match.groups()
            text = headers.decode()
            found = re.search(r"If-Match: (.*)", text)
            table = url.decode().rpartition("/")[2].partition("(")[0]
            spot = _KEYS.search(unquote(url.decode()))
            if spot and found:
                name, partition, key = spot.groups()
                old = self.tables.get(name, {}).get(partition, {}).get(key)
                before.append((name, partition, key, old, self.etags.get((name, partition, key))))
            status, etag = self._apply(
                method.decode(), url.decode(), found.group(1).strip() if found else None, content.strip(), table
            )
            if status >= 400:
                self._undo(before)
                code = (
                    "TableNotFound" if etag == "TableNotFound" else {409: "EntityAlreadyExists"}.get(status, "Refused")
                )
                return _multipart([_part_error(status, number, code)])
            parts.append(f"HTTP/1.1 204 No Content\r\nETag: {etag}\r\nDataServiceVersion: 3.0;\r\n\r\n".encode())
        return _multipart(parts)

    def _undo(self, before: list[tuple[str, str, str, bytes | None, str | None]]) -> None:
        """A batch is all or nothing; conditional ones (the control rows) are put back."""
        for name, partition, key, old, etag in before:
            rows = self.tables.get(name, {}).get(partition, {})
            if old is None:
                rows.pop(key, None)
            else:
                rows[key] = old
                self.etags[name, partition, key] = etag or ""

    def _get(self, table: str, partition: str, key: str) -> web.Response:
        found = self.tables.get(table, {}).get(partition, {}).get(key)
        if found is None:
            return _error(404, "ResourceNotFound" if table in self.tables else "TableNotFound")
        etag = self.etags.get((table, partition, key), 'W/"1"')
        return web.Response(body=self._shown(found, etag), headers={"ETag": etag}, content_type="application/json")

    @staticmethod
    def _shown(row: bytes, etag: str) -> bytes:
        return b'{"odata.etag":' + orjson.dumps(etag) + b"," + row[1:]

    def _query(self, table: str, query: Any) -> web.Response:
        if table not in self.tables:
            return _error(404, "TableNotFound")
        text = query.get("$filter", "").replace("''", "'")
        exact, span = _EXACT.match(text), _RANGE.match(text)
        limit = min(int(query.get("$top", PAGE)), PAGE)
        start = (query.get("NextPartitionKey", ""), query.get("NextRowKey", ""))
        columns = query["$select"].split(",") if "$select" in query else []
        found: list[bytes] = []
        following: tuple[str, str] | None = None
        partitions = self.tables[table]
        names = (
            [exact.group(1)] if exact else sorted(p for p in partitions if span and span.group(1) <= p < span.group(2))
        )
        for partition in names:
            if partition < start[0]:
                continue
            for key in sorted(partitions.get(partition, {})):
                if (partition, key) < start or (exact and not exact.group(2) <= key < exact.group(3)):
                    continue
                if len(found) == limit:
                    following = (partition, key)
                    break
                row = _chosen(partitions[partition][key], columns)
                found.append(self._shown(row, self.etags.get((table, partition, key), 'W/"1"')))
            if following:
                break
        headers = {}
        if following:
            headers = {"x-ms-continuation-NextPartitionKey": following[0], "x-ms-continuation-NextRowKey": following[1]}
        return web.Response(
            body=b'{"value":[' + b",".join(found) + b"]}", headers=headers, content_type="application/json"
        )

    async def admin(self, request: web.Request) -> web.Response:
        change = await request.json()
        if change.get("clear"):
            self.tables.clear()
            self.etags.clear()
        self.latency = change.get("latency", self.latency)
        self.operations.clear()
        self.requests.clear()
        return web.Response(status=204)

    async def stats(self, _request: web.Request) -> web.Response:
        rows = {table: sum(map(len, partitions.values())) for table, partitions in self.tables.items()}
        requests = sum(count for name, count in self.requests.items() if name != "batch operations")
        return web.json_response(
            {"operations": self.operations, "requests": requests, "by": self.requests, "rows": rows}
        )


def _error(status: int, code: str) -> web.Response:
    body = {"odata.error": {"code": code, "message": {"lang": "en-US", "value": code}}}
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def _part_error(status: int, number: int, code: str) -> bytes:
    body = orjson.dumps({"odata.error": {"code": code, "message": {"lang": "en-US", "value": f"{number}:{code}"}}})
    head = f"HTTP/1.1 {status} Refused\r\nContent-Type: application/json\r\n\r\n"
    return head.encode() + body + b"\r\n"


def _chosen(row: bytes, columns: list[str]) -> bytes:
    if not columns:
        return row
    whole = orjson.loads(row)
    return orjson.dumps({name: value for name, value in whole.items() if name.partition("@")[0] in columns})


def _multipart(parts: list[bytes]) -> web.Response:
    lead = b"--changesetresponse_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    inner = b"".join(lead + part + b"\r\n" for part in parts)
    body = (
        b"--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changesetresponse_1\r\n\r\n"
        + inner
        + b"--changesetresponse_1--\r\n--batchresponse_1--\r\n"
    )
    return web.Response(status=202, body=body, headers={"Content-Type": "multipart/mixed; boundary=batchresponse_1"})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0)
    parser.add_argument("--slim", default="", help="tables that keep only what an index reads")
    parser.add_argument("--sink", default="", help="tables that only count")
    options = parser.parse_args()
    slim, sink = (set(filter(None, text.split(","))) for text in (options.slim, options.sink))
    server = Server(options.latency, slim, sink)

    async def serve() -> None:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/admin", server.admin)
        app.router.add_get("/stats", server.stats)
        app.router.add_route("*", "/{path:.*}", server.handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}/devstoreaccount1", flush=True)
        await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
