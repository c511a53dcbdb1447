"""Runs, stream states and receipts in the table State: one partition a track."""

from datetime import datetime
from typing import Any

import orjson

from shared.domain.checkpoint import StreamState
from shared.domain.receipt import Receipt
from shared.domain.run import Run, split_run_id
from shared.storage import keys
from shared.storage.lease import LEASE_ROW, STATE
from shared.storage.tables import Put, RowExists, Stamped, Tables


def new_run_id(track: str, moment: datetime, salt: str) -> str:
    """Newest first by key; names its track, so that one read finds it."""
    return f"{track}~{keys.inverted(moment)}{salt}"


def _key(run_id: str) -> str:
    return run_id.partition("~")[2]


def run_row(run: Run) -> dict[str, Any]:
    return {
        "PartitionKey": run.track, "RowKey": f"run|{_key(run.id)}", "State": run.state.value, "Slice": run.slice,
        "Body": run.model_dump_json(by_alias=True),
    }  # fmt: skip


def stream_row(track: str, name: str, state: StreamState) -> dict[str, Any]:
    return {"PartitionKey": track, "RowKey": f"stream|{name}", "Body": state.model_dump_json(by_alias=True)}


class Runs:
    """Reads for everybody; writes of a run that goes on belong to the lease's commit."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def create(self, run: Run) -> None:
        """Writes a new run's row; nothing happens where it is there already."""
        try:
            self._tables.insert(STATE, run_row(run))
        except RowExists:
            return

    def get(self, run_id: str) -> Run | None:
        found = self.stamped(run_id)
        return parse(found) if found else None

    def stamped(self, run_id: str) -> Stamped | None:
        """The run's row with its ETag."""
        parts = split_run_id(run_id)
        return self._tables.get(STATE, parts[0], f"run|{parts[1]}") if parts else None

    def newest(self, track: str, *, after: str | None, limit: int) -> list[Run]:
        """Newest first, after a run id."""
        start, end = keys.prefix_range("run|")
        if after and (parts := split_run_id(after)):
            start = f"run|{parts[1]}\x7f"
        rows = self._tables.query(STATE, track, (start, end), limit=limit)
        return [Run.model_validate_json(row.row["Body"]) for row in rows]

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

    def ask_to_cancel(self, run: Run, who: str) -> None:
        """The worker looks for this row while it reads."""
        self._tables.put(STATE, {"PartitionKey": run.track, "RowKey": f"cancel|{_key(run.id)}", "By": who})

    def cancel_asked(self, run: Run) -> str | None:
        """Who asked the run to stop."""
        found = self._tables.get(STATE, run.track, f"cancel|{_key(run.id)}")
        return str(found.row["By"]) if found else None


def parse(found: Stamped) -> Run:
    return Run.model_validate_json(found.row["Body"])


def put_run(run: Run, etag: str | None = None) -> Put:
    return Put(run_row(run), etag)


def put_stream(track: str, name: str, state: StreamState) -> Put:
    return Put(stream_row(track, name, state))


def put_receipt(run: Run, receipt: Receipt) -> Put:
    body = receipt.model_dump_json(by_alias=True)
    return Put({"PartitionKey": run.track, "RowKey": f"receipt|{_key(run.id)}", "Body": body})


def put_groups(track: str, groups: dict[str, Any]) -> Put:
    return Put({"PartitionKey": track, "RowKey": "groups", "Body": orjson.dumps(groups).decode()})
