"""What a connector kind reads and what it makes of it: for owners who write mappings, and for auditors."""

from typing import Any, Literal

from shared.domain.base import Model
from shared.domain.value_type import Type


class SourceAttribute(Model):
    """An attribute of Microsoft Graph that a mapping can name."""

    stream: str
    """The listing that brings it."""
    record_type: str
    """The records that it goes into, such as person."""
    name: str
    """As Microsoft Graph calls it. Members of structures: name.member."""
    type: str
    """As Microsoft describes it; [] marks a list, relation other objects."""
    permission: str | None = None
    """The application permission that it needs besides the stream's own."""
    licence: str = ""
    """The licence that the tenant needs for it."""
    in_delta: bool
    """Whether a round of changes reports that it changed; otherwise it is as fresh as the last full read."""
    refused: str = ""
    """Why it can't be mapped."""
    targets: list[str] = []
    """What the default mapping makes of it."""


class AlternativeSource(Model):
    """A source that can be chosen for a target without one."""

    title: str
    """What it is."""
    source: list[str]
    """Attributes of Microsoft Graph."""
    transforms: list[dict[str, Any]] = []
    """What is made of them."""
    note: str = ""
    """What to know about it."""


class TargetAttribute(Model):
    """An attribute of Rollcall's records, as the default mapping makes it."""

    stream: str
    """The listing that brings it."""
    record_type: str
    """The record that has it, such as person."""
    name: str
    """Its name in the API."""
    column: str
    """Its column in Table Storage."""
    title: str
    """What people call it."""
    type: Type
    """How it is stored and shown."""
    unit: str = ""
    """UTC for times."""
    meaning: str = ""
    """What to know about it."""
    personal: str = ""
    """Class of personal data: identity, contact, address, employment, authentication, or none for what names nobody."""
    source: list[str] = []
    """Attributes of Microsoft Graph that it is made of."""
    transforms: list[str] = []
    """What is made of them."""
    missing: str | None = None
    """Why it never has a value."""
    used_for: list[str] = []
    """What Rollcall itself uses it for: a mapping can rename it, not lose it."""
    alternatives: list[AlternativeSource] = []
    """Ready-made sources for it."""


class TransformOut(Model):
    """A transform that mappings can name."""

    name: str
    """Its name."""
    meaning: str
    """What it does."""
    takes: Literal["nothing", "one", "several"]
    """How many values."""
    gives: str
    """The type of what it makes; empty: of what it is given."""
    parameters: dict[str, Any]
    """Its parameters as JSON Schema."""


class Catalogue(Model):
    """Everything that mappings of the installed kinds can name."""

    sources: list[SourceAttribute]
    """Attributes of Microsoft Graph."""
    targets: list[TargetAttribute]
    """Attributes of Rollcall's records."""
    transforms: list[TransformOut]
    """What can be made of a value."""


class OptionOut(Model):
    """An option of a connector kind."""

    name: str
    """Its name under `options`."""
    meaning: str
    """What it does."""
    default: Any = None
    """Its value where nobody sets it."""


class StreamOut(Model):
    """One listing."""

    name: str
    """Its name in runs and receipts."""
    record_type: str
    """The records that it writes."""
    switched_on_by: str = ""
    """The option; empty: it is always read."""
    permissions: list[str]
    """The least application permissions of Microsoft Graph."""
    licence: str = ""
    """The licence that the tenant needs."""
    without_permission: Literal["fails", "marks"]
    """What a denial means: the run fails, or the values are marked as missing."""
    proof: str
    """What shows that a read brought everything: counts, or whole (the list read to its end)."""
    calls: list[str]
    """Every call of Microsoft Graph that it makes, as the default mapping has it. Nothing is ever written there."""


class JobOut(Model):
    """What has runs of its own."""

    name: str
    """Its name in runs."""
    title: str
    """What it does."""
    pace: str = ""
    """A limit of Microsoft Graph that it keeps."""
    streams: list[StreamOut]
    """What it reads."""


class KindOut(Model):
    """A kind of connectors."""

    name: str
    """Its name."""
    title: str
    """What it reads."""
    mapping_id: str
    """Its default mapping."""
    options: list[OptionOut]
    """Options of its connectors."""
    jobs: list[JobOut]
    """What has runs of its own."""
