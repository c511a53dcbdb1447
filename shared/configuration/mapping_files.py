"""Mappings as spreadsheets: CSV and XLSX with one row a target. What is downloaded can be uploaded again, and says the same.

Every cell is text. A cell that a spreadsheet would run as a formula gets an apostrophe in front, which is taken off again.
"""

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from shared.connectors.base import Kind
from shared.connectors.mappings import mapped
from shared.connectors.sample import sample
from shared.domain.mapping import Target, TransformIn
from shared.domain.value_type import Type
from shared.errors import FieldError, Invalid
from shared.mapping.compiled import ODD, compile_mapping
from shared.validation import field_errors

COLUMNS = ("target", "type", "source", "transform", "example", "note", "stream", "title", "role", "missing")
_NEEDED = ("target", "source")
CSV, XLSX = "text/csv", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MOST_ROWS, _MOST_COLUMNS, _MOST_CELL, _MOST_UNPACKED = 1000, 50, 32_000, 32 * 2**20
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
_NAME = re.compile(r"\s*([A-Za-z][A-Za-z0-9]*)\s*")


@dataclass
class Sheet:
    """Rows as they are numbered in the spreadsheet; the first holds the columns' names."""

    rows: list[tuple[int, list[str]]]
    name: str = ""
    wrong: list[FieldError] = field(default_factory=list)
    """Cells that can't be read."""


# Writing


