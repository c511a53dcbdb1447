"""Reports over HTTP: pages that together are the file, files that spreadsheets open, and no formula in them."""

import csv
import io
from typing import Any

import openpyxl
import pytest

from local.stack import Stack
from shared.connectors.entra_id import SIGN_INS
from shared.reports import REPORTS
from tests import support
from tests.integration.test_mapping_files import send

FORMULA = '=HYPERLINK("http://evil.example","x")'


@pytest.fixture(scope="module")
def source(stack: Stack) -> str:
    """A source with a connector for licences, all of whose jobs have run."""
    ids = support.configure(stack, connector={"kind": "microsoft-365", "options": {}})
    for job in ("directory", "licences", "usage"):
        assert support.run_and_wait(stack, ids["connector"], job=job)["state"] == "succeeded"
    return ids["source"]


def pages(stack: Stack, name: str, source: str, limit: int) -> list[dict[str, Any]]:
    items, after = list[dict[str, Any]](), ""
    while True:
        status, page = stack.api("GET", f"reports/{name}?source={source}&limit={limit}{after}")
        assert status == 200, page
        items += page["items"]
        assert all(at for stream, at in page["asOf"].items() if stream != SIGN_INS.name)  # nobody reads those here
        if page["next"] is None:
            return items
        after = f"&after={page['next']}"


def test_the_catalogue_names_every_report_with_its_columns(stack: Stack) -> None:
    status, found = stack.api("GET", "reports")
    assert status == 200 and [one["name"] for one in found["reports"]] == sorted((*REPORTS, "people", "devices"))
    assert all(one["meaning"] and one["columns"] and one["facts"] for one in found["reports"])


