"""From a stored object to what a reader gets: with its state, and what should be looked at."""

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from shared.configuration.kinds import ConfigKind
from shared.configuration.mappings import Mappings
from shared.connectors.domains import differing, warning
from shared.connectors.mappings import default_id
from shared.connectors.registry import Registry
from shared.domain.base import Model
from shared.domain.configuration import (
    CLOUD_SERVER_ID,
    Effective,
    SourceIn,
    Unreadable,
    acting_credential,
    reading_credential,
)
from shared.domain.document import Document
from shared.domain.pending import Pending
from shared.domain.reason import Reason
from shared.errors import Conflict
from shared.scheduling.timetable import Timetable
from shared.storage.config import ConfigStore
from shared.validation import field_errors, read_as, unreadable

INACTIVE = Reason(
    code="inactive", message="The connector is not active, so it gathers nothing.", remedy="Set active to true."
)
CRAWL_OFF = Reason(
    code="crawl-off", message="Collection from its source is switched off.", remedy="Set crawl to true at the source."
)
OTHER_SERVER = Reason(
    code="other-server",
    message="It belongs to another connector server, and none takes work from this installation so far.",
    remedy="Choose the connector server cloud.",
)
DELETING = Reason(code="deleting", message="It and its records are being deleted.", remedy="Wait until it is gone.")


class Others:
    """Other objects as one answer needs them, each kind read at most once where a whole list is shown."""

    def __init__(self, store: ConfigStore, *, whole: bool) -> None:
        self._store, self.whole = store, whole
        self._all: dict[str, dict[str, Document]] = {}

    def all(self, kind: str) -> dict[str, Document]:
        if kind not in self._all:
            self._all[kind] = {document.id: document for document in self._store.all(kind)}
        return self._all[kind]

    def get(self, kind: str, object_id: object) -> Document | None:
        if not object_id:
            return None
        if self.whole or kind in self._all:
            return self.all(kind).get(str(object_id))
        return self._store.get(kind, str(object_id))


def effective(connector: Document, source: Document | None) -> Effective:
    """Whether a connector gathers on its schedule, and all that keeps it from it."""
    because = []
    if connector.deleting:
        because.append(DELETING)
    if not connector.body.get("active"):
        because.append(INACTIVE)
    if not (source and source.body.get("crawl")):
        because.append(CRAWL_OFF)
    if connector.body.get("connectorServerId") != CLOUD_SERVER_ID:
        because.append(OTHER_SERVER)
    return Effective(state="off" if because else "on", because=because)


class Shown:
    def __init__(self, registry: Registry, store: ConfigStore, timetable: Timetable, mappings: Mappings) -> None:
        self._registry, self._store, self._timetable, self._mappings = registry, store, timetable, mappings

    def one(
        self, kind: ConfigKind, document: Document, pending: Iterable[Pending] = (), said: Iterable[Reason] = ()
    ) -> Model:
        """`said`: warnings of the change that this answers. Raises Conflict for an object that this release can't read."""
        return self._out(kind, document, Others(self._store, whole=False), pending, said)

    def many(self, kind: ConfigKind, documents: list[Document]) -> list[Model]:
        """Unreadable stands for an object that this release can't read."""
        others = Others(self._store, whole=len(documents) > 1 or kind.key == "mapping")
        return [self._or_unreadable(kind, document, others) for document in documents]

    def _or_unreadable(self, kind: ConfigKind, document: Document, others: Others) -> Model:
        try:
            return self._out(kind, document, others, ())
        except Conflict as error:
            why = "; ".join(f"{field.field} {field.message}" for field in error.fields) or error.detail
            return Unreadable(id=document.id, revision=document.revision, name=document.name, unreadable=why)

    def _out(
        self,
        kind: ConfigKind,
        document: Document,
        others: Others,
        pending: Iterable[Pending],
        said: Iterable[Reason] = (),
    ) -> Model:
        fields = {**self._fields(kind, document, others), "pending": list(pending)}
        if said:
            fields["warnings"] = [*said, *fields["warnings"]]
        try:
            return kind.out.model_validate(fields)
        except ValidationError as error:
            raise unreadable(kind.noun, document, field_errors(error)) from error

    def _fields(self, kind: ConfigKind, document: Document, others: Others) -> dict[str, Any]:
        body = {**document.body, "id": document.id, "revision": document.revision}
        body |= {"createdAt": document.created_at, "updatedAt": document.updated_at}
        if kind.key == "credential":
            pin = document.system.get("pin")
            body |= {"hasSecret": bool(pin), "certificate": (pin or {}).get("certificate")}
            body["warnings"] = _shared_application(document, others)
        if kind.key == "connector":
            self._registry.connector(document)
            source = others.get("source", document.source_id)
            state, tenant = effective(document, source), source.body if source else {}
            reading = others.get("credential", reading_credential(document.body, tenant))
            acting = others.get("credential", acting_credential(document.body, tenant))
            body |= {
                "tenantId": tenant.get("tenantId"), "cloud": tenant.get("cloud"),
                "clientId": reading.body.get("clientId") if reading else None,
                "hasSecret": bool(reading and reading.system.get("pin")),
                "actionClientId": acting.body.get("clientId") if acting else None,
                "hasActionSecret": bool(acting and acting.system.get("pin")),
                "jobs": self._timetable.describe(document, on=state.state == "on"), "deleting": document.deleting,
                "effective": state, "warnings": [*_acting_as_reader(document, others), *self._other_domains(document, others)],
            }  # fmt: skip
        if kind.key == "mapping":
            body["builtIn"] = document.id == default_id(str(document.body.get("kind")))
            if not others.whole:
                body["targets"] = self._mappings.targets(document)
        if kind.key == "connectorServer":
            body["builtIn"] = document.id == CLOUD_SERVER_ID
        return body

    def _other_domains(self, document: Document, others: Others) -> list[Reason]:
        source = others.get("source", document.source_id)
        if source is None:
            return []
        try:
            read = read_as("source", source, SourceIn)
        except Conflict:
            return []
        said = warning(differing(self._registry, document, read, others.all("connector").values()))
        return [said] if said else []


def _shared_application(credential: Document, others: Others) -> list[Reason]:
    """Two credentials of one application can do the same, whatever they are called."""
    client = credential.body.get("clientId")
    same = [
        other for other in others.all("credential").values() if other.id != credential.id and client and other.body.get("clientId") == client
    ]  # fmt: skip
    if not same:
        return []
    names = ", ".join(f"{other.name!r} ({other.id})" for other in same[:10])
    return [
        Reason(
            code="application-shared",
            message=f"The same application (client) id is that of {names}{' and others' if len(same) > 10 else ''}.",
            remedy="Use one credential where they serve the same purpose. To read and to act, register two applications.",
        )
    ]


def _acting_as_reader(connector: Document, others: Others) -> list[Reason]:
    """The action credential is meant to be another identity than the one that reads every day."""
    source = others.get("source", connector.source_id)
    acting = others.get("credential", acting_credential(connector.body, source.body if source else {}))
    reading = others.get("credential", reading_credential(connector.body, source.body)) if source else None
    client = acting.body.get("clientId") if acting else None
    if not (acting and reading and client and reading.body.get("clientId") == client):
        return []
    return [
        Reason(
            code="acts-as-reader",
            message="The action credential is of the same application as the one that it reads with.",
            remedy="Register a second application for people actions, so that whoever steals the secret that is used every "
            "day can change nobody.",
        )
    ]
