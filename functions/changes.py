"""The change journal: what differed, when, and which run saw it."""

from datetime import UTC

from functions.models import ChangesQuery, PageQuery
from shared.api import Call, Reply, route
from shared.domain.records import Change
from shared.principal import Role
from shared.wiring import app


@route(
    "GET",
    "changes",
    role=Role.READ,
    summary="List changes since a time, oldest first",
    tag="Changes",
    query=ChangesQuery,
    returns=Change,
    returns_list=True,
)
def list_changes(call: Call) -> Reply:
    """By source and hour; within an hour in no particular order."""
    query: ChangesQuery = call.query
    since = query.since if query.since.tzinfo else query.since.replace(tzinfo=UTC)
    items, following = app().journal.since(
        since, app().clock.now(), source=query.source, after=query.after, limit=query.limit
    )
    return Reply({"items": items, "next": following})


def _of(record_type: str, call: Call) -> Reply:
    query: PageQuery = call.query
    items, following = app().journal.of_object(record_type, call.path["id"], after=query.after, limit=query.limit)
    return Reply({"items": items, "next": following})


@route(
    "GET",
    "people/{id}/changes",
    role=Role.READ,
    summary="List the changes of a person, newest first",
    tag="Changes",
    query=PageQuery,
    returns=Change,
    returns_list=True,
)
def list_person_changes(call: Call) -> Reply:
    return _of("person", call)


@route(
    "GET",
    "devices/{id}/changes",
    role=Role.READ,
    summary="List the changes of a device, newest first",
    tag="Changes",
    query=PageQuery,
    returns=Change,
    returns_list=True,
)
def list_device_changes(call: Call) -> Reply:
    return _of("device", call)
