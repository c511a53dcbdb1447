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


class ReportReceipt(Model):
    """One usage report: counts that name nobody."""

    refreshed_on: str
    """The day that it is of."""
    same: bool = False
    """It is the one that was read before, and the same people are in the copy: its rows were not read again."""
    period: str
    """Over how many days it looks, such as D30; empty: it has no period."""
    rows: int
    """Its rows."""
    joined: int
    """Rows of people in the copy."""
    not_in_copy: int
    """Rows of people who are not."""
    nameless: int
    """Rows that name nobody, such as two hyphens."""
    concealed: int
    """Rows with a code in place of a name."""
    deleted: int
    """Rows of accounts that were deleted."""
    twice: int
    """Rows of somebody whom an earlier row named: the first one counts."""
    active: int
    """Rows with activity within the period."""
    by_product: dict[str, int] = {}
    """Rows by the product that they name, at most a hundred. A row may name several."""
    columns_lost: list[str] = []
    """Known columns that it lacks."""
    columns_added: list[str] = []
    """Columns that are kept as they are."""


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
    reports: dict[str, ReportReceipt] = {}
    """Usage reports, by their stream."""
    missing_streams: dict[str, str] = {}
    """Streams that were not read to their end, with the code of the reason; not-finished: the run goes on, or
    was cancelled."""
