"""Reports over what was collected: JSON a page at a time, or a whole file. People and devices themselves are two of them."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, StringConstraints

from shared.api import Call, Reply, Routes
from shared.api.answering import csv_bytes
from shared.clock import iso
from shared.configuration.mapping_files import CSV, XLSX, as_xlsx
from shared.domain.base import Id, Model
from shared.domain.records import RecordRow
from shared.errors import FieldError, Invalid, NotFound, foreign_cursor
from shared.names import Role
from shared.reports import REPORTS, Asked, ReportKind
from shared.wiring import app

routes = Routes(tag="Reports", role=Role.READ)
RECORDS = {"people": "person", "devices": "device"}
"""Reports that list records: the record type of each."""
_FILE_PAGE = 500


class ColumnOut(Model):
    """A column of a report."""

    name: str
    """In rows."""
    title: str
    """In files."""
    type: str
    """text, number, flag, day or money; of people and devices also time and json."""


class ReportOut(Model):
    """A report that can be asked for."""

    name: str
    """Its address."""
    title: str
    """What it shows."""
    meaning: str
    """What its rows are."""
    columns: list[ColumnOut]
    """What they hold."""
    facts: list[str]
    """The streams that they rest on."""


class Catalogue(Model):
    """Every report."""

    reports: list[ReportOut]
    """In the order of their names."""


class ReportQuery(Model):
    """How a report is asked for."""

    source: Id
    """The source that it is about."""
    days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Days of silence, or until something ends, where the report goes by days."""
    group_by: Literal["department", "country", "company", "product"] = "department"
    """What cost is summed by."""
    format: Literal["json", "csv", "xlsx"] = "json"
    """JSON a page at a time; CSV and XLSX whole."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    """How many rows a page holds at least, where there are as many: what one person has is never cut."""
    after: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,500}$")] | None = None
    """The `next` of the page before."""
    select: (
        Annotated[str, StringConstraints(pattern=r"^[a-z][A-Za-z0-9]*(,[a-z][A-Za-z0-9]*)*$", max_length=2000)] | None
    ) = None
    """Of people and devices: the attributes to show, with commas between them. Empty: all that the mapping has."""
    filter: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None
    """Of people and devices: which of them, as the lists of records take it."""


class ReportPage(Model):
    """Some rows of a report."""

    report: str
    """Its name."""
    as_of: dict[str, str | None]
    """When each stream that it rests on was last read completely, UTC; null: never."""
    not_in_copy: int
    """Holders of licences among those that this page looked at who are not in the copy: out of scope, or service accounts."""
    items: list[dict[str, Any]]
    """Its rows."""
    next: str | None
    """For `after`; null: that was all."""


@routes.get("reports", "List the reports", name="list_reports", returns=Catalogue)
def list_reports(_call: Call) -> Reply:
    """With their columns, and the facts that they rest on."""
    described = [*map(_described, REPORTS.values()), *map(_records_described, RECORDS)]
    return Reply(Catalogue(reports=sorted(described, key=lambda one: one.name)))


@routes.get(
    "reports/{name}", "Read a report", name="read_report", query=ReportQuery, returns=ReportPage, files=(CSV, XLSX),
)  # fmt: skip
def read_report(call: Call) -> Reply:
    """Complete: every page together, or the file."""
    query: ReportQuery = call.query
    name = call.path["name"]
    found = REPORTS.get(name)
    if found is None and name not in RECORDS:
        raise NotFound("There is no such report.", remedy=f"There are {', '.join(sorted((*REPORTS, *RECORDS)))}.")
    product = app()
    if product.config.get("source", query.source) is None:
        raise NotFound(f"There is no source with the id {query.source}.")
    if found is None:
        return _records(name, query)
    if wrong := [one for one in ("select", "filter") if getattr(query, one)]:
        fields = tuple(FieldError(one, "not-here", f"goes with {' and '.join(RECORDS)} only") for one in wrong)
        raise Invalid("The query is not valid.", fields=fields)
    copy = product.copy_of(query.source)
    asked = Asked(query.days, query.group_by, query.after or "")
    if query.format != "json":
        made = found.make(copy, Asked(query.days, query.group_by))
        rows = ([_cell(row.get(column.name)) for column in found.columns] for row in made)
        return _file(found.name, found.title, [column.title for column in found.columns], rows, query.format)
    items, following = (_by_person if found.by_person else _by_number)(found, copy, asked, query.limit)
    return Reply(
        ReportPage(
            report=found.name, as_of=copy.as_of(found.facts), not_in_copy=copy.not_in_copy, next=following,
            items=[{name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()} for row in items],
        )
    )  # fmt: skip


def _by_person(found: ReportKind, copy: Any, asked: Asked, limit: int) -> tuple[list[dict[str, Any]], str | None]:
    """Up to the last row of the person who fills the page."""
    items: list[dict[str, Any]] = []
    for row in found.make(copy, asked):
        if len(items) >= limit and row["personId"] != items[-1]["personId"]:
            return items, str(items[-1]["personId"])
        items.append(row)
    return items, None


def _by_number(found: ReportKind, copy: Any, asked: Asked, limit: int) -> tuple[list[dict[str, Any]], str | None]:
    if asked.after and not asked.after.isdecimal():
        raise foreign_cursor()
    start = int(asked.after or 0)
    items = list(islice(found.make(copy, Asked(asked.days, asked.group_by)), start, start + limit + 1))
    return items[:limit], str(start + limit) if len(items) > limit else None


def _described(one: ReportKind) -> ReportOut:
    columns = [ColumnOut(name=column.name, title=column.title, type=column.type) for column in one.columns]
    return ReportOut(
        name=one.name,
        title=one.title,
        meaning=one.meaning,
        columns=columns,
        facts=[stream.name for stream in one.facts],
    )


def _records(name: str, query: ReportQuery) -> Reply:
    """People or devices with the attributes that were chosen, a row each."""
    product = app()
    record_type = product.registry.record_types[RECORDS[name]]
    attributes = {one.name: one for one in product.lists.collected(record_type, query.source)}
    chosen = query.select.split(",") if query.select else list(attributes)

    def page(after: str | None, limit: int) -> tuple[list[RecordRow], str | None]:
        return product.lists.page(
            record_type,
            select=chosen,
            condition=query.filter,
            missing=None,
            source=query.source,
            after=after,
            limit=limit,
        )

    def lines() -> Iterator[list[Any]]:
        after: str | None = None
        while True:
            found, after = page(after, _FILE_PAGE)
            for one in found:
                yield [one.id.rpartition("~")[2], *(_cell(one.values.get(attribute)) for attribute in chosen)]
            if after is None:
                return

    if query.format != "json":
        titles = ["Id", *(attributes[one].title if one in attributes else one for one in chosen)]
        return _file(name, record_type.title, titles, lines(), query.format)
    items, following = page(query.after, query.limit)
    streams = [
        one for kind in product.registry.kinds.values() for one in kind.streams if one.record_type == record_type
    ]
    return Reply(
        ReportPage(
            report=name, as_of=product.copy_of(query.source).as_of([one for one in streams if not one.leader]), not_in_copy=0,
            items=[{"id": one.id.rpartition("~")[2], **dict.fromkeys(chosen), **one.values} for one in items], next=following,
        )
    )  # fmt: skip


def _records_described(name: str) -> ReportOut:
    registry = app().registry
    record_type = registry.record_types[RECORDS[name]]
    streams = [one for kind in registry.kinds.values() for one in kind.streams if one.record_type == record_type]
    attributes = {attribute.name: attribute for stream in streams for attribute in stream.attributes}
    return ReportOut(
        name=name, title=f"All {name}", facts=sorted({stream.name for stream in streams}),
        meaning=f"{record_type.title} by {record_type.title.lower()}, with every attribute that the mapping has, or those of `select`. "
        "These columns are the default mapping's. A value that is missing is empty here; the lists of records say why it is.",
        columns=[ColumnOut(name=one.name, title=one.title, type=one.type.value) for one in attributes.values()],
    )  # fmt: skip


def _cell(value: Any) -> Any:
    """A number stays one; everything else is text. Several values have semicolons between them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
        return "; ".join(map(str, value))
    if isinstance(value, list | dict):
        return orjson.dumps(value).decode()
    if isinstance(value, datetime):
        return iso(value)
    return round(float(value), 2) if isinstance(value, Decimal) else value


def _file(name: str, title: str, titles: Sequence[str], rows: Iterable[list[Any]], form: str) -> Reply:
    if form == "xlsx":
        return Reply.file(as_xlsx(rows, title, titles), f"rollcall-{name}.xlsx", XLSX)
    return Reply.file(csv_bytes(titles, rows), f"rollcall-{name}.csv", CSV)
