"""Saving of checked objects: their secrets first, under names that rows announce, then everything in one transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared.configuration import secrets
from shared.configuration.differences import differences, secret_changed
from shared.configuration.keeper import Keeper
from shared.configuration.kinds import ConfigKind
from shared.configuration.mapping_keeper import MappingKeeper
from shared.configuration.mappings import Mappings
from shared.configuration.walls import Walls
from shared.domain.actor import Actor
from shared.domain.audit import FieldChanged
from shared.domain.base import Model
from shared.domain.configuration import ConnectorIn, CredentialIn
from shared.domain.document import Document
from shared.domain.mapping import MappingIn
from shared.errors import Conflict, FieldError
from shared.storage.config import Along, Change, ConfigStore, Epoch, EpochMoved, NameTaken, TargetGone
from shared.storage.history import Note
from shared.storage.secret_rows import Intention
from shared.storage.tables import RowChanged

PIN = "pin"
_TRIES = 8


@dataclass(frozen=True)
class Proposal:
    """An object as it would be, checked. `model` is what somebody sent, with what is secret in it; `before` the object as it is."""

    kind: ConfigKind
    document: Document
    model: Model
    before: Document | None = None

    @property
    def retired(self) -> tuple[str, ...]:
        """The secret that nobody uses once the proposal is saved."""
        old = secret_of(self.before)
        return (old,) if old and old != secret_of(self.document) else ()


@dataclass(frozen=True)
class WrittenSecret:
    """What was put into the vault for a credential that is not saved yet."""

    of: str
    pin: secrets.Pin
    intention: Intention


type WrittenSecrets = tuple[WrittenSecret, ...]


class Overtaken(Exception):
    """Somebody else changed an object meanwhile. `written`: the secrets that are in the vault for the change; `by_name`: a new
    object of the same name is there, or being made.
    """

    def __init__(self, written: WrittenSecrets, *, by_name: bool = False) -> None:
        super().__init__("changed meanwhile")
        self.written, self.by_name = written, by_name


class Saver:
    def __init__(
        self,
        kinds: dict[str, ConfigKind],
        store: ConfigStore,
        keeper: Keeper,
        mapping_keeper: MappingKeeper,
        mappings: Mappings,
    ) -> None:
        self._kinds, self._store, self._keeper = kinds, store, keeper
        self._mapping_keeper, self._mappings, self._walls = mapping_keeper, mappings, Walls(store)

    def within_walls(self, proposals: Sequence[Proposal]) -> Epoch | None:
        """The epoch in which the changes of references were found to be right; None where they change none."""
        concerned = [one.document for one in proposals if self._walls.concerns(one.document, one.before)]
        if not concerned:
            return None
        epoch = self._store.epoch()
        self._walls.check(concerned, [one.document for one in proposals])
        return epoch

    def save(
        self,
        proposals: Sequence[Proposal],
        epoch: Epoch | None,
        who: Actor,
        at: datetime,
        written: WrittenSecrets,
    ) -> tuple[list[Proposal], WrittenSecrets]:
        """The proposals with what is kept beside them, as they were saved, and the secrets that were written into the vault for
        them, now or at an earlier attempt. Raises Overtaken, Conflict, Unavailable; nothing was saved then.
        """
        secrets: list[WrittenSecret] = []
        try:
            saved, changes = [], []
            for proposal in proposals:
                kept, note, secret = self._prepared(proposal, who, at, written)
                if secret:
                    secrets.append(secret)
                saved.append(kept)
                changes.append(
                    Change(kept.document, kept.before, Along(note, secret.intention if secret else None, kept.retired))
                )
            try:
                self._write(proposals, changes, epoch, at)
            except RowChanged as error:
                raise Overtaken(tuple(secrets)) from error
        except Overtaken:
            raise
        except NameTaken as error:
            if len(proposals) > 1 and error.document.ref != proposals[-1].document.ref:
                raise Overtaken(tuple(secrets), by_name=True) from error
            self.abandon(secrets)
            raise self._taken(error.document) from error
        except TargetGone as error:
            self.abandon(secrets)
            raise Conflict(f"{error.ref} was deleted meanwhile.", code="reference-gone") from error
        except BaseException:
            self.abandon(secrets)
            raise
        return saved, tuple(secrets)

    def abandon(self, written: Iterable[WrittenSecret]) -> None:
        """The change that the secrets were written for failed."""
        for one in written:
            self._keeper.abandon(one.intention)

    def _prepared(
        self, one: Proposal, who: Actor, at: datetime, written: WrittenSecrets
    ) -> tuple[Proposal, Note, WrittenSecret | None]:
        """The proposal with what is kept beside it, what its history will say, and the secret that is in the vault for it."""
        document, model, before = one.document, one.model, one.before
        changes = list(differences(before.body if before else {}, document.body))
        system = self._mapping_keeper.system(document, model, before)
        secret: WrittenSecret | None = None
        if isinstance(model, CredentialIn):
            there = next((one for one in written if one.of == document.ref), None)
            secret = there or self._secret(document, model, before, at)
            pin = secret.pin.model_dump(mode="json", by_alias=True) if secret else _kept(document, before)
            system = {PIN: pin} if pin else {}
            changes += _secret_changes(before, model, new=bool(secret))
        if isinstance(model, ConnectorIn) and before:
            given = {"clientSecret": model.client_secret, "actionClientSecret": model.action_client_secret}
            changes += [secret_changed(name, before=True, after=True) for name, value in given.items() if value]
        if isinstance(model, MappingIn):
            self._mappings.write(document, model.targets, who, at)
        note = Note(who, at, "changed" if before else "created", changes)
        return replace(one, document=replace(document, system=system)), note, secret

    def _secret(
        self, document: Document, model: CredentialIn, before: Document | None, at: datetime
    ) -> WrittenSecret | None:
        """The secret that the change brings, written by now; None where it brings none. Raises NameTaken."""
        type_changed = before is not None and before.body["type"] != model.type
        prepared = secrets.prepare(model, has_pin=bool(secret_of(before)), type_changed=type_changed)
        if prepared is None:
            return None
        try:
            pin, intention = self._keeper.write(document, prepared, new=before is None)
        except NameTaken as error:
            if not self._store.freed(error.document, at):
                raise
            pin, intention = self._keeper.write(document, prepared, new=before is None)
        return WrittenSecret(document.ref, pin, intention)

    def _write(self, proposals: Sequence[Proposal], changes: list[Change], epoch: Epoch | None, at: datetime) -> None:
        """Writes in that epoch. Where others changed references meanwhile they are checked again."""
        for _ in range(_TRIES):
            try:
                self._store.write(changes, epoch)
            except EpochMoved as error:
                if len(proposals) > 1:  # what was found, or not found, may be there by now
                    raise RowChanged from error
                epoch = self.within_walls(proposals)
            except NameTaken as error:
                if any(change.along.intention for change in changes) or not self._store.freed(error.document, at):
                    raise
            else:
                return
        raise busy()

    def _taken(self, document: Document) -> Conflict:
        return Conflict(
            f"There is a {self._kinds[document.kind].noun} named {document.name!r} already.",
            code="name-taken",
            remedy="Choose another name; upper and lower case, and what nobody can see, do not count.",
            fields=(FieldError("name", "taken", "is taken"),),
        )


def secret_of(document: Document | None) -> str:
    """The name in the vault of the secret that a credential pins; empty without one."""
    pin = document.system.get(PIN) if document else None
    return str(pin["name"]) if pin else ""


def busy() -> Conflict:
    return Conflict(
        "Others keep changing what belongs to whom.",
        code="busy",
        remedy="Try again in a few seconds. Nothing was saved.",
    )


def _kept(document: Document, before: Document | None) -> dict[str, Any] | None:
    """The pin of a secret that stays: another type of credential has no use for it."""
    return before.system.get(PIN) if before and before.body["type"] == document.body["type"] else None


def _secret_changes(before: Document | None, model: CredentialIn, *, new: bool) -> list[FieldChanged]:
    had, old_type = bool(secret_of(before)), before.body["type"] if before else model.type
    field = {"client-secret": "clientSecret", "certificate": "certificate"}
    changes = []
    if had and old_type != model.type:
        changes.append(secret_changed(field[old_type], before=True, after=False))
    if new:
        changes.append(secret_changed(field[model.type], before=had and old_type == model.type, after=True))
    return changes
