"""The shape of a connector kind. A kind is data: its jobs, their streams, what they ask of Graph and what they need
for it. Dispatch, engine, records, forecast, deletion and documentation iterate over what a kind declares; none of them
names a kind.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import Any

from shared.domain.base import Model
from shared.domain.configuration import SourceIn
from shared.domain.pacing import Pacing
from shared.domain.record_type import RecordType
from shared.mapping.attribute import Attribute, Step


@dataclass(frozen=True)
class Permission:
    """A Graph application permission; `wider` are those that Microsoft lists as sufficient too."""

    name: str
    wider: tuple[str, ...] = ()

    def granted(self, roles: frozenset[str]) -> bool:
        return self.name in roles or any(name in roles for name in self.wider)


@dataclass(frozen=True)
class DirectoryList:
    """A collection of the directory: listed whole, then asked for what changed (delta). `expand`: navigation
    properties to bring along; delta itself reports those in `delta_links`, the others are requested object by object;
    `follow`: the one that $expand cuts off at 20 entries, read in full where it brings 20; `deleted_items`: deleted
    objects can be requested.
    """

    path: str
    expand: tuple[str, ...] = ()
    follow: str | None = None
    delta_links: tuple[str, ...] = ()
    deleted_items: bool = False
    page_size: int = 999


@dataclass(frozen=True)
class Pages:
    """A collection without delta: listed whole each time. `page_size` 0: the address takes no $top. `since`: a filter that
    brings only what is newer than {moment}; then only every so often (`full_every` of the stream) everything is listed.
    """

    path: str
    page_size: int = 0
    since: str = ""
    overlap: timedelta = timedelta(hours=24)
    """How far `since` reaches back behind the last read: services record events late."""
    licence_tries: int = 1
    """Attempts for a page that Graph denies for want of a licence: now and then it does so without a reason."""


@dataclass(frozen=True)
class Joined(Pages):
    """A list of another service about the same objects, which has no object ids: `on`, a property of its entries, says the same as
    `of` of the record that the values add to. Of several entries about one object the one with the latest `newest` counts.
    """

    on: str = ""
    of: str = ""
    newest: str = ""


@dataclass(frozen=True)
class PartsOf:
    """What the objects of a list consist of, such as the licences of people: `parts` makes rows of an object, none or several,
    whose ids begin with the object's id and a point. Read as a whole each time. An object that lacks the properties says
    nothing about its parts.
    """

    path: str
    select: tuple[str, ...]
    parts: Callable[[dict[str, Any]], list[dict[str, Any]] | None]
    page_size: int = 999


@dataclass(frozen=True)
class Report:
    """A usage report as CSV. `address` without its arguments; `period`: the option that says over how many days it looks;
    `person`: the property that holds the sign-in name; `chosen`: what the option says; `part`: of a report that names somebody
    in several rows, what tells the rows of one person apart.
    """

    address: str
    person: str = "userPrincipalName"
    period: str = ""
    chosen: str = "D30"
    part: Callable[[dict[str, Any]], str] | None = None

    @property
    def path(self) -> str:
        return f"{self.address}(period='{self.chosen}')" if self.period else self.address


Reader = DirectoryList | Pages | PartsOf | Report


@dataclass(frozen=True)
class Special:
    """A property that a mapping can't have like any other. `permission`: it needs one of its own; `refused`: why it can't be
    mapped at all.
    """

    property: str
    permission: Permission | None = None
    refused: str = ""


@dataclass(frozen=True)
class Alternative:
    """A source that an owner may choose for a target which Microsoft Graph has no attribute for."""

    target: str
    title: str
    source: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    note: str = ""


class Proof(Enum):
    """What shows that a list brought everything. Without proof nobody is removed for being absent."""

    COUNTS = "counts"
    """Graph's own counts before and after, give or take what it reports as changed meanwhile."""
    WHOLE = "whole"
    """The list itself, read to its end."""


class Denial(Enum):
    """What it means when Microsoft Graph denies a stream for want of a permission or licence."""

    FAILS = "fails"
    """The run ends as failed; its other streams are read all the same."""
    MARKS = "marks"
    """The values are marked as missing, with the reason. The run does not fail."""


