"""Runs and stream states in the table State."""

from datetime import datetime
from typing import Any

from shared.domain.checkpoint import StreamState
from shared.domain.run import Run, split_run_id
from shared.storage import keys
from shared.storage.lease import LEASE_ROW, STATE
from shared.storage.tables import Put, RowExists, Tables


def new_run_id(connector: str, moment: datetime, salt: str) -> str:
    """Newest first by key; names its connector, so that one read finds it."""
    return f"{connector}~{keys.inverted(moment)}{salt}"


def run_row(run: Run) -> dict[str, Any]:
    _, _, key = run.id.partition("~")
    return {
        "PartitionKey": run.connector_id, "RowKey": f"run|{key}", "State": run.state.value, "Slice": run.slice,
        "Body": run.model_dump_json(by_alias=True),
    }  # fmt: skip


def stream_row(connector: str, name: str, state: StreamState) -> dict[str, Any]:
    return {"PartitionKey": connector, "RowKey": f"stream|{name}", "Body": state.model_dump_json(by_alias=True)}


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
        parts = split_run_id(run_id)
        found = self._tables.get(STATE, parts[0], f"run|{parts[1]}") if parts else None
        return Run.model_validate_json(found.row["Body"]) if found else None

    def newest(self, connector: str, *, after: str | None, limit: int) -> list[Run]:
        """Newest first, after a run id."""
        start, end = keys.prefix_range("run|")
        if after and (parts := split_run_id(after)):
            start = f"run|{parts[1]}\x7f"
        rows = self._tables.query(STATE, connector, (start, end), limit=limit)
        return [Run.model_validate_json(row.row["Body"]) for row in rows]

    def stream(self, connector: str, name: str) -> StreamState:
        found = self._tables.get(STATE, connector, f"stream|{name}")
        return StreamState.model_validate_json(found.row["Body"]) if found else StreamState()

    def lease(self, connector: str) -> dict[str, Any] | None:
        found = self._tables.get(STATE, connector, LEASE_ROW)
        return found.row if found else None

    def ask_to_cancel(self, run: Run, who: str) -> None:
        """The worker looks for this row after each page."""
        _, _, key = run.id.partition("~")
        self._tables.put(STATE, {"PartitionKey": run.connector_id, "RowKey": f"cancel|{key}", "By": who})

    def cancel_asked(self, run: Run) -> bool:
        _, _, key = run.id.partition("~")
        return self._tables.get(STATE, run.connector_id, f"cancel|{key}") is not None


def put_run(run: Run) -> Put:
    return Put(run_row(run))


def put_stream(connector: str, name: str, state: StreamState) -> Put:
    return Put(stream_row(connector, name, state))
