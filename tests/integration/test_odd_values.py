"""One odd object, or one odd answer, among good ones: it is stored as far as it can be, and everybody else is right."""

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import orjson
import pytest

from local.cloud.graph.replies import GraphReply, GraphRequest
from shared.connectors.record_types import PERSON
from shared.domain.run import Run
from tests.expected import DEVICES as DEVICE_COLUMNS
from tests.expected import PEOPLE as PEOPLE_COLUMNS
from tests.rig import Rig

PEOPLE, DEVICES = 40, 8
ODD = 5
"""The index of the person, and of the device, that is odd."""


TENANT = (PEOPLE, DEVICES, 25)
"""Of the shared rig: people, devices, objects a page."""


def _change_answers(rig: Rig, change: Callable[[dict[str, Any]], Any], *, kind: str = "users", where: str = "") -> str:
    """Changes the odd object wherever it is sent; gives its id."""
    object_id = rig.directory.maker.object_id("user" if kind == "users" else "device", ODD)
    _change_each(rig, {object_id: change}, where)
    return object_id


def _change_each(rig: Rig, changes: dict[str, Callable[[dict[str, Any]], Any]], where: str = "") -> None:
    """Changes several objects, by id, wherever they are sent."""

    def bend(value: Any) -> Any:
        if isinstance(value, dict):
            bent = {name: bend(entry) for name, entry in value.items()}
            found = changes.get(bent.get("id", "")) if "displayName" in bent else None
            return found(bent) if found else bent
        return [bend(entry) for entry in value] if isinstance(value, list) else value

    def rewrite(asked: GraphRequest, reply: GraphReply) -> GraphReply:
        if where not in asked.path or not isinstance(reply.body, dict):
            return reply
        return replace(reply, body=json.dumps(bend(reply.body)).encode())  # \\ud800 stays as it is

    rig.web.rewrite = rewrite


def _merge(fields: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda item: {**item, **fields}


def _one_each(rig: Rig, cases: list[tuple[str, dict[str, Any], Any]]) -> dict[str, str]:
    """A person for each case; gives the ids by the cases' names. One read shows them all."""
    ids = dict(zip((name for name, _, _ in cases), rig.ids(list(range(ODD, PEOPLE))), strict=False))
    _change_each(rig, {ids[name]: _merge(fields) for name, fields, _ in cases})
    return ids


def _rows(rig: Rig, stream: str = "users") -> dict[str, dict[str, Any]]:
    found = [row for row in rig.entities("Records") if row["RowKey"].endswith(stream)]
    return {row["RowKey"].partition("|")[0]: row for row in found}


def _others_right(rig: Rig, kind: str = "users", *, but: Collection[str]) -> None:
    columns = PEOPLE_COLUMNS if kind == "users" else DEVICE_COLUMNS
    rows = _rows(rig, kind)
    indexes = range(PEOPLE if kind == "users" else DEVICES)
    objects = [item for item in (rig.directory.get(kind, index) for index in indexes) if item]
    assert len(rows) >= len(objects) - len(but)
    for item in objects:
        if item["id"] not in but:
            assert rows[item["id"]]["DisplayName"] == columns["DisplayName"](item)
            assert "Malformed" not in rows[item["id"]]


def _listed(run: Run, object_id: str, stream: str = "users") -> list[str]:
    progress = next(s for s in run.streams if s.name == stream)
    assert run.state == "succeeded", (run.state, run.problems)
    assert progress.malformed == 1, progress
    assert [problem.code for problem in run.problems] == ["malformed-values"]
    assert object_id in run.problems[0].message
    return progress.malformed_objects[object_id]


LEFT_OUT: list[tuple[str, dict[str, Any], list[str]]] = [
    ("a number in a list of texts", {"proxyAddresses": ["SMTP:a@b.example", 7]}, ["proxyAddresses"]),
    ("a text for a list", {"businessPhones": "+49 1"}, ["phones", "workPhone"]),
    ("year zero", {"createdDateTime": "0000-00-00T00:00:00Z"}, ["createdAt"]),
    ("the thirtieth of February", {"createdDateTime": "2024-02-30T08:00:00Z"}, ["createdAt"]),
    ("a number for a time", {"createdDateTime": 1700000000}, ["createdAt"]),
    ("words for a time", {"lastPasswordChangeDateTime": "yesterday"}, ["passwordChangedAt"]),
    ("a text for a flag", {"accountEnabled": "false"}, ["enabled"]),
    ("an object for a text", {"city": {"name": "Delft"}}, ["city"]),
    ("a list for a text", {"department": ["IT"]}, ["department"]),
    ("a list for a structure", {"employeeOrgData": ["x"]}, ["employeeOrganization"]),
    ("a text for a manager", {"manager": "boss"}, ["managerId"]),
    ("a manager without id", {"manager": {"name": "boss"}}, ["managerId"]),
    ("a number for a mail address", {"mail": 17}, ["mail"]),
    ("a list for policies", {"passwordPolicies": ["DisablePasswordExpiration"]}, ["passwordNeverExpires", "passwordPolicies", "weakPasswordAllowed"]),
]  # fmt: skip


def test_values_of_another_kind_are_left_out_and_listed(rig: Rig) -> None:
    connector = rig.configure(options={"collectDevices": False})
    ids = _one_each(rig, LEFT_OUT)
    run = rig.run(connector)
    assert (run.state, run.streams[0].malformed) == ("succeeded", len(LEFT_OUT))
    assert [problem.code for problem in run.problems] == ["malformed-values"]
    rows = _rows(rig)
    for case, _, names in LEFT_OUT:
        object_id = ids[case]
        assert run.streams[0].malformed_objects[object_id] == names, case
        assert sorted(rows[object_id]["Malformed"].split()) == names and rows[object_id]["DisplayName"], case
        values = rig.app().records.get(PERSON, f"a~{object_id}").values
        assert {name for name, value in values.items() if value.missing == "malformed"} == set(names), case
    _others_right(rig, but=ids.values())
    assert rig.run(connector, full=True).streams[0].changed == 0  # the same again is no change
    rig.web.rewrite = lambda _asked, reply: reply
    run = rig.run(connector, full=True)
    assert (run.state, run.streams[0].changed, run.problems) == ("succeeded", len(LEFT_OUT), [])
    assert not any("Malformed" in row for row in _rows(rig).values())


MENDED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("half a character", {"displayName": "Anna \ud800 Smit"}, {"DisplayName": "Anna \ufffd Smit"}),
    ("half a character in a list", {"otherMails": ["x\udc00@y.example"]}, {"OtherMails": '["x\ufffd@y.example"]'}),
]


