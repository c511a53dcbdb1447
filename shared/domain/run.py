"""A run: one execution of a connector, made of slices, and what it can tell about itself while it goes on."""

from datetime import datetime
from enum import StrEnum

from shared.clock import counted_down, counted_up
from shared.domain.base import Model
from shared.domain.pending import Pending


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    INCOMPLETE = "incomplete"
    """Read to its end, but a list did not bring what Microsoft Graph counted: nobody was removed for being absent."""
    FAILED = "failed"
    HELD = "held"
    CANCELLED = "cancelled"

    @property
    def closed(self) -> bool:
        return self not in (RunState.QUEUED, RunState.RUNNING, RunState.WAITING)


class Problem(Model):
    """Why something is missing or failed."""

    code: str
    """Stable."""
    message: str
    """What happened."""
    remedy: str
    """What to do next."""
    stream: str | None = None
    """The stream it concerns; none: the whole run."""
    transient: bool = False
    """It may be over at the next run: an outage, for one. Nobody has to do anything yet."""


class StreamCounts(Model):
    """What a read of one stream came to: the run shows it while it goes on, the receipt keeps it."""

    mode: str = "full"
    """full: the whole collection was listed. delta: only what Microsoft reported as changed."""
    reason: str = ""
    """Why it was read whole: first-read, asked, full-due, scope-changed, mapping-changed, source-changed, delta-expired,
    delta-page-token-expired, delta-link-old, excluded-groups-changed, unproved (the last one was incomplete), lookups-changed, same-report (a usage report
    that was read before), or no-delta."""
    pages: int = 0
    """Pages of Graph that were read and are durable, those read again after a restart included."""
    read: int = 0
    """Objects read."""
    ids: int = 0
    """Different objects that the list brought."""
    reported_present: int = 0
    """Objects that Graph reported as new or changed since the read began (full), or since the last round (delta)."""
    reported_removed: int = 0
    """Objects that it reported as removed."""
    new: int = 0
    """Records written for the first time."""
    returned: int = 0
    """Records written again for objects that had left."""
    changed: int = 0
    """Records written because a value differs."""
    unchanged: int = 0
    """Records that cost no write."""
    out_of_scope: int = 0
    """Objects left out by domain, excluded group or threshold."""
    left_scope: int = 0
    """Records that left the owner's scope and became stubs."""
    removed: int = 0
    """Records of objects that are gone; each has a tombstone."""
    held: int = 0
    """Removals that now wait for a person."""
    held_causes: dict[str, int] = {}
    """Those by cause."""
    released: int = 0
    """Objects whose removal was held and that are back."""
    pending: int = 0
    """Records of objects that were absent and not found once: they go by themselves if they are not found again, an hour
    later at the earliest."""
    unnamed: int = 0
    """Products that no table of names knows: they are called by their part numbers. productNames of the connector's options can
    name them."""
    drift: int = 0
    """Records whose object the list did not bring although it is there."""
    not_seen: int = 0
    """Records whose object the read did not bring and that are kept: absence alone is no proof."""
    malformed: int = 0
    """Objects with values that could not be stored as Graph sent them; all else of them is stored."""


class StreamProgress(StreamCounts):
    """How far one stream is."""

    name: str
    """Name of the listing."""
    phase: str = "pending"
    """pending, reading, done, denied (for want of a permission or licence; the run goes on) or failed."""
    expected: int | None = None
    """Graph's own count before the read."""
    counted_after: int | None = None
    """Graph's own count after the read."""
    counted_removals: int = 0
    """Removals that count towards the limit of 24 hours."""
    restarts: int = 0
    """How often the enumeration began again because Graph dropped its page token."""
    malformed_objects: dict[str, list[str]] = {}
    """The first of those: object id to attributes."""
    nameless: int = 0
    """Objects without an id that can be stored: nothing is kept of them."""
    incomplete_because: str = ""
    """Why nothing shows that the list brought everything: counts-differ, no-count or empty-answer."""

    @property
    def ended(self) -> bool:
        """Whether this run is through with the stream, however it went."""
        return self.phase in ("done", "denied", "failed")


