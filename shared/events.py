"""What alerts ask for: one JSON line a event in the log. The Python worker passes on a record's message and drops everything
beside it, so that the message itself has to be what a query parses.
"""

import json
import logging
from typing import Any

_log = logging.getLogger("rollcall.event")
EVENTS: dict[str, tuple[str, ...]] = {
    "run.succeeded": ("connector", "job", "run"),
    "run.incomplete": ("connector", "job", "run"),
    "run.held": ("connector", "job", "run", "held"),
    "run.failed": ("connector", "job", "run", "code", "transient"),
    "run.cancelled": ("connector", "job", "run"),
    "connector.active": ("connector", "name"),
    "timer.ticked": (),
    "queue.poison": ("run", "outcome"),
    "credential.expiring": ("credential", "name", "daysLeft"),
    "graph.throttled": ("connector", "job", "run", "count", "seconds"),
}
"""Each event with the fields that it always has. The alerts of infra/modules/alerts.bicep are checked against this table."""


def emit(event: str, **fields: Any) -> None:
    """Writes an event. Raises ValueError for one that the table does not have so."""
    if set(fields) != set(EVENTS[event]):
        raise ValueError(f"{event} has the fields {', '.join(EVENTS[event])}")
    _log.info("%s", json.dumps({"event": event, **fields}, separators=(",", ":")))
