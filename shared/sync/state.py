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
_UNPROVED = (timedelta(hours=1), timedelta(hours=4))
"""How soon everything is read again after the first and second read that could not be proved; then as usual."""
LINK_DAYS = 6  # Microsoft forgets a delta link after seven


@dataclass(frozen=True)
class Facts:
    """What the configuration makes of a stream now. `marks`: attribute to a digest of its definition; `scope`: domains,
    excluded groups and threshold; `fingerprint` names tenant, listing and both; `delta`: the address of the delta;
    `folding`: the version of the form in which its names are searched, 0: they are not.
    """

    marks: dict[str, str]
    scope: dict[str, Any]
    fingerprint: str
    delta: str
    folding: int = 0

    @property
    def delta_mark(self) -> str:
        return fingerprint(self.fingerprint, self.delta)


def why_full(
    state: StreamState,
    facts: Facts,
    changes_link: str,
    now: datetime,
    *,
    every: timedelta,
    asked: bool,
) -> str:
    """Why everything has to be read; empty where a round of changes does."""
    if state.completed_at is None or not (state.full_at or state.unproved):
        return "first-read"
    if asked:
        return "asked"
    changed = {
        "mapping-changed": state.mapping != facts.marks,
        "scope-changed": state.scope != facts.scope,
        "lookups-changed": state.folding != facts.folding,
    }
    for reason, applies in changed.items():
        if applies:
            return reason
    if not changes_link:
        return "no-delta"
    if facts.delta:
        if state.delta_mark != facts.delta_mark:
            return "source-changed"
        if not timedelta() <= now - parse_iso(state.delta_at) <= timedelta(days=LINK_DAYS):
            return "delta-link-old"
    elif parse_iso(state.completed_at) > now:
        return "full-due"  # made with another clock: asking for what is newer brings nobody
    last = state.unproved_at if state.unproved else state.full_at
    assert last
    age = now - parse_iso(last)
    due = age >= read_again_after(state, every) or age < timedelta()
    return ("unproved" if state.unproved else "full-due") if due else ""


def read_again_after(state: StreamState, every: timedelta) -> timedelta:
    """How long after the last full read, complete or not, everything is read again."""
    usual = every - min(every / 10, GRACE)  # a daily run may begin some seconds earlier than yesterday's
    soon = _UNPROVED[state.unproved - 1] if 0 < state.unproved <= len(_UNPROVED) else usual
    return min(soon, usual)


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
    state.attributes = [a.name for a in stream.attributes if a.mapped]
    state.missing = {a.name: a.missing for a in stream.attributes if a.missing}
    state.held, state.pending = checkpoint.held, checkpoint.pending
    state.removals = noted(state.removals, at, progress.counted_removals)
    if progress.mode == "full":
        if complete:
            state.full_at, state.unproved, state.unproved_at = checkpoint.begun_at, 0, ""
        else:
            state.unproved, state.unproved_at = state.unproved + 1, checkpoint.begun_at
        state.unfinished = []
        state.folding = facts.folding
        state.outside, state.many_unseen = progress.out_of_scope, False
    else:
        state.outside += progress.out_of_scope
    state.unseen = checkpoint.stale
    state.many_unseen = state.many_unseen or checkpoint.many_stale
