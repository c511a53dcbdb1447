"""How much a read takes on at a time. Each number bounds memory, or the work that a crash can cost."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The defaults are what the product runs with; tests make them small."""

    flush_pages: int = 8
    flush_seconds: float = 20.0
    flush_bytes: int = 16 * 1024 * 1024
    """A batch of rows leaves after so many pages, seconds or bytes. A page that waits takes 4 MB of memory; fewer than 6 would
    leave batches half empty."""
    near_the_end: int = 2000
    """With so many objects left a long list's batch leaves early, so that little is left to write at its end."""
    spill: int = 5000
    """More candidates than any owner may allow: they are held as they come."""
    asked: int = 2000
    """Absent objects that one read asks for, unless the removal limit is higher."""
    at_once: int = 200
    """Objects that are asked for, or removed, between two looks at the time."""
    confirmed: int = 4000
    """Confirmed removals at a time: what a checkpoint has room for."""
    stubs: int = 2000
    """Stubs that a later slice asks for before it forgets them."""
    stale: int = 1000
    """Objects that a state names as not brought by the last read."""
    stuck: int = 3
    """Restarts of a list, in a row, that did not get beyond its best page: then the stream fails."""
    restarts: int = 2
    """After so many a list's page token is not trusted any more: delta's own pages take over."""
    waiting_seconds: float = 180.0
    """What a slice may wait for Graph: a worker that waits is one that others wait for."""
