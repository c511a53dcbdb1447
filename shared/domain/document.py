"""One object of the configuration, as it is stored."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Document:
    """`body` is what a person configured, the JSON of its model; `system` what Rollcall keeps beside it (the pin of a
    secret, whether the object is being deleted). `name` is unique in `scope`; `uses` holds what it refers to
    (`kind.id`). `etag` is the row's storage ETag; the API's own is made of `revision`.
    """

    kind: str
    id: str
    revision: int
    created_at: str
    updated_at: str
    name: str
    scope: str
    uses: tuple[str, ...]
    body: dict[str, Any]
    system: dict[str, Any] = field(default_factory=dict)
    etag: str = ""

    @property
    def source_id(self) -> str:
        """Of a connector: its source, in which its name is unique. Known also where the body can't be read."""
        return str(self.body.get("sourceId") or self.scope)

    @property
    def ref(self) -> str:
        return f"{self.kind}.{self.id}"

    @property
    def deleting(self) -> bool:
        """Whether a run is removing the connector with its records."""
        return bool(self.system.get("deleting"))
