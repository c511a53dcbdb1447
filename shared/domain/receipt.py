"""What a run can prove about one stream: the answer to "can I trust this copy?"."""

from datetime import datetime
from typing import Any

from shared.domain.base import Model


class StreamReceipt(Model):
    """Written with the checkpoint that ends the stream; removals quote its run."""

    stream: str
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
    read: int
    """Objects in those pages, repetitions included."""
    ids: int
    """Different objects that the list brought; delta: that were reported."""
    count_before: int | None = None
    """Graph's own count; unknown where it gave none, and not asked for in a delta round."""
    count_after: int | None = None
    reported_present: int = 0
    """Reported as new or changed: during a full read, or by the round."""
    reported_removed: int = 0
    drift: int = 0
    """Stored objects that the list did not bring although Graph has them; kept."""
    records: int
    """Records after the run."""
    new: int = 0
    returned: int = 0
    changed: int = 0
    unchanged: int = 0
    out_of_scope: int = 0
    left_scope: int = 0
    removed: int = 0
    held: int = 0
    held_causes: dict[str, int] = {}
    """Removals that this run held, by cause."""
    waiting: int = 0
    """Removals that wait for a person, those of earlier runs included."""
    released: int = 0
    not_seen: int = 0
    """Stored objects that the list did not bring and that are kept."""
    missing: dict[str, str] = {}
    """Attributes without a value in the whole stream, with the reason."""


class Receipt(Model):
    """A run's receipt."""

    run_id: str
    connector_id: str
    permissions_granted: list[str] = []
    """The application permissions in the token."""
    permissions_needed: list[str] = []
    """Those that the connector's streams need."""
    subscriptions: list[dict[str, Any]] | None = None
    """What the tenant has subscribed to, as seen by the last full read."""
    subscriptions_missing: str | None = None
    """Why they are not known: permission, or not-requested."""
    streams: list[StreamReceipt] = []
    missing_streams: dict[str, str] = {}
    """Streams that were not read to their end, with the code of the reason."""
