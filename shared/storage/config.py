"""The table Config: every object of configuration, its unique name and its references in one partition, so that a change
of all three is one transaction.
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from shared.domain.actor import Actor
from shared.domain.document import Document
from shared.domain.folding import NAMES
from shared.names import CONFIG
from shared.storage import keys
from shared.storage.history import Note
from shared.storage.layout import Row
from shared.storage.secret_rows import Intention, SecretRows, retired
from shared.storage.tables import Delete, Insert, Operation, Put, RowChanged, RowExists, Tables, Touch

_TOUCHES = 3


class NameTaken(Exception):
    """Another object of the kind has this name in the same scope."""

    def __init__(self, document: Document) -> None:
        super().__init__(document.name)
        self.document = document


class InUse(Exception):
    """`users` (kind, name, id) refer to the object."""

    def __init__(self, users: list[tuple[str, str, str]]) -> None:
        super().__init__(f"{len(users)} users")
        self.users = users


class TargetGone(Exception):
    """A referred object is not there; `ref` is `kind.id`."""

    def __init__(self, ref: str) -> None:
        super().__init__(ref)
        self.ref = ref


class EpochMoved(Exception):
    """Somebody else changed references meanwhile: what was checked may hold no more."""


@dataclass(frozen=True)
class Epoch:
    """Counts changes of references in the whole installation."""

    number: int
    etag: str | None


@dataclass(frozen=True)
class Along:
    """What else a change writes in its transaction: the change's history, the intention that its secret was written with,
    and the secrets that it takes out of use.
    """

    note: Note | None = None
    intention: Intention | None = None
    retired: tuple[str, ...] = ()

    def operations(self, document: Document) -> list[Operation]:
        operations = self.note.operations(document) if self.note else []
        if self.intention:
            operations += self.intention.fulfilled
        return operations + [retired(secret, self.note.at) for secret in self.retired if self.note]


NOTHING = Along()


@dataclass(frozen=True)
class Change:
    """An object as it will be, and as it is where it is there already."""

    document: Document
    before: Document | None = None
    along: Along = NOTHING


def _row(document: Document) -> Row:
    return {
        "PartitionKey": keys.CONFIG_PARTITION, "RowKey": keys.config_row(document.kind, document.id),
        "Revision": document.revision, "CreatedAt": document.created_at, "UpdatedAt": document.updated_at,
        "Name": document.name, "Scope": document.scope, "Uses": orjson.dumps(document.uses).decode(),
        "Body": orjson.dumps(document.body).decode(), "System": orjson.dumps(document.system).decode(),
    }  # fmt: skip


def _parse(row: dict[str, Any], etag: str) -> Document:
    kind, _, object_id = row["RowKey"].partition("|")
    try:
        return Document(
            kind=kind, id=object_id, revision=row["Revision"], created_at=row["CreatedAt"], updated_at=row["UpdatedAt"],
            name=row["Name"], scope=row["Scope"], uses=tuple(orjson.loads(row["Uses"])), body=dict(orjson.loads(row["Body"])),
            system=dict(orjson.loads(row["System"])), etag=etag,
        )  # fmt: skip
    except (KeyError, ValueError, TypeError):  # written by hand, or by another release
        revision = row.get("Revision")
        return Document(
            kind, object_id, revision if isinstance(revision, int) else 0, _text(row, "CreatedAt"), _text(row, "UpdatedAt"),
            _text(row, "Name"), _text(row, "Scope"), (), {}, {}, etag,
        )  # fmt: skip


def _text(row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    return value if isinstance(value, str) else ""


class ConfigStore:
    def __init__(self, tables: Tables) -> None:
        self._tables, self.secrets = tables, SecretRows(tables)
        self._names_reserved = False

    def get(self, kind: str, object_id: str) -> Document | None:
        found = self._tables.get(CONFIG, keys.CONFIG_PARTITION, keys.config_row(kind, object_id))
        return _parse(found.row, found.etag) if found else None

    def all(self, kind: str, *, after: str | None = None, limit: int | None = None) -> list[Document]:
        """In order of creation, after an id."""
        start, end = keys.prefix_range(f"{kind}|")
        if after:
            start = keys.config_row(kind, after) + "\x7f"
        rows = self._tables.query(CONFIG, keys.CONFIG_PARTITION, (start, end), limit=limit)
        return [_parse(stamped.row, stamped.etag) for stamped in rows]

    def users_of(self, ref: str, *, limit: int | None = None) -> list[tuple[str, str, str]]:
        """What refers to an object: (kind, name, id)."""
        rows = self._tables.query(CONFIG, keys.CONFIG_PARTITION, keys.prefix_range(f"u|{ref}|"), limit=limit)
        return [(row.row["UserKind"], row.row["UserName"], row.row["UserId"]) for row in rows]

    def epoch(self) -> Epoch:
        """Read before references are checked, it goes with the change: two of them never pass each other."""
        found = self._tables.get(CONFIG, keys.CONFIG_PARTITION, keys.EPOCH_ROW)
        return Epoch(int(found.row["Number"]), found.etag) if found else Epoch(0, None)

    def create(self, document: Document, epoch: Epoch | None = None, along: Along = NOTHING) -> None:
        """Raises NameTaken, TargetGone, EpochMoved, or RowChanged where its intention is gone; nothing is written then."""
        self.write([Change(document, None, along)], epoch)

    def replace(self, document: Document, before: Document, epoch: Epoch | None = None, along: Along = NOTHING) -> None:
        """Writes a new revision of `before`. Raises RowChanged where it changed meanwhile, NameTaken, TargetGone, EpochMoved."""
        self.write([Change(document, before, along)], epoch)

    def write(self, changes: Sequence[Change], epoch: Epoch | None = None) -> None:
        """All of them in one transaction, or none. Raises as `create` and `replace` do. Being referred to touches a row
        without changing it: then the new ETag is taken and the same done again.
        """
        if any(change.before is None or _name_key(change.document) != _name_key(change.before) for change in changes):
            self._reserve_all()
        for attempt in range(_TOUCHES + 1):
            try:
                self._commit(changes, epoch)
            except RowChanged:
                touched = self._touched(changes)
                if attempt == _TOUCHES or touched is None:
                    raise
                changes = touched
            else:
                return

    def _touched(self, changes: Sequence[Change]) -> list[Change] | None:
        """The changes with the ETags of now; None where something was really changed, or nothing was there to be touched."""
        found = []
        for change in changes:
            now = self.get(change.document.kind, change.document.id) if change.before else None
            if change.before and (now is None or now.revision != change.before.revision):
                return None
            found.append(replace(change, before=now))
        return found if any(change.before for change in found) else None

    def reserve(self, document: Document, secret: str, at: datetime, *, new: bool) -> Intention:
        """Notes that a secret of this name will be written for the object, and reserves the name of a new one. Raises NameTaken."""
        self._reserve_all()
        try:
            return self.secrets.intend(document, secret, at, name_key=_name_key(document) if new else "")
        except RowExists as error:
            raise NameTaken(document) from error

    def freed(self, document: Document, now: datetime) -> bool:
        """Whether the name was reserved for a change that never came to its end, and is free now."""
        return self.secrets.given_up(_name_key(document), now)

    def _reserve_all(self) -> None:
        """Where an earlier release reserved names in another form: reserves them in this one, before any is given away. Of
        two objects whose names are the same now the older one has it; both stay.
        """
        if self._names_reserved:
            return
        found = self._tables.get(CONFIG, keys.CONFIG_PARTITION, keys.NAMES_ROW)
        if found is None or found.row.get("Form") != NAMES:
            for stamped in self._tables.query(CONFIG, keys.CONFIG_PARTITION, ("", "~")):
                if "Body" in stamped.row:
                    with contextlib.suppress(RowExists):
                        self._tables.transaction(CONFIG, list(self._reserve(_parse(stamped.row, stamped.etag))))
            self._tables.put(CONFIG, {"PartitionKey": keys.CONFIG_PARTITION, "RowKey": keys.NAMES_ROW, "Form": NAMES})
        self._names_reserved = True

    def delete(self, document: Document, along: Along = NOTHING) -> None:
        """Raises InUse, or RowChanged: using an object touches it, so a use that comes in meanwhile is noticed."""
        self._reserve_all()
        if users := self.users_of(document.ref, limit=200):
            raise InUse(users)
        operations: list[Operation] = [
            Delete(keys.CONFIG_PARTITION, keys.config_row(document.kind, document.id), document.etag),
            Delete(keys.CONFIG_PARTITION, _name_key(document)),
            *(Delete(keys.CONFIG_PARTITION, keys.config_use(ref, document.ref)) for ref in document.uses),
            *along.operations(document),
        ]
        try:
            self._tables.transaction(CONFIG, operations)
        except RowChanged:
            if self.get(document.kind, document.id) is not None:
                raise

    def remove(self, document: Document, who: Actor, at: datetime) -> None:
        """Deletes an object of which nothing is left."""
        self.delete(document, Along(Note(who, at, "deleted")))

    def _is_ours(self, document: Document) -> bool:
        """Whether the change was made although its answer was lost: then a repetition clashes with itself."""
        found = self.get(document.kind, document.id)
        return bool(
            found
            and (found.revision, found.updated_at, found.body, found.system)
            == (document.revision, document.updated_at, document.body, document.system)
        )

    def _reserve(self, document: Document) -> Iterable[Operation]:
        yield Insert(keys.reservation(_name_key(document), document.id))

    def _operations(self, change: Change) -> list[Operation]:
        """Of the object's row, its name and its references."""
        document, before, along = change.document, change.before, change.along
        gone: Sequence[str] = ()
        renamed: Sequence[str] = ()
        if before is None:
            operations: list[Operation] = [Insert(_row(document))]
            held = along.intention if along.intention and along.intention.name_key else None
            if held:
                operations.append(Put(keys.reservation(held.name_key, document.id), held.name_etag))
            else:
                operations += self._reserve(document)
        else:
            operations = [Put(_row(document), before.etag)]
            if _name_key(document) != _name_key(before):
                operations += [*self._reserve(document), Delete(keys.CONFIG_PARTITION, _name_key(before))]
            gone = sorted(set(before.uses) - set(document.uses))
            renamed = sorted(set(document.uses) & set(before.uses)) if document.name != before.name else ()
        added = sorted(set(document.uses) - set(before.uses if before else ()))
        operations += [Put(_use_row(document, ref)) for ref in (*added, *renamed)]
        operations += [Delete(keys.CONFIG_PARTITION, keys.config_use(ref, document.ref)) for ref in gone]
        return [*operations, *along.operations(document)]

    def _touches(self, changes: Sequence[Change]) -> list[Operation]:
        """What is newly referred to must be there when the transaction is made, and is touched so that its deletion notices.
        A transaction names a row once: what it writes anyhow needs no touch.
        """
        written = {change.document.ref for change in changes}
        touched = {
            ref: change.document for change in changes
            for ref in set(change.document.uses) - set(change.before.uses if change.before else ()) - written
        }  # fmt: skip
        rows = (
            (keys.config_row(*ref.split(".", 1)), user) for ref, user in sorted(touched.items(), key=lambda one: one[0])
        )
        return [Touch({"PartitionKey": keys.CONFIG_PARTITION, "RowKey": key, "UsedBy": user.id}) for key, user in rows]

    def _commit(self, changes: Sequence[Change], epoch: Epoch | None) -> None:
        operations = [operation for change in changes for operation in self._operations(change)] + self._touches(
            changes
        )
        if epoch:
            row = {"PartitionKey": keys.CONFIG_PARTITION, "RowKey": keys.EPOCH_ROW, "Number": epoch.number + 1}
            operations = [*operations, Put(row, epoch.etag) if epoch.etag else Insert(row)]
        document = changes[0].document  # they were all written, or none
        try:
            self._tables.transaction(CONFIG, operations)
        except RowExists as error:
            if not self._is_ours(document):
                self._check_epoch(epoch)
                raise NameTaken(self._taken(changes)) from error
        except RowChanged:
            if self._is_ours(document):
                return
            self._check_epoch(epoch)
            written = {change.document.ref for change in changes}
            for ref in sorted({ref for change in changes for ref in change.document.uses} - written):
                kind, _, object_id = ref.partition(".")
                if self.get(kind, object_id) is None:
                    raise TargetGone(ref) from None
            raise

    def _taken(self, changes: Sequence[Change]) -> Document:
        """The one whose name is another object's."""
        for change in changes[:-1]:
            found = self._tables.get(CONFIG, keys.CONFIG_PARTITION, _name_key(change.document))
            if found and found.row.get("Owner") != change.document.id:
                return change.document
        return changes[-1].document

    def _check_epoch(self, epoch: Epoch | None) -> None:
        if epoch and self.epoch() != epoch:
            raise EpochMoved


def _name_key(document: Document) -> str:
    return keys.config_name(document.kind, document.scope, document.name)


def _use_row(document: Document, ref: str) -> Row:
    return {
        "PartitionKey": keys.CONFIG_PARTITION, "RowKey": keys.config_use(ref, document.ref),
        "UserKind": document.kind, "UserName": document.name, "UserId": document.id,
    }  # fmt: skip
