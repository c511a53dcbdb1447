"""Organizations are walls: what one of them owns serves no other, whichever object of a chain is edited.

A source belongs to the organization of its group. Its credential, and the credentials of its connectors, belong to
that organization, or to none: then every organization may use them. The credential that reads a source does not act on it,
unless its owner allows that: whoever steals one of them gets no more than half.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.domain.configuration import reading_credential
from shared.domain.document import Document
from shared.errors import Conflict, FieldError, Invalid
from shared.storage.config import ConfigStore

_FIELDS = (
    "organizationId", "sourceGroupId", "sourceId", "credentialId", "actionCredentialId", "readingCredentialActs",
)  # fmt: skip
_SHOWN = 20
_FOREIGN, _SAME = "foreign", "reads"
_WHY = {
    _FOREIGN: "belongs to another organization",
    _SAME: "reads the source, and may not act on it too (but for a connector's readingCredentialActs)",
}


@dataclass(frozen=True)
class _Breach:
    """A credential that may not serve its user: `field` of the user names it, `why` is a key of _WHY."""

    user: Document
    field: str
    credential: Document
    why: str

    def __str__(self) -> str:
        return f"{self.user.kind} {self.user.name!r} ({self.user.id}): its {self.field} {self.credential.name!r} {_WHY[self.why]}"


class Walls:
    def __init__(self, store: ConfigStore) -> None:
        self._store = store

    def concerns(self, document: Document, before: Document | None) -> bool:
        """Whether the change can breach anything. Switching something off never does."""
        was = before.body if before else {}
        return any(document.body.get(field) != was.get(field) for field in _FIELDS)

    def check(self, concerned: Sequence[Document], changed: Sequence[Document]) -> None:
        """Of objects that are changed together, those that may breach something. Raises Invalid where a field of one of them
        names what it may not, Conflict where others stand in the way.
        """
        graph = _Graph(self._store, changed)
        found = [breach for document in concerned for breach in graph.breaches(document)]
        if not found:
            return
        refs = {document.ref for document in changed}
        own = [breach for breach in found if breach.user.ref in refs]
        if own:
            fields = tuple(FieldError(breach.field, breach.why, _WHY[breach.why]) for breach in own)
            raise Invalid(f"The credential {own[0].credential.name!r} {_WHY[own[0].why]}.", fields=fields)
        more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise Conflict(
            f"The change would let a credential serve what it may not: {'; '.join(map(str, found[:_SHOWN]))}{more}.",
            code="organization-wall",
            remedy="Give these another credential first, or move what belongs together to the same organization.",
        )


class _Graph:
    """The configuration as the change would make it."""

    def __init__(self, store: ConfigStore, changed: Sequence[Document]) -> None:
        self._store, self._changed = store, {document.ref: document for document in changed}
        self._all: dict[str, dict[str, Document]] = {}

    def _get(self, kind: str, object_id: object) -> Document | None:
        if changed := self._changed.get(f"{kind}.{object_id}"):
            return changed
        if kind in self._all:
            return self._all[kind].get(str(object_id))
        return self._store.get(kind, str(object_id)) if object_id else None

    def _users(self, document: Document, kind: str) -> Iterator[Document]:
        """Objects of a kind that refer to a changed one."""
        for user_kind, _, object_id in self._store.users_of(document.ref):
            if user_kind == kind and (found := self._get(kind, object_id)):
                yield found

    def breaches(self, document: Document) -> Iterator[_Breach]:
        """What the change of one of them brings about."""
        if document.kind in ("sourceGroup", "credential"):  # what hundreds may use: not asked for one by one
            for kind in ("sourceGroup", "credential", "source", "connector"):
                self._all[kind] = {one.id: one for one in self._store.all(kind)}
        match document.kind:
            case "sourceGroup":
                for source in self._users(document, "source"):
                    yield from self._of_source(source)
            case "source":
                yield from self._of_source(document)
            case "credential":
                for source in self._users(document, "source"):
                    yield from self._of_credential(source, source, "credentialId")
                    yield from self._acting_on(source)
                for connector in self._users(document, "connector"):
                    yield from self._of_connector(connector)
            case "connector":
                yield from self._of_connector(document)

    def _of_source(self, source: Document) -> Iterator[_Breach]:
        yield from self._of_credential(source, source, "credentialId")
        yield from self._acting_on(source)
        for connector in self._connectors(source):
            yield from self._of_connector(connector, source)

    def _acting_on(self, source: Document) -> Iterator[_Breach]:
        """The credential that acts where no connector names one."""
        yield from self._of_credential(source, source, "actionCredentialId")
        acting = source.body.get("actionCredentialId")
        if acting and acting == source.body.get("credentialId") and (credential := self._get("credential", acting)):
            yield _Breach(source, "actionCredentialId", credential, _SAME)

    def _connectors(self, source: Document) -> list[Document]:
        if "connector" in self._all:
            return [one for one in self._all["connector"].values() if one.body.get("sourceId") == source.id]
        users = [object_id for kind, _, object_id in self._store.users_of(source.ref) if kind == "connector"]
        return [found for object_id in users if (found := self._get("connector", object_id))]

    def _of_connector(self, connector: Document, source: Document | None = None) -> Iterator[_Breach]:
        source = source or self._get("source", connector.body.get("sourceId"))
        acting = connector.body.get("actionCredentialId")
        if source is None:
            return
        yield from self._of_credential(source, connector, "credentialId")
        yield from self._of_credential(source, connector, "actionCredentialId")
        same = bool(acting) and acting == reading_credential(connector.body, source.body)
        if same and not connector.body.get("readingCredentialActs"):
            credential = self._get("credential", acting)
            if credential:
                yield _Breach(connector, "actionCredentialId", credential, _SAME)

    def _of_credential(self, source: Document, user: Document, field: str) -> Iterator[_Breach]:
        credential = self._get("credential", user.body.get(field))
        group = self._get("sourceGroup", source.body.get("sourceGroupId"))
        owner = credential.body.get("organizationId") if credential else None
        if credential and group and owner and owner != group.body.get("organizationId"):
            yield _Breach(user, field, credential, _FOREIGN)