def test_half_a_character_is_replaced_and_listed(rig: Rig) -> None:
    connector = rig.configure(options={"collectDevices": False})
    ids = _one_each(rig, MENDED)
    run = rig.run(connector)
    assert (run.state, run.streams[0].malformed) == ("succeeded", len(MENDED))
    rows = _rows(rig)
    for case, fields, columns in MENDED:
        assert run.streams[0].malformed_objects[ids[case]] == list(fields), case
        assert {name: rows[ids[case]][name] for name in columns} == columns, case
        assert rig.app().records.get(PERSON, f"a~{ids[case]}").id == f"a~{ids[case]}"
    _others_right(rig, but=ids.values())
    assert rig.run(connector, full=True).streams[0].changed == 0


KEPT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("a null among texts", {"proxyAddresses": ["SMTP:a@b.example", None]}, {"ProxyAddresses": '["SMTP:a@b.example"]'}),
    ("an offset", {"createdDateTime": "2024-03-01T10:00:00+02:00"}, {"CreatedAt": "2024-03-01T08:00:00"}),
    ("no offset", {"createdDateTime": "2024-03-01T10:00:00"}, {"CreatedAt": "2024-03-01T10:00:00"}),
    ("a date alone", {"employeeHireDate": "2024-03-01"}, {"EmployeeHiredAt": "2024-03-01T00:00:00"}),
    ("nine digits of a second", {"createdDateTime": "2024-03-01T10:00:00.123456789Z"}, {"CreatedAt": "2024-03-01T10:00:00.123456"}),
    ("extra keys", {"@odata.etag": "x", "brandNew": {"deep": [1, None]}}, {}),
]  # fmt: skip


def test_what_can_be_understood_is_kept(rig: Rig) -> None:
    connector = rig.configure(options={"collectDevices": False})
    ids = _one_each(rig, KEPT)
    run = rig.run(connector)
    assert (run.state, run.problems) == ("succeeded", [])
    rows = _rows(rig)
    for case, _, columns in KEPT:
        for name, value in columns.items():
            found = rows[ids[case]][name]
            shown = found if isinstance(found, str) else found.isoformat().replace("+00:00", "")
            assert shown.startswith(value), case
    assert rig.run(connector, full=True).streams[0].changed == 0


def test_a_record_of_more_than_a_mebibyte_loses_its_largest_value_only(rig: Rig) -> None:
    connector = rig.configure(options={"collectDevices": False})
    many = [f"smtp:{number:06}@a-rather-long-domain-name.example" for number in range(20_000)]
    object_id = _change_answers(rig, lambda item: {**item, "proxyAddresses": many, "otherMails": many[:50]})
    assert _listed(rig.run(connector), object_id) == ["proxyAddresses"]
    assert len(json.loads(_rows(rig)[object_id]["OtherMails"])) == 50
    _others_right(rig, but=[object_id])


