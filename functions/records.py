"""Collected objects: lists, search, single records and their changes, the same for each type of record."""

from functions.models import PageQuery, RecordsQuery, SearchQuery
from shared.api import Call, Reply, Route, add_route
from shared.connectors.registry import Registry
from shared.domain.record_type import RecordType
from shared.domain.records import Card, Change, Found, record_model
from shared.principal import Role
from shared.wiring import app


def _page(found: Found) -> Reply:
    return Reply({"items": found.items, "next": found.next})


def register(registry: Registry) -> None:
    """Adds the routes of every record type that the kinds collect."""
    for record_type in registry.record_types.values():
        _register(record_type)


def _register(record_type: RecordType) -> None:
    one, many, noun = record_type.name.replace("-", "_"), record_type.plural, record_type.title.lower()
    plural = many.replace("-", "_")

    def read_list(call: Call) -> Reply:
        query: RecordsQuery = call.query
        records = app().records
        read = records.by_name if query.order_by == "name" else records.by_id
        return _page(read(record_type, source=query.source, after=query.after, limit=query.limit))

    def search(call: Call) -> Reply:
        query: SearchQuery = call.query
        return _page(app().records.search(record_type, query.text, source=query.source, limit=query.limit))

    def read_one(call: Call) -> Reply:
        return Reply(app().records.get(record_type, call.path["id"]))

    def changes(call: Call) -> Reply:
        query: PageQuery = call.query
        items, following = app().journal.of_object(record_type, call.path["id"], after=query.after, limit=query.limit)
        return Reply({"items": items, "next": following})

    role = Role.READ
    add_route(
        Route(
            f"list_{plural}", "GET", many, read_list, role, f"List {many}", "Records",
            query=RecordsQuery, returns=Card, returns_list=True,
        )
    )  # fmt: skip
    add_route(
        Route(
            f"search_{plural}", "GET", f"{many}/search", search, role, f"Search {many} by prefix", "Records",
            query=SearchQuery, returns=Card, returns_list=True,
        )
    )  # fmt: skip
    add_route(
        Route(
            f"read_{one}", "GET", f"{many}/{{id}}", read_one, role,
            f"Read a {noun}, each value with its provenance", "Records", returns=record_model(record_type),
        )
    )  # fmt: skip
    add_route(
        Route(
            f"list_{one}_changes", "GET", f"{many}/{{id}}/changes", changes, role,
            f"List the changes of a {noun}, newest first", "Changes",
            query=PageQuery, returns=Change, returns_list=True,
        )
    )  # fmt: skip
