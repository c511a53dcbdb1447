"""List, create, read, replace, patch and delete for every kind of configuration.

Order of a change: validate everything, write the secret as a new version, then the row that pins it, then update the
schedule. A row that could not be written leaves a disabled, unpinned version behind and nothing else.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
from pydantic import ValidationError

from shared.clock import Clock, iso
from shared.configuration import secrets
from shared.configuration.fixed import Fixed
from shared.configuration.kinds import ConfigKind, config_kinds
from shared.configuration.walls import Walls
from shared.connectors.registry import Registry
from shared.domain.base import Model, new_id
from shared.domain.configuration import CLOUD_SERVER_ID, CredentialIn, PermissionNeeded, SourceIn, Unreadable
from shared.domain.document import Document
from shared.errors import Changed, Conflict, FieldError, Forbidden, Invalid, NotFound, Unavailable
from shared.scheduling.timetable import Timetable
from shared.storage.config import ConfigStore, Epoch, EpochMoved, InUse, NameTaken, TargetGone
from shared.storage.tables import RowChanged
from shared.storage.tenants import Tenants
from shared.validation import field_errors, read_as, unreadable
from shared.vault import Vault

_PIN = "pin"
_TRIES = 8


class Configuration:
    """`vault` is made on first use: most requests need none."""

    def __init__(
        self,
        registry: Registry,
        store: ConfigStore,
        vault: Callable[[], Vault],
        timetable: Timetable,
        tenants: Tenants,
        clock: Clock,
        halt: Callable[[str, str], None],
    ) -> None:
        self._registry, self.kinds = registry, config_kinds(registry)
        self._store, self._make_vault, self._timetable, self._clock = store, vault, timetable, clock
        self._tenants, self._halt = tenants, halt
        self._walls, self._fixed = Walls(store), Fixed(registry, store, tenants)

    @property
    def _vault(self) -> Vault:
        return self._make_vault()

    def page(self, kind: ConfigKind, *, after: str | None, limit: int) -> list[Model]:
        """Objects in order of creation; Unreadable stands for one that this release can't read."""
        self._ensure_cloud_server(kind)
        documents = self._store.all(kind.key, after=after, limit=limit)
        return [self._shown(kind, document) for document in documents]

    def get(self, kind: ConfigKind, object_id: str) -> Model:
        return self._out(kind, self._document(kind, object_id))

    def _document(self, kind: ConfigKind, object_id: str) -> Document:
        self._ensure_cloud_server(kind)
        document = self._store.get(kind.key, object_id)
        if document is None:
            raise NotFound(f"There is no {kind.noun} with the id {object_id}.")
        return document

    def create(self, kind: ConfigKind, model: Model) -> Model:
        """Raises Invalid, Conflict, Unavailable; nothing was saved then."""
        self._ensure_cloud_server(kind)
        object_id, now = new_id(), iso(self._clock.now())
        document = self._make(kind, object_id, 1, now, now, model)
        self._check_references(kind, document)
        epoch = self._within_walls(document, None)
        document, written = self._with_secret(document, model, None)
        with self._explained(kind, document, written):
            self._write(document, None, epoch)
        self._in_step(kind, document)
        return self._out(kind, self._document(kind, object_id))

    def replace(self, kind: ConfigKind, object_id: str, model: Model, revisions: frozenset[int] | None) -> Model:
        """`revisions`: those that the caller may have read; None overwrites whatever is there."""
        before = self._document(kind, object_id)
        self._check_revision(before, revisions)
        _refuse_deleting(before)
        if object_id == CLOUD_SERVER_ID and getattr(model, "name", "") != before.name:
            raise _built_in()
        document = self._make(kind, object_id, before.revision + 1, before.created_at, iso(self._clock.now()), model)
        self._fixed.check(document, before)
        self._check_references(kind, document, before)
        epoch = self._within_walls(document, before)
        document, written = self._with_secret(document, model, before)
        with self._explained(kind, document, written):
            self._write(document, before, epoch)
        self._in_step(kind, document)
        self._stop_if_off(kind, document)
        old = before.system.get(_PIN, {}).get("version")
        if old and old != document.system.get(_PIN, {}).get("version"):
            self._retire(object_id, old)
        return self._out(kind, self._document(kind, object_id))

    def patch(
        self, kind: ConfigKind, object_id: str, change: dict[str, Any], revisions: frozenset[int] | None
    ) -> Model:
        """Merges the change (RFC 7396) into the object and replaces it."""
        before, model = self.proposed(kind, object_id, change)
        return self.replace(kind, object_id, model, revisions or frozenset((before.revision,)))

    def proposed(self, kind: ConfigKind, object_id: str, change: dict[str, Any]) -> tuple[Document, Model]:
        """The object as it is, and as the change would make it. Raises NotFound, Invalid."""
        before = self._document(kind, object_id)
        merged = merge(before.body, change)
        try:
            model = kind.model.model_validate_json(orjson.dumps(merged), strict=True)
        except ValidationError as error:
            raise Invalid(f"The {kind.noun} would not be valid.", fields=field_errors(error)) from error
        return before, model

    def delete(self, kind: ConfigKind, object_id: str, revisions: frozenset[int] | None) -> None:
        before = self._document(kind, object_id)
        self._check_revision(before, revisions)
        if object_id == CLOUD_SERVER_ID:
            raise _built_in()
        _refuse_deleting(before)
        if kind.key == "connector":
            self._halt(object_id, "deletion of the connector")
        try:
            self._store.delete(before)
        except InUse as error:
            users = ", ".join(f"{self.kinds[k].noun} {name!r} ({user})" for k, name, user in error.users[:20])
            raise Conflict(
                f"The {kind.noun} {before.name!r} is used by {users}.",
                code="in-use",
                remedy="Delete these first, or make them refer to something else.",
            ) from error
        except RowChanged as error:
            raise Changed(f"The {kind.noun} changed while it was being deleted.") from error
        if kind.key == "source":
            with contextlib.suppress(Unavailable):  # a row that nobody looks for any more
                self._tenants.forget(object_id)
        if before.system.get(_PIN):
            with contextlib.suppress(Unavailable):  # unused from here on; the vault's own expiry and a retry clean up
                self._vault.delete(secrets.secret_name(object_id))

    def mark_deleting(self, object_id: str, revisions: frozenset[int] | None) -> Document:
        """Takes a connector out of use. A run removes its records, and then the connector itself."""
        kind = self.kinds["connector"]
        before = self._document(kind, object_id)
        self._check_revision(before, revisions)
        if before.deleting:
            return before
        system, body = {**before.system, "deleting": True}, {**before.body, "active": False}
        document = replace(
            before, body=body, system=system, revision=before.revision + 1, updated_at=iso(self._clock.now())
        )
        with self._explained(kind, document, None):
            self._store.replace(document, before)
        with contextlib.suppress(Conflict):  # one that can't be read is deleted all the same
            self._in_step(kind, document)
        return document

    def permissions(self, connector_id: str) -> list[PermissionNeeded]:
        """What a connector needs as it is configured."""
        document = self._document(self.kinds["connector"], connector_id)
        connector, kind = self._registry.connector(document), self._registry.kind_of(document)
        source = read_as("source", self._document(self.kinds["source"], connector.source_id), SourceIn)
        return [
            PermissionNeeded(
                permission=one.permission.name, or_instead=list(one.permission.wider), job=job.name, purpose=one.purpose
            )
            for job in kind.jobs
            for one in kind.permissions(connector.options, source, job)
        ]

    def certificate_pem(self, object_id: str) -> str:
        """The public certificate of a credential, to be uploaded to its app registration."""
        pem = self._document(self.kinds["credential"], object_id).system.get(_PIN, {}).get("pem")
        if not pem:
            raise NotFound("This credential has no certificate.", remedy="Choose the type certificate for it.")
        return str(pem)

    def _make(
        self, kind: ConfigKind, object_id: str, revision: int, created: str, updated: str, model: Model
    ) -> Document:
        body = model.model_dump(mode="json", by_alias=True, exclude={"client_secret", "certificate"})
        uses = {f"{target}.{value}" for field, target in kind.refers.items() if (value := getattr(model, field))}
        scope = getattr(model, kind.scope) if kind.scope else ""
        name: str = model.name  # type: ignore[attr-defined]
        return Document(kind.key, object_id, revision, created, updated, name, scope or "", tuple(sorted(uses)), body)

    def _check_references(self, kind: ConfigKind, document: Document, before: Document | None = None) -> None:
        missing = []
        for field, target in kind.refers.items():
            alias = kind.model.model_fields[field].alias or field
            value = document.body.get(alias)
            if value and f"{target}.{value}" not in (before.uses if before else ()):
                if target == "connectorServer":
                    self._ensure_cloud_server(self.kinds[target])
                if self._store.get(target, value) is None:
                    missing.append(FieldError(alias, "unknown", f"there is no {self.kinds[target].noun} with this id"))
        if missing:
            raise Invalid("A reference does not exist.", fields=tuple(missing))

    def _within_walls(self, document: Document, before: Document | None) -> Epoch | None:
        """The epoch in which the change of references was found to be right; None where it changes none."""
        if not self._walls.concerns(document, before):
            return None
        epoch = self._store.epoch()
        self._walls.check(document)
        return epoch

    def _write(self, document: Document, before: Document | None, epoch: Epoch | None) -> None:
        """Writes the object in that epoch. Where others changed references meanwhile they are checked again."""
        for _ in range(_TRIES):
            try:
                if before is None:
                    self._store.create(document, epoch)
                else:
                    self._store.replace(document, before, epoch)
            except EpochMoved:
                epoch = self._within_walls(document, before)
            else:
                return
        raise Conflict(
            "Others keep changing what belongs to whom.",
            code="busy",
            remedy="Try again in a few seconds. Nothing was saved.",
        )

    def _with_secret(self, document: Document, model: Model, before: Document | None) -> tuple[Document, str | None]:
        """The document with its pin, and the version that was written for it (None: nothing was)."""
        if not isinstance(model, CredentialIn):
            return document, None
        pin = before.system.get(_PIN) if before else None
        type_changed = before is not None and before.body["type"] != model.type
        prepared = secrets.prepare(model, has_pin=bool(pin), type_changed=type_changed)
        if prepared is None:
            kept = None if type_changed else pin
            return replace(document, system={_PIN: kept} if kept else {}), None
        new = secrets.write(self._vault, document.id, prepared, model.secret_expires_on)
        return replace(document, system={_PIN: new.model_dump(mode="json", by_alias=True)}), new.version

    @contextlib.contextmanager
    def _explained(self, kind: ConfigKind, document: Document, written: str | None) -> Iterator[None]:
        try:
            yield
        except (Conflict, Invalid):
            if written:
                self._retire(document.id, written)
            raise
        except (NameTaken, TargetGone, RowChanged) as error:
            # Only a refusal: where the answer was lost the row may have been saved, and pin that very version.
            if written:
                self._retire(document.id, written)
            if isinstance(error, NameTaken):
                raise Conflict(
                    f"There is a {kind.noun} named {document.name!r} already.",
                    code="name-taken",
                    remedy="Choose another name; upper and lower case, and what nobody can see, do not count.",
                    fields=(FieldError("name", "taken", "is taken"),),
                ) from error
            if isinstance(error, TargetGone):
                raise Conflict(f"{error.ref} was deleted meanwhile.", code="reference-gone") from error
            raise Changed(f"The {kind.noun} changed while it was being saved.") from error

    def _retire(self, credential: str, version: str) -> None:
        with contextlib.suppress(Unavailable):
            self._vault.disable(secrets.secret_name(credential), version)

    def _in_step(self, kind: ConfigKind, document: Document) -> None:
        if kind.key == "connector":
            self._timetable.put(document)

    def _stop_if_off(self, kind: ConfigKind, document: Document) -> None:
        """Stops runs of what was switched off."""
        if kind.key == "connector" and not document.body["active"]:
            self._halt(document.id, "deactivation of the connector")
        if kind.key == "source" and not document.body["crawl"]:
            for user_kind, _, user in self._store.users_of(document.ref):
                if user_kind == "connector":
                    self._halt(user, "crawl switched off at the source")

    def _check_revision(self, before: Document, revisions: frozenset[int] | None) -> None:
        if revisions is not None and before.revision not in revisions:
            read = " or ".join(map(str, sorted(revisions)))
            raise Changed(f"You read revision {read}; it is at revision {before.revision} now.")

    def _ensure_cloud_server(self, kind: ConfigKind) -> None:
        if kind.key != "connectorServer" or self._store.get(kind.key, CLOUD_SERVER_ID):
            return
        now = iso(self._clock.now())
        body = {"name": "Cloud", "description": "The function app."}
        with contextlib.suppress(NameTaken):
            self._store.create(Document(kind.key, CLOUD_SERVER_ID, 1, now, now, "Cloud", "", (), body))

    def _shown(self, kind: ConfigKind, document: Document) -> Model:
        try:
            return self._out(kind, document)
        except Conflict as error:
            why = "; ".join(f"{field.field} {field.message}" for field in error.fields) or error.detail
            return Unreadable(id=document.id, revision=document.revision, name=document.name, unreadable=why)

    def _out(self, kind: ConfigKind, document: Document) -> Model:
        """Raises Conflict for an object that this release can't read."""
        try:
            return self._read(kind, document)
        except ValidationError as error:
            raise unreadable(kind.noun, document, field_errors(error)) from error

    def _read(self, kind: ConfigKind, document: Document) -> Model:
        body = {**document.body, "id": document.id, "revision": document.revision}
        body |= {"createdAt": document.created_at, "updatedAt": document.updated_at}
        if kind.key == "credential":
            pin = document.system.get(_PIN)
            body |= {"hasSecret": bool(pin), "certificate": (pin or {}).get("certificate")}
        if kind.key == "connector":
            self._registry.connector(document)
            body |= {"jobs": self._timetable.describe(document), "deleting": document.deleting}
        if kind.key == "connectorServer":
            body["builtIn"] = document.id == CLOUD_SERVER_ID
        return kind.out.model_validate(body)


def merge(target: Any, change: Any) -> Any:
    """JSON merge patch, RFC 7396: null removes, objects merge, everything else replaces."""
    if not isinstance(change, dict):
        return change
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def _refuse_deleting(document: Document) -> None:
    if document.deleting:
        raise Conflict(
            f"The connector {document.name!r} and its records are being deleted.",
            code="deleting",
            remedy="Wait until it is gone.",
        )


def _built_in() -> Forbidden:
    return Forbidden(
        "The connector server Cloud is the function app itself: it can't be renamed or deleted.",
        code="built-in",
        remedy="Add a connector server of your own.",
    )