@pytest.mark.parametrize(
    "change",
    [
        lambda item: {name: value for name, value in item.items() if name != "id"},
        lambda item: {**item, "id": None},
        lambda item: {**item, "id": "a/b"},
        lambda item: {**item, "id": 12},
    ],
    ids=["none", "null", "slash", "number"],
)
def test_an_object_without_a_usable_id_is_counted_and_nobody_else_suffers(rig: Rig, change: Any) -> None:
    connector = rig.configure(options={"collectDevices": False})
    object_id = _change_answers(rig, change)
    run = rig.run(connector)
    assert (run.state, run.streams[0].malformed, run.streams[0].nameless) == ("succeeded", 1, 1), run.problems
    assert len(_rows(rig)) == PEOPLE - 1 and object_id not in _rows(rig)


def test_null_among_the_objects_of_a_page_is_nothing(rig: Rig) -> None:
    connector = rig.configure(options={"collectDevices": False})
    rig.graph.page_of = lambda items: [*items, None]  # type: ignore[list-item]
    run = rig.run(connector)
    assert (run.state, len(_rows(rig))) == ("succeeded", PEOPLE), run.problems


@pytest.mark.parametrize("told", [None, "deleted", {}, {"reason": None}, {"reason": 7}])
def test_a_report_of_removal_without_its_reason_is_asked_about(rig: Rig, told: Any) -> None:
    connector = rig.configure(options={"collectDevices": False})
    rig.run(connector)
    rig.directory.leave("users", [ODD])
    gone = rig.directory.maker.object_id("user", ODD)

    def rewrite(_asked: GraphRequest, reply: GraphReply) -> GraphReply:
        if isinstance(reply.body, dict):
            for item in reply.body.get("value", []):
                if "@removed" in item:
                    item["@removed"] = told
        return reply

    rig.web.rewrite = rewrite
    run = rig.run(connector)
    assert (run.state, run.streams[0].removed) == ("succeeded", 1), run.problems
    assert gone not in _rows(rig)


def test_an_odd_device_too(rig: Rig) -> None:
    connector = rig.configure()
    object_id = _change_answers(
        rig, lambda item: {**item, "approximateLastSignInDateTime": "0000-01-01T00:00:00Z"}, kind="devices"
    )
    run = rig.run(connector)
    assert _listed(run, object_id, "devices") == ["lastSignInAt"]
    _others_right(rig, "devices", but=[object_id])


def test_an_odd_value_that_a_round_of_changes_brings(rig: Rig) -> None:
    connector = rig.configure(options={"collectDevices": False})
    rig.run(connector)
    object_id = _change_answers(rig, lambda item: {**item, "city": 5}, where="delta")
    rig.directory.change("users", ODD, {"jobTitle": "Changed"})
    rig.directory.change("users", ODD + 1, {"jobTitle": "Changed"})
    run = rig.run(connector)
    assert _listed(run, object_id) == ["city"]
    rows = _rows(rig)
    assert rows[object_id]["JobTitle"] == "Changed" and rows[object_id]["Malformed"] == "city"
    assert sum(row.get("JobTitle") == "Changed" for row in rows.values()) == 2


def test_an_odd_value_does_not_spoil_who_is_in_scope(rig: Rig) -> None:
    connector = rig.configure(
        source={"domains": ["contoso.example"]}, options={"collectDevices": False, "userThresholdDays": 900}
    )
    object_id = _change_answers(rig, lambda item: {**item, "createdDateTime": [], "mail": 3, "userPrincipalName": {}})
    run = rig.run(connector)
    assert run.state == "succeeded" and "malformed-values" in {problem.code for problem in run.problems}
    assert object_id not in _rows(rig)


@pytest.mark.parametrize("what", ["list", "delta", "count", "batch", "group"])
def test_a_byte_order_mark_is_tolerated(rig: Rig, what: str) -> None:
    connector = rig.configure(source={"excludedGroups": ["Service accounts"]})
    where = {"list": r"/users\?", "delta": "/delta", "count": "count", "batch": "batch", "group": "groups"}[what]
    rig.fault("bom", match=where)
    assert rig.run(connector).state == "succeeded"
    rig.directory.change("users", 30, {"city": "Delft"})
    rig.directory.leave("users", [31])
    run = rig.run(connector)
    assert (run.state, run.streams[0].changed, run.streams[0].removed) == ("succeeded", 1, 1)


def test_what_is_no_json_at_all_is_said_so(rig: Rig) -> None:
    connector = rig.configure()
    rig.web.rewrite = lambda asked, reply: (
        replace(reply, body=b"<html>Service unavailable</html>") if "$top" in asked.query else reply
    )
    run = rig.run(connector)
    assert run.state == "failed"
    assert "not JSON" in run.problems[0].message and "connection" not in run.problems[0].message


