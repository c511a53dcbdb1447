"""Usage reports: every value against the simulated tenant's own files, concealed names, and files that are not what they should be."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from local.cloud.graph.reports import MAKERS
from local.stack import Stack
from shared.connectors.base import Report, Stream
from shared.connectors.microsoft_365 import ACTIVATIONS, REPORTS, activation_part
from shared.domain.run import Run
from shared.graph.reports import property_of
from shared.mapping.attribute import Type
from tests import support
from tests.bench import __main__ as bench
from tests.rig import Rig

TENANT = (60, 0, 20)
DAY = date(2026, 11, 18)
NEXT = DAY + timedelta(days=1)
ROLES = ["User.Read.All", "Reports.Read.All"]


@pytest.fixture
def connected(rig: Rig) -> tuple[Rig, str]:
    """People are read."""
    rig.roles = list(ROLES)
    _report_anew(rig)
    connector = rig.configure(kind="microsoft-365", options={})
    rig.run(connector)
    return rig, connector


def _report_anew(rig: Rig) -> None:
    rig.directory.reports.refreshed = {"": DAY}


def usage(rig: Rig, connector: str) -> Run:
    rig.clock.move(12 * 3600)
    return rig.run(connector, job="usage")


def rows(rig: Rig, stream: str) -> dict[str, dict[str, Any]]:
    return {row["RowKey"].split("|")[0]: row for row in rig.entities("Records") if row["RowKey"].endswith(f"|{stream}")}


def codes(run: Run) -> set[str]:
    return {problem.code for problem in run.problems}


def _wanted(type_: Type, text: str) -> Any:
    if text == "":
        return None
    if type_ is Type.NUMBER:
        return int(text)
    if type_ is Type.FLAG:
        return text in ("True", "Yes")
    return text


def differences(rig: Rig) -> list[str]:
    """What is stored of each report against what the tenant's file says, person by person and column by column."""
    ids = {one["userPrincipalName"]: one["id"] for one in rig.objects()}
    found: list[str] = []
    streams = (*REPORTS, ACTIVATIONS)
    by_stream: dict[str, dict[str, dict[str, Any]]] = {stream.name: {} for stream in streams}
    for row in rig.entities("Records"):
        object_id, _, name = row["RowKey"].split("|")
        by_stream.get(name, {})[object_id] = row
    for stream in streams:
        reader, stored = stream.reader, by_stream[stream.name]
        assert isinstance(reader, Report)
        name = reader.address.rpartition("/")[2]
        told = {_key(stream, ids, row): row for row in rig.directory.reports.rows(name, "D30")}
        if stored.keys() != told.keys():
            found.append(f"{stream.name}: {len(stored)} rows, not {len(told)}")
            continue
        for person, row in told.items():
            values = {property_of(column): value for column, value in row.items()} | {
                "personId": person.partition(".")[0]
            }
            for attribute in stream.attributes:
                if attribute.source == ("other",):
                    continue
                have, want = (
                    stored[person].get(attribute.column),
                    _wanted(attribute.type, values.get(attribute.source[0], "")),
                )
                if attribute.type is Type.TIME:
                    have = have and f"{have:%Y-%m-%d}"
                if have != want:
                    found.append(f"{stream.name} {person} {attribute.name}: {have!r}, not {want!r}")
    return found


def _key(stream: Stream, ids: dict[str, str], row: dict[str, str]) -> str:
    person = ids[row["User Principal Name"]]
    return f"{person}.{activation_part({'productType': row['Product Type']})}" if stream is ACTIVATIONS else person


def test_each_value_of_nine_reports_is_the_tenants_and_the_second_run_writes_nothing(
    connected: tuple[Rig, str],
) -> None:
    rig, connector = connected
    run = usage(rig, connector)
    assert run.state == "succeeded" and run.problems == [], run.problems
    assert len(REPORTS) + 1 == len(MAKERS) == 9 and differences(rig) == []
    rig.cut.arm(0, applied=False)
    before = rig.snapshot()["Records"]
    again = usage(rig, connector)
    assert sum(s.new + s.changed for s in again.streams) == 0 and rig.snapshot()["Records"] == before
    assert [name for name in rig.cut.named if "Records" in name] == []


