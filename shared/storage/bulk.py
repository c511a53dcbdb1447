"""Bulk reads and writes of Table Storage: our own request bodies through azure-core's pipeline.

`submit_transaction` costs 390-720 microseconds of CPU an entity, this 14-30. The limits are ours to enforce, because the
emulator does not: 100 operations and 4 MiB a batch, 1 MiB an entity, one partition a batch. All writes are
insert-or-replace or delete-if-there, so a batch whose answer was lost is simply sent again.
"""

import asyncio
import random
import re
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Container, Iterable, Sequence
from typing import Any
from urllib.parse import quote

import orjson
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline import AsyncPipeline
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy

from shared.clock import Clock
from shared.errors import Refused, Unavailable
from shared.storage import deletion
from shared.storage.batches import CODE, PLAIN, address, quoted
from shared.storage.connection import SCOPE, StorageConnection, TableKeyPolicy
from shared.storage.layout import CURRENT, Layout
from shared.storage.timing import WRITE
from shared.storage.transport import Answer, Request, Transport
from shared.storage.wide import join
from shared.tasks import RightOfWay, together

MOST_OPERATIONS = 100
MOST_BATCH_BYTES = 4 * 1024 * 1024 - 64 * 1024  # what the multipart lines around a full batch may take
MOST_ENTITY_BYTES = 1024 * 1024
_ROW_BYTES = 400  # what a batch holds around each entity, at most
_PART = re.compile(rb"HTTP/1\.1 (\d{3})")
_REFUSED_PART = re.compile(rb"HTTP/1\.1 ([45]\d\d)")
_ATTEMPTS = 7
_IN_TIME = f"timeout={WRITE:.0f}"
_BATCH = f"$batch?{_IN_TIME}"
_HEADERS = {
    "Accept": "application/json;odata=nometadata",
    "DataServiceVersion": "3.0",
    "x-ms-version": "2019-02-02",
    "User-Agent": "rollcall",
}


Entity = tuple[str, str, bytes]
"""One insert-or-replace: partition key, row key, and the whole entity as JSON, keys included. A plain tuple, for a first
sync makes some four for each person, and a class with names takes three times as long to make.
"""


def build_pipeline(connection: StorageConnection, credential: Any) -> AsyncPipeline[Request, Answer]:
    """A pipeline that signs; retries are ours. `credential` is an async token credential, None with an account key."""
    sign: Any
    if connection.account_key is None:
        sign = AsyncBearerTokenCredentialPolicy(credential, SCOPE)
    else:
        sign = TableKeyPolicy(connection.account, connection.account_key)
    return AsyncPipeline(Transport(), [sign])  # headers are ours: each further policy costs 10 microseconds a request


