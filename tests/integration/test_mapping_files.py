"""Mappings over HTTP as an owner uses them: looked at, downloaded, edited in a spreadsheet, tried, saved, run and found again."""

import csv
import io
import json
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError

import openpyxl
import pytest

from local.cloud.graph.people import EXTENSION
from local.stack import Stack
from shared.configuration.mapping_files import COLUMNS, CSV, XLSX
from shared.connectors.entra_id import ENTRA_ID
from shared.connectors.mappings import default_targets
from tests import support


def send(
    stack: Stack, method: str, path: str, body: bytes = b"", kind: str = CSV, **headers: str
) -> tuple[int, Any, dict[str, str]]:
    request = urllib.request.Request(f"{stack.url}/api/v1/{path}", data=body or None, method=method)
    for name, value in {"Authorization": f"Bearer {stack.token}", "Content-Type": kind, **headers}.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            raw, status, got = answer.read(), answer.status, answer.headers
    except HTTPError as error:
        raw, status, got = error.read(), error.code, error.headers
    named = {name.lower(): value for name, value in got.items()}
    return status, json.loads(raw) if "json" in named.get("content-type", "") else raw, named


def downloaded(stack: Stack, mapping: str = "entraid", form: str = "csv") -> bytes:
    status, content, headers = send(stack, "GET", f"mappings/{mapping}/download?format={form}")
    assert status == 200 and headers["content-disposition"].startswith("attachment")
    assert headers["content-type"].startswith(CSV if form == "csv" else XLSX)
    return bytes(content)


def table(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def written(rows: list[list[str]], separator: str = ",", end: str = "\r\n") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=end).writerows(rows)
    return text.getvalue().encode()


def errors(stack: Stack, content: bytes, kind: str = CSV) -> dict[str, str]:
    status, answer, _ = send(stack, "POST", "mappings/upload?kind=entra-id", content, kind)
    assert status == 422, answer
    return {one["field"]: one["code"] for one in answer["errors"]}


def changes(stack: Stack, content: bytes, kind: str = CSV) -> list[tuple[str, str]]:
    status, answer, _ = send(stack, "POST", "mappings/upload?kind=entra-id", content, kind)
    assert status == 200, answer
    return [(one["target"], one["change"]) for one in answer["preview"]["targets"] if one["change"] != "same"]


def test_document_000_is_in_the_catalogue_the_stored_default_and_the_download(stack: Stack) -> None:
    """Each line of the vendor's list, by the targets that hold it."""
    wanted = {
        "person": "displayName givenName surname mail phones createdAt expiresAt streetAddress city state country jobTitle department "
        "managerId employeeType employeeId employeeNumber lastLogonAt officeLocation distinguishedName passwordPolicies "
        "applicationLogons".split(),
        "device": "displayName deviceId operatingSystem".split(),
    }  # fmt: skip
    _, catalogue = stack.api("GET", "catalogue")[:2]
    listed = {(one["recordType"], one["name"]): one for one in catalogue["targets"]}
    _, stored = stack.api("GET", "mappings/entraid")[:2]
    in_store = {(one["stream"], one["target"]) for one in stored["targets"]}
    rows = table(downloaded(stack))
    assert rows[0] == list(COLUMNS)
    in_file = {(row[COLUMNS.index("stream")], row[0]) for row in rows[1:]}
    assert in_file == in_store and len(rows) - 1 == len(stored["targets"])
    for record_type, names in wanted.items():
        for name in names:
            one = listed[record_type, name]
            assert (one["stream"], name) in in_store
            assert one["source"] or one["missing"]
    assert {one["title"] for one in listed["person", "expiresAt"]["alternatives"]} == {
        "Leave date", "Extension attribute 1 as a date",
    }  # fmt: skip
    leave = next(one for one in catalogue["sources"] if one["name"] == "employeeLeaveDateTime")
    assert leave["permission"] == "User-LifeCycleInfo.Read.All" and leave["type"] == "DateTimeOffset"
    owners = next(one for one in catalogue["sources"] if one["name"] == "registeredOwners")
    assert not owners["inDelta"] and owners["targets"] == ["ownerIds"]


def test_a_kind_says_its_options_and_every_call(stack: Stack) -> None:
    status, kind, _ = send(stack, "GET", "connector-kinds/entra-id")
    assert status == 200 and kind["mappingId"] == "entraid"
    assert {one["name"] for one in kind["options"]} >= {"userThresholdDays", "collectSignIns"}
    streams = {one["name"]: one for job in kind["jobs"] for one in job["streams"]}
    assert streams["sign-ins"]["licence"] and "signInActivity" in streams["sign-ins"]["calls"][0]
    assert all(call.startswith("GET ") for one in streams.values() for call in one["calls"])
    assert send(stack, "GET", "connector-kinds/nothing")[0] == 404


