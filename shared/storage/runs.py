"""Runs, stream states and receipts in the table State: one partition a track."""

from typing import Any

import orjson

from shared.domain.actor import Actor
from shared.domain.checkpoint import StreamState
from shared.domain.receipt import Receipt
from shared.domain.run import Run, RunRow, split_run_id
from shared.domain.state import Change, ForgetCancel, SaveGroups, SaveReceipt, SaveRun, SaveStream, StoredRun
from shared.names import STATE
from shared.storage import keys
from shared.storage.tables import Delete, Operation, Put, RowExists, Tables

LEASE_ROW = "lease"
CANCEL = "cancel|"


def _key(run_id: str) -> str:
    return run_id.partition("~")[2]


def _run_row(run: RunRow) -> dict[str, Any]:
    return {
        "PartitionKey": run.track, "RowKey": f"run|{_key(run.id)}", "State": run.state.value, "Slice": run.slice,
        "Body": run.model_dump_json(by_alias=True),
    }  # fmt: skip


def _parse(body: str) -> RunRow:
    return RunRow.model_validate_json(body)


def operation_of(change: Change) -> Operation:
    """What a change does to the track's partition."""
    match change:
        case SaveRun(run, etag):
            return Put(_run_row(run), etag)
        case SaveStream(track, name, state):
            return Put(
                {"PartitionKey": track, "RowKey": f"stream|{name}", "Body": state.model_dump_json(by_alias=True)}
            )
        case SaveReceipt(run, receipt):
            body = receipt.model_dump_json(by_alias=True)
            return Put({"PartitionKey": run.track, "RowKey": f"receipt|{_key(run.id)}", "Body": body})
        case SaveGroups(track, groups):
            return Put({"PartitionKey": track, "RowKey": "groups", "Body": orjson.dumps(groups).decode()})
        case ForgetCancel(run):
            return Delete(run.track, f"{CANCEL}{_key(run.id)}")


class Runs:
    """Reads for everybody; writes of a run that goes on belong to the lease's commit."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def create(self, run: RunRow) -> None:
        """Writes a new run's row; nothing happens where it is there already."""
        try:
            self._tables.insert(STATE, _run_row(run))
        except RowExists:
            return

    def get(self, run_id: str) -> RunRow | None:
        found = self.stored(run_id)
        return found.run if found else None

    def stored(self, run_id: str) -> StoredRun | None:
        """The run with its ETag."""
        parts = split_run_id(run_id)
        found = self._tables.get(STATE, parts[0], f"run|{parts[1]}") if parts else None
        return StoredRun(_parse(found.row["Body"]), found.etag) if found else None

    def newest(self, track: str, *, after: str | None, limit: int) -> list[RunRow]:
        """Newest first, after a run id."""
        start, end = keys.prefix_range("run|")
        if after and (parts := split_run_id(after)):
            start = f"run|{parts[1]}\x7f"
        rows = self._tables.query(STATE, track, (start, end), limit=limit)
        return [_parse(row.row["Body"]) for row in rows]

    def stream(self, track: str, name: str) -> StreamState:
        found = self._tables.get(STATE, track, f"stream|{name}")
        return StreamState.model_validate_json(found.row["Body"]) if found else StreamState()

    def streams(self, track: str) -> dict[str, StreamState]:
        """The states of all streams that were ever read on this track."""
        rows = self._tables.query(STATE, track, keys.prefix_range("stream|"))
        return {r.row["RowKey"].partition("|")[2]: StreamState.model_validate_json(r.row["Body"]) for r in rows}

    def groups(self, track: str) -> dict[str, Any]:
        """The excluded groups as the last run found them."""
        found = self._tables.get(STATE, track, "groups")
        return dict(orjson.loads(found.row["Body"])) if found else {}

    def receipt(self, run: Run) -> Receipt | None:
        found = self._tables.get(STATE, run.track, f"receipt|{_key(run.id)}")
        return Receipt.model_validate_json(found.row["Body"]) if found else None

    def lease(self, track: str) -> dict[str, Any] | None:
        found = self._tables.get(STATE, track, LEASE_ROW)
        return found.row if found else None

    def ask_to_cancel(self, run: Run, who: Actor) -> None:
        """The worker looks for this row while it reads."""
        self._tables.put(
            STATE, {"PartitionKey": run.track, "RowKey": f"{CANCEL}{_key(run.id)}", "By": who.name, "ById": who.id}
        )

    def cancel_asked(self, run: Run) -> str | None:
        """Who asked the run to stop."""
        found = self._tables.get(STATE, run.track, f"{CANCEL}{_key(run.id)}")
        return str(found.row["By"]) if found else None
