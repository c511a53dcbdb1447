"""List, create, read, replace, patch and delete for every kind of configuration.

A change is validated whole before anything is written. Its secret is written under a new name that a row announces; then one
transaction writes the object with its pin, its references and its history. What follows from it (the schedule, runs that are
to stop, an old secret) is done at once where that is possible, and by the timer where not: then the answer says so.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson
from pydantic import ValidationError

from shared.clock import Clock, iso
from shared.configuration.differences import differences
from shared.configuration.fixed import Fixed
from shared.configuration.inline import Inline, others_who_use
from shared.configuration.keeper import Keeper
from shared.configuration.kinds import ConfigKind, config_kinds
from shared.configuration.mapping_keeper import MappingKeeper
from shared.configuration.mappings import Mappings
from shared.configuration.saving import PIN, Overtaken, Proposal, Saver, WrittenSecrets, busy, secret_of
from shared.configuration.shown import Shown
from shared.connectors.mappings import default_id, version_of
from shared.connectors.registry import Registry
from shared.domain.actor import Actor
from shared.domain.audit import ConfigurationChange, FieldChanged
from shared.domain.base import Model, new_id
from shared.domain.configuration import CLOUD_SERVER_ID, ConnectorIn, PermissionNeeded, SourceIn
from shared.domain.document import Document
from shared.domain.mapping import MappingIn
from shared.domain.pending import Pending
from shared.domain.reason import Reason
from shared.errors import Changed, Conflict, FieldError, Forbidden, Invalid, NotFound, SourceProblem, Unavailable
from shared.scheduling.timetable import Timetable
from shared.storage.config import Along, ConfigStore, Epoch, InUse, NameTaken
from shared.storage.history import History, Note
from shared.storage.tables import RowChanged
from shared.storage.tenants import Tenants
from shared.validation import field_errors, read_as
from shared.vault import Vault

_TRIES, _SHOWN = 8, 10
_MOST_OVERTAKEN = 100
_log = logging.getLogger("rollcall.configuration")


class Configuration:
    """`vault` is made on first use: most requests need none."""

    def __init__(
        self,
        registry: Registry,
        store: ConfigStore,
        vault: Callable[[], Vault],
        timetable: Timetable,
        tenants: Tenants,
        history: History,
        clock: Clock,
        halt: Callable[[str, str], None],
        mappings: Mappings,
    ) -> None:
        self._registry, self.kinds = registry, config_kinds(registry)
        self._store, self._timetable, self._clock = store, timetable, clock
        self._tenants, self._history, self._halt = tenants, history, halt
        self._fixed, self._inline = Fixed(registry, store, tenants), Inline(registry, store, vault)
        self._shown, self.mappings = Shown(registry, store, timetable, mappings), mappings
        self.keeper = Keeper(store, vault, clock)
        self.mapping_keeper = MappingKeeper(registry, store, mappings, clock)
        self._saver = Saver(self.kinds, store, self.keeper, self.mapping_keeper, mappings)

    def page(self, kind: ConfigKind, *, after: str | None, limit: int) -> list[Model]:
        """Objects in order of creation; Unreadable stands for one that this release can't read."""
        self._ensure_built_in(kind)
        return self._shown.many(kind, self._store.all(kind.key, after=after, limit=limit))

    def get(self, kind: ConfigKind, object_id: str) -> Model:
        return self._shown.one(kind, self.document(kind, object_id))

    def history(
        self, kind: ConfigKind | None, object_id: str, *, after: str | None, limit: int
    ) -> tuple[list[ConfigurationChange], str | None]:
        """Newest first, also of an object that is gone; of all objects without a kind."""
        found, following = self._history.newest(f"{kind.key}.{object_id}" if kind else None, after=after, limit=limit)
        if kind and not found and not after:
            self.document(kind, object_id)
        return found, following

    def document(self, kind: ConfigKind, object_id: str) -> Document:
        """An object as it is stored. Raises NotFound."""
        self._ensure_built_in(kind)
        document = self._store.get(kind.key, object_id)
        if document is None:
            raise NotFound(f"There is no {kind.noun} with the id {object_id}.")
        return document

    def create(self, kind: ConfigKind, model: Model, who: Actor, *, object_id: str = "") -> Model:
        """Raises Invalid, Conflict, Unavailable; nothing was saved then. `object_id`: chosen for this very request, so that
        its repetition finds what it made.
        """
        self._ensure_built_in(kind)
        if object_id and (there := self._store.get(kind.key, object_id)):
            return self._shown.one(kind, there)
        object_id = object_id or new_id()
        for attempt in range(_TRIES):
            proposals = self._propose(kind, object_id, model, None)
            epoch = self._checked(proposals)
            try:
                saved, _ = self._saver.save(proposals, epoch, who, self._clock.now(), ())
            except Overtaken as overtaken:
                self._saver.abandon(overtaken.written)
                if len(proposals) > 1 and attempt < _TRIES - 1:
                    continue  # somebody else made, at the same time, what was to be made with it
                raise busy() if overtaken.by_name else _changed(kind) from overtaken
            return self._shown.one(kind, saved[-1].document, self._follow(saved))
        raise AssertionError

    def replace(
        self, kind: ConfigKind, object_id: str, model: Model, revisions: frozenset[int] | None, who: Actor
    ) -> Model:
        """`revisions`: those that the caller may have read; None overwrites whatever is there."""
        return self._change(kind, object_id, lambda _before: model, revisions, who)

    def patch(
        self, kind: ConfigKind, object_id: str, change: dict[str, Any], revisions: frozenset[int] | None, who: Actor
    ) -> Model:
        """Merges the change (RFC 7396) into the object and replaces it."""
        return self._change(kind, object_id, lambda before: _merged(kind, self._whole(before), change), revisions, who)

    def proposed(self, kind: ConfigKind, object_id: str, change: dict[str, Any]) -> Model:
        """The object as the change would make it. Raises NotFound, Invalid."""
        before = self.document(kind, object_id)
        model = _merged(kind, self._whole(before), change)
        return self._inline.resolve(model, before).connector if isinstance(model, ConnectorIn) else model

    def _whole(self, document: Document) -> Document:
        """With what of its body lies in a table of its own."""
        if document.kind != "mapping":
            return document
        body = {name: value for name, value in document.body.items() if name != "version"}
        targets = [one.model_dump(mode="json", by_alias=True) for one in self.mappings.targets(document)]
        return replace(document, body={**body, "targets": targets})

    def _change(
        self,
        kind: ConfigKind,
        object_id: str,
        propose: Callable[[Document], Model],
        revisions: frozenset[int] | None,
        who: Actor,
    ) -> Model:
        written: WrittenSecrets = ()
        for attempt in range(_MOST_OVERTAKEN):
            try:
                before = self.document(kind, object_id)
                self._check_revision(before, revisions)
                _refuse_deleting(before)
                model = propose(before)
                if object_id == CLOUD_SERVER_ID and getattr(model, "name", "") != before.name:
                    raise _built_in()
                _refuse_default(before)
                proposals = self._propose(kind, object_id, model, before)
                epoch = self._checked(proposals)
                saved, written = self._saver.save(proposals, epoch, who, self._clock.now(), written)
            except Overtaken as overtaken:
                written = self._still_needed(overtaken.written, proposals)
                if revisions is None and attempt < _MOST_OVERTAKEN - 1:
                    continue  # whatever is there was to be overwritten
                self._saver.abandon(written)
                raise busy() if overtaken.by_name else _changed(kind) from overtaken
            except Exception:
                self._saver.abandon(written)
                raise
            return self._shown.one(kind, saved[-1].document, self._follow(saved), self._shared_secret(saved))
        raise AssertionError

    def _still_needed(self, written: WrittenSecrets, proposals: Sequence[Proposal]) -> WrittenSecrets:
        """A secret that was written for a credential that is there goes with the next attempt; one for a new credential does not,
        for the next attempt may find that credential made.
        """
        made = {one.document.ref for one in proposals if one.before is None}
        self._saver.abandon(one for one in written if one.of in made)
        return tuple(one for one in written if one.of not in made)

    def _propose(self, kind: ConfigKind, object_id: str, model: Model, before: Document | None) -> list[Proposal]:
        """The object as it would be, last, after what has to be saved with it."""
        proposals, as_stored = [], model
        if isinstance(model, ConnectorIn):
            resolved = self._inline.resolve(model, before)
            as_stored = resolved.connector
            for draft in resolved.drafts:
                other = self.kinds[draft.kind]
                document = self._make(other, draft.id, draft.before, draft.model)
                proposals.append(Proposal(other, document, draft.model, draft.before))
        return [*proposals, Proposal(kind, self._make(kind, object_id, before, as_stored), model, before)]

    def _checked(self, proposals: Sequence[Proposal]) -> Epoch | None:
        """The epoch that the proposals were found right in. Raises Invalid, Conflict."""
        refs = {one.document.ref for one in proposals}
        for one in proposals:
            if one.before:
                self._fixed.check(one.document, one.before)
            self._check_references(one, refs)
            self.mapping_keeper.check(one.document, one.model)
        return self._saver.within_walls(proposals)

    def _shared_secret(self, saved: Sequence[Proposal]) -> list[Reason]:
        """Who else signs in with a secret that a connector's change replaced."""
        *others, connector = saved
        names = [
            name for one in others if one.kind.key == "credential" and one.before
            for name in others_who_use(self._store, one.document.id, connector.document)
        ]  # fmt: skip
        if not names:
            return []
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return [
            Reason(
                code="secret-shared",
                message=f"Others sign in with the secret that was replaced: {', '.join(names[:_SHOWN])}{more}.",
                remedy="They use the new one from now on. Give this connector a credential of its own where "
                "that is not meant.",
            )
        ]

    def delete(self, kind: ConfigKind, object_id: str, revisions: frozenset[int] | None, who: Actor) -> list[Pending]:
        """What is still to come of it. Raises Conflict where something uses the object."""
        for attempt in range(_MOST_OVERTAKEN):
            before = self.document(kind, object_id)
            self._check_revision(before, revisions)
            if object_id == CLOUD_SERVER_ID:
                raise _built_in()
            _refuse_deleting(before)
            _refuse_default(before)
            old = secret_of(before)
            note = Note(who, self._clock.now(), "deleted", list(_removed(before)))
            try:
                self._store.delete(before, Along(note, retired=(old,) if old else ()))
            except InUse as error:
                users = ", ".join(f"{self.kinds[k].noun} {name!r} ({user})" for k, name, user in error.users[:20])
                raise Conflict(
                    f"The {kind.noun} {before.name!r} is used by {users}.",
                    code="in-use",
                    remedy="Delete these first, or make them refer to something else.",
                ) from error
            except RowChanged as error:
                if revisions is None and attempt < _MOST_OVERTAKEN - 1:
                    continue
                raise Changed(f"The {kind.noun} changed while it was being deleted.") from error
            pending = self.keeper.retire([old] if old else [])
            if kind.key == "connector":
                pending += _tried(*_STOP, lambda: self._halt(object_id, "deletion of the connector"))
            if kind.key == "source":
                with contextlib.suppress(Unavailable):  # a row that nobody looks for any more
                    self._tenants.forget(object_id)
            return pending
        raise AssertionError

    def mark_deleting(self, object_id: str, revisions: frozenset[int] | None, who: Actor) -> Document:
        """Takes a connector out of use. A run removes its records, and then the connector itself."""
        kind = self.kinds["connector"]
        for attempt in range(_MOST_OVERTAKEN):
            before = self.document(kind, object_id)
            self._check_revision(before, revisions)
            if before.deleting:
                return before
            system, body = {**before.system, "deleting": True}, {**before.body, "active": False}
            now = self._clock.now()
            document = replace(before, body=body, system=system, revision=before.revision + 1, updated_at=iso(now))
            try:
                self._store.replace(document, before, along=Along(Note(who, now, "deletion-begun")))
            except RowChanged as error:
                if revisions is None and attempt < _MOST_OVERTAKEN - 1:
                    continue
                raise Changed("The connector changed while it was being deleted.") from error
            with contextlib.suppress(Conflict, Unavailable):  # one that can't be read is deleted all the same
                self._timetable.put(document)
            return document
        raise AssertionError

    def permissions(self, connector_id: str) -> list[PermissionNeeded]:
        """What a connector needs as it is configured."""
        document = self.document(self.kinds["connector"], connector_id)
        connector, kind = self._registry.connector(document), self._registry.kind_of(document)
        with contextlib.suppress(SourceProblem):  # a mapping that can't be read: what the default needs, then
            kind = self.mappings.of(kind, document).kind
        source = read_as("source", self.document(self.kinds["source"], connector.source_id), SourceIn)
        return [
            PermissionNeeded(
                permission=one.permission.name, or_instead=list(one.permission.wider), job=job.name, purpose=one.purpose
            )
            for job in kind.jobs
            for one in kind.permissions(connector.options, source, job)
        ]

    def certificate_pem(self, object_id: str) -> str:
        """The public certificate of a credential, to be uploaded to its app registration."""
        pem = self.document(self.kinds["credential"], object_id).system.get(PIN, {}).get("pem")
        if not pem:
            raise NotFound("This credential has no certificate.", remedy="Choose the type certificate for it.")
        return str(pem)

    def _make(self, kind: ConfigKind, object_id: str, before: Document | None, model: Model) -> Document:
        body = model.model_dump(mode="json", by_alias=True, exclude={"client_secret", "certificate", "targets"})
        if isinstance(model, MappingIn):
            body["version"] = version_of(model.targets)
        uses = {f"{target}.{value}" for field, target in kind.refers.items() if (value := getattr(model, field))}
        scope = getattr(model, kind.scope) if kind.scope else ""
        name: str = model.name  # type: ignore[attr-defined]
        now = iso(self._clock.now())
        revision, created = (before.revision + 1, before.created_at) if before else (1, now)
        return Document(kind.key, object_id, revision, created, now, name, scope or "", tuple(sorted(uses)), body)

    def _check_references(self, one: Proposal, saved_with: set[str]) -> None:
        missing = []
        for field, target in one.kind.refers.items():
            alias = one.kind.model.model_fields[field].alias or field
            value = one.document.body.get(alias)
            known = saved_with | set(one.before.uses if one.before else ())
            if value and f"{target}.{value}" not in known:
                if target == "connectorServer":
                    self._ensure_built_in(self.kinds[target])
                if self._store.get(target, value) is None:
                    missing.append(FieldError(alias, "unknown", f"there is no {self.kinds[target].noun} with this id"))
        if missing:
            raise Invalid("A reference does not exist.", fields=tuple(missing))

    def _follow(self, saved: Sequence[Proposal]) -> list[Pending]:
        """What saved changes bring with them; what of that is still to come."""
        return [pending for one in saved for pending in self._follow_one(one.kind, one.document, one.retired)]

    def _follow_one(self, kind: ConfigKind, document: Document, retired: tuple[str, ...]) -> list[Pending]:
        pending = self.keeper.retire(retired)
        if kind.key == "connector":
            pending += _tried(*_SCHEDULE, lambda: self._timetable.put(document))
            if not document.body["active"]:
                pending += _tried(*_STOP, lambda: self._halt(document.id, "deactivation of the connector"))
            if document.body.get("mappingId"):
                pending += _tried(*_FOLLOWS, lambda: self.mapping_keeper.pin(document.id))
        if kind.key == "mapping":
            pending += _tried(*_FOLLOWS, lambda: self.mapping_keeper.pin_all(document))
        if kind.key == "source" and not document.body["crawl"]:
            pending += _tried(*_STOP, lambda: self._halt_all(document))
        return pending

    def _halt_all(self, source: Document) -> None:
        for user_kind, _, user in self._store.users_of(source.ref):
            if user_kind == "connector":
                self._halt(user, "crawl switched off at the source")

    def _check_revision(self, before: Document, revisions: frozenset[int] | None) -> None:
        if revisions is not None and before.revision not in revisions:
            read = " or ".join(map(str, sorted(revisions)))
            raise Changed(f"You read revision {read}; it is at revision {before.revision} now.")

    def _ensure_built_in(self, kind: ConfigKind) -> None:
        """What every installation has: the connector server Cloud, and each kind's default mapping as this release has it."""
        if kind.key == "mapping":
            self.mapping_keeper.ensure_defaults()
        if kind.key != "connectorServer" or self._store.get(kind.key, CLOUD_SERVER_ID):
            return
        now = iso(self._clock.now())
        body = {"name": "Cloud", "description": "The function app."}
        with contextlib.suppress(NameTaken):
            self._store.create(Document(kind.key, CLOUD_SERVER_ID, 1, now, now, "Cloud", "", (), body))

    def restore(self, mapping: str, revision: int, revisions: frozenset[int] | None, who: Actor) -> Model:
        """What the mapping said at an earlier revision, as its newest one."""
        kind = self.kinds["mapping"]
        targets = self.mapping_keeper.at(self.document(kind, mapping), revision)

        def propose(document: Document) -> Model:
            return MappingIn(
                name=document.name, kind=document.body["kind"], note=f"Revision {revision} again.", targets=targets
            )

        return self._change(kind, mapping, propose, revisions, who)


