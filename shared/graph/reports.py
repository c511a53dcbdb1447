"""Usage reports: CSV files behind a redirection, read line by line and joined to people by their sign-in names.

Columns are Microsoft's to add, drop and reorder: each is known by the name in the header. What a report is about is what was
asked for, not what a row says: the period is the request's.
https://learn.microsoft.com/graph/api/resources/microsoft-365-usage-reports
"""

import contextlib
import csv
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from shared.domain.page import Page
from shared.errors import SourceProblem
from shared.graph.answers import Denied, PageTokenExpired
from shared.graph.client import GraphClient
from shared.graph.files import download_lines
from shared.graph.listing import Listing

ROWS, _MOST_MET, _MOST_OPEN = 1500, 20_000, 1000
"""Rows of people of a page, so that what eight pages bring to each of 64 partitions fills its batches; rows that are looked at for
them; lines of one quoted cell."""
REFRESHED = "reportRefreshDate"
PRODUCTS = "assignedProducts"
OTHER = "other"
"""The property that holds the columns that nobody declared, by their names in the header."""
_DELETED, _YES = "isDeleted", ("True", "true", "TRUE")
_COMMON = frozenset(
    (
        REFRESHED,
        PRODUCTS,
        _DELETED,
        *"reportPeriod userPrincipalName displayName deletedDate ownerDisplayName ownerPrincipalName userId siteURL".split(),
    )
)
"""Columns that say what a row is about, or whose; they are no facts of their own."""
_CONCEALED = re.compile(r"[0-9A-Fa-f]{32}|<PII:.*")
"""A hash, or the mark that Microsoft's own logs put in place of a name; some reports showed that in front of the domain."""
_DAY, _DAY_LONG = re.compile(r"\d{4}-\d{2}-\d{2}"), 10
_LAST = re.compile(r"last\w*Date|\w*LastActivityDate")


class ReportNotRead(Denied):
    """A report can't be read now. What was read of it before stays, with its own dates."""


class ReportUnchanged(Exception):
    """The report is the one that was read before: it is not read again."""


@dataclass(frozen=True)
class ReportListing(Listing):
    """`person`: the property with the sign-in name; `columns`: the properties that are known; `days`: of the period, 0: it
    has none; `part`: what tells the rows of one person apart, where there are several.
    """

    person: str = ""
    columns: frozenset[str] = frozenset()
    days: int = 0
    part: Callable[[dict[str, Any]], str] | None = None

    @property
    def first(self) -> str:
        return self.path

    def one(self, object_id: str) -> str:  # noqa: ARG002 - a file is read whole
        return self.path


@dataclass
class Summary:
    """What a report was: names nobody. `active`: rows with activity within the period; `lost`: columns that it
    lacks; `twice`: rows of somebody whom an earlier one named.
    """

    refreshed_on: str = ""
    rows: int = 0
    joined: int = 0
    not_in_copy: int = 0
    nameless: int = 0
    concealed: int = 0
    deleted: int = 0
    twice: int = 0
    active: int = 0
    by_product: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)

    @property
    def named(self) -> int:
        """Rows that name somebody."""
        return self.joined + self.not_in_copy + self.deleted + self.twice


