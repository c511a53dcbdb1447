"""Which secrets of the vault have no owner yet, or no more: rows of the configuration's partition, so that they come and go in
the same transactions as the credentials that own them.

An *intention* names a secret before it is written. The transaction that pins it removes the intention, and requires it. A
*retirement* names one that nobody uses any more. Whatever is cut off in between, each secret has one row that says whose
it is, or that it is to go.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.clock import iso, parse_iso
from shared.domain.document import Document
from shared.names import CONFIG
from shared.storage import keys
from shared.storage.tables import Delete, Insert, Operation, RowChanged, RowExists, Tables

EXPIRES_AFTER = timedelta(hours=1)
"""An intention that is older belongs to a change that never came to its end."""
GIVEN_UP_AFTER = timedelta(minutes=5)
"""So long after it began, no request can still be going on: its name may be given to another one."""


@dataclass(frozen=True)
class Intention:
    """`secret`: its name in the vault; `name_etag`: of the reservation of a new object's name."""

    secret: str
    etag: str
    name_key: str = ""
    name_etag: str = ""

    @property
    def fulfilled(self) -> list[Operation]:
        """What the transaction that pins the secret does with it."""
        return [Delete(keys.CONFIG_PARTITION, keys.intention(self.secret), self.etag)]


def retired(secret: str, not_before: datetime) -> Operation:
    """Says that a secret is to go. Not before a time: one whose writing may still be under way would outlive its removal."""
    return Insert(
        {"PartitionKey": keys.CONFIG_PARTITION, "RowKey": keys.retirement(secret), "NotBefore": iso(not_before)}
    )


class SecretRows:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def intend(self, document: Document, secret: str, at: datetime, *, name_key: str) -> Intention:
        """Notes that a secret will be written for the object. `name_key`: reserves its name too. Raises RowExists for a name that
        is taken.
        """
        key = keys.intention(secret)
        row = {
            "PartitionKey": keys.CONFIG_PARTITION, "RowKey": key, "At": iso(at), "Ref": document.ref, "NameKey": name_key,
        }  # fmt: skip
        operations: list[Operation] = [Insert(row)]
        if name_key:
            operations.append(Insert(keys.reservation(name_key, document.id) | {"Intention": key}))
        try:
            etags = self._tables.transaction(CONFIG, operations)
        except RowExists:
            if self._tables.get(CONFIG, keys.CONFIG_PARTITION, key) is None:
                raise
            etags = [
                self._etag(key),
                self._etag(name_key) if name_key else "",
            ]  # the answer of an earlier attempt was lost
        return Intention(secret, etags[0] or "", name_key, (etags[1] or "") if name_key else "")

    def _etag(self, key: str) -> str:
        found = self._tables.get(CONFIG, keys.CONFIG_PARTITION, key)
        return found.etag if found else ""

    def left(self) -> list[dict[str, Any]]:
        """All intentions and retirements."""
        found = self._tables.query(CONFIG, keys.CONFIG_PARTITION, keys.prefix_range(keys.VAULT_ROWS))
        return [{**stamped.row, "etag": stamped.etag} for stamped in found]

    def expire(self, secret: str, not_before: datetime) -> bool:
        """Makes a retirement of an intention, and frees the name that it reserved. False where it is fulfilled, or gone:
        what it was for was saved.
        """
        found = self._tables.get(CONFIG, keys.CONFIG_PARTITION, keys.intention(secret))
        if found is None:
            return False
        operations = [Delete(keys.CONFIG_PARTITION, keys.intention(secret), found.etag), retired(secret, not_before)]
        if name_key := str(found.row.get("NameKey", "")):
            name = self._tables.get(CONFIG, keys.CONFIG_PARTITION, name_key)
            if name and name.row.get("Intention") == keys.intention(secret):
                operations.append(Delete(keys.CONFIG_PARTITION, name_key, name.etag))
        try:
            self._tables.transaction(CONFIG, operations)
        except (RowChanged, RowExists):
            return False
        return True

    def given_up(self, name_key: str, now: datetime) -> bool:
        """Frees a name that is reserved for a change which never came to its end."""
        name = self._tables.get(CONFIG, keys.CONFIG_PARTITION, name_key)
        key = str(name.row.get("Intention", "")) if name else ""
        found = self._tables.get(CONFIG, keys.CONFIG_PARTITION, key) if key else None
        if found is None or parse_iso(str(found.row["At"])) > now - GIVEN_UP_AFTER:
            return False
        return self.expire(key.removeprefix(keys.intention("")), now)

    def gone(self, secret: str) -> None:
        """The secret is out of use in the vault."""
        self._tables.delete(CONFIG, keys.CONFIG_PARTITION, keys.retirement(secret))
