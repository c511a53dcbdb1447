"""Table Storage for everything but bulk writes: keyed reads, exact ranges, transactions with ETags.

Every row carries V, the version of its layout (see layout.py); one of an unknown version is refused rather than misread. A query needs an
exact partition and a row range; the documented scans of one source go through scan(). A table is created when the
service says that it is not there, and at no other time.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.data.tables import TableClient, TableServiceClient

from shared.errors import Unavailable
from shared.storage import deletion
from shared.storage.batches import Batches, BatchRefused, Step
from shared.storage.connection import StorageConnection
from shared.storage.layout import CURRENT, Layout, Row
from shared.storage.wide import join, split
from shared.transport import InTime

_TRIES = 4


class RowExists(Exception):
    """Insert found the row there."""


class RowChanged(Exception):
    """The ETag is not the row's any more, or the row is gone."""


@dataclass(frozen=True)
class Stamped:
    """A row with the ETag that it was read with."""

    row: Row
    etag: str


@dataclass(frozen=True)
class Insert:
    row: Row


@dataclass(frozen=True)
class Put:
    """Replace; with an ETag only if the row is still as read, without one whether or not it is there."""

    row: Row
    etag: str | None = None


@dataclass(frozen=True)
class Touch:
    """Merge columns into a row that must exist (and be as read, with an ETag)."""

    row: Row
    etag: str | None = None


@dataclass(frozen=True)
class Delete:
    partition: str
    key: str
    etag: str | None = None


Operation = Insert | Put | Touch | Delete


@contextlib.contextmanager
def storage_errors() -> Iterator[None]:
    """Turns an unreachable or refusing service into Unavailable, without quoting what was sent."""
    try:
        yield
    except (ServiceRequestError, ServiceResponseError) as error:
        raise Unavailable(
            "Table Storage can't be reached.",
            code="storage-unreachable",
            remedy="Check the storage account's network rules and the RollcallStorage setting, then try again.",
        ) from error
    except ClientAuthenticationError as error:
        raise Unavailable(
            "Table Storage refused the function app's identity.",
            code="storage-denied",
            remedy="Give the function app's identity the roles Storage Table Data Contributor and Storage Queue Data "
            "Contributor on the storage account.",
        ) from error
    except HttpResponseError as error:
        if error.status_code == 403:
            raise Unavailable(
                "Table Storage refused the request.",
                code="storage-denied",
                remedy="Give the function app's identity the role Storage Table Data Contributor, and check the "
                "storage account's network rules.",
            ) from error
        if error.status_code is not None and error.status_code >= 500:
            raise Unavailable(
                f"Table Storage answered {error.status_code}.", code="storage-busy", remedy="Try again in a minute."
            ) from error
        raise