def cells(kind: Kind, targets: Sequence[Target]) -> Iterator[list[str]]:
    """One row a target."""
    examples = _examples(kind, targets)
    for one in targets:
        row = {
            "target": one.target, "type": one.type.value, "source": "; ".join(one.source),
            "transform": text_of(one.transforms), "example": examples.get((one.stream, one.target), ""), "note": one.note,
            "stream": one.stream, "title": one.title, "role": one.role, "missing": one.missing or "",
        }  # fmt: skip
        yield [_safe(row[name]) for name in COLUMNS]


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def as_xlsx(rows: Iterable[Sequence[Any]], title: str, columns: Sequence[str] = COLUMNS) -> bytes:
    """Numbers are numbers. Every other cell is text and formatted so: what people type over it stays text, and nothing runs as a
    formula.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    book = Workbook(write_only=True)
    sheet = book.create_sheet(re.sub(r"[\\/*?:\[\]]", " ", title)[:31] or "Mapping")
    sheet.freeze_panes = "A2"
    for number, row in enumerate((columns, *rows)):
        made = []
        for text in row:
            if isinstance(text, int | float):
                made.append(WriteOnlyCell(sheet, value=text))
                continue
            cell = WriteOnlyCell(sheet, value=re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", text) or None)
            cell.number_format = "@"
            if cell.data_type == "f":
                cell.data_type = "s"
            if not number:
                cell.font = Font(bold=True)
            made.append(cell)
        sheet.append(made)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _examples(kind: Kind, targets: Sequence[Target]) -> dict[tuple[str, str], str]:
    """What each target is for a made-up object."""
    found = {}
    for stream in mapped(kind, targets).streams:
        item = sample(stream)
        for attribute in stream.attributes:
            try:
                value = compile_mapping((attribute,))(item).get(attribute.column)
            except ODD:
                continue
            if value is not None:
                found[stream.name, attribute.name] = str(value).lower() if attribute.type is Type.FLAG else str(value)
    return found


def text_of(transforms: Sequence[TransformIn]) -> str:
    """Such as `join {"separator": ", "} | upper`."""
    return " | ".join(
        one.name + (f" {json.dumps(one.parameters, ensure_ascii=False, sort_keys=True)}" if one.parameters else "")
        for one in transforms
    )


def transforms_of(text: str) -> list[TransformIn]:
    """The reverse of text_of(). Raises ValueError with what is wrong."""
    found, rest = list[TransformIn](), text.strip()
    parameters: dict[str, Any]
    while rest:
        name = _NAME.match(rest)
        if not name:
            raise ValueError(f"here a transform's name is expected: {rest[:40]}")
        rest, parameters = rest[name.end() :], {}
        if rest.startswith("{"):
            try:
                parameters, end = json.JSONDecoder().raw_decode(rest)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"the parameters of {name[1]} are no JSON object") from error
            rest = rest[end:].lstrip()
        found.append(TransformIn(name=name[1], parameters=parameters))
        if rest and not rest.startswith("|"):
            raise ValueError(f"between transforms stands |, and here {rest[:40]}")
        if rest and not (rest := rest[1:].strip()):
            raise ValueError("a transform is expected behind |")
    return found


# Reading


@dataclass(frozen=True)
class File:
    """The targets of a file, the rows that they stand in, and the name of the sheet that was read (of a workbook)."""

    targets: list[Target]
    rows: list[int]
    sheet: str


def read(content: bytes) -> File:
    """Raises Invalid with every error by row and column."""
    sheet = _xlsx(content) if content[:4] == b"PK\x03\x04" else Sheet(_csv(content))
    if not sheet.rows:
        raise _refused([FieldError("row 1", "empty", "the file is empty")])
    places, wrong = _header(*sheet.rows[0])
    wrong += sheet.wrong
    if len(sheet.rows) - 1 > MOST_ROWS:
        wrong.append(FieldError(f"row {MOST_ROWS + 2}", "too-many", f"a mapping holds {MOST_ROWS} targets at most"))
    if wrong:
        raise _refused(wrong)
    targets, rows = [], []
    for number, row in sheet.rows[1:]:
        if any(cell.strip() for cell in row):
            try:
                targets.append(_target(number, row, places))
                rows.append(number)
            except Invalid as error:
                wrong += error.fields
    if not targets and not wrong:
        wrong.append(FieldError("row 2", "empty", "there is no target"))
    if wrong:
        raise _refused(wrong)
    return File(targets, rows, sheet.name)


def in_rows(fields: Iterable[FieldError], rows: Sequence[int]) -> list[FieldError]:
    """Errors of a mapping by the rows and columns of its file."""
    return [_in_row(one, rows) for one in fields]


def _in_row(one: FieldError, rows: Sequence[int]) -> FieldError:
    parts = one.field.split(".")
    if parts[0] != "targets" or len(parts) < 3:
        return one
    column = "transform" if parts[2] == "transforms" else parts[2]
    inside = f" ({'.'.join(parts[3:])})" if parts[3:] else ""
    return FieldError(f"row {rows[int(parts[1])]}, {column}{inside}", one.code, one.message)


def _refused(wrong: list[FieldError]) -> Invalid:
    return Invalid(
        "The file is no mapping that can be saved.", code="invalid-file", fields=tuple(wrong[:200]),
        remedy="Correct the cells listed under errors and upload the file again; nothing was saved.",
    )  # fmt: skip


def _header(number: int, row: list[str]) -> tuple[dict[str, int], list[FieldError]]:
    places: dict[str, int] = {}
    wrong = []
    for place, cell in enumerate(row):
        name = cell.strip().casefold()
        if name in places:
            wrong.append(
                FieldError(
                    f"row {number}, column {place + 1}", "twice", f"{name} is the name of column {places[name] + 1} too"
                )
            )
        elif name in COLUMNS:
            places[name] = place
        elif name:
            wrong.append(FieldError(f"row {number}, column {place + 1}", "unknown", f"is none of {', '.join(COLUMNS)}"))
    missing = [name for name in _NEEDED if name not in places]
    if missing:
        text = f"the first row has to name the columns; {' and '.join(missing)} is missing"
        wrong.append(FieldError(f"row {number}", "no-header", text))
    return places, wrong


def _target(number: int, row: list[str], places: dict[str, int]) -> Target:
    given = {name: row[place] if place < len(row) else "" for name, place in places.items()}
    stray = [place for place, cell in enumerate(row) if cell.strip() and place not in places.values()]
    wrong = [
        FieldError(f"row {number}, column {place + 1}", "no-heading", "there is a value under no heading")
        for place in stray
    ]
    transforms: list[TransformIn] = []
    try:
        transforms = transforms_of(_plain(given.get("transform", "")))
    except ValueError as error:
        wrong.append(FieldError(f"row {number}, transform", "malformed", str(error)))
    body: dict[str, Any] = {
        "target": _plain(given["target"]).strip(), "stream": _plain(given.get("stream", "")).strip(),
        "source": [part.strip() for part in re.split(r"[;,\n]", _plain(given["source"])) if part.strip()],
        "type": _plain(given.get("type", "")).strip().casefold() or "text", "note": _plain(given.get("note", "")),
        "title": _plain(given.get("title", "")), "role": _plain(given.get("role", "")).strip(),
        "missing": _plain(given.get("missing", "")).strip() or None,
    }  # fmt: skip
    try:
        made = Target.model_validate({**body, "transforms": transforms})
    except ValidationError as error:
        for item in field_errors(error):
            column, _, rest = item.field.partition(".")
            wrong.append(FieldError(f"row {number}, {column}{f' ({rest})' if rest else ''}", item.code, item.message))
    if wrong:
        raise Invalid("A row is wrong.", fields=tuple(wrong))
    return made


def _plain(text: str) -> str:
    return text.removeprefix("'")


def _csv(content: bytes) -> list[tuple[int, list[str]]]:
    text = _decoded(content)
    first = text.lstrip("\r\n").split("\n", 1)[0].split("\r", 1)[0].strip()
    if first.casefold().startswith("sep=") and len(first) == 5:  # Excel's own hint is no row
        separator, text = first[4], text.lstrip("\r\n")[len(first) :].lstrip("\r\n")
        return _cut(text, separator)
    names = {mark: {cell.strip().strip('"').casefold() for cell in first.split(mark)} for mark in (",", ";", "\t")}
    return _cut(text, next((mark for mark, found in names.items() if set(_NEEDED) <= found), ","))


def _cut(text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Rows as a spreadsheet numbers them."""
    rows = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for number, row in enumerate(reader, 1):
            if number > MOST_ROWS + 5:
                break
            if len(row) > _MOST_COLUMNS:
                raise _refused(
                    [FieldError(f"row {number}", "too-many", f"a row holds {_MOST_COLUMNS} columns at most")]
                )
            if any(len(cell) > _MOST_CELL for cell in row):
                raise _refused(
                    [FieldError(f"row {number}", "too-long", f"a cell holds {_MOST_CELL} characters at most")]
                )
            rows.append((number, row))
    except csv.Error as error:
        where = FieldError(f"row {len(rows) + 1}", "malformed", f"the row can't be read as CSV: {error}")
        raise _refused([where]) from None
    while rows and not any(cell.strip() for cell in rows[-1][1]):
        rows.pop()
    return rows