@pytest.mark.parametrize("status", [None, "200", 200.5, [], "x"])
def test_a_part_of_a_batch_without_a_status_is_no_answer(rig: Rig, status: Any) -> None:
    connector = rig.configure(options={"collectDevices": False})
    rig.run(connector)
    rig.directory.leave("users", [ODD])

    def rewrite(asked: GraphRequest, reply: GraphReply) -> GraphReply:
        if asked.path == "/$batch":
            parts = [{**part, "status": status} for part in reply.body["responses"]]
            return replace(reply, body={"responses": [*parts, None]})
        return reply

    rig.web.rewrite = rewrite
    run = rig.run(connector)
    assert run.streams[0].removed == 0 and "internal-error" not in {problem.code for problem in run.problems}
    rig.web.rewrite = lambda _asked, reply: reply
    assert len(_rows(rig)) == PEOPLE


@pytest.mark.parametrize("code", ["", "UnknownError", "Request_Denied"])
def test_not_found_without_graphs_own_code_proves_no_absence(rig: Rig, code: str) -> None:
    connector = rig.configure(options={"collectDevices": False})
    rig.run(connector)
    rig.clock.move(25 * 3600)
    rig.directory.leave("users", [ODD], purge=True)

    def rewrite(asked: GraphRequest, reply: GraphReply) -> GraphReply:
        if asked.path == "/$batch":
            body = {"error": {"code": code}} if code else "<html>"
            parts = [{**part, "body": body} if part["status"] == 404 else part for part in reply.body["responses"]]
            return replace(reply, body={"responses": parts})
        return reply

    rig.web.rewrite = rewrite
    for _ in range(2):
        assert rig.run(connector, full=True).streams[0].removed == 0
        (hold,) = rig.app().removals.holds()
        assert hold.causes == {"not-confirmed": 1}
        rig.clock.move(7200)
    assert len(_rows(rig)) == PEOPLE


@pytest.mark.parametrize("kind", ["no-value", "404", "404-bare"])
def test_a_page_that_is_none_in_the_middle_of_a_list_is_asked_for_again(rig: Rig, kind: str) -> None:
    connector = rig.configure()
    rig.fault(kind, match=r"/users\?.*skiptoken", most=1)
    run = rig.run(connector)
    assert (run.state, run.streams[0].new) == ("succeeded", PEOPLE), run.problems


@pytest.mark.parametrize("kind", ["no-value", "404", "404-bare"])
def test_a_page_that_stays_none_fails_and_harms_nobody(rig: Rig, kind: str) -> None:
    connector = rig.configure(options={"collectDevices": False})
    rig.run(connector)
    rig.fault(kind, match=r"/users\?.*skiptoken")
    run = rig.run(connector, full=True)
    assert run.state == "failed" and run.problems[0].code != "internal-error"
    rig.faults.clear()
    assert rig.run(connector).state == "succeeded"
    assert len(_rows(rig)) == PEOPLE and rig.entities("Tombstones") == []


def test_fewer_objects_a_page_are_asked_for_where_as_many_as_usual_are_refused(rig: Rig) -> None:
    connector = rig.configure()
    rig.fault("page-size")
    before = rig.web.requests
    run = rig.run(connector)
    assert (run.state, run.streams[0].new, run.streams[1].new) == ("succeeded", PEOPLE, DEVICES)
    first = rig.web.requests - before
    before = rig.web.requests
    assert rig.run(connector, full=True).state == "succeeded"
    assert rig.web.requests - before <= first - 4, "it is remembered"


def test_other_refusals_are_what_they_were(rig: Rig) -> None:
    connector = rig.configure()
    rig.fault("400", match=r"/users\?")
    run = rig.run(connector)
    assert (run.state, run.problems[0].code) == ("failed", "graph-refused")


def test_times_and_texts_that_look_like_times(rig: Rig) -> None:
    connector = rig.configure(options={"collectDevices": False})
    rig.directory.change("users", ODD, {"officeLocation": "3.10Z"})
    rig.run(connector)
    rig.directory.change("users", ODD, {"officeLocation": "3.1Z"})
    rig.run(connector)
    entries = [row for row in rig.entities("Changes") if row["Kind"] == "changed"]
    (fields,) = [orjson.loads(row["Fields"]) for row in entries]
    assert fields == {"OfficeLocation": ["3.10Z", "3.1Z"]}


@pytest.mark.parametrize(("where", "most"), [("Tables$", 3), ("batch", 1), ("Tables|batch", 3)])
def test_a_table_that_is_still_being_deleted_is_waited_for(rig: Rig, where: str, most: int) -> None:
    connector = rig.configure()
    rig.fault("being-deleted", "storage", match=where, most=most)
    run = rig.run(connector)
    assert (run.state, run.streams[0].new) == ("succeeded", PEOPLE), run.problems