class Tables:
    """The tables of one storage account."""

    def __init__(
        self,
        service: TableServiceClient,
        batches: Batches,
        pause: Callable[[float], None] = time.sleep,
        layout: Layout = CURRENT,
    ) -> None:
        self._service, self._batches, self._pause, self._layout = service, batches, pause, layout
        self._clients: dict[str, TableClient] = {}

    @classmethod
    def connect(
        cls,
        connection: StorageConnection,
        credential: Any = None,
        *,
        retries: int = 3,
        pause: Callable[[float], None] = time.sleep,
        layout: Layout = CURRENT,
    ) -> "Tables":
        """`credential`: a token credential, where the connection has no account key."""
        transport, key = InTime(), connection.account_key
        service = TableServiceClient(
            endpoint=connection.table_endpoint,
            credential=AzureNamedKeyCredential(connection.account, key) if key else credential,
            retry_total=retries,
            retry_backoff_factor=0.3,
            transport=transport,
        )
        return cls(service, Batches(connection, credential, transport), pause, layout)

    def close(self) -> None:
        self._service.close()

    def _client(self, table: str) -> TableClient:
        client = self._clients.get(table)
        if client is None:
            client = self._clients[table] = self._service.get_table_client(table)
        return client

    def _creating[T](self, table: str, call: Callable[[], T]) -> T:
        """Runs the call; where the table is not there yet, makes it and runs the call again."""
        with storage_errors():
            try:
                return self._retried(call)
            except HttpResponseError as error:
                if not _table_missing(error):
                    raise
            self._create(table)
            return self._retried(call)

    def _create(self, table: str) -> None:
        """A table that was just deleted can't be made again until Table Storage is done with it."""
        for _ in range(deletion.LOOKS):
            try:
                self._service.create_table(table)
            except HttpResponseError as error:
                if isinstance(error, ResourceExistsError) and not _says(error, deletion.BEING_DELETED):
                    return
                if not _says(error, deletion.BEING_DELETED):
                    raise
                self._pause(deletion.WAIT)
            else:
                return
        raise deletion.still_deleting(table)

    def _retried[T](self, call: Callable[[], T]) -> T:
        """The SDK does not repeat a POST whose connection broke, because it may have been done, nor a transaction that was
        refused inside an answer of 202. Ours may be repeated: every write is conditional or replaces, and whoever gets
        RowExists or RowChanged for it looks whose row is there.
        """
        for attempt in range(_TRIES - 1):
            try:
                return call()
            except (ServiceRequestError, ServiceResponseError):
                self._pause(0.2 * 2**attempt)
            except BatchRefused as error:
                if (error.status_code or 0) < 500 and error.status_code not in (408, 429):
                    raise
                self._pause(0.5 * 2**attempt)
        return call()

    def get(self, table: str, partition: str, key: str) -> Stamped | None:
        """One row, or None."""
        found = self.raw(table, partition, key)
        return Stamped(self._layout.load(table, found.row), found.etag) if found else None

    def raw(self, table: str, partition: str, key: str) -> Stamped | None:
        """One row as it is stored, whatever its layout."""
        with storage_errors():
            try:
                entity = self._client(table).get_entity(partition, key)
            except ResourceNotFoundError:
                return None
            return _stamped(entity)

    def probe(self, table: str) -> None:
        """Raises Unavailable where Table Storage doesn't answer, or refuses us."""
        with storage_errors(), contextlib.suppress(ResourceNotFoundError):
            self._client(table).get_entity("probe", "probe", retry_total=0)

    def query(
        self, table: str, partition: str, keys: tuple[str, str], *, limit: int | None = None, select: Sequence[str] = ()
    ) -> list[Stamped]:
        """Rows of one partition with from <= RowKey < to, in key order; at most `limit`."""
        text = "PartitionKey eq @p and RowKey ge @from and RowKey lt @to"
        parameters = {"p": partition, "from": keys[0], "to": keys[1]}
        return self._read(table, text, parameters, limit, select)

    def scan(
        self,
        table: str,
        partitions: tuple[str, str],
        *,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
        select: Sequence[str] = (),
    ) -> list[Stamped]:
        """A documented scan: rows of a range of partitions in key order, after a (partition, row) cursor."""
        text = "PartitionKey ge @from and PartitionKey lt @to"
        parameters = {"from": partitions[0], "to": partitions[1]}
        if after:
            # azure-data-tables finds its parameters between blanks only
            text = "( ( PartitionKey eq @p and RowKey gt @r ) or PartitionKey gt @p ) and PartitionKey lt @to"
            parameters = {"p": after[0], "r": after[1], "to": partitions[1]}
        return self._read(table, text, parameters, limit, select)

    def _read(
        self, table: str, text: str, parameters: dict[str, str], limit: int | None, select: Sequence[str]
    ) -> list[Stamped]:
        rows: list[Stamped] = []
        if self._layout.reshapes(table):
            select = ()
        with storage_errors():
            try:
                pages = self._client(table).query_entities(
                    text,
                    parameters=parameters,
                    results_per_page=min(limit or 1000, 1000),
                    select=[*select, "V"] if select else None,
                )
                for entity in pages:  # the iterator follows continuations, also behind empty pages
                    found = _stamped(entity)
                    rows.append(Stamped(self._layout.load(table, found.row), found.etag))
                    if limit and len(rows) >= limit:
                        break
            except HttpResponseError as error:
                if not _table_missing(error):
                    raise
        return rows

    def insert(self, table: str, row: Row) -> str:
        """Writes a new row and gives its ETag. Raises RowExists."""
        return self.transaction(table, [Insert(row)])[0] or ""

    def put(self, table: str, row: Row, etag: str | None = None) -> str:
        """Replaces a row and gives its ETag. With `etag` only if unchanged: RowChanged."""
        return self.put_raw(table, self._stored(table, row), etag)

    def put_raw(self, table: str, self_row: Row, etag: str | None = None) -> str:
        """The same with a row that says itself of which layout it is."""
        return self._submit(table, [Step("PUT", self_row, etag or "")])[0] or ""

    def delete(self, table: str, partition: str, key: str) -> None:
        """Removes a row if it is there."""
        with storage_errors(), contextlib.suppress(ResourceNotFoundError):
            self._client(table).delete_entity(partition, key)

    def names(self, prefix: str) -> list[str]:
        """Tables whose names begin so."""
        with storage_errors():
            found = self._service.query_tables(
                "TableName ge @from and TableName lt @to", parameters={"from": prefix, "to": prefix + "~"}
            )
            return sorted(str(table.name) for table in found)

    def drop(self, table: str) -> None:
        """Removes a whole table if it is there."""
        with storage_errors(), contextlib.suppress(ResourceNotFoundError):
            self._service.delete_table(table)

    def transaction(self, table: str, operations: Sequence[Operation]) -> list[str | None]:
        """All or nothing, in one partition; the ETags, in order. Raises RowExists or RowChanged."""
        if len(operations) > 100:
            raise ValueError("a transaction holds at most 100 operations")
        return self._submit(table, [self._step(table, operation) for operation in operations])

    def _submit(self, table: str, steps: Sequence[Step]) -> list[str | None]:
        def write() -> list[str | None]:
            try:
                return self._batches.submit(table, steps)
            except BatchRefused as error:
                if error.status_code == 409 and not _table_missing(error):
                    raise RowExists from error
                if error.status_code == 412 or (error.status_code == 404 and not _table_missing(error)):
                    raise RowChanged from error
                raise

        return self._creating(table, write)

    def _stored(self, table: str, row: Row) -> Row:
        return split(self._layout.store(table, row))

    def _step(self, table: str, operation: Operation) -> Step:
        match operation:
            case Insert(row):
                return Step("POST", self._stored(table, row))
            case Put(row, etag):
                return Step("PUT", self._stored(table, row), etag or "")
            case Touch(row, etag):
                return Step("PATCH", row, etag or "*")
            case Delete(partition, key, etag):
                return Step("DELETE", {"PartitionKey": partition, "RowKey": key}, etag or "*", body=False)


def _table_missing(error: HttpResponseError) -> bool:
    return _says(error, "TableNotFound") or _says(error, deletion.BEING_DELETED)


def _says(error: HttpResponseError, code: str) -> bool:
    """azure-data-tables gives some errors undecoded: then the code stands in the body only, which str() shows."""
    return code in str(getattr(error, "error_code", "")) or code in str(error)


def _stamped(entity: Any) -> Stamped:
    return Stamped(join(dict(entity)), str(entity.metadata.get("etag", "")))
