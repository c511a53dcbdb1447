"""The change journal by time: what differed, when, and which run saw it."""

from datetime import UTC

from functions.models import ChangesQuery
from shared.api import Call, Reply, Routes
from shared.domain.records import Change
from shared.names import Role
from shared.wiring import app

routes = Routes(tag="Changes", role=Role.READ)


@routes.get("changes", "List changes since a time, oldest first", query=ChangesQuery, returns=Change, returns_list=True)
def list_changes(call: Call) -> Reply:
    """By source and hour; within an hour in no particular order."""
    query: ChangesQuery = call.query
    since = query.since if query.since.tzinfo else query.since.replace(tzinfo=UTC)
    items, following = app().journal.since(
        since, app().clock.now(), source=query.source, after=query.after, limit=query.limit
    )
    return Reply({"items": items, "next": following})