class BulkTables:
    """`concurrency` bounds the requests in flight; `endpoint` has no trailing slash."""

    def __init__(
        self,
        pipeline: AsyncPipeline[Request, Answer],
        endpoint: str,
        clock: Clock,
        credential: Any = None,
        concurrency: int = 16,
        layout: Layout = CURRENT,
    ) -> None:
        self._layout = layout
        self._pipeline, self._endpoint, self._clock = pipeline, endpoint, clock
        self._credential = credential
        self.guard: Callable[[], None] = lambda: None
        """Raises when this worker must not send another request: asked before each attempt."""
        self.way = RightOfWay()
        """What goes before these requests, where something else on the loop does."""
        self._concurrency, self._slots = concurrency, asyncio.Semaphore(concurrency)
        self._building = asyncio.Semaphore(concurrency + 2)
        self._one, self._creating = asyncio.Lock(), asyncio.Lock()
        self._there: set[str] = set()

    async def close(self) -> None:
        await self._pipeline.__aexit__()
        if self._credential is not None:
            await self._credential.close()

    async def put(self, table: str, entities: Iterable[Entity]) -> None:
        """Writes all, batched by partition. Raises Unavailable or Refused; some may have been written then."""
        if self._layout.writes != CURRENT.writes or self._layout.reshapes(table):
            entities = [self._stored(table, entity) for entity in entities]
        partitions: defaultdict[str, list[Entity]] = defaultdict(list)
        for entity in entities:
            partitions[entity[0]].append(entity)
        batches = (batch for rows in partitions.values() for batch in _batches(rows))
        if table not in self._there and (first := next(batches, None)):
            await self._put_batch(table, first)  # alone, should the table have to be made for it
            self._there.add(table)
        waiting = [*batches][::-1]
        partitions.clear()

        async def put() -> None:
            while waiting:
                await self._put_batch(table, waiting.pop())  # let go once it is written, while others still wait

        await together(put() for _ in range(min(len(waiting), self._concurrency)))

    def _stored(self, table: str, entity: Entity) -> Entity:
        partition, key, body = entity
        row = orjson.loads(body)
        row.pop("V")
        return partition, key, orjson.dumps(self._layout.store(table, row))

    async def delete(self, table: str, keys: Iterable[tuple[str, str]]) -> None:
        """Removes rows that are there; others are fine."""
        partitions: dict[str, list[str]] = {}
        for partition, key in keys:
            partitions.setdefault(partition, []).append(key)
        await together(
            self._delete_some(table, partition, rows[start : start + MOST_OPERATIONS])
            for partition, rows in partitions.items()
            for start in range(0, len(rows), MOST_OPERATIONS)
        )

    async def rows(
        self,
        table: str,
        partition: str,
        keys: tuple[str, str],
        select: Sequence[str] = (),
        only: Container[str] | None = None,
    ) -> list[dict[str, Any]]:
        """All rows of one partition with from <= RowKey < to; `only`: those with one of these keys. Hundreds of ranges may
        be read side by side, so what is not wanted is let go before the next page is asked for.
        """
        text = f"PartitionKey eq {_text(partition)} and RowKey ge {_text(keys[0])} and RowKey lt {_text(keys[1])}"
        found: list[dict[str, Any]] = []
        async for page in self._pages(table, text, select):
            found += page if only is None else [row for row in page if row["RowKey"] in only]
            page.clear()
        return found

    async def scan(
        self, table: str, partitions: tuple[str, str], select: Sequence[str] = ()
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Pages of a documented scan, in key order; continuations are followed behind empty pages too."""
        text = f"PartitionKey ge {_text(partitions[0])} and PartitionKey lt {_text(partitions[1])}"
        async for page in self._pages(table, text, select):
            yield page

    async def _pages(self, table: str, text: str, select: Sequence[str]) -> AsyncIterator[list[dict[str, Any]]]:
        query = f"$filter={quote(text, safe='')}"
        if self._layout.reshapes(table):
            select = ()
        if select:
            query += f"&$select={','.join([*select, 'V'])}"
        following = ""
        while True:
            response = await self._send(Request("GET", f"{self._endpoint}/{table}()?{query}{following}", {**_HEADERS}))
            if response.status_code == 404 or (
                response.status_code == 409 and _code(response) == deletion.BEING_DELETED
            ):
                return  # the table is made by its first write
            _raise_refused(response)
            rows = orjson.loads(response.content)["value"]
            page = rows if select else [join(row) for row in rows]  # what is selected by name is never split
            page = [self._layout.load(table, row) for row in page]
            next_partition = response.headers.get("x-ms-continuation-NextPartitionKey")
            next_row = response.headers.get("x-ms-continuation-NextRowKey")
            del rows, response
            yield page
            if not next_partition:
                return
            following = f"&NextPartitionKey={quote(next_partition, safe='')}"
            if next_row:
                following += f"&NextRowKey={quote(next_row, safe='')}"

    async def _put_batch(self, table: str, batch: Sequence[Entity]) -> None:
        async with self._building:  # hundreds of batches wait here as entities, a few as bodies
            await self._put_body(table, batch)

    async def _put_body(self, table: str, batch: Sequence[Entity]) -> None:
        boundary = uuid.uuid4().hex
        async with self._one:  # one body a turn of the loop: ten in a row would keep everything else waiting
            await self.way.give()
            body = _batch_body(f"{self._endpoint}/{table}", batch, boundary)
        headers = {
            **_HEADERS,
            "Accept": "application/json;odata=minimalmetadata",
            "Content-Type": f"multipart/mixed; boundary=batch_{boundary}",
        }
        for _ in range(2):
            response = await self._send(Request("POST", f"{self._endpoint}/{_BATCH}", headers, body))
            part = _part(response)
            if response.status_code == 202 and 0 < part < 300:
                return
            code = _code(response)
            if code in ("TableNotFound", deletion.BEING_DELETED):
                await self._create(table)
                continue
            worst = max(response.status_code, part)
            raise Refused(worst if worst >= 400 else 500, code)
        raise Refused(404, "TableNotFound")

    async def _delete_some(self, table: str, partition: str, keys: Sequence[str]) -> None:
        """One batch; where a row is not there the whole batch is refused, and each is removed for itself."""
        async with self._building:
            if len(keys) > 1 and await self._delete_batch(table, partition, keys):
                return
            await together(self._delete(table, partition, key) for key in keys)

    async def _delete_batch(self, table: str, partition: str, keys: Sequence[str]) -> bool:
        boundary = uuid.uuid4().hex
        lead = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        parts = "".join(
            f"--changeset_{boundary}\r\n{lead}DELETE {self._endpoint}/{table}({address(partition, key)}) HTTP/1.1\r\n"
            "If-Match: *\r\nAccept: application/json;odata=minimalmetadata\r\n\r\n\r\n"
            for key in keys
        )
        head = f"--batch_{boundary}\r\nContent-Type: multipart/mixed; boundary=changeset_{boundary}\r\n\r\n"
        body = f"{head}{parts}--changeset_{boundary}--\r\n--batch_{boundary}--\r\n".encode()
        headers = {**_HEADERS, "Content-Type": f"multipart/mixed; boundary=batch_{boundary}"}
        response = await self._send(Request("POST", f"{self._endpoint}/{_BATCH}", headers, body))
        part = _part(response)
        worst = max(response.status_code, part)
        if worst >= 400 and worst != 404:
            raise Refused(worst, _code(response))
        return worst < 400 and part > 0

    async def _delete(self, table: str, partition: str, key: str) -> None:
        url = f"{self._endpoint}/{table}({address(partition, key)})?{_IN_TIME}"
        response = await self._send(Request("DELETE", url, {**_HEADERS, "If-Match": "*"}))
        if response.status_code != 404:
            _raise_refused(response)

    async def _create(self, table: str) -> None:
        async with self._creating:
            body = orjson.dumps({"TableName": table})
            headers = {**_HEADERS, "Content-Type": "application/json"}
            for _ in range(deletion.LOOKS):
                response = await self._send(Request("POST", f"{self._endpoint}/Tables", headers, body))
                if response.status_code != 409:
                    return _raise_refused(response)
                if _code(response) != deletion.BEING_DELETED:
                    return None  # somebody else made it
                await self._clock.sleep(deletion.WAIT)
            raise deletion.still_deleting(table)

    async def _send(self, request: Request) -> Answer:
        """One answer with its body read; 5xx, 429 and lost connections are tried again for about a minute. A batch that is
        refused for such a reason says so inside an answer of 202.
        """
        problem: Exception | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                await self._clock.sleep(min(20.0, 0.3 * 2**attempt) * (0.5 + random.random()))  # noqa: S311 - jitter
            async with self._slots:
                self.guard()
                try:
                    response = (await self._pipeline.run(request)).http_response
                except ClientAuthenticationError as error:
                    raise Unavailable(
                        "The function app's identity could not get a token for Table Storage.", code="storage-denied"
                    ) from error
                except (AzureError, OSError) as error:
                    problem = error
                    continue
            worst = max(response.status_code, _part(response))
            if worst in (408, 429) or worst >= 500:
                problem = Refused(worst, _code(response))
                continue
            if response.status_code in (401, 403):
                raise Unavailable(
                    "Table Storage refused the function app's identity.",
                    code="storage-denied",
                    remedy="Give the function app's identity the role Storage Table Data Contributor on the storage "
                    "account, and check the storage account's network rules.",
                )
            return response
        raise Unavailable(
            f"Table Storage did not answer {_ATTEMPTS} times in a row ({type(problem).__name__}).",
            code="storage-unreachable",
            remedy="Check the storage account's network rules and the RollcallStorage setting, then try again.",
        ) from problem


def _batches(rows: Sequence[Entity]) -> Iterable[Sequence[Entity]]:
    """Batches within the limits of operations and bytes. Raises Refused for an entity that no request can carry."""
    for start in range(0, len(rows), MOST_OPERATIONS):
        batch = rows[start : start + MOST_OPERATIONS]
        if sum([len(body) for _, _, body in batch]) + len(batch) * _ROW_BYTES < MOST_ENTITY_BYTES:
            yield batch  # nearly always: then no entity is too large either
        else:
            yield from _smaller(batch)


def _smaller(rows: Sequence[Entity]) -> Iterable[list[Entity]]:
    batch: list[Entity] = []
    size = 0
    for row in rows:
        weight = len(row[2]) + _ROW_BYTES
        if weight > MOST_ENTITY_BYTES:
            raise Refused(413, "EntityTooLarge")
        if batch and size + weight > MOST_BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += weight
    if batch:
        yield batch


def _batch_body(url: str, batch: Sequence[Entity], boundary: str) -> bytes:
    head = (f"--batch_{boundary}\r\nContent-Type: multipart/mixed; boundary=changeset_{boundary}\r\n\r\n").encode()
    lead = f"--changeset_{boundary}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nPUT {url}("
    lead += f"PartitionKey='{quoted(batch[0][0])}',RowKey='"
    tail = "') HTTP/1.1\r\nContent-Type: application/json\r\nAccept: application/json;odata=minimalmetadata\r\n\r\n"
    parts = [head]
    plain = PLAIN.fullmatch("".join([key for _, key, _ in batch])) is not None
    for _, key, row in batch:
        spelt = key.replace("|", "%7C") if plain else quoted(key)
        parts += (f"{lead}{spelt}{tail}".encode(), row, b"\r\n")
    parts.append(f"--changeset_{boundary}--\r\n--batch_{boundary}--\r\n".encode())
    return b"".join(parts)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _part(response: Answer) -> int:
    """How a batch went: the status of the part that was refused (then all are), otherwise of the first; 0: no batch."""
    if not response.headers.get("Content-Type", "").startswith("multipart/"):
        return 0
    found = _REFUSED_PART.search(response.content) or _PART.search(response.content)
    return int(found.group(1)) if found else 0


def _code(response: Answer) -> str:
    match = CODE.search(response.content)
    return match.group(1).decode() if match else ""


def _raise_refused(response: Answer) -> None:
    if response.status_code >= 400:
        raise Refused(response.status_code, _code(response))