@dataclass(frozen=True)
class Stream:
    """One listing, and the records that are made of it. Its name is part of stored keys and never changes."""

    name: str
    record_type: RecordType
    reader: Reader
    attributes: tuple[Attribute, ...]
    permissions: tuple[Permission, ...]
    switch: str = ""
    """The option that switches it on; empty: it is always on."""
    proof: Proof = Proof.COUNTS
    denial: Denial = Denial.FAILS
    licence: str = ""
    """What the tenant has to have bought for it."""
    full_every: timedelta | None = None
    """How often everything is read; None: as the connector says."""
    address: str = ""
    """The Graph property with the primary mail address: the source's domains go by it. Empty: domains do not matter."""
    by_group: bool = False
    """Members of the source's excluded groups are left out."""
    threshold: str = ""
    """The option that says after how many days of inactivity an object is left out."""
    created: str | None = None
    """The Graph property that says when an object was created."""
    last_seen: str | None = None
    """The Graph property that says when it was last active."""
    activity: tuple[str, ...] = ()
    """The streams of this kind that know when an object was last active, where this one does not."""
    seen: tuple[str, ...] = ()
    """Of a stream that others name as `activity`: the attributes that are times of activity."""
    knows_all: bool = True
    """Of such a stream: whether somebody without a row was never active. A report leaves out who has no licence."""
    leader: str = ""
    """The stream of this kind whose records these rows add to. They lie apart, are no records of their own, and go when
    the leader's record is gone.
    """
    drops_absent: bool = False
    """Of a stream with a leader: what a list that was read to its end did not bring goes, for there is nothing else to know of it."""
    sparse: bool = False
    """An object without any value gets no row: a complete read shows that there is none."""
    unread_note: str = ""
    """The note on its values before the first read."""
    left_out_if_empty: tuple[str, ...] = ()
    """Graph properties that a list leaves out where there is none. Any other absent property is unchanged, and so is each of
    these in a round of changes."""
    limited: bool = True
    """Whether the connector's limit of removals holds. False: each removal is read from an object that is there, so that even
    many at a time are facts."""
    domains: str = ""
    """The option with domains of the connector's own; where it names any, the source's do not matter."""
    joined_by: tuple[str, ...] = ()
    """Graph properties that other streams find its records by."""
    not_in_delta: tuple[str, ...] = ()
    """Attributes whose change alone no delta reports: as fresh as the last full read."""

    tuned: "Callable[[Stream, Any], Stream] | None" = None
    """Makes of the stream what the connector's options want of it."""
    unnamed: Callable[[dict[str, Any]], bool] | None = None
    """Whether no table of names knows the product that an object of the list is: those are counted."""
    special: tuple[Special, ...] = ()
    """Properties that need a permission of their own, or can't be mapped."""
    alternatives: tuple[Alternative, ...] = ()
    """Ready-made sources for targets without one."""

    @property
    def partition(self) -> str:
        """Names the partitions of its rows."""
        return f"{self.record_type.name}-{self.name}" if self.leader else self.record_type.name

    @property
    def journal(self) -> bool:
        """Whether its changes are written into the journal: not what only adds to another stream's records."""
        return not self.leader

    def wanted(self, options: Any) -> bool:
        """Whether the connector's options switch it on."""
        return not self.switch or bool(getattr(options, self.switch))

    def configured(self, options: Any) -> "Stream":
        """As the connector's options have it read."""
        made, reader = self.tuned(self, options) if self.tuned else self, self.reader
        if not isinstance(reader, Report) or not reader.period:
            return made
        return replace(made, reader=replace(reader, chosen=getattr(options, reader.period)))

    def domains_of(self, options: Any, source: SourceIn) -> list[str]:
        """The domains that people are chosen by."""
        own: list[str] = getattr(options, self.domains) if self.domains else []
        return own or source.domains

    def threshold_days(self, options: Any) -> int:
        """0: nobody is left out for being inactive."""
        return int(getattr(options, self.threshold)) if self.threshold else 0

    @property
    def more_permissions(self) -> dict[str, Permission]:
        """Property to permission, for what its mapping reads besides what the stream's own permissions allow."""
        read = {name for one in self.attributes for name in one.properties}
        return {one.property: one.permission for one in self.special if one.permission and one.property in read}

    def granted(self, roles: frozenset[str]) -> "Stream":
        """Without the attributes whose own permission is not among the roles: they are missing, for that reason."""
        denied = {name: one.name for name, one in self.more_permissions.items() if not one.granted(roles)}
        if not denied:
            return self
        attributes = tuple(_denied(one, denied) for one in self.attributes)
        return replace(self, attributes=attributes)

    @property
    def scope_columns(self) -> dict[str, str]:
        """The Graph properties that the owner's scope looks at, and the columns that hold them."""
        names = (self.address, self.created, self.last_seen)
        return {name: self.column_of(name) for name in names if name}

    def column_of(self, source: str) -> str:
        """The column that an attribute of the source goes to."""
        return next(a.column for a in self.attributes if a.source == (source,))


