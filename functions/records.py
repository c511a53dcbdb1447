"""People and devices, as collected."""

from functions.models import RecordsQuery, SearchQuery
from shared.api import Call, Reply, route
from shared.domain.records import Card, Found, Record
from shared.principal import Role
from shared.wiring import app


def _page(found: Found) -> Reply:
    return Reply({"items": found.items, "next": found.next})


def _list(record_type: str, call: Call) -> Reply:
    query: RecordsQuery = call.query
    records = app().records
    read = records.by_name if query.order_by == "name" else records.by_id
    return _page(read(record_type, source=query.source, after=query.after, limit=query.limit))


def _search(record_type: str, call: Call) -> Reply:
    query: SearchQuery = call.query
    return _page(app().records.search(record_type, query.text, source=query.source, limit=query.limit))


@route(
    "GET",
    "people",
    role=Role.READ,
    summary="List people",
    tag="Records",
    query=RecordsQuery,
    returns=Card,
    returns_list=True,
)
def list_people(call: Call) -> Reply:
    return _list("person", call)


@route(
    "GET",
    "people/search",
    role=Role.READ,
    summary="Search people by prefix",
    tag="Records",
    query=SearchQuery,
    returns=Card,
    returns_list=True,
)
def search_people(call: Call) -> Reply:
    return _search("person", call)


@route(
    "GET",
    "people/{id}",
    role=Role.READ,
    summary="Read a person, each value with its provenance",
    tag="Records",
    returns=Record,
)
def read_person(call: Call) -> Reply:
    return Reply(app().records.get("person", call.path["id"]))


@route(
    "GET",
    "devices",
    role=Role.READ,
    summary="List devices",
    tag="Records",
    query=RecordsQuery,
    returns=Card,
    returns_list=True,
)
def list_devices(call: Call) -> Reply:
    return _list("device", call)


@route(
    "GET",
    "devices/search",
    role=Role.READ,
    summary="Search devices by prefix of their names",
    tag="Records",
    query=SearchQuery,
    returns=Card,
    returns_list=True,
)
def search_devices(call: Call) -> Reply:
    return _search("device", call)


@route(
    "GET",
    "devices/{id}",
    role=Role.READ,
    summary="Read a device, each value with its provenance",
    tag="Records",
    returns=Record,
)
def read_device(call: Call) -> Reply:
    return Reply(app().records.get("device", call.path["id"]))
