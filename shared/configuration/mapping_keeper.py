"""Stored mappings as configuration has them: the default of each kind, revisions, and the version that a connector pins."""

import contextlib
from dataclasses import replace
from typing import Any

from shared.clock import Clock, iso
from shared.configuration.differences import differences
from shared.configuration.mappings import PIN, VERSIONS, Mappings
from shared.connectors.base import Kind
from shared.connectors.mappings import default_id, default_targets
from shared.connectors.registry import Registry
from shared.domain.actor import SYSTEM
from shared.domain.base import Model
from shared.domain.document import Document
from shared.domain.mapping import MappingIn, Target
from shared.errors import FieldError, Invalid, NotFound, Unavailable
from shared.storage.config import Along, ConfigStore, NameTaken
from shared.storage.history import Note
from shared.storage.mappings import Made
from shared.storage.tables import RowChanged

_TRIES = 8
_MOST_VERSIONS = 1000
_PIN_EVERY = 3600.0
"""Seconds."""


class MappingKeeper:
    def __init__(self, registry: Registry, store: ConfigStore, mappings: Mappings, clock: Clock) -> None:
        self._registry, self._store, self._mappings, self._clock = registry, store, mappings, clock
        self._pinned_at: float | None = None

    def ensure_defaults(self) -> None:
        """Each kind's default mapping, as this release has it."""
        for kind in self._registry.kinds.values():
            self._ensure_default(kind)

    def _ensure_default(self, kind: Kind) -> None:
        mapping, version = default_id(kind.name), self._mappings.default_version(kind.name)
        before = self._store.get("mapping", mapping)
        if before and before.body.get("version") == version:
            return
        at = self._clock.now()
        name = f"{kind.title} (default)"
        body = {"name": name, "kind": kind.name, "note": "The default of this release.", "version": version}
        document = Document(
            "mapping", mapping, before.revision + 1 if before else 1, before.created_at if before else iso(at), iso(at), name, "",
            (), body, _versions(before, version),
        )  # fmt: skip
        self._mappings.write(document, default_targets(kind), SYSTEM, at)
        changes = list(differences(before.body if before else {}, body))
        along = Along(Note(SYSTEM, at, "changed" if before else "created", changes))
        with contextlib.suppress(NameTaken, RowChanged):  # another process was faster
            if before:
                self._store.replace(document, before, along=along)
            else:
                self._store.create(document, along=along)

    def made(self, mapping: Document) -> list[Made]:
        """Who made which revision, newest first."""
        return self._mappings.made(mapping)

    def at(self, mapping: Document, revision: int | None) -> list[Target]:
        """What it said at a revision; None: at its newest. Raises NotFound."""
        if revision is None:
            return self._mappings.targets(mapping)
        found = next((one for one in self._mappings.made(mapping) if one.revision == revision), None)
        if found is None:
            raise NotFound(f"The mapping has no revision {revision}.", remedy="List its versions.")
        return self._mappings.at(mapping.id, str(mapping.body["kind"]), found.version)

    def check(self, document: Document, model: Model) -> None:
        """Raises Invalid for a mapping that can't be saved, or a connector that names one of another kind."""
        if isinstance(model, MappingIn):
            self._mappings.check(model)
        if document.kind == "connector" and (named := document.body.get("mappingId")):
            mapping = self._store.get("mapping", named)
            if mapping and mapping.body.get("kind") != document.body["kind"]:
                wrong = FieldError("mappingId", "other-kind", f"is a mapping of the kind {mapping.body.get('kind')}")
                raise Invalid("The mapping is one of another kind.", fields=(wrong,))

    def system(self, document: Document, model: Model, before: Document | None) -> dict[str, Any]:
        """What is kept beside the object: a connector pins the version of its mapping, a mapping knows those that it had."""
        if isinstance(model, MappingIn):
            return _versions(before, str(document.body["version"]))
        mapping = self._store.get("mapping", document.body["mappingId"]) if document.body.get("mappingId") else None
        return {PIN: mapping.body["version"]} if mapping and document.kind == "connector" else {}

    def pin_all(self, mapping: Document) -> None:
        """Every connector that names the mapping pins its newest version."""
        for user_kind, _, user in self._store.users_of(mapping.ref):
            if user_kind == "connector":
                self.pin(user)

    def pin(self, connector: str) -> None:
        """A connector pins the newest version of its mapping, whatever others do meanwhile."""
        for _ in range(_TRIES):
            document = self._store.get("connector", connector)
            named = document.body.get("mappingId") if document else None
            mapping = self._store.get("mapping", named) if named else None
            if document is None or mapping is None or document.system.get(PIN) == mapping.body["version"]:
                return
            with contextlib.suppress(RowChanged):
                pinned = replace(document, system={**document.system, PIN: mapping.body["version"]})
                self._store.replace(pinned, document)
                return
        raise Unavailable("The connector keeps changing.", code="busy")

    def pin_again(self) -> None:
        """Connectors that a process left behind which ended between a mapping and them: looked for once an hour."""
        now = self._clock.monotonic()
        if self._pinned_at is not None and now - self._pinned_at < _PIN_EVERY:
            return
        self._pinned_at = now
        for mapping in self._store.all("mapping"):
            self.pin_all(mapping)


def _versions(before: Document | None, version: str) -> dict[str, Any]:
    """The versions of a mapping, one a revision: as many as fit."""
    return {VERSIONS: [*(before.system.get(VERSIONS, []) if before else []), version][-_MOST_VERSIONS:]}
