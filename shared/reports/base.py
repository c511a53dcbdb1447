"""What a report is, and how one is found by its name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from shared.connectors.base import Stream

if TYPE_CHECKING:
    from shared.reports.copy import Copy

Cell = str | int | float | bool | Decimal | None
Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column. `type`: text, number, flag, day or money."""

    name: str
    title: str
    type: Literal["text", "number", "flag", "day", "money"] = "text"


@dataclass(frozen=True)
class Asked:
    """How a report is asked for. `days`: of silence, or until something ends; `group_by`: what costs are summed by; `after`: the
    object id that the last page ended with.
    """

    days: int = 30
    group_by: str = "department"
    after: str = ""


@dataclass(frozen=True)
class ReportKind:
    """`facts`: the streams that its rows rest on; `by_person`: rows come in the order of people's ids, and pages go on behind one."""

    name: str
    title: str
    meaning: str
    columns: tuple[Column, ...]
    facts: tuple[Stream, ...]
    make: "Callable[[Copy, Asked], Iterator[Row]]"
    by_person: bool = True


REPORTS: dict[str, ReportKind] = {}


def report(
    name: str, title: str, columns: tuple[Column, ...], facts: tuple[Stream, ...], *, by_person: bool = True
) -> "Callable[[Callable[[Copy, Asked], Iterator[Row]]], Callable[[Copy, Asked], Iterator[Row]]]":
    """Registers a function. Its docstring is what readers of the catalogue see."""

    def register(make: "Callable[[Copy, Asked], Iterator[Row]]") -> "Callable[[Copy, Asked], Iterator[Row]]":
        meaning = " ".join((make.__doc__ or "").split())
        REPORTS[name] = ReportKind(name, title, meaning, columns, facts, make, by_person)
        return make

    return register