class Waits(Model):
    """What the run waited for."""

    requests: int = 0
    """Requests to Graph."""
    throttled: int = 0
    """Answers 429."""
    throttle_seconds: float = 0
    """Seconds waited because Graph asked for it."""
    retries: int = 0
    """Requests repeated after an error or a lost connection."""
    retry_seconds: float = 0
    """Seconds waited before those."""
    paced_seconds: float = 0
    """Seconds waited to keep below a limit of Microsoft Graph, such as ten requests a minute for sign-in activity."""


class Run(Model):
    """One execution of a connector."""

    id: str
    """`{connector id}-{job}~{run}`."""
    connector_id: str
    """Whose."""
    state: RunState = RunState.QUEUED
    """queued, running, waiting, succeeded, incomplete, failed, held or cancelled."""
    job: str
    """What it does: a job of the connector's kind, delete (the connector and its records) or purge (what is old)."""
    full: bool = False
    """Whether a full read was asked for."""
    trigger: str
    """schedule, manual or system."""
    requested_by: str | None = None
    """Who asked for a manual run: the name at that time."""
    requested_by_id: str | None = None
    """The same as an object id, which stays when the name changes."""
    slice: int = 1
    """The slice that is due or going on, from 1."""
    takeovers: int = 0
    """How often another worker took the run over from one that had stopped."""
    created_at: datetime
    """UTC."""
    started_at: datetime | None = None
    """UTC."""
    updated_at: datetime
    """Of this progress, UTC."""
    finished_at: datetime | None = None
    """UTC."""
    not_before: datetime | None = None
    """While waiting: when it continues."""
    again_at: datetime | None = None
    """Of an incomplete run: when everything is read again."""
    streams: list[StreamProgress] = []
    """In the order in which they are read."""
    deleted_rows: int = 0
    """delete and purge: rows removed so far."""
    working_on: str = ""
    """delete and purge: the table being worked on."""
    waits: Waits = Waits()
    """What it waited for."""
    records_per_second: float = 0
    """Objects read a second since the start."""
    problems: list[Problem] = []
    """What is missing or failed, with remedies."""
    pending: list[Pending] = []
    """Of the answer that starts a run: what is still to come."""

    @property
    def track(self) -> str:
        """What can run at one time only: one job of one connector."""
        return self.id.partition("~")[0]


class RunRow(Run):
    """A run as it is stored: with what only workers need."""

    abandoned: int = 0
    """How often its message failed for good; the third time closes the run."""
    done: list[str] = []
    """delete and purge: the sweeps that are done, by name."""
    cursor: str = ""
    """delete and purge: the partition at hand, from which the next slice goes on."""

    def shown(self) -> Run:
        """The run as the API shows it."""
        return Run.model_validate({name: getattr(self, name) for name in Run.model_fields})


INSTALLATION = "installation"
"""Stands where a connector's id does, in runs that belong to none."""
DELETE, PURGE = "delete", "purge"
"""Jobs that every connector, and the installation, has beside those of its kind."""


def track_of(connector: str, job: str) -> str:
    return f"{connector}-{job}"


def connector_of(track: str) -> str:
    """The reverse of track_of(): ids of connectors hold no hyphen."""
    return track.partition("-")[0]


def job_of(track: str) -> str:
    return track.partition("-")[2]


def new_run_id(track: str, moment: datetime, salt: str) -> str:
    """Newest first by key; names its track, so that one read finds it."""
    return f"{track}~{counted_down(moment)}{salt}"


def made_at(run_id: str) -> datetime:
    """When the run was made. Raises ValueError for an id that new_run_id() did not make."""
    return counted_up(run_id.partition("~")[2])


def split_run_id(run_id: str) -> tuple[str, str] | None:
    """Track and key of a run's id; None for what can't be one."""
    track, _, key = run_id.partition("~")
    good = track.replace("-", "").isalnum() and key.isalnum() and run_id.isascii() and len(run_id) <= 120
    return (track, key) if good else None
