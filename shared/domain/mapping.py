"""A mapping: which target attribute of which record is made of which attributes of Microsoft Graph, and how."""

import re
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field, StringConstraints

from shared.domain.base import Model, Name
from shared.domain.configuration import Stored
from shared.domain.value_type import Type

_NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    try:
        orjson.dumps(value)
    except (TypeError, ValueError) as error:
        raise ValueError("must be JSON that can be stored: no numbers beyond 64 bits, no half characters") from error
    return value


def _lines(text: str) -> str:
    """Line ends are those of every other program; what no spreadsheet can hold is refused."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _NO_TEXT.search(text):
        raise ValueError("must not hold control characters")
    return text


class TransformIn(Model):
    """One transform, by its name in the catalogue."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    """Such as firstOf, join, lower or toUtc."""
    parameters: Annotated[dict[str, Any], Field(max_length=10), AfterValidator(_storable)] = {}
    """Its parameters."""


class Target(Model):
    """One target attribute. Columns of the table are called after it, with a capital letter."""

    stream: Annotated[str, StringConstraints(max_length=60)]
    """The listing that brings it, such as users, devices or sign-ins."""
    target: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    """Its name in camelCase: letters and digits."""
    title: Annotated[str, StringConstraints(max_length=120), AfterValidator(_lines)] = ""
    """What people call it."""
    type: Type = Type.TEXT
    """How it is stored and shown: text, flag, number, time or json (lists and structures)."""
    source: Annotated[list[Annotated[str, StringConstraints(min_length=1, max_length=300)]], Field(max_length=10)] = []
    """Attributes of Microsoft Graph: a name, or a path such as employeeOrgData.division, businessPhones[0],
    onPremisesExtensionAttributes.extensionAttribute1 or extension_0123456789abcdef0123456789abcdef_costCentre."""
    transforms: Annotated[list[TransformIn], Field(max_length=10)] = []
    """Done one after the other. The first one gets every source; none: the value as it is."""
    missing: Literal["not-provided", "not-requested"] | None = None
    """Without source and transforms: why there is no value. not-provided: Microsoft Graph has none."""
    note: Annotated[str, StringConstraints(max_length=1000), AfterValidator(_lines)] = ""
    """What to know about it."""
    role: Annotated[str, StringConstraints(max_length=100)] = ""
    """What Rollcall itself uses it for: the name that it has in the kind's default mapping. Such an attribute can be renamed,
    not lost; its column keeps the default's name, so that lists and search over several connectors find it."""


class MappingIn(Model):
    """An owner's mapping of one kind of connector. Each change is a new version; a connector names the mapping."""

    name: Name
    """Unique in the installation."""
    kind: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    """The kind of connectors that may use it. Fixed once it is saved."""
    note: Annotated[str, StringConstraints(max_length=1000)] = ""
    """Why this version is as it is."""
    targets: Annotated[list[Target], Field(min_length=1, max_length=1000)]
    """Every attribute. What is not there is neither asked for nor stored."""


class MappingOut(MappingIn, Stored):
    """A mapping as stored. Lists leave the targets out."""

    targets: list[Target] = []
    """Every attribute."""
    version: str
    """Names what the targets say: the same targets have the same version."""
    built_in: bool = False
    """The default of its kind: written by Rollcall, never edited."""
