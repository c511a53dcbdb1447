"""How far a stream's enumeration is durable: what the next slice, or another worker, needs to go on."""

import base64
import zlib

from shared.domain.base import Model
from shared.domain.run import StreamProgress


class Checkpoint(Model):
    """State of one stream in the middle of one run. `next_link` is None before the first page."""

    run_id: str
    fingerprint: str = ""
    """Tenant, listing and source that the link belongs to: another one makes it useless."""
    next_link: str | None = None
    begun_at: str
    """When this enumeration began, ISO 8601."""
    progress: StreamProgress
    seen: str = ""
    """The bitmap of records seen, zlib and base64."""
    best_pages: int = 0
    """Pages of the longest enumeration so far: passing it is progress."""
    stuck: int = 0
    """Restarts in a row that did not get beyond `best_pages`."""

    def seen_bits(self) -> bytes | None:
        return zlib.decompress(base64.b64decode(self.seen)) if self.seen else None

    def with_seen(self, bits: bytes) -> "Checkpoint":
        return self.model_copy(update={"seen": base64.b64encode(zlib.compress(bits, 1)).decode()})


class StreamState(Model):
    """What is kept of a stream between runs."""

    fingerprint: str = ""
    """Endpoint, select, scope and mapping of the last complete read."""
    completed_at: str | None = None
    """When the last complete read began: every value is at least as fresh as this."""
    completed_run: str | None = None
    records: int = 0
    attributes: list[str] = []
    """Those that the last complete read asked for: any other is unknown, not empty."""
    unseen: list[str] = []
    """Objects that it did not bring; they are kept, but their values are not as fresh as the rest."""
    many_unseen: bool = False
    """There were more than can be listed."""
    missing: dict[str, str] = {}
    """Attributes that this stream could not bring, with the reason, valid for all of its records."""
    checkpoint: Checkpoint | None = None

    def for_run(self, run_id: str, fingerprint: str) -> Checkpoint | None:
        found = self.checkpoint
        return found if found and (found.run_id, found.fingerprint) == (run_id, fingerprint) else None
