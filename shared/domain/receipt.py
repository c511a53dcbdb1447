"""What a run can prove about one stream: the answer to "can I trust this copy?"."""

from datetime import datetime
from typing import Any

from shared.domain.base import Model


class StreamReceipt(Model):
    """Written with the checkpoint that ends the stream; removals quote its run."""

    stream: str
    """Name of the listing."""
    mode: str
    """full or delta."""
    reason: str = ""
    """Why it was read whole."""
    begun_at: datetime
    """Every value is at least as fresh as this."""
    complete: bool
    """full: the list brought as many different objects as Microsoft Graph counted, give or take what changed meanwhile.
    delta: the round was read to its end."""
    incomplete_because: str = ""
    """counts-differ, no-count or empty-answer. Nobody is removed for being absent then."""
    pages: int
    """Pages that were read."""
    read: int
    """Objects in those pages, repetitions included."""
    ids: int
    """Different objects that the list brought; delta: that were reported."""
    count_before: int | None = None
    """Graph's own count; unknown where it gave none, and not asked for in a delta round."""
    count_after: int | None = None
    """The same after the read."""
    reported_present: int = 0
    """Reported as new or changed: during a full read, or by the round."""
    reported_removed: int = 0
    """Reported as removed."""
    drift: int = 0
    """Stored objects that the list did not bring although Graph has them; kept."""
    records: int
    """Records after the run."""
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
    """Records that left the owner's scope."""
    removed: int = 0
    """Records of objects that are gone; each has a tombstone."""
    held: int = 0
    """Removals that this run held."""
    held_causes: dict[str, int] = {}
    """Removals that this run held, by cause."""
    waiting: int = 0
    """Removals that wait for a person, those of earlier runs included."""
    released: int = 0
    """Held objects that are there again."""
    not_seen: int = 0
    """Stored objects that the list did not bring and that are kept."""
    missing: dict[str, str] = {}
    """Attributes without a value in the whole stream, with the reason."""


class Receipt(Model):
    """A run's receipt."""

    run_id: str
    """The run."""
    connector_id: str
    """Whose."""
    permissions_granted: list[str] = []
    """The application permissions in the token."""
    permissions_needed: list[str] = []
    """Those that the connector's streams need."""
    subscriptions: list[dict[str, Any]] | None = None
    """What the tenant has subscribed to, as seen by the last full read."""
    subscriptions_missing: str | None = None
    """Why they are not known: permission, or not-requested."""
    streams: list[StreamReceipt] = []
    """One receipt a stream that was read to its end."""
    missing_streams: dict[str, str] = {}
    """Streams that were not read to their end, with the code of the reason."""
