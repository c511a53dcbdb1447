"""What a run keeps about itself: the changes that one commit under its lease makes, all of them or none."""

from dataclasses import dataclass
from typing import Any

from shared.domain.checkpoint import StreamState
from shared.domain.receipt import Receipt
from shared.domain.run import Run, RunRow


@dataclass(frozen=True)
class SaveRun:
    """`etag`: only if the stored run is still the one that was read with it."""

    run: RunRow
    etag: str | None = None


@dataclass(frozen=True)
class SaveStream:
    track: str
    name: str
    state: StreamState


@dataclass(frozen=True)
class SaveReceipt:
    run: Run
    receipt: Receipt


@dataclass(frozen=True)
class SaveGroups:
    """The excluded groups as this run found them."""

    track: str
    groups: dict[str, Any]


@dataclass(frozen=True)
class ForgetCancel:
    """The run has heeded the request to cancel it."""

    run: Run


Change = SaveRun | SaveStream | SaveReceipt | SaveGroups | ForgetCancel


@dataclass(frozen=True)
class StoredRun:
    """A run with the ETag that it was read with."""

    run: RunRow
    etag: str
