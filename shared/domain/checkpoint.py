"""How far a stream is durable: what the next slice, or another worker, needs to go on."""

import base64
import zlib
from enum import StrEnum
from typing import Any

import orjson

from shared.domain.base import Model
from shared.domain.run import StreamProgress


class Phase(StrEnum):
    """The parts of a read, in order. A full read goes through all, a delta round begins at CHANGES."""

    LISTING = "listing"
    ENUMERATING = "enumerating"
    """The whole collection through delta's own pages, whose tokens live seven days. Used once the list's token has
    expired twice."""
    CHANGES = "changes"
    ABSENT = "absent"
    REMOVALS = "removals"
    DONE = "done"


def packed(value: Any) -> str:
    """JSON, zlib, base64: lists in a row's text."""
    return base64.b64encode(zlib.compress(orjson.dumps(value), 1)).decode() if value else ""


def unpacked(text: str) -> Any:
    return orjson.loads(zlib.decompress(base64.b64decode(text))) if text else []


class Checkpoint(Model):
    """State of one stream in the middle of one run."""

    run_id: str
    fingerprint: str = ""
    """Tenant, listing and source that the links belong to: another one makes them useless."""
    phase: Phase = Phase.LISTING
    next_link: str | None = None
    """The link to the phase's next page; None: the first page."""
    delta_link: str | None = None
    """Where the next delta round begins: taken before the list, then the one that ended the round."""
    begun_at: str
    """When this read began, ISO 8601: the time that everything written by it carries."""
    progress: StreamProgress
    excluded: str = ""
    """Names the members of the excluded groups as the first slice found them."""
    stored: int = 0
    """Records that were there when the read began: the bitmap fits an index of this length only."""
    seen: str = ""
    """The bitmap of records seen, zlib and base64."""
    best_pages: int = 0
    """Pages of the longest enumeration so far: passing it is progress."""
    stuck: int = 0
    """Restarts in a row that did not get beyond `best_pages`."""
    asked: int = 0
    """How many absent objects were asked for."""
    candidates: str = ""
    """Objects that may have to be removed: id, cause, digest (packed)."""
    decision: str = ""
    """What was decided for the candidates: remove or hold."""
    approved: str = ""
    """Held removals that a person confirmed and Graph confirmed again (packed)."""
    judged: str = ""
    """Held objects that a person allowed to leave the scope, if they are still outside of it (packed)."""
    released: str = ""
    """Held objects that are back (packed)."""
    held: int = 0
    """Rows in the table of holds."""
    waiting: int = 0
    """Those that nobody rejected."""
    pending: int = 0
    """Rows there of objects that were not found once."""
    stale: list[str] = []
    """Objects that stay although the read did not bring them, as many as can be listed."""
    many_stale: bool = False
    """There were more than can be listed."""
    met: list[str] = []
    """Objects that the last full read did not bring, and this delta round names."""
    settled: int = 0
    """Steps of what was decided that are done."""
    outside: int = 0
    """Different objects that were out of scope and not stored before."""
    empty: int = 0
    """Different objects without any value, of a stream that keeps no rows of those."""

    def seen_bits(self) -> bytes | None:
        return zlib.decompress(base64.b64decode(self.seen)) if self.seen else None

    def with_seen(self, bits: bytes) -> str:
        return base64.b64encode(zlib.compress(bits, 1)).decode()


class StreamState(Model):
    """What is kept of a stream between runs."""

    tenant: str = ""
    """The tenant that it was read from, as `SourceIn.directory` names it; empty where an earlier release wrote it."""
    completed_at: str | None = None
    """When the last complete read or delta round began: every value is at least as fresh as this."""
    full_at: str | None = None
    """When the last complete full read began."""
    unproved: int = 0
    """Full reads since then that nothing showed to be complete."""
    unproved_at: str = ""
    """When the last of those began."""
    records: int = 0
    outside: int = 0
    """Stubs of objects that the owner's scope leaves out."""
    delta_link: str = ""
    delta_mark: str = ""
    """Endpoint, select, scope and mapping that the delta link was made with."""
    delta_at: str = ""
    """When it was made: Microsoft forgets it after seven days."""
    version: str = ""
    """`{mapping id}.{version}` that the last complete read wrote by; empty where an earlier release did."""
    mapping: dict[str, str] = {}
    """Attribute to a digest of its definition, of the last complete read."""
    scope: dict[str, Any] = {}
    """Domains, excluded groups and threshold of the last complete read."""
    excluded: str = ""
    """Names the members of the excluded groups at the last complete read."""
    attributes: list[str] = []
    """Those that the last complete read asked for: any other is unknown, not empty."""
    unseen: list[str] = []
    """Objects that it did not bring; they are kept, but their values are not as fresh as the rest."""
    many_unseen: bool = False
    """There were more than can be listed."""
    missing: dict[str, str] = {}
    """Attributes that this stream could not bring, with the reason, valid for all of its records."""
    held: int = 0
    """Removals that wait for a person, or that a person refused."""
    pending: int = 0
    """Removals that wait for a second answer of Graph."""
    removals: list[tuple[str, int]] = []
    """Times and numbers of recent removals."""
    folding: int = 0
    """Version of the folding that all look-up rows were written with."""
    page_size: int = 0
    """Objects of a page, where this tenant refused as many as usual."""
    refused: int = 0
    """Consecutive runs that could not read for want of a licence or permission."""
    unfinished: list[str] = []
    """Runs since the last full read that wrote records and did not finish."""
    refreshed_on: str = ""
    """Of a usage report: the day that the newest one is of."""
    joined_with: str = ""
    """Names the people that it was joined to."""
    intent: str = ""
    """Objects whose look-up rows were about to change (packed): settled by whoever comes next."""
    checkpoint: Checkpoint | None = None

    def for_run(self, run_id: str, fingerprint: str) -> Checkpoint | None:
        found = self.checkpoint
        return found if found and (found.run_id, found.fingerprint) == (run_id, fingerprint) else None
