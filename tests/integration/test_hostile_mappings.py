"""Two hundred files that are no mapping: each is refused by row and column or by what it is, at once, and nothing of it is saved."""

import csv
import io
import random
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import openpyxl

from local.stack import Stack
from shared.configuration.mapping_files import COLUMNS, CSV, XLSX
from tests.integration.test_mapping_files import downloaded, send, table, written

MOST_SECONDS = 2.0
Rows = list[list[str]]
AT = {name: place for place, name in enumerate(COLUMNS)}


def _cell(column: str, *values: str) -> Callable[[random.Random, Rows], bytes]:
    """A cell somewhere holds one of these."""

    def spoil(chance: random.Random, rows: Rows) -> bytes:
        rows[chance.randrange(1, len(rows))][AT[column]] = chance.choice(values)
        return written(rows)

    return spoil


def _encoded(encoding: str) -> Callable[[random.Random, Rows], bytes]:
    def spoil(_chance: random.Random, rows: Rows) -> bytes:
        rows[1][AT["note"]] = "Größe – naïve"
        return written(rows).decode().encode(encoding)

    return spoil


def _twice(chance: random.Random, rows: Rows) -> bytes:
    rows.append(list(rows[chance.randrange(1, len(rows))]))
    return written(rows)


def _header(*names: str) -> Callable[[random.Random, Rows], bytes]:
    def spoil(_chance: random.Random, rows: Rows) -> bytes:
        return written([list(names), *rows[1:]])

    return spoil


def _many(_chance: random.Random, rows: Rows) -> bytes:
    return written([rows[0], *([f"x{n}", "text", "city", "", "", "", "users"] for n in range(5000))])


def _long_cell(_chance: random.Random, rows: Rows) -> bytes:
    rows[2][AT["note"]] = "x" * 50_000
    return written(rows)


def _unclosed(chance: random.Random, rows: Rows) -> bytes:
    return written(rows) + b'"open' + bytes([chance.randrange(65, 90)])


def _stray(_chance: random.Random, rows: Rows) -> bytes:
    rows[3] = [*rows[3], "", "stray"]
    return written(rows)


def _bytes(chance: random.Random, _rows: Rows) -> bytes:
    return chance.randbytes(chance.randrange(1, 5000))


def _no_book(chance: random.Random, _rows: Rows) -> bytes:
    return b"PK\x03\x04" + chance.randbytes(2000)


def _zip(chance: random.Random, _rows: Rows) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr(f"a{chance.random()}.txt", "nothing")
    return out.getvalue()


def _bomb(_chance: random.Random, _rows: Rows) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/worksheets/sheet1.xml", b"0" * 60_000_000)
    return out.getvalue()


def _book(value: Any) -> Callable[[random.Random, Rows], bytes]:
    def spoil(chance: random.Random, rows: Rows) -> bytes:
        book = openpyxl.Workbook()
        sheet = book.active
        assert sheet is not None
        for row in rows:
            sheet.append(row)
        sheet.cell(chance.randrange(2, len(rows)), chance.randrange(1, len(COLUMNS) + 1)).value = value
        out = io.BytesIO()
        book.save(out)
        return out.getvalue()

    return spoil


SPOILERS: list[Callable[[random.Random, Rows], bytes]] = [
    _encoded("utf-32"), _encoded("cp1252"), _encoded("utf-16-be"), _twice, _many, _long_cell, _unclosed, _stray, _bytes, _no_book,
    _zip, _bomb, _book(12.5), _book(True), _book("=1+1"), _book(10**16),
    _header("target source"), _header("source"), _header("target", "source", "source"), _header("a", "b", "c"), _header(""),
    _cell("target", "", "Department", "partitionKey", "a b", "__v", "ünï", "x" * 200, "=cmd()", "a|b", "a'b", "1st"),
    _cell("type", "varchar", "TEXTS", "0", "={}"),
    _cell("source", "nothing", "city.nothing", "city[0]", "a..b", "[*]", "aboutMe", "passwordProfile.password", "employeeOrgData.x",
          "manager.id.x'", "x" * 400, "city city", "__class__", "extension_1_x"),
    _cell("transform", "exec", "lower(", "lower |", "| lower", "lower upper", 'join {"separator": 5}', 'capture {"pattern": "(a"}',
          'capture {"pattern": "(?=a)b"}', r'capture {"pattern": "(a)\\1"}', 'capture {"pattern": "((a{0,1000}){0,1000}){0,1000}"}',
          "replace {}", 'replace {"table": 3}', 'toUtc {"timeZone": "Mars/Base"}', 'toUtc {"form": "%Q"}', "lower {", "lower {1}",
          'hash {"length": 1}', 'constant {"value": "x"}', 'flag {"true": ["x"], "false": ["X"]}', "{" * 500, 'e164 {"countryCode": "+49"}',
          "__import__", "lower;upper"),
    _cell("stream", "groups", "Users", "*"),
    _cell("role", "boss", "displayName"),
    _cell("missing", "perhaps", "licence"),
]  # fmt: skip


def hostile(base: Rows, count: int) -> Iterator[tuple[str, bytes]]:
    for number in range(count):
        chance = random.Random(number)
        spoil = SPOILERS[number % len(SPOILERS)]
        yield f"{number} {spoil.__qualname__}", spoil(chance, [list(row) for row in base])


def test_two_hundred_files_that_are_no_mapping_are_refused_with_their_places(
    stack: Stack, say: Callable[[str], None]
) -> None:
    base = table(downloaded(stack))
    before = stack.api("GET", "mappings")[1]["items"]
    slowest, refused = 0.0, 0
    for name, content in hostile(base, 200):
        kind = XLSX if content[:2] == b"PK" else CSV
        began = time.monotonic()
        status, answer, _ = send(stack, "POST", "mappings/upload?kind=entra-id", content, kind)
        took = time.monotonic() - began
        slowest = max(slowest, took)
        if status == 200:  # a cell that says what it said before, or a change that is allowed
            assert _harmless(content, base, answer), (name, answer["preview"])
            continue
        refused += 1
        assert status in (413, 422), (name, status, answer)
        assert took < MOST_SECONDS, (name, took)
        if status == 422:
            assert answer["errors"] and all(one["message"] for one in answer["errors"]), (name, answer)
            assert any(one["field"].startswith(("row ", "targets")) for one in answer["errors"]), (
                name,
                answer["errors"],
            )
    status, answer, _ = send(stack, "POST", "mappings/upload?kind=entra-id", b"x" * 10_000_000)
    assert status == 413
    assert stack.api("GET", "mappings")[1]["items"] == before
    say(f"{refused + 1} of 201 hostile files refused, the slowest in {slowest:.2f} s")
    assert refused > 170


def _harmless(content: bytes, base: Rows, answer: Any) -> bool:
    """Whether the file differs from the good one in nothing, or in one cell that is right as well."""
    if content[:2] == b"PK":
        return len(answer["targets"]) == len(base) - 1
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except UnicodeDecodeError:
        return True  # UTF-16 with its mark
    return sum(row != other for row, other in zip(rows, base, strict=False)) <= 1
