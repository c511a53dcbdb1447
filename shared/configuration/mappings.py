"""Mappings as they are stored, and the kinds of connectors as they make them.

A version is named after what it says. So what was read of one is kept for as long as the process lives, and a connector pins
the version that its mapping is at: a run needs no request to know whether its mapping changed.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from shared.connectors.base import Kind
from shared.connectors.mappings import content_of, default_id, default_targets, mapped, problems, targets_of, version_of
from shared.connectors.registry import Registry
from shared.domain.actor import Actor
from shared.domain.document import Document
from shared.domain.mapping import MappingIn, Target
from shared.errors import FieldError, Invalid, NotFound, SourceProblem
from shared.storage.config import ConfigStore
from shared.storage.mappings import Made, MappingRows, made_by

_KEPT = 64  # kinds as mappings make them, in memory
PIN = "mapping"
VERSIONS = "versions"


@dataclass(frozen=True)
class Used:
    """A kind as a mapping makes it. `version`: `{mapping id}.{version}`, as receipts and streams keep it."""

    kind: Kind
    mapping: str
    version: str

    @property
    def mark(self) -> str:
        return f"{self.mapping}.{self.version}"


class Mappings:
    def __init__(self, registry: Registry, store: ConfigStore, rows: MappingRows) -> None:
        self._registry, self._store, self._rows = registry, store, rows
        self._known: OrderedDict[tuple[str, str, str], Kind] = OrderedDict()
        self._lock = Lock()
        self._defaults = {kind.name: version_of(default_targets(kind)) for kind in registry.kinds.values()}

    def check(self, model: MappingIn) -> None:
        """Raises Invalid with everything that is wrong with it."""
        kind = self._registry.kinds.get(model.kind)
        if kind is None:
            names = ", ".join(self._registry.kinds)
            raise Invalid("There is no such kind.", fields=(FieldError("kind", "unknown", f"is none of {names}"),))
        if wrong := problems(kind, model.targets):
            raise Invalid("The mapping can't be saved.", fields=tuple(wrong))

    def default_version(self, kind: str) -> str:
        return self._defaults[kind]

    def targets(self, document: Document) -> list[Target]:
        """What a mapping says at its newest version."""
        return self.at(document.id, str(document.body.get("kind")), str(document.body.get("version")))

    def at(self, mapping: str, kind: str, version: str) -> list[Target]:
        """What a version says. Raises NotFound."""
        known = self._registry.kinds.get(kind)
        if known and mapping == default_id(kind) and version == self._defaults[kind]:
            return default_targets(known)
        content = self._rows.content(mapping, version)
        if content is None:
            raise NotFound(f"There is no version {version} of this mapping.")
        return targets_of(content)

    def write(self, document: Document, targets: Sequence[Target], who: Actor, at: datetime) -> None:
        """What the document's version says, before the document is saved."""
        version, note = str(document.body["version"]), str(document.body.get("note") or "")
        self._rows.put(document.id, version, content_of(targets), made_by(who, document.revision, version, at, note))

    def made(self, document: Document) -> list[Made]:
        """Its revisions, newest first."""
        versions = document.system.get(VERSIONS, [])
        first = document.revision - len(versions) + 1
        named = {first + number: version for number, version in enumerate(versions)}
        return [one for one in self._rows.made(document.id) if named.get(one.revision) == one.version]

    def of(self, kind: Kind, connector: Document) -> Used:
        """The kind as the connector's mapping makes it, at the version that it pins. Raises SourceProblem where it can't be
        had.
        """
        mapping = str(connector.body.get("mappingId") or default_id(kind.name))
        version = str(connector.system.get(PIN) or self._defaults[kind.name])
        if mapping == default_id(kind.name):
            version = self._defaults[kind.name]
        found = self._kind(kind, mapping, version)
        if found is None:
            raise SourceProblem(
                f"The connector's mapping ({mapping}, version {version}) is not one that this release can read.",
                code="mapping-unreadable",
                remedy="Open the mapping, correct what is listed and save it again, or choose the default on the connector.",
            )
        return Used(found, mapping, version)

    def wrote(self, kind: Kind, mark: str) -> Kind:
        """The kind as the mapping made it that records were written by; the kind itself where that is not known any more."""
        mapping, _, version = mark.partition(".")
        return (self._kind(kind, mapping, version) if version else None) or kind

    def _kind(self, kind: Kind, mapping: str, version: str) -> Kind | None:
        if mapping == default_id(kind.name) and version == self._defaults[kind.name]:
            return kind
        key = (kind.name, mapping, version)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        content = self._rows.content(mapping, version)
        if content is None:
            return None
        try:
            targets = targets_of(content)
        except ValueError:
            return None
        if problems(kind, targets):
            return None
        made = mapped(kind, targets)
        with self._lock:
            self._known[key] = made
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return made