@pytest.mark.prove
def test_it_is_so_for_20000_people(say: Callable[[str], None]) -> None:
    rig = Rig(20_000, page_cap=999)
    try:
        rig.roles = [*ROLES, "Organization.Read.All", "Domain.Read.All", "LicenseAssignment.Read.All"]
        _report_anew(rig)
        connector = rig.configure(kind="microsoft-365", options={})
        for job in (None, "licences"):
            assert rig.run(connector, job=job).state == "succeeded"
        run = usage(rig, connector)
        assert run.state == "succeeded" and run.problems == [], run.problems
        assert differences(rig) == []
        stored = {
            row["RowKey"].split("|")[0] for row in rig.entities("Records") if row["RowKey"].endswith("|assignments")
        }
        wanted = rig.directory.assignments()
        assert stored == {one["id"] for one in wanted}
        again = usage(rig, connector)
        assert sum(s.new + s.changed for s in again.streams) == 0
        reports = sum(s.read for s in run.streams)
        say(
            f"{reports} rows of 9 reports and {len(wanted)} assignments of 20000 people: no difference, and nothing written twice"
        )
    finally:
        rig.close()


@pytest.mark.prove
@pytest.mark.parametrize("own_stack", [{"people": 20_000}], indirect=True)
def test_a_worker_that_reads_20000_people_with_everything_stays_small(
    own_stack: Stack, say: Callable[[str], None]
) -> None:
    """The whole Functions host: three jobs of one connector in one process."""
    ids = support.configure(own_stack, connector={"kind": "microsoft-365", "options": {}})
    for job in ("directory", "licences", "usage"):
        run = support.run_now(own_stack, ids["connector"], job=job)
        assert support.wait(own_stack, run["id"], 900)["state"] == "succeeded"
    status = Path(f"/proc/{own_stack.host_pid()}/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    say(f"peak memory of the host after 20,000 people, their licences and eight reports: {peak} MB")
    assert peak <= 250


def test_many_rows_of_people_who_are_not_in_the_copy_are_no_loop(
    connected: tuple[Rig, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large tenant of which few are collected: pages are counted by whom they bring."""
    monkeypatch.setattr("shared.graph.reports.ROWS", 2)
    monkeypatch.setattr("shared.graph.guard._SLACK", 3)
    rig, connector = connected

    def foreign(_name: str, text: str) -> str:
        header, first, *rest = text.splitlines()
        name = first.split(",")[1]
        return "\r\n".join([header, *(first.replace(name, f"x{n}@elsewhere.example") for n in range(40)), first, *rest])

    rig.directory.reports.spoil = foreign
    run = usage(rig, connector)
    assert run.state == "succeeded" and run.problems == [] and differences(rig) == []


@pytest.mark.parametrize(
    "written", ["<PII:H105(se/njcX9qwMG=)>@contoso.example", "(Unknown)", "--", "0A1B2C3D4E5F60718293A4B5C6D7E8F9"]
)
def test_whatever_stands_in_place_of_names_touches_nobody(connected: tuple[Rig, str], written: str) -> None:
    rig, connector = connected
    usage(rig, connector)
    before = list(rig.entities("Records"))
    rig.directory.reports.refreshed = {"": NEXT}
    names = {one["userPrincipalName"] for one in rig.objects()}

    def without_names(_name: str, text: str) -> str:
        return "\r\n".join(
            ",".join(written if cell in names else cell for cell in line.split(",")) for line in text.splitlines()
        )

    rig.directory.reports.spoil = without_names
    run = usage(rig, connector)
    assert run.state == "succeeded" and codes(run) == {"report-names-concealed"}
    assert list(rig.entities("Records")) == before
    receipt = rig.app().runs.receipt(run)
    assert receipt and all(one.rows == one.concealed + one.nameless > 0 for one in receipt.reports.values())
    rig.directory.reports.spoil = lambda _name, text: text
    assert usage(rig, connector).problems == [] and differences(rig) == []


def test_a_report_without_rows_takes_nothing_away(connected: tuple[Rig, str]) -> None:
    """A day of which Microsoft has no data is answered with the header alone."""
    rig, connector = connected
    usage(rig, connector)
    before = rig.snapshot()["Records"]
    rig.directory.reports.refreshed = {"": NEXT}
    rig.directory.reports.spoil = lambda _name, text: text.splitlines()[0] + "\r\n"
    run = usage(rig, connector)
    assert run.state == "incomplete" and rig.snapshot()["Records"] == before
    rig.directory.reports.spoil = lambda _name, text: text
    assert usage(rig, connector).problems == [] and differences(rig) == []


def test_activations_that_a_cloud_does_not_offer_cost_nothing_else(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    rig.fault("400", match="Activations")
    run = usage(rig, connector)
    assert run.state == "succeeded" and codes(run) == {"report-not-offered"}
    assert {one.name for one in run.streams if one.phase == "done"} == {one.name for one in REPORTS}
    assert rows(rig, "activations") == {}


@pytest.mark.prove
def test_a_report_of_200_megabytes_is_read_line_by_line(say: Callable[[str], None]) -> None:
    """1,200,000 rows, in a process of their own: what they take is what a page takes."""
    with bench.servers(1_200_000) as at:
        at.tables_admin(clear=True)
        done = bench.rollcall(at, "auto", "--kind", "microsoft-365", "--job", "usage")
        (stream,) = done["run"]["streams"]
        grown = done["peakMegabytes"] - done["idleMegabytes"]
        say(f"a report of 1,200,000 rows and over 200 MB: {done['wallSeconds']} s, {grown} MB more than before")
        assert done["run"]["state"] == "succeeded" and stream["phase"] == "done" and grown <= 60


def test_the_same_report_is_read_no_further_than_its_day(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    first = usage(rig, connector)
    before = rig.snapshot()["Records"]
    again = usage(rig, connector)
    receipt = rig.app().runs.receipt(again)
    assert receipt and len(receipt.reports) == 9
    assert {(one.same, one.rows, one.refreshed_on) for one in receipt.reports.values()} == {(True, 0, f"{DAY}")}
    assert {one.reason for one in again.streams} == {"same-report"} and again.state == "succeeded"
    assert [one.records for one in receipt.streams] == [one.new for one in first.streams]
    assert all(one.complete and one.begun_at > first.finished_at for one in receipt.streams)  # type: ignore[operator]
    assert rig.snapshot()["Records"] == before
    rig.clock.move(12 * 3600)
    asked = rig.run(connector, job="usage", full=True)
    assert sum(one.unchanged for one in asked.streams) == sum(one.new for one in first.streams), (
        "everything, where a person asks"
    )
    rig.directory.reports.refreshed = {"": NEXT}
    newer = usage(rig, connector)
    assert sum(one.changed for one in newer.streams) > 0 and differences(rig) == []


def test_the_same_report_is_read_again_for_people_who_came_since(connected: tuple[Rig, str]) -> None:
    """Whom another domain brings into the copy is in the report already."""
    rig, connector = connected
    mine = next(one for one in rig.objects() if one["mail"] and one["assignedLicenses"])
    domain = mine["mail"].partition("@")[2]
    rig.change(
        "connector",
        connector,
        options={"domains": [domain]},
        removalLimit={"count": 5000, "percent": 100, "graceHours": 0},
    )
    for _ in range(3):
        rig.clock.move(3600)
        rig.run(connector, full=True)
    few = usage(rig, connector)
    rig.change("connector", connector, options={})
    rig.clock.move(3600)
    rig.run(connector, full=True)
    many = usage(rig, connector)
    assert {one.reason for one in many.streams} == {"no-delta"}
    assert sum(one.read for one in many.streams) > sum(one.read for one in few.streams) and differences(rig) == []


def test_an_activation_that_is_gone_from_the_report_goes_and_names_its_person(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    usage(rig, connector)
    before = rows(rig, "activations")
    victim = next(iter(before))
    rig.directory.reports.refreshed = {"": NEXT}
    name = next(one["userPrincipalName"] for one in rig.objects() if one["id"] == victim.partition(".")[0])
    product = before[victim]["Product"]
    rig.directory.reports.spoil = lambda which, text: (
        "\r\n".join(line for line in text.splitlines() if not (name in line and product in line))
        if "Activations" in which
        else text
    )
    run = usage(rig, connector)
    assert run.problems == [] and rows(rig, "activations").keys() == before.keys() - {victim}
    app = rig.app()
    kept = next(key for key in rows(rig, "activations"))
    record = app.records.get(app.registry.record_types["app-activation"], f"a~{kept}")
    assert record.person.id == f"a~{kept.partition('.')[0]}"  # type: ignore[attr-defined]


def test_another_period_is_another_report_and_no_change_of_anybody(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    usage(rig, connector)
    journal = rig.entities("Changes")
    rig.change("connector", connector, options={"reportPeriod": "D7"})
    run = usage(rig, connector)
    receipt = rig.app().runs.receipt(run)
    assert run.problems == [] and receipt and receipt.reports["teams-activity"].period == "D7"
    assert differences(rig) == [] and rig.entities("Changes") == journal


def test_a_report_that_is_refused_for_a_day_is_asked_for_again_and_keeps_what_it_said(
    connected: tuple[Rig, str],
) -> None:
    """Graph has refused some reports for days although the permission was there."""
    rig, connector = connected
    usage(rig, connector)
    before = rows(rig, "teams-activity")
    refused = {"error": {"code": "S2SUnauthorized", "message": "Invalid permission."}}
    rig.web.rewrite = lambda asked, reply: type(reply)(403, refused) if "Teams" in asked.path else reply
    for _ in range(4):
        run = usage(rig, connector)
        assert run.state == "succeeded" and codes(run) == {"report-refused"}
    assert rows(rig, "teams-activity") == before
    app = rig.app()
    record = app.records.get(app.registry.record_types["person"], f"a~{next(iter(before))}")
    assert record.values["teamsReportedOn"].missing is None
    row = app.schedules.get(f"{connector}-usage")
    assert row is None or not row.quarantined_at
    rig.web.rewrite = lambda _asked, reply: reply
    assert usage(rig, connector).problems == [] and differences(rig) == []


def test_what_a_report_says_of_licences_changes_no_licence(rig: Rig) -> None:
    rig.roles = [*ROLES, "Organization.Read.All", "Domain.Read.All", "LicenseAssignment.Read.All"]
    _report_anew(rig)
    connector = rig.configure(kind="microsoft-365", options={})
    for job in (None, "licences"):
        rig.run(connector, job=job)

    def assigned() -> list[dict[str, Any]]:
        return [row for row in rig.entities("Records") if row["RowKey"].endswith("|assignments")]

    before = assigned()
    rig.directory.reports.spoil = lambda _name, text: text.replace("True", "False").replace("Spe E3", "Project")
    assert usage(rig, connector).problems == [] and assigned() == before


def test_a_record_shows_them_with_the_day_that_they_are_of(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    usage(rig, connector)
    app = rig.app()
    person = next(iter(rows(rig, "email-activity")))
    record = app.records.get(app.registry.record_types["person"], f"a~{person}")
    assert record.values["emailReportedOn"].value == f"{DAY}T00:00:00Z"
    assert (
        record.values["emailSendCount"].stream == "email-activity" and record.values["emailSendCount"].missing is None
    )
    run = usage(rig, connector)
    receipt = rig.app().runs.receipt(run)
    assert receipt
    made = receipt.reports["email-activity"]
    assert (made.refreshed_on, made.period, made.joined, made.concealed) == (f"{DAY}", "D30", made.rows, 0)
    assert sum(made.by_product.values()) >= made.rows


def test_concealed_names_touch_nobody_and_are_joined_once_they_are_revealed(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    reports = rig.directory.reports
    people = rig.snapshot()["Records"]
    for told in (False, True):  # by the look of the names, then by the tenant's own word
        rig.roles = [*ROLES, *(["ReportSettings.Read.All"] if told else [])]
        reports.conceal = True
        run = usage(rig, connector)
        assert run.state == "succeeded" and codes(run) == {"report-names-concealed"}
        assert rig.snapshot()["Records"] == people
        receipt = rig.app().runs.receipt(run)
        assert receipt
        made, plain = receipt.reports["active-users"], list(reports.rows("getOffice365ActiveUserDetail", "D30"))
        assert (made.rows, made.concealed, made.joined) == (len(plain), len(plain), 0)
        products: dict[str, int] = {}
        for row in plain:
            for product in row["Assigned Products"].split("+"):
                products[product] = products.get(product, 0) + 1
        assert made.by_product == products
        since = (DAY - timedelta(days=30)).isoformat()
        assert made.active == sum(any(v >= since for k, v in row.items() if "Last Activity" in k) for row in plain)
    app = rig.app()
    record = app.records.get(app.registry.record_types["person"], f"a~{rig.ids([0])[0]}")
    assert record.values["emailSendCount"].missing == "concealed"
    reports.conceal = False
    assert usage(rig, connector).problems == [] and differences(rig) == []
    before = rows(rig, "teams-activity")
    reports.conceal, reports.refreshed = True, {"": DAY + timedelta(days=1)}
    assert codes(usage(rig, connector)) == {"report-names-concealed"}
    assert rows(rig, "teams-activity") == before, "what was known stays, with its own day"


def test_a_few_names_that_are_none_do_not_conceal_the_tenant(connected: tuple[Rig, str]) -> None:
    rig, connector = connected

    def spoil(_name: str, text: str) -> str:
        lines = text.split("\r\n")
        for number, odd in enumerate(("--", "--", "--", "(Unknown)", ""), 1):
            cells = lines[number].split(",")
            cells[1] = odd
            lines[number] = ",".join(cells)
        return "\r\n".join(lines)

    rig.directory.reports.spoil = spoil
    run = usage(rig, connector)
    receipt = rig.app().runs.receipt(run)
    assert run.problems == [] and receipt
    made = receipt.reports["teams-activity"]
    assert (made.nameless, made.joined) == (5, made.rows - 5) and made.joined == len(rows(rig, "teams-activity"))


def _columns(text: str, change: Callable[[list[str]], list[str]]) -> str:
    """With its columns changed, each cell as the header's."""
    return "\r\n".join(",".join(change(line.split(","))) if line else "" for line in text.split("\r\n"))


def _lost(cells: list[str]) -> list[str]:
    return cells[:5] + cells[6:]


SPOILT: list[tuple[str, Callable[[str], str | bytes], str, bool]] = [
    ("html", lambda _t: "<!doctype html><html><body>Sign in</body></html>", "report-malformed", False),
    ("nothing", lambda _t: b"", "report-malformed", False),
    ("another report", lambda _t: "Site Id,Site URL\r\n1,https://x\r\n", "report-malformed", False),
    ("no person", lambda t: t.replace("User Principal Name", "Somebody"), "report-malformed", False),
    ("no day", lambda t: t.replace(f"{NEXT}", "yesterday"), "report-malformed", False),
    ("an open quotation mark", lambda t: t + '"' + "x\r\n" * 2000, "report-malformed", True),
    ("too many fields", lambda t: t.replace("\r\n", ",1,2,3\r\n").replace(",1,2,3", "", 1), "report-malformed", False),
    ("a lost column", lambda t: _columns(t, _lost), "report-columns-lost", True),
]


@pytest.mark.parametrize(("spoil", "code", "some"), [case[1:] for case in SPOILT], ids=[case[0] for case in SPOILT])
def test_what_is_no_such_report_is_said_and_the_others_are_read(
    connected: tuple[Rig, str], spoil: Callable[[str], str | bytes], code: str, some: bool
) -> None:
    rig, connector = connected
    usage(rig, connector)
    before = rows(rig, "teams-activity")
    rig.directory.reports.refreshed = {"": NEXT}
    teams = "getTeamsUserActivityUserDetail"
    rig.directory.reports.spoil = lambda asked, text: spoil(text) if asked == teams else text
    run = usage(rig, connector)
    assert run.state == "succeeded", run.problems
    assert codes(run) == {code}
    if not some:
        assert rows(rig, "teams-activity") == before
    others = rows(rig, "email-activity").values()
    assert {f"{row['EmailReportedOn']:%Y-%m-%d}" for row in others} == {f"{NEXT}"}


@pytest.mark.parametrize("how", ["new column", "another order", "quoted line breaks"])
def test_columns_come_and_move_and_cells_hold_line_breaks(connected: tuple[Rig, str], how: str) -> None:
    rig, connector = connected

    def spoil(_name: str, text: str) -> str:
        if how == "new column":
            head, _, rest = text.partition("\r\n")
            return f"{head},Brand New\r\n" + "".join(f"{line},so much\r\n" for line in rest.split("\r\n") if line)
        if how == "another order":
            return _columns(text, lambda cells: cells[::-1])
        return _columns(
            text,
            lambda cells: [
                *cells[:2],
                '"two\nlines, ""quoted"""' if cells[2] != "Display Name" else cells[2],
                *cells[3:],
            ],
        )

    rig.directory.reports.spoil = spoil
    run = usage(rig, connector)
    assert run.problems == [] and differences(rig) == []
    other = next(iter(rows(rig, "teams-activity").values())).get("TeamsOther")
    assert (orjson.loads(other) if other else None) == ({"Brand New": "so much"} if how == "new column" else None)


def test_an_older_file_overwrites_nothing(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    usage(rig, connector)
    before = rig.snapshot()["Records"]
    rig.directory.reports.refreshed = {"": DAY - timedelta(days=2)}
    run = usage(rig, connector)
    assert codes(run) == {"report-older"} and rig.snapshot()["Records"] == before


def test_a_link_that_expired_and_a_report_that_is_not_offered_cost_no_other(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    gone = rig.directory.reports.link
    rig.directory.reports.link = lambda name, period: "expired" if "Email" in name else gone(name, period)  # type: ignore[method-assign]
    rig.fault("400", match="getM365AppUserDetail")
    run = usage(rig, connector)
    rig.directory.reports.link = gone  # type: ignore[method-assign]
    assert run.state == "succeeded" and codes(run) == {"graph-download-broken", "report-not-offered"}
    assert rows(rig, "teams-activity") and not rows(rig, "email-activity") and not rows(rig, "apps")
    rig.faults.clear()
    assert usage(rig, connector).problems == [] and differences(rig) == []


def test_a_foreign_address_gets_no_request(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    rig.web.rewrite = lambda asked, reply: (
        reply if not reply.location else type(reply)(302, None, location="http://192.0.2.1/x")
    )
    run = usage(rig, connector)
    assert run.state == "succeeded" and codes(run) == {"graph-download-broken"}


def test_who_is_silent_by_every_report_leaves_by_the_date_filter_and_whom_none_names_stays(
    connected: tuple[Rig, str],
) -> None:
    rig, connector = connected
    usage(rig, connector)
    rig.change("connector", connector, options={"dateFilterDays": 40}, removalLimit={"count": 5000, "percent": 100})
    rig.clock.move(60 * 86400)
    rig.directory.reports.refreshed = {"": DAY + timedelta(days=60)}
    rig.run(connector, job="usage")
    rig.run(connector, full=True)
    limit = f"{rig.clock.now() - timedelta(days=40):%Y-%m-%d}"
    known = rows(rig, "active-users")
    stayed = {row["RowKey"].split("|")[0] for row in rig.entities("Records") if row["RowKey"].endswith("|users")}
    for person in rig.objects():
        row = known.get(person["id"])
        dates = [f"{v:%Y-%m-%d}" for k, v in (row or {}).items() if k.endswith("LastActivityAt")]
        young = (person["createdDateTime"] or "") >= limit
        silent = row is not None and all(day < limit for day in dates)
        assert (person["id"] not in stayed) == (silent and not young), (person["id"], dates)
    assert 0 < len(stayed) < 60


def test_an_old_report_leaves_nobody_out_however_lately_it_was_read(connected: tuple[Rig, str]) -> None:
    """Microsoft may serve the same day for weeks: what it says of silence is of that day."""
    rig, connector = connected
    usage(rig, connector)
    rig.change("connector", connector, options={"dateFilterDays": 40}, removalLimit={"count": 5000, "percent": 100})
    rig.clock.move(60 * 86400)
    assert {one.reason for one in rig.run(connector, job="usage").streams} == {"same-report"}
    run = rig.run(connector, full=True)
    assert codes(run) == {"threshold-without-activity"}
    assert sum(row["RowKey"].endswith("|users") for row in rig.entities("Records")) == TENANT[0]


def test_a_sign_in_counts_for_the_date_filter_too_where_those_are_read(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    rig.roles = [*ROLES, "AuditLog.Read.All"]
    rig.clock.move(60 * 86400)
    refreshed = DAY + timedelta(days=60)
    rig.directory.reports.refreshed = {"": refreshed}
    # Everybody is silent by the reports.
    rig.directory.reports.spoil = lambda _name, text: re.sub(r",20\d\d-\d\d-\d\d(?=,)", ",", text)
    signed_in = range(30)
    for number in signed_in:
        at = (rig.clock.now() - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
        activity = {
            "lastSignInDateTime": at,
            "lastNonInteractiveSignInDateTime": at,
            "lastSuccessfulSignInDateTime": at,
        }
        rig.directory.change("users", number, {"signInActivity": activity})
    options = {"dateFilterDays": 40, "collectSignIns": True}
    rig.change("connector", connector, options=options, removalLimit={"count": 5000, "percent": 100})
    rig.run(connector, job="usage")
    rig.run(connector, job="sign-ins")
    rig.run(connector, full=True)
    stayed = {row["RowKey"].split("|")[0] for row in rig.entities("Records") if row["RowKey"].endswith("|users")}
    limit = f"{rig.clock.now() - timedelta(days=40):%Y-%m-%d}"
    last = {
        one["id"]: max((at for name, at in (one["signInActivity"] or {}).items() if at and name.endswith("DateTime")), default="")
        for one in rig.objects()
    }  # fmt: skip
    young = {one["id"] for one in rig.objects() if (one["createdDateTime"] or "") >= limit}
    assert stayed == {key for key, at in last.items() if at >= limit} | young
    assert set(rig.ids(list(signed_in))) <= stayed and len(stayed) < 60


def test_without_sign_ins_the_last_activity_is_that_of_a_workload_and_says_which(connected: tuple[Rig, str]) -> None:
    rig, connector = connected
    usage(rig, connector)
    app = rig.app()
    people = app.registry.record_types["person"]
    told = {
        row["User Principal Name"]: row for row in rig.directory.reports.rows("getOffice365ActiveUserDetail", "D30")
    }
    seen = 0
    for person in rig.objects():
        found = app.records.get(people, f"a~{person['id']}").last_activity
        row = told.get(person["userPrincipalName"], {})
        days = {name: value for name, value in row.items() if name.endswith("Last Activity Date") and value}
        if not days:
            assert found is None
            continue
        seen += 1
        assert found and f"{found.at:%Y-%m-%d}" == max(days.values()) and found.stream == "active-users"
        workload = found.value.removeprefix("m365").removesuffix("LastActivityAt").lower()
        assert days[next(name for name in days if name.replace(" ", "").lower().startswith(workload))] == max(
            days.values()
        )
    assert seen > 10
    rig.roles = [*ROLES, "AuditLog.Read.All"]
    rig.change("connector", connector, options={"collectSignIns": True})
    rig.run(connector, job="sign-ins")
    newest = [rig.app().records.get(people, f"a~{one['id']}").last_activity for one in list(rig.objects())[:20]]
    assert {one.stream for one in newest if one} == {"active-users", "sign-ins"}
