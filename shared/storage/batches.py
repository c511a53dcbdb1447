"""Transactions of Table Storage: our own multipart body through azure-core's pipeline. `submit_transaction` puts each operation through a
pipeline and a thread of its own, and costs ten times as much.

https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
"""

import base64
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.core.pipeline import Pipeline
from azure.core.pipeline.policies import BearerTokenCredentialPolicy
from azure.core.rest import HttpRequest

from shared.storage.connection import SCOPE, StorageConnection, TableKeyPolicy
from shared.storage.layout import Row

PLAIN = re.compile(r"[0-9A-Za-z|!~_.-]*")
_PARTS = re.compile(rb"HTTP/1\.1 (\d{3})[^\r\n]*\r\n(.*?)(?=--changesetresponse|\Z)", re.DOTALL)
_ETAG = re.compile(rb"^ETag: *([^\r\n]+)", re.IGNORECASE | re.MULTILINE)
CODE = re.compile(rb'"code"\s*:\s*"([A-Za-z]+)"')
_HEADERS = {
    "Accept": "application/json;odata=minimalmetadata",
    "DataServiceVersion": "3.0",
    "MaxDataServiceVersion": "3.0;NetFx",
    "x-ms-version": "2019-02-02",
    "User-Agent": "rollcall",
}
_INT32 = 2**31


class BatchRefused(HttpResponseError):
    """Table Storage refused a transaction: nothing of it was done."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"Table Storage answered {status} {code}")
        self.status_code, self.error_code = status, code


@dataclass(frozen=True)
class Step:
    """One operation as HTTP: `row` with its keys; `body` whether its columns go along; `if_match` empty: whatever is there."""

    method: str
    row: Row
    if_match: str = ""
    body: bool = True


class Batches:
    """`transport` is one of azure-core's synchronous ones; `credential` a token credential, None with an account key."""

    def __init__(self, connection: StorageConnection, credential: Any, transport: Any) -> None:
        sign: Any
        if connection.account_key is None:
            sign = BearerTokenCredentialPolicy(credential, SCOPE)
        else:
            sign = TableKeyPolicy(connection.account, connection.account_key)
        self._endpoint = connection.table_endpoint
        self._pipeline: Pipeline[HttpRequest, Any] = Pipeline(transport, [sign])

    def submit(self, table: str, steps: Sequence[Step]) -> list[str | None]:
        """The ETags, in order. Raises BatchRefused, and azure-core's errors where no answer came."""
        mark = uuid.uuid4().hex
        headers = {**_HEADERS, "Content-Type": f"multipart/mixed; boundary=batch_{mark}"}
        request = HttpRequest(
            "POST", f"{self._endpoint}/$batch", headers=headers, content=self._body(table, steps, mark)
        )
        answer = self._pipeline.run(request).http_response
        answer.read()
        found = _PARTS.findall(answer.content) if answer.status_code == 202 else []
        worst = max((int(status) for status, _ in found), default=answer.status_code)
        if answer.status_code == 401:
            raise ClientAuthenticationError("Table Storage answered 401.")
        if answer.status_code != 202 or worst >= 400 or len(found) != len(steps):
            match = CODE.search(answer.content)
            raise BatchRefused(worst if worst >= 400 else 500, match.group(1).decode() if match else "")
        etags = (_ETAG.search(part) for _, part in found)
        return [etag.group(1).decode() if etag else None for etag in etags]

    def _body(self, table: str, steps: Sequence[Step], mark: str) -> bytes:
        lead = f"--changeset_{mark}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        parts = [f"--batch_{mark}\r\nContent-Type: multipart/mixed; boundary=changeset_{mark}\r\n\r\n".encode()]
        for step in steps:
            where = "" if step.method == "POST" else f"({address(step.row['PartitionKey'], step.row['RowKey'])})"
            head = f"{lead}{step.method} {self._endpoint}/{table}{where} HTTP/1.1\r\nAccept: application/json;odata=minimalmetadata\r\n"
            if step.method == "POST":
                head += "Prefer: return-no-content\r\n"
            if step.if_match:
                head += f"If-Match: {step.if_match}\r\n"
            body = encoded(step.row) if step.body else b""
            if body:
                head += f"Content-Type: application/json;odata=nometadata\r\nContent-Length: {len(body)}\r\n"
            parts += (head.encode(), b"\r\n", body, b"\r\n")
        parts.append(f"--changeset_{mark}--\r\n--batch_{mark}--\r\n".encode())
        return b"".join(parts)


def address(partition: str, key: str) -> str:
    """Keys as a URL spells them. Marks that the transport would write out again stay as they are, or the signature over
    the URL would be another one's.
    """
    return f"PartitionKey='{quoted(partition)}',RowKey='{quoted(key)}'"


def quoted(text: str) -> str:
    if PLAIN.fullmatch(text):
        return text.replace("|", "%7C")
    return quote(text.replace("'", "''"), safe="!")


def encoded(row: Row) -> bytes:
    """A row as JSON with the types that OData can't see. Raises TypeError for a value that no column can hold."""
    made: dict[str, Any] = {}
    for name, value in row.items():
        match value:
            case None:
                continue
            case bool() | str():
                made[name] = value
            case int():
                if not -_INT32 <= value < _INT32:
                    raise TypeError(f"{name} is too large for an Edm.Int32")
                made[name] = value
            case float():
                made[name], made[f"{name}@odata.type"] = value, "Edm.Double"
            case (inner, kind):  # a type that the row was read with
                made[name], made[f"{name}@odata.type"] = str(inner), str(getattr(kind, "value", kind))
            case datetime():
                made[name], made[f"{name}@odata.type"] = _utc(value), "Edm.DateTime"
            case bytes():
                made[name], made[f"{name}@odata.type"] = base64.b64encode(value).decode(), "Edm.Binary"
            case _:
                raise TypeError(f"{name} is of a type that no column holds: {type(value).__name__}")
    return orjson.dumps(made)


def _utc(value: datetime) -> str:
    if as_read := getattr(value, "tables_service_value", None):
        return str(as_read)  # with all seven of its digits
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
