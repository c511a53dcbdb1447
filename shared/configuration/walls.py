"""Organizations are walls: what one of them owns serves no other, whichever object of a chain is edited.

A source belongs to the organization of its group. Its credential, and the action credentials of its connectors, belong to
that organization, or to none: then every organization may use them. The credential that reads a source does not act on it,
unless its owner allows that: whoever steals one of them gets no more than half.
"""

from collections.abc import Iterator
from dataclasses import dataclass

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
    _SAME: "reads the source, and may not act on it too (readingCredentialActs)",
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

    def check(self, document: Document) -> None:
        """Raises Invalid where a field of the object itself names what it may not, Conflict where others stand in the way."""
        found = list(_Graph(self._store, document).breaches())
        if not found:
            return
        own = [breach for breach in found if breach.user.ref == document.ref]
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

    def __init__(self, store: ConfigStore, changed: Document) -> None:
        self._store, self._changed = store, changed
        self._all: dict[str, dict[str, Document]] = {}

    def _get(self, kind: str, object_id: object) -> Document | None:
        if f"{kind}.{object_id}" == self._changed.ref:
            return self._changed
        if kind in self._all:
            return self._all[kind].get(str(object_id))
        return self._store.get(kind, str(object_id)) if object_id else None

    def _users(self, kind: str) -> Iterator[Document]:
        """Objects of a kind that refer to the changed one."""
        for user_kind, _, object_id in self._store.users_of(self._changed.ref):
            if user_kind == kind and (found := self._get(kind, object_id)):
                yield found

    def breaches(self) -> Iterator[_Breach]:
        if self._changed.kind in ("sourceGroup", "credential"):  # what hundreds may use: not asked for one by one
            for kind in ("sourceGroup", "credential", "source", "connector"):
                self._all[kind] = {document.id: document for document in self._store.all(kind)}
        match self._changed.kind:
            case "sourceGroup":
                for source in self._users("source"):
                    yield from self._of_source(source)
            case "source":
                yield from self._of_source(self._changed)
            case "credential":
                for source in self._users("source"):
                    yield from self._of_credential(source, source, "credentialId")
                for connector in self._users("connector"):
                    yield from self._of_connector(connector)
            case "connector":
                yield from self._of_connector(self._changed)

    def _of_source(self, source: Document) -> Iterator[_Breach]:
        yield from self._of_credential(source, source, "credentialId")
        for connector in self._connectors(source):
            yield from self._of_connector(connector, source)

    def _connectors(self, source: Document) -> list[Document]:
        if "connector" in self._all:
            return [one for one in self._all["connector"].values() if one.body.get("sourceId") == source.id]
        users = [object_id for kind, _, object_id in self._store.users_of(source.ref) if kind == "connector"]
        return [found for object_id in users if (found := self._get("connector", object_id))]

    def _of_connector(self, connector: Document, source: Document | None = None) -> Iterator[_Breach]:
        source = source or self._get("source", connector.body.get("sourceId"))
        acting = connector.body.get("actionCredentialId")
        if source is None or not acting:
            return
        yield from self._of_credential(source, connector, "actionCredentialId")
        if acting == source.body.get("credentialId") and not connector.body.get("readingCredentialActs"):
            credential = self._get("credential", acting)
            if credential:
                yield _Breach(connector, "actionCredentialId", credential, _SAME)

    def _of_credential(self, source: Document, user: Document, field: str) -> Iterator[_Breach]:
        credential = self._get("credential", user.body.get(field))
        group = self._get("sourceGroup", source.body.get("sourceGroupId"))
        owner = credential.body.get("organizationId") if credential else None
        if credential and group and owner and owner != group.body.get("organizationId"):
            yield _Breach(user, field, credential, _FOREIGN)