class ReportReader:
    """`person_of` gives the object id of a sign-in name, None for somebody who is not in the copy; `newest`: the refresh date
    that is stored; `known`: whether a report of that day can bring nothing new; `concealed`: whether the tenant says that names are,
    None: it can't be asked.
    """

    page_size = 0

    def __init__(
        self,
        client: GraphClient,
        listing: ReportListing,
        person_of: Callable[[str], str | None],
        *,
        newest: str = "",
        known: bool = False,
        concealed: bool | None = None,
    ) -> None:
        self._client, self._listing, self._person_of = client, listing, person_of
        self._newest, self._known, self._told = newest, known, concealed
        self._rows: AsyncIterator[list[dict[str, Any]]] | None = None
        self._left: list[dict[str, Any]] = []
        self._at = 0
        self._met: set[str] = set()
        self._known_at: list[int] = []
        self._names: list[str] = []
        self._others_at: list[int] = []
        self._dates: list[str] = []
        self._since = ""
        self.summary = Summary()

    async def page(self, link: str | None) -> Page:
        """The next rows. A link says how many went before, and of which refresh: of another one it is of no use. Raises
        ReportUnchanged.
        """
        refreshed, _, done = (link or "").rpartition("|")
        if self._rows is None or (link and int(done) != self._at):
            await self.stop()
            self.summary, self._at, self._met, self._left = Summary(), 0, set(), []
            self._rows = self._read()
            while link and self._at < int(done):
                if await self._some(int(done) - self._at) is None:
                    raise PageTokenExpired
            if link and self.summary.refreshed_on != refreshed:
                raise PageTokenExpired
        items = await self._some()
        if items is None:
            self._end()
            return Page([], None)
        return Page(items, f"{self.summary.refreshed_on}|{self._at}")

    async def _some(self, most: int = _MOST_MET) -> list[dict[str, Any]] | None:
        """The next rows, at most so many, joined; None at the end of the file."""
        assert self._rows is not None
        items: list[dict[str, Any]] = []
        met = 0
        while len(items) < ROWS and met < most:
            if not self._left:
                self._left = await anext(self._rows, [])
                if not self._left:
                    break
                self._left.reverse()
            while self._left and len(items) < ROWS and met < most:
                met += 1
                if item := self._joined(self._left.pop()):
                    items.append(item)
        self._at += met
        if not met:
            return None
        return [] if self.hides_names else items

    def _joined(self, row: dict[str, Any]) -> dict[str, Any] | None:
        summary = self.summary
        summary.rows += 1
        self._count(row)
        name = str(row.get(self._listing.person) or "").strip()
        if "@" not in name or name.startswith("<"):
            concealed = bool(_CONCEALED.fullmatch(name))
            summary.concealed += concealed
            summary.nameless += not concealed
        elif row.get(_DELETED) in _YES:
            summary.deleted += 1
        elif person := self._person_of(name):
            part = self._listing.part
            key = f"{person}.{part(row)}" if part else person
            if key in self._met:
                summary.twice += 1
                return None
            self._met.add(key)
            summary.joined += 1
            row["id"], row["personId"] = key, person
            return row
        else:
            summary.not_in_copy += 1
        return None

    def _count(self, row: dict[str, Any]) -> None:
        """For totals that name nobody."""
        summary = self.summary
        if products := row.get(PRODUCTS):
            for product in _products(products):
                summary.by_product[product] += 1
        summary.active += any(
            len(value) == _DAY_LONG and value >= self._since for column in self._dates if (value := row.get(column))
        )

    @property
    def hides_names(self) -> bool:
        """Whether no row names anybody, and some are concealed; or the tenant says so."""
        summary = self.summary
        return not summary.named and (summary.concealed > 0 or (bool(self._told) and summary.rows > 0))

    def _end(self) -> None:
        """Raises ReportNotRead where no row can be anybody's."""
        summary = self.summary
        if summary.rows > 0 and not summary.named:
            raise ReportNotRead(
                f"The tenant conceals names in its reports: {summary.rows} rows of {self._what} name nobody.",
                code="report-names-concealed",
                remedy="In the Microsoft 365 admin center, Settings, Org settings, Reports, switch off that concealed names are "
                "shown. Reports with names come with their next refresh, within two days. Until then rows are counted by product.",
                reason="concealed",
            )

    @property
    def _what(self) -> str:
        return self._listing.path.rpartition("/")[2].partition("(")[0]

    async def _read(self) -> AsyncIterator[list[dict[str, Any]]]:
        """Rows as properties, some at a time. Raises ReportNotRead for what is no such report."""
        header: list[str] | None = None
        names: list[str] = []
        async for records in self._records():
            if header is None and records:
                header = [column.strip() for column in records.pop(0)]
                names = [property_of(column) for column in header]
                self._check_header(header, names)
            assert header is not None
            if rows := [self._row(header, names, record) for record in records if record and record != [""]]:
                yield rows
        if header is None:
            raise self._not_it("is empty")

    async def _records(self) -> AsyncIterator[list[list[str]]]:
        """Records of the file, some at a time; one may go over several lines, inside of quotes."""
        waiting: list[str] = []
        opened = 0
        with self._explained():
            async for lines in download_lines(self._client, self._listing.first, self._listing.permission):
                for line in lines:
                    waiting.append(line + "\n")
                    if '"' in line and line.count('"') % 2:
                        opened = 0 if opened else 1
                    elif opened:
                        opened += 1
                    if opened > _MOST_OPEN:
                        raise self._not_it("has a quotation mark without its other one")
                if not opened:
                    yield list(csv.reader(waiting))
                    waiting = []
            if waiting:
                yield list(csv.reader(waiting))

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """What goes wrong with a file is that report's matter; others are read all the same."""
        try:
            yield
        except ReportNotRead:
            raise
        except Denied as denied:
            # The token has the permission: this was looked at before.
            raise ReportNotRead(
                f"Microsoft Graph refused {self._what} although the permission is granted.",
                code="report-refused",
                remedy="Nothing was lost; it is asked for again by itself. If it goes on, look at the service health of Microsoft 365.",
                reason="throttled",
            ) from denied
        except SourceProblem as problem:
            if problem.code in ("graph-refused", "graph-not-found"):
                raise ReportNotRead(
                    f"This cloud does not offer {self._what}.",
                    code="report-not-offered",
                    remedy="There is nothing to do; should it be offered one day, it is read.",
                    reason="not-provided",
                ) from problem
            if problem.code != "graph-download-broken":
                raise
            raise ReportNotRead(
                problem.detail, code=problem.code, remedy=problem.remedy, reason="throttled"
            ) from problem
        except csv.Error as error:
            raise self._not_it("can't be read as CSV") from error

    def _check_header(self, header: Sequence[str], names: Sequence[str]) -> None:
        listing = self._listing
        if listing.person not in names or REFRESHED not in names:
            raise self._not_it(f"has no column for the person or the refresh date, but {', '.join(header)[:200]!r}")
        self._dates = [name for name in names if _LAST.fullmatch(name)]
        known = listing.columns | _COMMON
        self._known_at = [place for place, name in enumerate(names) if name in known]
        self._names = [names[place] for place in self._known_at]
        self._others_at = [place for place, name in enumerate(names) if name not in known]
        self.summary.lost = sorted(listing.columns - set(names))
        self.summary.added = [
            column
            for column, name in zip(header, names, strict=True)
            if name not in listing.columns and name != "reportPeriod"
        ]

    def _row(self, header: Sequence[str], names: Sequence[str], record: Sequence[str]) -> dict[str, Any]:
        if len(record) > len(names):
            raise self._not_it("has a row with more fields than columns")
        if len(record) == len(names):
            row: dict[str, Any] = dict(zip(self._names, map(record.__getitem__, self._known_at), strict=True))
            other = {header[place]: value for place in self._others_at if (value := record[place])}
        else:
            given = dict(zip(names, record, strict=False))
            row = {name: given[name] for name in self._names if name in given}
            other = {header[place]: record[place] for place in self._others_at if place < len(record) and record[place]}
        row[OTHER] = other or None
        refreshed = str(row.get(REFRESHED) or "")
        if refreshed != self.summary.refreshed_on and not _DAY.fullmatch(refreshed):
            raise self._not_it(f"names no day that it was refreshed on, but {refreshed[:40]!r}")
        if not self.summary.refreshed_on:
            self.summary.refreshed_on, self._since = refreshed, _days_before(refreshed, self._listing.days)
            if refreshed == self._newest and self._known:
                raise ReportUnchanged
            if refreshed < self._newest:
                raise ReportNotRead(
                    f"{self._what} is of {refreshed}; what is stored is of {self._newest}, which is newer.",
                    code="report-older",
                    remedy="Nothing was overwritten. Microsoft serves an old file now and then; the next run asks again.",
                    reason="throttled",
                )
        return row

    def _not_it(self, what: str) -> ReportNotRead:
        return ReportNotRead(
            f"The file of {self._what} {what}.",
            code="report-malformed",
            remedy="What was read of it before stays as it is; it is asked for again by itself.",
            reason="malformed",
        )

    # What a list of the directory has, and a report has not

    def ask_less(self) -> None:
        """A file has no pages."""

    async def enumerate(self, link: str | None) -> Page:
        return await self.page(link)

    async def changes(self, link: str) -> Page:
        return await self.page(link)

    async def latest(self) -> str | None:
        return None

    async def count(self) -> int | None:
        return None

    async def ask(self, object_ids: Sequence[str]) -> dict[str, str]:
        """What adds to people's records goes with them: nobody is asked for. A part that a whole report lacks is gone."""
        return dict.fromkeys(object_ids, "deleted" if self._listing.part else "unknown")

    async def fetch(self, object_ids: Sequence[str]) -> dict[str, dict[str, Any] | None]:
        return dict.fromkeys(object_ids[:0])

    async def stop(self) -> None:
        rows, self._rows = self._rows, None
        if rows is not None:
            await rows.aclose()  # type: ignore[attr-defined] # it is a generator


def property_of(column: str) -> str:
    """A column's name as a property: `Report Refresh Date` as reportRefreshDate."""
    made = "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", column))
    return made[:1].lower() + made[1:]


@lru_cache(maxsize=1000)
def _products(assigned: str) -> tuple[str, ...]:
    """The products of a row, by their names."""
    return tuple(name for one in assigned.split("+") if (name := one.strip()))


def _days_before(day: str, days: int) -> str:
    """The day so many days earlier; without a period any day is late enough."""
    try:
        return (date.fromisoformat(day) - timedelta(days=days)).isoformat() if days else ""
    except (ValueError, OverflowError):
        return ""


async def conceals_names(client: GraphClient) -> bool | None:
    """Whether the tenant says that reports conceal names; None where it does not say. Needs ReportSettings.Read.All."""
    try:
        settings = await client.get_json("/admin/reportSettings", "ReportSettings.Read.All")
    except SourceProblem:
        return None
    told = settings.get("displayConcealedNames") if isinstance(settings, dict) else None
    return told if isinstance(told, bool) else None