@pytest.mark.parametrize("name", sorted(set(REPORTS) - {"never-active"}))
def test_pages_and_files_of_a_report_say_the_same(stack: Stack, source: str, name: str) -> None:
    items = pages(stack, name, source, 7)
    columns = [column.name for column in REPORTS[name].columns]
    assert items and all(item.keys() == set(columns) for item in items)
    status, content, headers = send(stack, "GET", f"reports/{name}?source={source}&format=csv")
    assert status == 200 and headers["content-disposition"].startswith("attachment")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert rows[0] == [column.title for column in REPORTS[name].columns] and len(rows) == len(items) + 1
    status, content, _ = send(stack, "GET", f"reports/{name}?source={source}&format=xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(content)).active
    assert status == 200 and sheet is not None and sheet.max_row == len(items) + 1
    for number, item in enumerate(items):
        cells = [cell.value for cell in sheet[number + 2]]
        for name_of, cell in zip(columns, cells, strict=True):
            value = item[name_of]
            want = None if value in (None, "") else ("true" if value else "false") if isinstance(value, bool) else value
            assert cell == want, (name_of, cell, want)


def table(stack: Stack, path: str) -> list[list[str]]:
    status, content, _ = send(stack, "GET", path)
    assert status == 200, content
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_people_are_a_report_of_all_mapped_columns_or_of_those_that_were_chosen(stack: Stack, source: str) -> None:
    truth = {one["id"]: one for one in support.truth(stack, "users")}
    whole = table(stack, f"reports/people?source={source}&format=csv")
    titles = whole[0]
    assert {row[0] for row in whole[1:]} == truth.keys() and len(titles) == len(set(titles))
    _, page = stack.api("GET", f"people?source={source}&limit=1&select=displayName,lastLogonAt")
    assert page["items"] and {"Display name", "Sign-in name", "Department", "Manager"} <= set(titles)
    place = {title: number for number, title in enumerate(titles)}
    for row in whole[1:]:
        one = truth[row[0]]
        assert row[place["Display name"]].removeprefix("'") == one["displayName"]
        assert row[place["Department"]].removeprefix("'") == (one.get("department") or "")
        assert row[place["Account enabled"]] == ("true" if one["accountEnabled"] else "false")
    chosen = table(stack, f"reports/people?source={source}&format=csv&select=mail,enabled&filter=enabled%20eq%20false")
    off = {key for key, one in truth.items() if not one["accountEnabled"]}
    assert len(chosen[0]) == 3 and {row[0] for row in chosen[1:]} == off and {row[2] for row in chosen[1:]} == {"false"}
    _, page = stack.api("GET", f"reports/people?source={source}&limit=7&select=mail,enabled")
    rest, items = page, list[dict[str, Any]]()
    while True:
        items += rest["items"]
        if rest["next"] is None:
            break
        _, rest = stack.api("GET", f"reports/people?source={source}&limit=7&select=mail,enabled&after={rest['next']}")
    assert {one["id"] for one in items} == truth.keys() and len(items) == len(truth) and page["asOf"]["users"]
    assert all(one.keys() == {"id", "mail", "enabled"} for one in items)
    status, content, _ = send(stack, "GET", f"reports/people?source={source}&format=xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(content)).active
    assert status == 200 and sheet is not None and (sheet.max_row, sheet.max_column) == (len(whole), len(titles))


def test_what_does_not_fit_is_refused(stack: Stack, source: str) -> None:
    for path, status in (
        ("reports/nothing?source=x1", 404), ("reports/licences?source=nobody", 404), ("reports/licences", 422),
        (f"reports/licences?source={source}&days=0", 422), (f"reports/licences?source={source}&after=nothing", 422),
        (f"reports/cost?source={source}&select=mail", 422), (f"reports/people?source={source}&select=shoe", 422),
        (f"reports/people?source={source}&filter=shoe%20eq%201", 422), (f"reports/people?source={source}&after=nothing", 422),
        (f"reports/cost?source={source}&groupBy=shoe", 422), (f"reports/licences?source={source}&format=pdf", 422),
    ):  # fmt: skip
        found, problem = stack.api("GET", path)
        assert found == status and problem["code"], (path, found, problem)


def test_a_name_that_is_a_formula_is_text_in_files(rough_stack: Stack) -> None:
    victim = next(one for one in support.truth(rough_stack, "users") if one["licenseAssignmentStates"])["id"]
    support.mutate(rough_stack, "set", kind="users", ids=[victim], properties={"displayName": FORMULA})
    ids = support.configure(rough_stack, connector={"kind": "microsoft-365", "options": {"collectUsage": False}})
    for job in ("directory", "licences"):
        support.run_and_wait(rough_stack, ids["connector"], job=job)
    address = f"reports/licences-of-people?source={ids['source']}&format="
    text = send(rough_stack, "GET", f"{address}csv")[1].decode("utf-8-sig")
    cells = {row[0]: row[1] for row in csv.reader(io.StringIO(text, newline=""))}
    assert cells[victim] == f"'{FORMULA}"
    book = openpyxl.load_workbook(io.BytesIO(send(rough_stack, "GET", f"{address}xlsx")[1]))
    sheet = book.active
    assert sheet is not None
    found = [cell for row in sheet.iter_rows() for cell in row if cell.value == FORMULA]
    assert found and all(cell.data_type == "s" for cell in found)


@pytest.mark.parametrize(
    ("prices", "field"),
    [
        ([{"skuId": "(05e9a617-0261-4cee-bb44-138d3ef5d965", "monthly": 1}], "options.prices.0.skuId"),
        ([{"skuId": "05e9a617-0261-4cee-bb44- 138d3ef5d965", "monthly": 1}], "options.prices.0.skuId"),
        ([{"skuId": "05e9a617-0261-4cee-bb44-138d3ef5d965", "monthly": -1}], "options.prices.0.monthly"),
        ([{"skuId": "05e9a617-0261-4cee-bb44-138d3ef5d965", "monthly": 1}, {"skuId": "05E9A617-0261-4CEE-BB44-138D3EF5D965", "monthly": 2}], "options.prices"),
    ],
    ids=["a bracket", "a blank", "below zero", "twice"],
)  # fmt: skip
def test_a_price_that_is_none_is_refused_by_its_row(stack: Stack, source: str, prices: list[Any], field: str) -> None:
    body = {"name": "Prices", "sourceId": source, "kind": "microsoft-365", "options": {"prices": prices}}
    status, problem = stack.api("POST", "connectors", body)
    assert status == 422 and [one["field"] for one in problem["errors"]] == [field], problem
