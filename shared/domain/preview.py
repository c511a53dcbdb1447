"""What a mapping would do, before it is saved."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from shared.domain.base import Id, Model
from shared.domain.mapping import Target


class PreviewIn(Model):
    """A mapping, and where to try it."""

    kind: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    """The kind of connectors that it is for."""
    targets: Annotated[list[Target], Field(min_length=1, max_length=1000)]
    """Every attribute."""
    connector_id: Id | None = None
    """The connector whose mapping it is compared with, and whose tenant is asked. Empty: compared with the default, and no
    tenant is asked."""
    sample: Annotated[int, Field(ge=0, le=20)] = 20
    """How many objects of each listing Microsoft Graph is asked for. 0: none."""


class Example(Model):
    """One object's value before and after."""

    id: str
    """Its id in the directory."""
    before: Any = None
    """As the present mapping makes it."""
    after: Any = None
    """As this one does."""


class TargetPreview(Model):
    """One attribute."""

    stream: str
    """The listing that brings it."""
    target: str
    """Its name."""
    change: Literal["new", "changed", "same", "lost"]
    """Against the present mapping."""
    filled: int | None = None
    """How many objects of the sample have a value."""
    malformed: int | None = None
    """How many have one that can't be stored as this type."""
    examples: list[Example] = []
    """Up to five objects whose value changes, or that have one."""


class Preview(Model):
    """What a mapping would do."""

    version: str
    """The version that it would be."""
    targets: list[TargetPreview]
    """Every attribute, also those that would be lost."""
    sampled: dict[str, int] = {}
    """How many objects were looked at, by listing."""
    would_change: dict[str, int] = {}
    """How many of those would be written anew."""
    records: dict[str, int] = {}
    """How many records there are, by listing."""
    not_sampled: dict[str, str] = {}
    """Listings that could not be asked, with the reason."""
    permissions_gained: list[str] = []
    """Application permissions that it needs and the present mapping does not."""
    permissions_not_needed: list[str] = []
    """Application permissions that only the present mapping needs."""
    full_read: list[str] = []
    """Listings that are read in full by the next run. No history is written for each record."""
    journal: str
    """The one entry that the journal will have."""
