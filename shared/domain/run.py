"""A run: one execution of a connector, made of slices, and what it can tell about itself while it goes on."""

from datetime import datetime
from enum import StrEnum

from shared.domain.base import Model


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    HELD = "held"
    CANCELLED = "cancelled"

    @property
    def closed(self) -> bool:
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.HELD, RunState.CANCELLED)


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


class StreamProgress(Model):
    """How far one stream is."""

    name: str
    """users, devices."""
    phase: str = "pending"
    """pending, reading, done or failed."""
    pages: int = 0
    """Pages of Graph that were read and are durable, those read again after a restart included."""
    read: int = 0
    """Objects read."""
    expected: int | None = None
    """Graph's own count before the read."""
    new: int = 0
    """Records written for the first time."""
    changed: int = 0
    """Records written because a value differs."""
    unchanged: int = 0
    """Records that cost no write."""
    out_of_scope: int = 0
    """Objects left out by domain, excluded group or threshold."""
    not_seen: int = 0
    """Records whose object the read did not bring. They are kept: absence is not proof."""
    restarts: int = 0
    """How often the enumeration began again because Graph dropped its page token."""


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


class Run(Model):
    """One execution of a connector."""

    id: str
    """`{connector id}~{run}`."""
    connector_id: str
    """Whose."""
    state: RunState = RunState.QUEUED
    """queued, running, waiting, succeeded, failed, held or cancelled."""
    trigger: str
    """schedule or manual."""
    requested_by: str | None = None
    """Who asked for a manual run."""
    slice: int = 1
    """The slice that is due or going on, from 1."""
    takeovers: int = 0
    """How often another worker took the run over from one that had stopped."""
    abandoned: int = 0
    """How often its message failed for good; the third time closes the run."""
    created_at: datetime
    """UTC."""
    started_at: datetime | None = None
    """UTC."""
    updated_at: datetime
    """Of this progress, UTC."""
    finished_at: datetime | None = None
    """UTC."""
    not_before: datetime | None = None
    """While waiting: when it goes on."""
    streams: list[StreamProgress] = []
    """In the order in which they are read."""
    waits: Waits = Waits()
    """What it waited for."""
    records_per_second: float = 0
    """Objects read a second since the start."""
    problems: list[Problem] = []
    """What is missing or failed, with remedies."""


def split_run_id(run_id: str) -> tuple[str, str] | None:
    """Connector and key of a run's id; None for what can't be one."""
    connector, _, key = run_id.partition("~")
    good = connector.isalnum() and key.isalnum() and run_id.replace("~", "").isascii() and len(run_id) <= 100
    return (connector, key) if good else None
