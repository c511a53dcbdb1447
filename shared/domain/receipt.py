"""What a run can prove about one stream: the answer to "can I trust this copy?"."""

from datetime import datetime
from typing import Any

from shared.domain.base import Model
from shared.domain.run import StreamCounts


class StreamReceipt(StreamCounts):
    """Written with the checkpoint that ends the stream; removals quote its run."""

    stream: str
    """Name of the listing."""
    begun_at: datetime
    """Every value is at least as fresh as this."""
    complete: bool
    """full: the list brought as many different objects as Microsoft Graph counted, give or take what changed meanwhile.
    delta: the round was read to its end."""
    incomplete_because: str = ""
    """counts-differ, no-count or empty-answer. Nobody is removed for being absent then."""
    count_before: int | None = None
    """Graph's own count; unknown where it gave none, and not asked for in a delta round."""
    count_after: int | None = None
    """The same after the read."""
    records: int
    """Records after the run."""
    waiting: int = 0
    """Removals that wait for a person, those of earlier runs included."""
    missing_counts: dict[str, int] = {}
    """By reason: how many attributes have no value in the whole stream; malformed: how many records have a value that could not
    be stored."""
    missing: dict[str, str] = {}
    """Attributes without a value in the whole stream, with the reason."""


class Receipt(Model):
    """A run's receipt."""

    run_id: str
    """The run."""
    connector_id: str
    """Whose."""
    tenant_id: str = ""
    """The tenant that the token was issued for."""
    application_id: str = ""
    """The application that signed in."""
    mapping_id: str = ""
    """The mapping that it wrote by."""
    mapping_version: str = ""
    """Which version of it."""
    permissions_granted: list[str] = []
    """The application permissions in the token."""
    permissions_needed: list[str] = []
    """Those that the connector's streams need."""
    subscriptions: list[dict[str, Any]] | None = None
    """What the tenant has subscribed to, as seen by the last full read."""
    subscriptions_missing: str | None = None
    """Why they are not known: permission, throttled, not-requested, or the code of what went wrong."""
    streams: list[StreamReceipt] = []
    """One receipt a stream that was read to its end."""
    missing_streams: dict[str, str] = {}
    """Streams that were not read to their end, with the code of the reason; not-finished: the run goes on, or
    was cancelled."""