_SCHEDULE = ("schedule", "The schedule still has to follow this change; the timer brings it in step.")
_STOP = ("stop-runs", "Runs that are going on still have to be stopped; the timer stops them.")
_FOLLOWS = (
    "connectors-follow",
    "Connectors still have to follow to this version; the timer brings them in step within the hour.",
)


def _tried(code: str, message: str, call: Callable[[], object]) -> list[Pending]:
    try:
        call()
    except Unavailable as error:
        _log.warning("%s (%s)", message, error.code)
        return [Pending(code=code, message=message)]
    return []


def _changed(kind: ConfigKind) -> Changed:
    return Changed(f"The {kind.noun} changed while it was being saved.")


def _removed(before: Document) -> Iterator[FieldChanged]:
    yield from differences(before.body, {})


def _merged(kind: ConfigKind, before: Document, change: dict[str, Any]) -> Model:
    try:
        return kind.model.model_validate_json(orjson.dumps(merge(before.body, change)), strict=True)
    except ValidationError as error:
        raise Invalid(f"The {kind.noun} would not be valid.", fields=field_errors(error)) from error


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


def _refuse_default(document: Document) -> None:
    if document.kind == "mapping" and document.id == default_id(str(document.body.get("kind"))):
        raise Forbidden(
            "The default mapping of a kind is written by Rollcall and never edited.",
            code="built-in",
            remedy="Create a mapping of your own from it, and choose that on the connector.",
        )


def _built_in() -> Forbidden:
    return Forbidden(
        "The connector server Cloud is the function app itself: it can't be renamed or deleted.",
        code="built-in",
        remedy="Add a connector server of your own.",
    )