def _denied(attribute: Attribute, denied: dict[str, str]) -> Attribute:
    names = sorted({denied[name] for name in attribute.properties if name in denied})
    if not names:
        return attribute
    note = f"Needs the application permission {' and '.join(names)}, which is not granted."
    return replace(attribute, source=(), steps=(), missing="permission", note=note)


@dataclass(frozen=True)
class Job:
    """What has runs of its own: its streams are read one after the other, on the connector's schedule. Its name is part of
    stored keys and of the API. `pacing`: a limit of Graph that its requests keep.
    """

    name: str
    title: str
    streams: tuple[Stream, ...]
    pacing: Pacing | None = None
    least_every: timedelta = timedelta()
    """It does not run more often than this, however often the connector does."""
    names_subscriptions: bool = False
    """Its receipts name what the tenant has subscribed to."""

    def wanted(self, options: Any) -> tuple[Stream, ...]:
        """The streams that the options switch on; none: the job is off."""
        return tuple(stream for stream in self.streams if stream.wanted(options))


@dataclass(frozen=True)
class Needed:
    """A permission, and what it is needed for: a stream, or excluded groups."""

    permission: Permission
    purpose: str


@dataclass(frozen=True)
class Kind:
    """A connector kind. The first job is the one that runs when a run is asked for without naming a job."""

    name: str
    title: str
    options: type[Model]
    jobs: tuple[Job, ...]
    group_permission: Permission | None = None
    """Reads the members of excluded groups."""

    @property
    def streams(self) -> tuple[Stream, ...]:
        return tuple(stream for job in self.jobs for stream in job.streams)

    def with_streams(self, made: Callable[[Stream], Stream]) -> "Kind":
        """The same kind with other streams of the same names."""
        jobs = tuple(replace(job, streams=tuple(made(stream) for stream in job.streams)) for job in self.jobs)
        return replace(self, jobs=jobs)

    def job(self, name: str) -> Job | None:
        return next((job for job in self.jobs if job.name == name), None)

    def stream(self, name: str) -> Stream | None:
        return next((stream for stream in self.streams if stream.name == name), None)

    def job_of(self, stream: str) -> Job:
        """The job that reads a stream of this kind."""
        return next(job for job in self.jobs if any(candidate.name == stream for candidate in job.streams))

    def people_of(self, stream: Stream) -> Stream | None:
        """The stream whose records a stream's rows add to, or are parts of."""
        if stream.leader:
            return self.stream(stream.leader)
        whole = stream.record_type.part_of
        return next((one for one in self.streams if whole and one.record_type.name == whole and not one.leader), None)

    def permissions(self, options: Any, source: SourceIn, job: Job | None = None) -> list[Needed]:
        """What the configuration needs, for one job or for all. Each permission is named once for each purpose."""
        chosen: Iterable[Job] = (job,) if job else self.jobs
        streams = [stream for one in chosen for stream in one.wanted(options)]
        needed = [Needed(permission, stream.name) for stream in streams for permission in stream.permissions]
        needed += [
            Needed(one, f"{stream.name}: {name}") for stream in streams for name, one in stream.more_permissions.items()
        ]
        if self.group_permission and source.excluded_groups and any(stream.by_group for stream in streams):
            needed.append(Needed(self.group_permission, "excluded groups"))
        return needed
