"""The shape of a connector kind: its streams, what they ask of Graph, and the permissions that this needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.domain.write import LookupRule
from shared.mapping.attribute import Attribute


@dataclass(frozen=True)
class Permission:
    """A Graph application permission; `wider` are those that Microsoft lists as sufficient too."""

    name: str
    wider: tuple[str, ...] = ()

    def granted(self, roles: frozenset[str]) -> bool:
        return self.name in roles or any(name in roles for name in self.wider)


@dataclass(frozen=True)
class Stream:
    """One listing. `expand` maps a navigation property to how it is asked for in the list (delta asks by $select).
    `created`, `last_seen` name the Graph properties that the threshold in days looks at.
    """

    name: str
    record_type: str
    path: str
    attributes: tuple[Attribute, ...]
    permission: Permission
    expand: tuple[str, ...] = ()
    follow: str | None = None
    """A navigation property that $expand cuts at 20 entries: read whole where it brings 20."""
    created: str | None = None
    last_seen: str | None = None
    lookups: tuple[LookupRule, ...] = ()
    delta_links: tuple[str, ...] = ()
    """Navigation properties of `expand` that delta reports; the others are asked for object by object."""
    deleted_items: bool = False
    """Deleted objects can be asked for."""
    by_domain: bool = False
    by_group: bool = False
    page_size: int = 999
    activity_stream: str = ""
    """The stream that tells when an object was last seen, where this one does not."""
    not_in_delta: tuple[str, ...] = ()
    """Attributes whose change alone no delta reports: as fresh as the last full read."""

    def column_of(self, source: str) -> str:
        """The column that an attribute of the source goes to."""
        return next(a.column for a in self.attributes if a.source == (source,))


@dataclass(frozen=True)
class Kind:
    """A connector kind. `streams_of` picks the streams that the options switch on, `threshold_of` their days."""

    name: str
    title: str
    streams: tuple[Stream, ...]
    streams_of: Callable[[Any], list[Stream]]
    threshold_of: Callable[[Any, str], int]
    group_permission: Permission | None = None
    sign_ins: Stream | None = None
    """Read in runs of its own."""
