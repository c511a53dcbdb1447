"""What is kept of a stream between runs, and what follows from it: whether the next one can do with the changes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.clock import parse_iso
from shared.connectors.base import Stream
from shared.domain.checkpoint import Checkpoint, StreamState
from shared.domain.removal import noted
from shared.mapping.compiled import fingerprint

GRACE = timedelta(minutes=30)
LINK_DAYS = 6  # Microsoft forgets a delta link after seven


@dataclass(frozen=True)
class Facts:
    """What the configuration makes of a stream now. `marks`: attribute to a digest of its definition; `scope`: domains,
    excluded groups and threshold; `fingerprint` names tenant, listing and both; `delta`: the address of the delta.
    """

    marks: dict[str, str]
    scope: dict[str, Any]
    fingerprint: str
    delta: str

    @property
    def delta_mark(self) -> str:
        return fingerprint(self.fingerprint, self.delta)


def why_full(
    state: StreamState, facts: Facts, changes_link: str, now: datetime, *, every: timedelta, asked: bool
) -> str:
    """Why everything has to be read; empty where a round of changes does."""
    if state.completed_at is None or state.full_at is None:
        return "first-read"
    if asked:
        return "asked"
    if state.mapping != facts.marks:
        return "mapping-changed"
    if state.scope != facts.scope:
        return "scope-changed"
    if not changes_link:
        return "no-delta"
    if facts.delta:
        if state.delta_mark != facts.delta_mark:
            return "source-changed"
        if not timedelta() <= now - parse_iso(state.delta_at) <= timedelta(days=LINK_DAYS):
            return "delta-link-old"
    elif parse_iso(state.completed_at) > now:
        return "full-due"  # made with another clock: asking for what is newer brings nobody
    grace = min(every / 10, GRACE)  # a daily run may begin some seconds earlier than yesterday's
    age = now - parse_iso(state.full_at)
    return "full-due" if age >= every - grace or age < timedelta() else ""


def finished(
    state: StreamState, stream: Stream, facts: Facts, checkpoint: Checkpoint, *, records: int, complete: bool
) -> None:
    """Notes a read that came to its end."""
    progress, at = checkpoint.progress, parse_iso(checkpoint.begun_at)
    state.completed_at, state.checkpoint, state.intent, state.refused = checkpoint.begun_at, None, "", 0
    state.records = records
    state.delta_link, state.delta_mark = checkpoint.delta_link or "", facts.delta_mark
    state.delta_at = checkpoint.begun_at
    state.mapping, state.scope = facts.marks, facts.scope
    state.excluded = checkpoint.excluded  # of the first slice: who was added since is for the next run to see
    state.attributes = [a.name for a in stream.attributes if a.source]
    state.missing = {a.name: a.missing for a in stream.attributes if a.missing}
    state.held = checkpoint.held
    state.removals = noted(state.removals, at, progress.counted_removals)
    if progress.mode == "full":
        unproved = not complete and progress.not_seen > 0
        state.full_at, state.unfinished = state.full_at if unproved else checkpoint.begun_at, []
        state.outside, state.many_unseen = progress.out_of_scope, False
    else:
        state.outside += progress.out_of_scope
    state.unseen = checkpoint.stale
    state.many_unseen = state.many_unseen or checkpoint.many_stale