@pytest.mark.parametrize("form", ["json", "csv", "xlsx"])
def test_the_overview_names_each_target_and_what_feeds_it(stack: Stack, form: str) -> None:
    status, answer, _ = send(stack, "GET", f"mappings/overview?type=person&format={form}")
    assert status == 200
    if form == "json":
        rows = {row["target"]: row["sources"]["entra-id"] for row in answer["rows"]}
    elif form == "csv":
        rows = {row[1]: row[4] for row in table(answer)[1:]}
    else:
        sheet = openpyxl.load_workbook(io.BytesIO(answer)).active
        rows = {str(row[1].value): str(row[4].value) for row in sheet.iter_rows(min_row=2)}  # type: ignore[union-attr]
    assert rows["mail"] == "mail" and rows["expiresAt"] == "(not-provided)" and rows["lastLogonAt"] == "signInActivity"


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_what_is_downloaded_says_the_same_when_it_is_uploaded(stack: Stack, form: str) -> None:
    content = downloaded(stack, form=form)
    status, answer, _ = send(stack, "POST", "mappings/upload?kind=entra-id", content, CSV if form == "csv" else XLSX)
    assert status == 200, answer
    assert [json.dumps(one, sort_keys=True) for one in answer["targets"]] == [
        json.dumps(one.model_dump(mode="json", by_alias=True), sort_keys=True) for one in default_targets(ENTRA_ID)
    ]
    assert {one["change"] for one in answer["preview"]["targets"]} == {"same"} and not answer["preview"]["fullRead"]


def _semicolons(rows: list[list[str]]) -> bytes:
    return written(rows, ";")


def _tabs(rows: list[list[str]]) -> bytes:
    return b"\xff\xfe" + written(rows, "\t").decode().encode("utf-16-le")


def _hint(rows: list[list[str]]) -> bytes:
    return b"sep=;\r\n" + written(rows, ";")


def _old_mac(rows: list[list[str]]) -> bytes:
    return written(rows, end="\r")


def _blank_columns(rows: list[list[str]]) -> bytes:
    return written([[*row, "", ""] for row in rows])


@pytest.mark.parametrize("spoilt", [_semicolons, _tabs, _hint, _old_mac, _blank_columns])
def test_what_spreadsheets_make_of_a_file_is_read_all_the_same(
    stack: Stack, spoilt: Callable[[list[list[str]]], bytes]
) -> None:
    assert changes(stack, spoilt(table(downloaded(stack)))) == []


def test_line_breaks_in_cells_count_as_no_rows_and_stay(stack: Stack) -> None:
    rows = table(downloaded(stack))
    rows[3][COLUMNS.index("note")] = "one\ntwo\r\nthree"
    rows[6][COLUMNS.index("type")], rows[8][COLUMNS.index("source")] = "number", "nothing"
    found = errors(stack, written(rows))
    assert {"row 7, type": "type-clash", "row 9, source (0)": "unknown"}.items() <= found.items()
    rows[6][COLUMNS.index("type")], rows[8][COLUMNS.index("source")] = "text", "otherMails"
    status, answer, _ = send(stack, "POST", "mappings/upload?kind=entra-id", written(rows))
    assert status == 200 and answer["targets"][2]["note"] == "one\ntwo\nthree"


def _book(rows: list[list[Any]], hidden: str = "") -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    if hidden:
        sheet.title, sheet.sheet_state = hidden, "hidden"
        sheet.append(["nothing"])
        sheet = book.create_sheet("Shown")
    for row in rows:
        sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("value", "code"), [(12, "not-text"), (1e16, "not-text"), (True, "not-text"), ('="job"&"Title"', "formula")]
)
def test_a_cell_that_is_no_text_is_an_error_with_its_place(stack: Stack, value: Any, code: str) -> None:
    rows: list[list[Any]] = [list(row) for row in table(downloaded(stack))]
    rows[4][2] = value
    assert errors(stack, _book(rows), XLSX) == {"row 5, column 3": code}


def test_a_hidden_sheet_is_passed_over_and_said(stack: Stack) -> None:
    rows: list[list[Any]] = [list(row) for row in table(downloaded(stack))]
    status, answer, _ = send(stack, "POST", "mappings/upload?kind=entra-id", _book(rows, hidden="Old"), XLSX)
    assert status == 200 and answer["sheet"] == "Shown"


def test_a_formula_in_a_note_is_no_formula_in_the_file(stack: Stack) -> None:
    rows = table(downloaded(stack))
    rows[1][COLUMNS.index("note")] = "'=HYPERLINK(1)"
    _, answer, _ = send(stack, "POST", "mappings/upload?kind=entra-id", written(rows))
    assert answer["targets"][0]["note"] == "=HYPERLINK(1)"
    made = stack.api("POST", "mappings", {"name": "Formula", "kind": "entra-id", "targets": answer["targets"]})[1]
    again = table(downloaded(stack, made["id"]))
    assert again[1][COLUMNS.index("note")] == "'=HYPERLINK(1)"
    sheet = openpyxl.load_workbook(io.BytesIO(downloaded(stack, made["id"], "xlsx"))).active
    assert sheet is not None and {cell.data_type for row in sheet.iter_rows() for cell in row} <= {"s", "n"}


