"""The floor: a bare pipeline that reads the same pages and writes the same entities, look-up rows included, with nothing
that makes a sync trustworthy: no checkpoints, no comparison, no retries, no lease.
"""

import argparse
import asyncio
import csv
import hashlib
import io
import json
import resource
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from shared.connectors.base import Stream
from shared.connectors.entra_id import USERS
from shared.connectors.microsoft_365 import ASSIGNMENTS, REPORTS, licence_parts
from shared.domain.folding import fold, words
from shared.graph.reports import property_of
from shared.mapping.compiled import compile_mapping
from shared.storage.connection import table_signature
from shared.storage.keys import shard
from shared.sync.sources import listing_of
from tests.bench.run_once import EMULATOR, connection

WRITERS, BATCH = 8, 100
Take = Callable[[dict[str, Any]], Awaitable[None]]
_LEAD = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nPUT "


def _hex(text: str) -> str:
    return text.encode().hex()


class Pipeline:
    def __init__(self, tables: str, source: str, connector: str) -> None:
        self.url, self.source, self.connector = tables, source, connector
        self.queue: asyncio.Queue[tuple[str, str, list[tuple[str, bytes]]] | None] = asyncio.Queue(WRITERS * 4)
        self.buffers: dict[tuple[str, str], list[tuple[str, bytes]]] = {}
        self.written = 0

    async def add(self, table: str, partition: str, key: str, body: bytes) -> None:
        rows = self.buffers.setdefault((table, partition), [])
        rows.append((key, body))
        if len(rows) == BATCH:
            del self.buffers[table, partition]
            await self.queue.put((table, partition, rows))

    async def user(self, item: dict[str, Any]) -> None:
        object_id, columns = item["id"], self.mapper(item)
        await self.record(object_id, columns, USERS)
        await self.look_ups(object_id, columns)

    async def record(self, object_id: str, columns: dict[str, Any], stream: Stream) -> None:
        body = orjson.dumps(columns)
        partition = f"{self.source}|{stream.partition}|{shard(object_id)}"
        key = f"{object_id}|{self.connector}|{stream.name}"
        digest = hashlib.sha256(body).hexdigest()[:16]
        head = (
            f'{{"PartitionKey":"{partition}","RowKey":"{key}","V":1,"Digest":"{digest}",'
            f'"ChangedAt":"2026-11-21T08:00:00.000Z","ChangedAt@odata.type":"Edm.DateTime",'
            f'"FirstSeenAt":"2026-11-21T08:00:00.000Z","FirstSeenAt@odata.type":"Edm.DateTime",'
            f'"ChangedBy":"new|{self.connector}~8204751999999abcdef01",'
        )
        await self.add("Records", partition, key, head.encode() + body[1:])

    async def look_ups(self, object_id: str, columns: dict[str, Any]) -> None:
        card = {
            "V": 1, "Source": self.source, "ObjectId": object_id, "DisplayName": columns["DisplayName"],
            "SignInName": columns["SignInName"], "Mail": columns["Mail"], "EmployeeId": columns["EmployeeId"],
            "Enabled": columns["Enabled"],
        }  # fmt: skip
        tail = orjson.dumps(card)[1:]
        for attribute, names in (
            ("name", ("DisplayName",)),
            ("address", ("SignInName", "Mail")),
            ("employee", ("EmployeeId",)),
        ):
            for value in {fold(columns[name]) for name in names}:
                await self.look_up(attribute, value, object_id, tail)
                if attribute == "name":
                    for word in words(value)[1:]:
                        await self.look_up("name-word", word, object_id, tail)

    async def look_up(self, attribute: str, value: str, object_id: str, tail: bytes) -> None:
        where = f"{attribute}.2|{_hex(value[:2])}"
        row = f"{_hex(value)[:120]}!{self.source}!{object_id}!{self.connector}"
        await self.add("Lookup", where, row, f'{{"PartitionKey":"{where}","RowKey":"{row}",'.encode() + tail)

    async def write(self, session: aiohttp.ClientSession) -> None:
        while (batch := await self.queue.get()) is not None:
            table, partition, rows = batch
            where = f"{self.url}/{table}(PartitionKey='{partition.replace('|', '%7C')}',RowKey='"
            parts = [b"--batch_b\r\nContent-Type: multipart/mixed; boundary=changeset_c\r\n\r\n"]
            for key, body in rows:
                parts.append(
                    f"--changeset_c\r\n{_LEAD}{where}{key.replace('|', '%7C')}') HTTP/1.1\r\nContent-Type: application/json\r\n"
                    "Accept: application/json;odata=minimalmetadata\r\n\r\n".encode()
                )
                parts.append(body)
                parts.append(b"\r\n")
            parts.append(b"--changeset_c--\r\n--batch_b--\r\n")
            await self.post(session, b"".join(parts))
            self.written += len(rows)

    async def post(self, session: aiohttp.ClientSession, body: bytes) -> None:
        url = f"{self.url}/$batch"
        headers = {
            "Content-Type": "multipart/mixed; boundary=batch_b",
            "x-ms-version": "2019-02-02",
            "DataServiceVersion": "3.0",
        }
        headers |= self.sign(url)
        async with session.post(url, data=body, headers=headers) as answer:
            text = await answer.read()
            if answer.status != 202 or b"HTTP/1.1 4" in text:
                raise RuntimeError(text[:500])

    @staticmethod
    def sign(url: str) -> dict[str, str]:
        return table_signature(EMULATOR.account, EMULATOR.account_key or "", urlsplit(url).path)

    async def licences(self, item: dict[str, Any]) -> None:
        for part in licence_parts(item) or ():
            await self.record(part["id"], self.mapper(part), ASSIGNMENTS)

    async def report(self, session: aiohttp.ClientSession, url: str) -> None:
        """Rows of people, joined by the sign-in names that are stored."""
        stream, ids = REPORTS[0], {}
        where = f"PartitionKey ge '{self.source}|person|' and PartitionKey lt '{self.source}|person|g'"
        more = {"$filter": where, "$select": "RowKey,SignInName"}
        while more:
            path = f"{self.url}/Records()"
            async with session.get(
                path, params=more, headers={"x-ms-version": "2019-02-02", **self.sign(path)}
            ) as answer:
                for row in orjson.loads(await answer.read())["value"]:
                    ids[row["SignInName"].lower()] = row["RowKey"].split("|")[0]
                following = {
                    name: answer.headers.get(f"x-ms-continuation-{name}", "") for name in ("NextPartitionKey", "NextRowKey")
                }  # fmt: skip
                more = {**more, **following} if all(following.values()) else {}
        async with session.get(url) as answer:
            text = (await answer.read()).decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""))
        header = next(lines)
        names = [property_of(column) for column in header]
        known = {name for one in stream.attributes for name in one.properties}
        others = [place for place, name in enumerate(names) if name not in known and name.endswith("LicenseAssignDate")]
        for line in lines:
            found: dict[str, Any] = dict(zip(names, line, strict=True))
            found["other"] = {header[place]: line[place] for place in others if line[place]}
            if object_id := ids.get(found["userPrincipalName"].lower()):
                await self.record(object_id, self.mapper(found), stream)

    async def run(self, graph: str, what: str) -> None:
        stream = {"people": USERS, "licences": ASSIGNMENTS, "report": REPORTS[0]}[what]
        self.mapper = compile_mapping(stream.attributes)
        link = f"{graph}/v1.0{listing_of(stream).first}"
        take = self.licences if what == "licences" else self.user
        async with aiohttp.ClientSession() as session:
            for table in ("Records", "Lookup"):
                await self.create(session, table)
            async with asyncio.TaskGroup() as group:  # a writer that fails ends it all
                for _ in range(WRITERS):
                    group.create_task(self.write(session))
                await (self.report(session, link) if what == "report" else self.read(session, link, take))
                await self.rest()
                for _ in range(WRITERS):
                    await self.queue.put(None)

    async def create(self, session: aiohttp.ClientSession, table: str) -> None:
        url = f"{self.url}/Tables"
        headers = {"Accept": "application/json;odata=nometadata", "x-ms-version": "2019-02-02", **self.sign(url)}
        async with session.post(url, json={"TableName": table}, headers=headers) as answer:
            if answer.status not in (201, 204, 409):
                raise RuntimeError(await answer.text())

    async def read(self, session: aiohttp.ClientSession, link: str | None, take: Take) -> None:
        async def fetch(url: str) -> bytes:
            async with session.get(url) as answer:
                return await answer.read()

        assert link
        pending = asyncio.create_task(fetch(link))
        while link:
            page = orjson.loads(await pending)
            link = page.get("@odata.nextLink")
            if link:
                pending = asyncio.create_task(fetch(link))
                await asyncio.sleep(0)
            for item in page["value"]:
                await take(item)

    async def rest(self) -> None:
        for (table, partition), rows in self.buffers.items():
            await self.queue.put((table, partition, rows))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--graph", required=True)
    parser.add_argument("--tables", required=True)
    parser.add_argument("--source", default="reference")
    parser.add_argument("--what", choices=("people", "licences", "report"), default="people")
    options = parser.parse_args()
    pipeline = Pipeline(connection(options.tables).table_endpoint, options.source, f"c{options.source}")
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    began, cpu = time.monotonic(), time.process_time()
    asyncio.run(pipeline.run(options.graph, options.what))
    result = {
        "written": pipeline.written, "wallSeconds": round(time.monotonic() - began, 3),
        "cpuSeconds": round(time.process_time() - cpu, 3),
        "peakMegabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "idleMegabytes": idle,
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
