"""Which credential acts in a tenant. The connector's comes before the source's; of two connectors the one whose kind comes first in
the registry, then the older one: always the same, and said in each plan.
"""

from dataclasses import dataclass, replace

from shared.connectors.registry import Registry
from shared.domain.configuration import SourceIn, reading_credential
from shared.domain.document import Document
from shared.domain.plan import Through
from shared.errors import Conflict, NotFound
from shared.storage.config import ConfigStore
from shared.validation import read_as


@dataclass(frozen=True)
class Acting:
    """A source, and what acts in it."""

    source: Document
    settings: SourceIn
    credential: Document
    through: Through


class Credentials:
    def __init__(self, registry: Registry, store: ConfigStore) -> None:
        self._kinds, self._store = list(registry.kinds), store

    def source(self, source_id: str) -> tuple[Document, SourceIn]:
        """Raises NotFound."""
        found = self._store.get("source", source_id)
        if found is None:
            raise NotFound(f"There is no source with the id {source_id}.")
        return found, read_as("source", found, SourceIn)

    def acting(self, source_id: str) -> Acting:
        """Raises NotFound, or Conflict where nothing may act."""
        source, settings = self.source(source_id)
        for document, because in self._candidates(source, settings):
            credential = self._store.get("credential", document)
            if credential:
                through = Through(credential_id=credential.id, credential_name=credential.name, because=because)
                return Acting(source, settings, credential, through)
        raise Conflict(
            f"Nothing may act in the tenant of the source {source.name!r}: people actions are off until a credential is given.",
            code="actions-off",
            remedy="Give a connector of the source, or the source itself, an actionCredentialId: a second app registration with the "
            "permissions that GET /api/v1/actions lists.",
        )

    def reading(self, acting: Acting) -> Acting | None:
        """The same source with the credential that reads it; None where that is gone."""
        credential = self._store.get("credential", acting.settings.credential_id)
        return replace(acting, credential=credential) if credential else None

    def _candidates(self, source: Document, settings: SourceIn) -> list[tuple[str, str]]:
        """Ids of credentials, and why each is the one, best first."""
        connectors = [one for one in self._store.all("connector") if one.source_id == source.id and not one.deleting]
        connectors.sort(key=lambda one: (self._place(one), one.created_at, one.id))
        found = []
        for one in connectors:
            credential = one.body.get("actionCredentialId")
            if not credential and one.body.get("readingCredentialActs"):
                credential = reading_credential(one.body, source.body)
            if credential:
                found.append((str(credential), f"named by the connector {one.name!r} ({one.id})"))
        if len(found) > 1:
            credential, because = found[0]
            found[0] = (
                credential,
                f"{because}, which comes first by kind and age of {len(found)} connectors that name one",
            )
        if settings.action_credential_id:
            found.append((settings.action_credential_id, f"named by the source {source.name!r} ({source.id})"))
        return found

    def _place(self, connector: Document) -> int:
        kind = str(connector.body.get("kind"))
        return self._kinds.index(kind) if kind in self._kinds else len(self._kinds)