def test_as_a_new_user_would(rough_stack: Stack) -> None:
    """Download, rename a column, add an extension attribute, upload, see what would change, save, run, find the value."""
    stack = rough_stack
    ids = support.configure(stack, connector={"options": {"collectDevices": False}})
    support.run_and_wait(stack, ids["connector"])
    status, made, _ = send(
        stack, "POST", "mappings",
        json.dumps({"name": f"Ours {ids['connector']}", "kind": "entra-id", "targets": _targets()}).encode(), "application/json",
    )  # fmt: skip
    assert status == 201, made
    book = openpyxl.load_workbook(io.BytesIO(downloaded(stack, made["id"], "xlsx")))
    sheet = book.active
    assert sheet is not None
    for row in sheet.iter_rows(min_row=2):
        if row[0].value == "officeLocation":
            row[0].value = "room"
    sheet.append(
        ["costCentre", "text", EXTENSION, 'trim | replace {"table": {"0000": "none"}}', None, "From HR", "users"]
    )
    out = io.BytesIO()
    book.save(out)
    status, tried, _ = send(
        stack, "POST", f"mappings/upload?kind=entra-id&connector={ids['connector']}&sample=20", out.getvalue(), XLSX
    )
    assert status == 200, tried
    found = {one["target"]: one for one in tried["preview"]["targets"]}
    assert (found["room"]["change"], found["officeLocation"]["change"], found["costCentre"]["change"]) == (
        "new",
        "lost",
        "new",
    )
    assert (
        found["costCentre"]["filled"] and found["costCentre"]["examples"] and tried["preview"]["sampled"]["users"] == 20
    )
    assert tried["preview"]["fullRead"] == ["users"] and tried["preview"]["records"]["users"] == 160
    status, saved, _ = send(
        stack, "PUT", f"mappings/{made['id']}/upload?note=HR", out.getvalue(), XLSX, If_Match=f'"r{made["revision"]}"'
    )
    assert status == 200 and saved["note"] == "HR" and saved["version"] == tried["preview"]["version"], saved
    status, changed = stack.api(
        "PATCH", f"connectors/{ids['connector']}", {"mappingId": made["id"]}, {"If-Match": "*"}
    )[:2]
    assert status == 200, changed
    run = support.run_and_wait(stack, ids["connector"])
    receipt = stack.api("GET", f"runs/{run['id']}/receipt")[1]
    assert (receipt["mappingId"], receipt["mappingVersion"]) == (made["id"], saved["version"])
    person = next(u for u in support.truth(stack, "users") if u[EXTENSION] and u["officeLocation"])
    values = stack.api("GET", f"people/{ids['source']}~{person['id']}")[1]["values"]
    assert values["costCentre"]["value"] == person[EXTENSION] and values["room"]["value"] == person["officeLocation"]
    versions = stack.api("GET", f"mappings/{made['id']}/versions")[1]["items"]
    assert [(one["revision"], one["note"]) for one in versions] == [(2, "HR"), (1, "")]
    diff = stack.api("GET", f"mappings/{made['id']}/diff?old=1")[1]["items"]
    assert {(one["target"], bool(one["before"]), bool(one["after"])) for one in diff} == {
        ("room", False, True), ("officeLocation", True, False), ("costCentre", False, True),
    }  # fmt: skip
    status, back = stack.api("POST", f"mappings/{made['id']}/restore", {"revision": 1}, {"If-Match": "*"})[:2]
    assert status == 200 and (back["revision"], back["version"]) == (3, made["version"])


def test_lists_show_chosen_values(stack: Stack) -> None:
    ids = support.configure(stack, connector={"options": {"collectDevices": False}})
    support.run_and_wait(stack, ids["connector"])
    address = f"people?source={ids['source']}&select=displayName,department,lastLogonAt&limit=3"
    status, page = stack.api("GET", f"{address}&filter=department%20ne%20null")
    assert status == 200 and len(page["items"]) == 3 and page["next"], page
    for row in page["items"]:
        assert row["values"]["department"] and row["missing"] == {"lastLogonAt": "not-requested"}
        flat = stack.api("GET", f"people/{row['id']}?view=flat")[1]
        assert (
            flat["values"]["department"] == row["values"]["department"]
            and flat["missing"]["expiresAt"] == "not-provided"
        )
    status, answer = stack.api("GET", f"people?select=nothing&source={ids['source']}")
    assert status == 422 and answer["errors"][0]["field"] == "select"
    status, answer = stack.api("GET", "people?filter=department%20likes%20null")
    assert status == 422 and answer["errors"][0]["field"] == "filter"


def _targets() -> list[dict[str, Any]]:
    return [one.model_dump(mode="json", by_alias=True) for one in default_targets(ENTRA_ID)]
