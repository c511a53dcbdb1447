"""What a table service holds, read and put back whole: with bare requests, for the crash matrix does it hundreds of times."""

import http.client
import json
from typing import Any
from urllib.parse import quote, urlsplit

from shared.storage.connection import StorageConnection, table_signature

Rows = dict[tuple[str, str], dict[str, Any]]
_KEEP = {
    "Accept": "application/json;odata=minimalmetadata",
    "Content-Type": "application/json",
    "x-ms-version": "2019-02-02",
}
_NEXT = ("NextPartitionKey", "NextRowKey", "NextTableName")
_OWN = ("odata.etag", "odata.metadata", "Timestamp", "Timestamp@odata.type")


class Stored:
    """Rows as the service writes them in JSON, with the types of what is not text, a number or a truth."""

    def __init__(self, storage: StorageConnection) -> None:
        self._storage = storage
        parts = urlsplit(storage.table_endpoint)
        self._path = parts.path
        self._line = http.client.HTTPConnection(parts.hostname or "", parts.port)

    def close(self) -> None:
        self._line.close()

    def all(self) -> dict[str, Rows]:
        """Every row by table, partition and row key."""
        names = sorted(row["TableName"] for row in self._read("Tables"))
        return {name: {(row["PartitionKey"], row["RowKey"]): row for row in self._read(f"{name}()")} for name in names}

    def restore(self, wanted: dict[str, Rows], *, drop: bool = False) -> None:
        """Makes everything what it was. Tables that are new stay, without rows, unless they shall be dropped."""
        for table, stored in self.all().items():
            if drop and table not in wanted:
                self._ask("DELETE", f"Tables('{table}')")
                continue
            want = wanted.get(table, {})
            for key in stored.keys() - want.keys():
                self._ask("DELETE", _address(table, key), extra={"If-Match": "*"})
            for key, row in want.items():
                if stored.get(key) != row:
                    self._ask("PUT", _address(table, key), json.dumps(row).encode())

    def _read(self, resource: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        following = ""
        while True:
            headers, body = self._ask("GET", resource, query=following)
            rows += json.loads(body)["value"]
            marks = {
                spelt: headers[f"x-ms-continuation-{spelt.lower()}"]
                for spelt in _NEXT
                if f"x-ms-continuation-{spelt.lower()}" in headers
            }
            if not marks:
                break
            following = "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in marks.items())
        return [{name: value for name, value in row.items() if name not in _OWN} for row in rows]

    def _ask(
        self,
        method: str,
        resource: str,
        body: bytes | None = None,
        *,
        query: str = "",
        extra: dict[str, str] | None = None,
    ) -> tuple[dict[str, str], bytes]:
        path = f"{self._path}/{resource}"
        headers = {
            **_KEEP,
            **(extra or {}),
            **table_signature(self._storage.account, self._storage.account_key or "", path),
        }
        try:
            self._line.request(method, path + query, body, headers)
            answer = self._line.getresponse()
        except (http.client.HTTPException, ConnectionError):  # idle for so long that the other side hung up
            self._line.close()
            self._line.request(method, path + query, body, headers)
            answer = self._line.getresponse()
        content = answer.read()
        assert answer.status < 300, (method, resource, answer.status, content[:300])
        return {name.lower(): value for name, value in answer.getheaders()}, content


def _address(table: str, key: tuple[str, str]) -> str:
    partition, row = (quote(text.replace("'", "''"), safe="!~") for text in key)
    return f"{table}(PartitionKey='{partition}',RowKey='{row}')"
