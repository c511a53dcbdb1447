"""Collected objects: lists, search, single records and their changes, the same for each type of record."""

from functions.models import PageQuery, RecordQuery, RecordsQuery, SearchQuery
from shared.api import Call, Reply, Routes
from shared.connectors.registry import Registry
from shared.domain.record_type import RecordType
from shared.domain.records import Card, Change, Found, RecordRow, flat, record_model
from shared.errors import FieldError, Invalid
from shared.names import Role
from shared.wiring import app


def routes(registry: Registry) -> Routes:
    """The routes of every record type that the kinds collect."""
    group = Routes(tag="Records", role=Role.READ)
    for record_type in registry.record_types.values():
        _add(group, record_type)
        if record_type.part_of:
            _add_parts(group, record_type, registry.record_types[record_type.part_of])
    return group


def _rows(record_type: RecordType, query: RecordsQuery) -> Reply:
    if query.order_by == "name":
        wrong = FieldError("orderBy", "contradiction", "name goes without select, filter and missing")
        raise Invalid("The query is not valid.", fields=(wrong,))
    items, following = app().lists.page(
        record_type, select=query.chosen, condition=query.filter, missing=query.missing, source=query.source,
        after=query.after, limit=query.limit,
    )  # fmt: skip
    return Reply({"items": items, "next": following})


def _page(found: Found) -> Reply:
    return Reply({"items": found.items, "next": found.next})


def _add(group: Routes, record_type: RecordType) -> None:
    one, many, noun = record_type.name.replace("-", "_"), record_type.plural, record_type.title.lower()
    all_of = many.replace("-", "_")

    @group.get(
        many,
        f"List {many}",
        name=f"list_{all_of}",
        query=RecordsQuery,
        returns=Card,
        returns_list=True,
        or_items=(RecordRow,),
    )
    def read_list(call: Call) -> Reply:
        """Cards, or with select, filter or missing the mapped values."""
        query: RecordsQuery = call.query
        if query.order_by == "name" and not record_type.lookups:
            wrong = FieldError("orderBy", "not-here", f"{many} are listed by id only")
            raise Invalid("The query is not valid.", fields=(wrong,))
        if query.select or query.filter or query.missing:
            return _rows(record_type, query)
        records = app().records
        read = records.by_name if query.order_by == "name" else records.by_id
        return _page(read(record_type, source=query.source, after=query.after, limit=query.limit))

    if record_type.lookups:
        _add_search(group, record_type)

    @group.get(
        f"{many}/{{id}}", f"Read a {noun}, each value with its provenance",
        name=f"read_{one}", query=RecordQuery, returns=record_model(record_type), also=((200, RecordRow, "Flat"),),
    )  # fmt: skip
    def read(call: Call) -> Reply:
        record = app().records.get(record_type, call.path["id"])
        return Reply(record if call.query.view == "full" else flat(record))

    @group.get(
        f"{many}/{{id}}/changes", f"List the changes of a {noun}, newest first",
        name=f"list_{one}_changes", tag="Changes", query=PageQuery, returns=Change, returns_list=True,
    )  # fmt: skip
    def changes(call: Call) -> Reply:
        query: PageQuery = call.query
        items, following = app().journal.of_object(record_type, call.path["id"], after=query.after, limit=query.limit)
        return Reply({"items": items, "next": following})


def _add_search(group: Routes, record_type: RecordType) -> None:
    many = record_type.plural
    all_of = many.replace("-", "_")

    @group.get(
        f"{many}/search", f"Search {many} by prefix",
        name=f"search_{all_of}", query=SearchQuery, returns=Card, returns_list=True,
    )  # fmt: skip
    def search(call: Call) -> Reply:
        query: SearchQuery = call.query
        return _page(app().records.search(record_type, query.text, source=query.source, limit=query.limit))


def _add_parts(group: Routes, record_type: RecordType, whole: RecordType) -> None:
    many = record_type.plural

    @group.get(
        f"{whole.plural}/{{id}}/{many}", f"List the {many.replace('-', ' ')} of a {whole.title.lower()}",
        name=f"list_{whole.name}_{many.replace('-', '_')}", query=PageQuery, returns=RecordRow, returns_list=True,
    )  # fmt: skip
    def parts(call: Call) -> Reply:
        """Flat, in the order of their ids."""
        query: PageQuery = call.query
        start = int(query.after) if query.after and query.after.isdecimal() else 0
        found = app().records.parts(record_type, whole, call.path["id"])
        page, end = found[start : start + query.limit], start + query.limit
        return Reply({"items": [flat(one) for one in page], "next": str(end) if end < len(found) else None})
