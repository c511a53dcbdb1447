"""What can't be changed any more once anything was collected: records belong to their source, and to its tenant."""

from collections.abc import Iterator
from typing import Any

from shared.connectors.registry import Registry
from shared.domain.document import Document
from shared.domain.run import track_of
from shared.errors import Conflict, FieldError
from shared.storage.config import ConfigStore
from shared.storage.tenants import Tenants


class Fixed:
    def __init__(self, registry: Registry, store: ConfigStore, tenants: Tenants) -> None:
        self._registry, self._store, self._tenants = registry, store, tenants

    def check(self, document: Document, before: Document) -> None:
        """Raises Conflict."""
        if document.kind == "source":
            self._check_tenant(document, before)
        if document.kind == "mapping" and document.body["kind"] != before.body.get("kind"):
            raise Conflict(
                "A mapping's kind cannot be changed: connectors of its kind use it.",
                code="kind-fixed",
                remedy="Create another mapping for the other kind.",
                fields=(FieldError("kind", "fixed", "can't be changed"),),
            )
        if document.kind == "connector" and document.body["sourceId"] != before.body.get(
            "sourceId", document.body["sourceId"]
        ):
            raise Conflict(
                "A connector's source cannot be changed: the records that it collected belong to it.",
                code="source-fixed",
                remedy="Create another connector for the other source. Delete this one with its records if it is no longer needed.",
                fields=(FieldError("sourceId", "fixed", "can't be changed"),),
            )

    def _check_tenant(self, source: Document, before: Document) -> None:
        """Compared with another tenant's people, everybody who was collected would be a leaver."""
        where, was = _directory(source.body), _directory(before.body)
        if where == was:
            return
        first = self._tenants.of(source.id)
        if first is None and self._tenants.read_by(self._tracks(before)):
            first = was  # noted by no release that read it
        if first in (None, where):
            return
        changed = [name for name in ("tenantId", "cloud") if source.body[name] != before.body.get(name)]
        raise Conflict(
            f"The source's records were read from the tenant {first}: tenant and cloud can't be changed any more.",
            code="tenant-fixed",
            remedy="Create another source for the other tenant. Switch this one's crawl off, or delete its connectors with "
            "their records, if it is no longer needed.",
            fields=tuple(FieldError(name, "fixed", "can't be changed") for name in changed),
        )

    def _tracks(self, source: Document) -> Iterator[str]:
        """Of everything that reads the source."""
        for user_kind, _, connector in self._store.users_of(source.ref):
            found = self._store.get(user_kind, connector)
            if found and user_kind == "connector":
                yield from (track_of(connector, job.name) for job in self._registry.kind_of(found).jobs)


def _directory(source: dict[str, Any]) -> str:
    """As `SourceIn.directory` does, of a stored source that this release may not be able to read."""
    return f"{source.get('cloud')}/{source.get('tenantId')}"
