"""Reports over what was collected: JSON a page at a time, or a whole file."""

from decimal import Decimal
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from shared.api import Call, Reply, Routes
from shared.api.answering import csv_bytes
from shared.configuration.mapping_files import CSV, XLSX, as_xlsx
from shared.domain.base import Id, Model
from shared.errors import NotFound, foreign_cursor
from shared.names import Role
from shared.reports import REPORTS, Asked, ReportKind
from shared.wiring import app

routes = Routes(tag="Reports", role=Role.READ)


class ColumnOut(Model):
    """A column of a report."""

    name: str
    """In rows."""
    title: str
    """In files."""
    type: str
    """text, number, flag, day or money."""


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
    after: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z-]{1,100}$")] | None = None
    """The `next` of the page before."""


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


@routes.get("reports", "List the reports", name="list_reports", returns=Catalogue, waits_for="")
def list_reports(_call: Call) -> Reply:
    """With their columns, and the facts that they rest on."""
    return Reply(Catalogue(reports=[_described(REPORTS[name]) for name in sorted(REPORTS)]))


@routes.get(
    "reports/{name}", "Read a report", name="read_report", query=ReportQuery, returns=ReportPage, files=(CSV, XLSX),
)  # fmt: skip
def read_report(call: Call) -> Reply:
    """Complete: every page together, or the file."""
    query: ReportQuery = call.query
    found = REPORTS.get(call.path["name"])
    if found is None:
        raise NotFound("There is no such report.", remedy=f"There are {', '.join(sorted(REPORTS))}.")
    product = app()
    if product.config.get("source", query.source) is None:
        raise NotFound(f"There is no source with the id {query.source}.")
    copy = product.copy_of(query.source)
    asked = Asked(query.days, query.group_by, query.after or "")
    if query.format != "json":
        rows = [
            [_cell(row.get(column.name)) for column in found.columns]
            for row in found.make(copy, Asked(query.days, query.group_by))
        ]
        return _file(found, rows, query.format)
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


def _cell(value: Any) -> Any:
    """A number stays one; everything else is text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return round(float(value), 2) if isinstance(value, Decimal) else value


def _file(found: ReportKind, rows: list[list[Any]], form: str) -> Reply:
    titles = tuple(column.title for column in found.columns)
    if form == "xlsx":
        return Reply.file(as_xlsx(rows, found.title, titles), f"rollcall-{found.name}.xlsx", XLSX)
    return Reply.file(csv_bytes(titles, rows), f"rollcall-{found.name}.csv", CSV)