def _decoded(content: bytes) -> str:
    try:
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return content.decode("utf-16")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise _refused([FieldError("row 1", "encoding", "the file is not UTF-8: save it as CSV UTF-8, or as XLSX")])
    return text


def _xlsx(content: bytes) -> Sheet:
    from openpyxl import load_workbook

    broken = FieldError("row 1", "malformed", "the file can't be read as a workbook: save it as XLSX or CSV UTF-8")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(one.file_size for one in packed.infolist()) > _MOST_UNPACKED:
                raise _refused([FieldError("row 1", "too-large", "the workbook is too large")])
        values = load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
        written = load_workbook(io.BytesIO(content), read_only=True, data_only=False, keep_links=False)
    except Invalid:
        raise
    except Exception as error:  # whatever a broken file makes the reader raise
        raise _refused([broken]) from error
    try:
        name = next((sheet.title for sheet in values.worksheets if sheet.sheet_state == "visible"), "")
        if not name:
            raise _refused([FieldError("row 1", "hidden", "no sheet of the workbook is visible")])
        return _sheet(
            name, *(book[name].iter_rows(max_row=MOST_ROWS + 6, max_col=_MOST_COLUMNS) for book in (values, written))
        )
    except Invalid:
        raise
    except Exception as error:
        raise _refused([broken]) from error
    finally:
        values.close()
        written.close()


def _sheet(name: str, values: Iterable[Any], written: Iterable[Any]) -> Sheet:
    """Text of cells. Numbers, dates and flags are what a spreadsheet made of text: which, nobody can tell any more."""
    sheet = Sheet([], name)
    for number, (row, formulas) in enumerate(zip(values, written, strict=False), 1):
        if number > MOST_ROWS + 5:
            break
        texts = []
        for place, (cell, formula) in enumerate(zip(row, formulas, strict=False)):
            value = cell.value
            where = f"row {number}, column {place + 1}"
            if formula.data_type == "f" and not isinstance(value, str):
                sheet.wrong.append(FieldError(where, "formula", "holds a formula without text: paste its value"))
            elif value is not None and not isinstance(value, str):
                kind = type(value).__name__
                text = f"holds a {kind} where text is needed: format the cell as text and type it again"
                sheet.wrong.append(FieldError(where, "not-text", text))
            texts.append(value if isinstance(value, str) else "")
        sheet.rows.append((number, texts))
    while sheet.rows and not any(cell.strip() for cell in sheet.rows[-1][1]):
        sheet.rows.pop()
    return sheet
