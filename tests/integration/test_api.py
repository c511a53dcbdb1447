"""The configuration and records API over HTTP, as a client meets it."""

import http.client
import json
import re
import urllib.parse
from typing import Any

import pytest

from local import demo_actions
from local.stack import Stack
from shared.connectors import REGISTRY
from shared.connectors.entra_id import ENTRA_ID
from shared.connectors.microsoft_365 import MICROSOFT_365
from tests import support

GUID = "c11e0000-0000-4000-8000-000000000001"


def _raw(
    stack: Stack, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any], dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)
    try:
        shown = {"Authorization": f"Bearer {stack.token}"}
        connection.request(method, f"/api/v1/{path}", body, shown | (headers or {}))
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else {}, {k.lower(): v for k, v in response.getheaders()}
    finally:
        connection.close()


def _problem(answer: tuple[int, dict[str, Any], dict[str, Any]], status: int, code: str) -> dict[str, Any]:
    assert answer[0] == status, answer
    body = answer[1]
    assert answer[2]["content-type"].startswith("application/problem+json")
    assert body["code"] == code and body["status"] == status and body["remedy"] and body["requestId"]
    return body


JSON = {"Content-Type": "application/json"}


def test_bad_requests_are_told_apart(stack: Stack) -> None:
    _problem(_raw(stack, "POST", "organizations", b"{nope", JSON), 400, "malformed-json")
    _problem(_raw(stack, "POST", "organizations", b"", JSON), 400, "body-missing")
    _problem(_raw(stack, "POST", "organizations", b"[]", JSON), 422, "invalid-fields")
    _problem(_raw(stack, "POST", "organizations", b"{}", {"Content-Type": "text/plain"}), 415, "not-json")
    _problem(_raw(stack, "POST", "organizations", b'{"name":"' + b"x" * 2_000_000 + b'"}', JSON), 413, "body-too-large")
    _problem(_raw(stack, "GET", "nothing/here"), 404, "not-found")
    _problem(_raw(stack, "GET", "organizations/../../etc"), 404, "not-found")
    wrong = _raw(stack, "DELETE", "organizations")
    _problem(wrong, 405, "method-not-allowed")
    assert wrong[2]["allow"] == "GET, HEAD, POST"
    _problem(_raw(stack, "GET", "organizations?colour=red"), 422, "invalid-fields")
    _problem(_raw(stack, "GET", "organizations?limit=0"), 422, "invalid-fields")


@pytest.mark.parametrize("path", ["purges", "holds"])
def test_lists_without_an_owner_are_pages_too(stack: Stack, path: str) -> None:
    status, page = stack.api("GET", f"{path}?limit=1")
    assert status == 200 and set(page) == {"items", "next"} and len(page["items"]) <= 1
    _problem(_raw(stack, "GET", f"{path}?limit=0"), 422, "invalid-fields")
    if path == "purges":
        _problem(_raw(stack, "GET", "purges?after=nonsense!"), 422, "invalid-fields")


def test_every_bad_field_is_named_at_once_and_nothing_is_saved(stack: Stack) -> None:
    before = stack.api("GET", "sources?limit=500")[1]
    body = {"name": "a\nb", "tenantId": "not-a-guid", "cloud": "moon", "domains": ["contoso"], "surprise": 1}
    problem = _problem(_raw(stack, "POST", "sources", json.dumps(body).encode(), JSON), 422, "invalid-fields")
    named = {error["field"] for error in problem["errors"]}
    assert named == {"name", "tenantId", "cloud", "domains.0", "surprise", "sourceGroupId", "credentialId"}
    assert stack.api("GET", "sources?limit=500")[1] == before


def test_references_must_exist(stack: Stack) -> None:
    body = {"name": "x", "sourceGroupId": "0a", "tenantId": GUID, "credentialId": "0b"}
    problem = _problem(_raw(stack, "POST", "sources", json.dumps(body).encode(), JSON), 422, "invalid-fields")
    assert {error["field"] for error in problem["errors"]} == {"sourceGroupId", "credentialId"}


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a#b", "a?b", "O'Neill & Zoë", "名前", "x" * 120, "'; drop"])
def test_names_with_characters_that_keys_forbid_are_fine(stack: Stack, name: str) -> None:
    made = support.make(stack, "organizations", {"name": name})
    assert stack.api("GET", f"organizations/{made['id']}")[1]["name"] == name
    assert stack.api("DELETE", f"organizations/{made['id']}", headers={"If-Match": "*"})[0] == 204


def test_a_name_is_taken_whatever_its_case_and_free_again_after_a_rename(stack: Stack) -> None:
    made = support.make(stack, "organizations", {"name": "Zoë Case"})
    taken = _raw(stack, "POST", "organizations", json.dumps({"name": "ZOË \u00a0case\u200b"}).encode(), JSON)
    assert _problem(taken, 409, "name-taken")["errors"][0]["field"] == "name"
    assert stack.api("PATCH", f"organizations/{made['id']}", {"name": "Other"}, {"If-Match": '"r1"'})[0] == 200
    support.make(stack, "organizations", {"name": "Zoë Case"})


def test_an_etag_guards_every_change(stack: Stack) -> None:
    made = support.make(stack, "organizations", {"name": "Etag"})
    path = f"organizations/{made['id']}"
    body = json.dumps({"name": "Etag", "description": "two"}).encode()
    _problem(_raw(stack, "PUT", path, body, JSON), 428, "if-match-missing")
    status, saved, headers = _raw(stack, "PUT", path, body, {**JSON, "If-Match": '"r1"'})
    assert (status, headers["etag"], saved["revision"]) == (200, '"r2"', 2)
    _problem(_raw(stack, "PUT", path, body, {**JSON, "If-Match": '"r1"'}), 412, "changed-meanwhile")
    _problem(_raw(stack, "DELETE", path, None, {"If-Match": '"r1"'}), 412, "changed-meanwhile")
    _problem(_raw(stack, "PUT", path, body, {**JSON, "If-Match": "W/junk"}), 412, "changed-meanwhile")
    assert _raw(stack, "DELETE", path, None, {"If-Match": '"r2"'})[0] == 204
    _problem(_raw(stack, "GET", path), 404, "not-found")


def test_a_connector_keeps_its_source(stack: Stack) -> None:
    """What it collected would stay behind under the other one."""
    made, other = support.configure(stack), support.configure(stack)
    path, body = f"connectors/{made['connector']}", {"sourceId": other["source"]}
    sent = _raw(stack, "PATCH", path, json.dumps(body).encode(), {**JSON, "If-Match": "*"})
    assert _problem(sent, 409, "source-fixed")["errors"][0]["field"] == "sourceId"
    assert stack.api("GET", path)[1]["sourceId"] == made["source"]


def test_what_is_in_use_is_not_deleted_and_its_users_are_named(stack: Stack) -> None:
    ids = support.configure(stack)
    any_version = {"If-Match": "*"}
    for path, user in (
        (f"organizations/{ids['organization']}", ids["sourceGroup"]),
        (f"source-groups/{ids['sourceGroup']}", ids["source"]),
        (f"credentials/{ids['credential']}", ids["source"]),
        (f"sources/{ids['source']}", ids["connector"]),
    ):
        problem = _problem(_raw(stack, "DELETE", path, None, any_version), 409, "in-use")
        assert user in problem["detail"]
    for kind in ("connectors/connector", "sources/source", "source-groups/sourceGroup", "credentials/credential"):
        path, key = kind.split("/")
        assert stack.api("DELETE", f"{path}/{ids[key]}", headers=any_version)[0] == 204
    assert stack.api("DELETE", f"organizations/{ids['organization']}", headers=any_version)[0] == 204


def test_the_cloud_server_is_there_from_the_start_and_stays(stack: Stack) -> None:
    _, page = stack.api("GET", "connector-servers")
    assert [(server["id"], server["name"], server["builtIn"]) for server in page["items"]][:1] == [
        ("cloud", "Cloud", True)
    ]
    any_version = {"If-Match": "*"}
    assert stack.api("DELETE", "connector-servers/cloud", headers=any_version)[1]["code"] == "built-in"
    assert stack.api("PATCH", "connector-servers/cloud", {"name": "Mine"}, any_version)[1]["code"] == "built-in"


def test_a_patch_changes_what_it_names_and_null_resets(stack: Stack) -> None:
    ids = support.configure(stack, connector={"options": {"userThresholdDays": 30, "deviceThresholdDays": 60}})
    path = f"connectors/{ids['connector']}"
    change = {"options": {"userThresholdDays": None}, "schedule": {"timeZone": "Asia/Tokyo"}}
    _, saved = stack.api("PATCH", path, change, {"If-Match": '"r1"'})
    assert saved["options"]["userThresholdDays"] == 0 and saved["options"]["deviceThresholdDays"] == 60
    assert saved["schedule"]["timeZone"] == "Asia/Tokyo" and saved["schedule"]["startTime"] == "02:00"
    assert len(saved["jobs"][0]["nextDue"]) == 5 and all(
        moment.endswith("17:00:00Z") for moment in saved["jobs"][0]["nextDue"]
    )
    bad = stack.api("PATCH", path, {"schedule": {"timeZone": "Mars/Base", "startTime": "25:00"}}, {"If-Match": "*"})
    assert bad[0] == 422
    assert {error["field"] for error in bad[1]["errors"]} == {"schedule.timeZone", "schedule.startTime"}
    _, off = stack.api("PATCH", path, {"active": False}, {"If-Match": "*"})
    assert off["jobs"][0]["nextDue"] == [] and off["schedule"]["timeZone"] == "Asia/Tokyo"


def test_lists_are_paged(stack: Stack) -> None:
    made = [support.make(stack, "organizations", {"name": f"Page {n}"})["id"] for n in range(5)]
    seen, after = [], None
    while True:
        query = {"limit": "2"} | ({"after": after} if after else {})
        _, page = stack.api("GET", "organizations?" + urllib.parse.urlencode(query))
        assert len(page["items"]) <= 2
        seen += [item["id"] for item in page["items"]]
        if not (after := page["next"]):
            break
    assert [identifier for identifier in seen if identifier in made] == made and len(seen) == len(set(seen))


def test_a_cursor_goes_on_with_its_own_list_order_and_filter_only(stack: Stack) -> None:
    ids = [support.configure(stack)["connector"] for _ in range(3)]
    cursor = stack.api("GET", "connectors?limit=1")[1]["next"]
    assert stack.api("GET", f"connectors?limit=2&after={cursor}")[0] == 200
    for other in ("organizations", f"connectors/{ids[0]}/runs", "tombstones", "people", "people?orderBy=name", "holds"):
        status, problem, _ = _raw(stack, "GET", f"{other}{'&' if '?' in other else '?'}after={cursor}")
        assert (status, problem["errors"][0]["code"]) == (422, "foreign"), other
    for changed in (cursor[:-1], cursor[1:], f"x{cursor}", cursor.partition(".")[2], "."):
        assert _raw(stack, "GET", f"connectors?after={changed}")[0] == 422


@pytest.mark.parametrize(
    "path", ["people?source=", "tombstones?source=&limit=3", "people?after=", "people/search?text="]
)
def test_an_empty_option_is_refused_and_not_overlooked(stack: Stack, path: str) -> None:
    """The host leaves it out: the list would be everybody's."""
    problem = _problem(_raw(stack, "GET", path), 422, "invalid-fields")
    assert problem["errors"][0]["code"] == "empty"


def test_requests_that_are_odd_at_the_edges_get_an_answer(stack: Stack) -> None:
    assert _raw(stack, "GET", "people", headers={"Host": "[::1"})[0] in (200, 400)
    assert _raw(stack, "TRACE", "people")[0] == 405
    status, problem, _ = _raw(stack, "POST", f"connectors/{'0' * 20}/runs", headers={"Authorization": "Basic x"})
    assert (status, problem["code"]) == (401, "development-token")


def test_the_timer_starts_a_connector_that_is_due(stack: Stack) -> None:
    ids = support.configure(stack, connector={"schedule": {"firstRun": "at-once"}})
    run = None
    while not run:
        _, page = stack.api("GET", f"connectors/{ids['connector']}/runs")
        run = page["items"][0] if page["items"] else None
    assert run["trigger"] == "schedule"
    assert support.wait(stack, run["id"])["state"] == "succeeded"


def test_a_second_run_now_gives_the_run_that_goes_on_and_cancel_stops_it(rough_stack: Stack) -> None:
    ids = support.configure(rough_stack)
    rough_stack.admin("POST", "/slow", {"seconds": 2})
    first = rough_stack.api("POST", f"connectors/{ids['connector']}/runs")
    second = rough_stack.api("POST", f"connectors/{ids['connector']}/runs")
    assert (first[0], second[0]) == (202, 200) and first[1]["id"] == second[1]["id"]
    assert rough_stack.api("POST", f"runs/{first[1]['id']}/cancel")[0] == 202
    ended = support.wait(rough_stack, first[1]["id"], 30)
    assert ended["state"] == "cancelled"
    assert rough_stack.api("POST", f"runs/{first[1]['id']}/cancel")[1]["code"] == "run-closed"
    rough_stack.admin("POST", "/slow", {"seconds": 0})
    assert support.run_and_wait(rough_stack, ids["connector"])["state"] == "succeeded"


def test_crawl_off_refuses_runs(stack: Stack) -> None:
    ids = support.configure(stack, source={"crawl": False})
    assert stack.api("POST", f"connectors/{ids['connector']}/runs")[1]["code"] == "crawl-off"


def test_records_are_listed_searched_and_explained(stack: Stack) -> None:
    ids = support.configure(stack)
    support.run_and_wait(stack, ids["connector"])
    people = {user["id"]: user for user in support.truth(stack, "users")}
    for order in ("id", "name"):
        seen: list[dict[str, Any]] = []
        after: str | None = ""
        while after is not None:
            _, page = stack.api(
                "GET", f"people?source={ids['source']}&limit=150&orderBy={order}" + (f"&after={after}" if after else "")
            )
            seen += page["items"]
            after = page["next"]
        assert {item["id"].split("~")[1] for item in seen} == set(people) and len(seen) == len(people)
        if order == "id":
            assert [item["id"] for item in seen] == sorted(item["id"] for item in seen)
    for user in list(people.values())[:40]:
        for text in (user["displayName"][:7], user["userPrincipalName"][:9].upper(), user["mail"], user["employeeId"]):
            if text and len(text.strip()) >= 2:
                query = urllib.parse.urlencode({"text": text, "source": ids["source"], "limit": 100})
                status, found = stack.api("GET", f"people/search?{query}")
                assert status == 200, found
                assert (
                    user["id"] in {item["id"].split("~")[1] for item in found["items"]} or len(found["items"]) == 100
                ), text
    person = next(user for user in people.values() if user["_manager"] in people and user["mail"])
    _, shown = stack.api("GET", f"people/{ids['source']}~{person['id']}")
    assert shown["manager"]["displayName"] == people[person["_manager"]]["displayName"]
    value = shown["values"]["department"]
    assert (value["value"], value["attribute"], value["connectorId"], value["stream"]) == (
        person["department"], "department", ids["connector"], "users",
    )  # fmt: skip
    assert value["asOf"]
    reasons = {
        name: shown["values"][name]["missing"]
        for name in ("expiresAt", "employeeNumber", "lastLogonAt", "applicationLogons")
    }
    assert reasons == {
        "expiresAt": "not-provided", "employeeNumber": "not-provided", "lastLogonAt": "not-requested", "applicationLogons": "not-requested",
    }  # fmt: skip
    orphan = next(user for user in people.values() if user["_manager"] and user["_manager"] not in people)
    _, shown = stack.api("GET", f"people/{ids['source']}~{orphan['id']}")
    assert shown["manager"] == {
        "id": f"{ids['source']}~{orphan['_manager']}",
        "displayName": None,
        "mail": None,
        "missing": "not-in-copy",
    }
    _, devices = stack.api("GET", f"devices?source={ids['source']}&limit=500")
    assert len(devices["items"]) == stack.options.devices
    device = next(d for d in support.truth(stack, "devices") if d["_owners"])
    _, shown = stack.api("GET", f"devices/{ids['source']}~{device['id']}")
    assert {owner["id"].split("~")[1] for owner in shown["owners"]} == set(device["_owners"][:20])
    assert stack.api("GET", "people/nobody~00000000-0000-0000-0000-000000000000")[0] == 404
    assert stack.api("GET", "people/search?text=a")[0] == 422
    for path in ("people?after=junk", "organizations?after=JUNK!", f"connectors/{ids['connector']}/runs?after=junk"):
        assert stack.api("GET", path)[1]["errors"][0]["field"] == "after"


def test_a_search_costs_at_most_ten_table_requests(stack: Stack) -> None:
    support.run_and_wait(stack, support.configure(stack)["connector"])

    def requests() -> int:
        return sum(stack.admin("GET", "/counters")["storage"]["table"].values())

    counts = []
    for _ in range(3):
        before = requests()
        stack.api("GET", "people/search?text=an&limit=100")
        counts.append(requests() - before)
    assert min(counts) <= 10  # the timer's own requests fall into some of the three


def test_no_route_and_no_run_queries_without_an_exact_partition_and_row_range(own_stack: Stack) -> None:
    """All queries as Azurite got them, after a run and every GET route; only the documented scans range over partitions."""
    fields = ENTRA_ID.options.model_fields.values()
    everything = {field.alias: True for field in fields if field.annotation is bool and field.alias}
    ids = support.configure(
        own_stack, source={"excludedGroups": ["Service accounts"]}, connector={"options": everything}
    )
    ids["mapping"] = "entraid"
    run = support.run_and_wait(own_stack, ids["connector"])
    second = {
        "name": "Licences",
        "sourceId": ids["source"],
        "kind": MICROSOFT_365.name,
        "options": {"collectSignIns": True},
    }
    licences = support.make(own_stack, "connectors", second)["id"]
    for job in MICROSOFT_365.jobs:
        support.run_and_wait(own_stack, licences, job=job.name)
    known = {
        "runs/{id}": run["id"], "connectors/{id}/runs": ids["connector"], "connector-servers/{id}": "cloud",
        "connector-servers/{id}/history": "cloud",
        "runs/{id}/receipt": run["id"],
    }  # fmt: skip
    query = {
        "changes": "?since=2026-01-01T00:00:00Z", "mappings/{id}/diff": "?old=1", "reports/{name}": f"?source={ids['source']}",
    }  # fmt: skip
    for plural in (record_type.plural for record_type in REGISTRY.record_types.values()):
        record = own_stack.api("GET", f"{plural}?limit=1")[1]["items"][0]["id"]
        known |= {f"{plural}/{{id}}": record, f"{plural}/{{id}}/changes": record}
        known |= {f"{plural}/{{id}}/{part.plural}": record for part in REGISTRY.record_types.values() if part.part_of}
        query[f"{plural}/search"] = "?text=an"
    demo_actions.register(own_stack, ids["source"])
    person = demo_actions.somebody(own_stack, ids["source"])["id"]
    planned = own_stack.api("POST", f"people/{person}/actions/disable-sign-in/plan", {})[1]["plan"]["id"]
    known |= {"plans/{id}": planned, "plans/{id}/items": planned, "people/{id}/queries/{name}": person}
    known |= {f"{plural}/{{id}}/actions": known[f"{plural}/{{id}}"] for plural in ("people", "devices")}
    known["devices/{id}/queries/{name}"] = known["devices/{id}"]
    query["plans"] = f"?source={ids['source']}"
    for path, operations in own_stack.api("GET", "openapi.json")[1]["paths"].items():
        if "get" in operations:
            short = path.removeprefix("/api/v1/")
            kind = short.split("/")[0].rstrip("s").replace("source-group", "sourceGroup")
            address = short.replace("{id}", known.get(short) or ids.get(kind, "0")).replace("{kind}", ENTRA_ID.name)
            asked = {"people": "groups", "devices": "owners"}.get(short.split("/")[0], "licences-of-people")
            address = address.replace("{name}", asked)
            status, answer = own_stack.api("GET", address + query.get(short, ""))
            assert status == 200 or short.endswith("certificate") or short.startswith("holds/"), (address, answer)
    for order in ("name", "id"):
        page = own_stack.api("GET", f"people?limit=5&orderBy={order}")[1]
        own_stack.api("GET", f"people?limit=5&orderBy={order}&after={page['next']}")
    page = own_stack.api("GET", "people?limit=5&select=lastLogonAt&missing=not-provided")[1]
    own_stack.api("GET", f"people?limit=5&select=lastLogonAt&missing=not-provided&after={page['next']}")
    exact = "PartitionKey eq ? and RowKey ge ? and RowKey lt ?"
    scan = "PartitionKey ge ? and PartitionKey lt ?"
    onward = "( ( PartitionKey eq ? and RowKey gt ? ) or PartitionKey gt ? ) and PartitionKey lt ?"
    documented = {f"{table}: {shape}" for table in ("Records", "Lookup") for shape in (scan, onward)} | {
        f"OutOfScope: {scan}",
        f"Tombstones: {scan}",
        f"Audit: {scan}",
        f"Audit: {onward}",
    }
    shapes = set(own_stack.admin("GET", "/counters")["filters"])
    wide = {shape for shape in shapes if not shape.endswith(f": {exact}")}
    assert {shape for shape in wide if not re.match(rf"Changes\d{{6}}: {re.escape(scan)}$", shape)} <= documented
    assert {shape.split(":")[0] for shape in shapes if not re.match(r"Changes\d", shape)} == {
        "Config",
        "Schedule",
        "State",
        "Records",
        "Lookup",
        "OutOfScope",
        "Changes",
        "Tombstones",
        "Audit",
        "Mappings",
        "Plans",
    }


def test_excluded_groups_leave_their_members_out_nested_ones_too(stack: Stack) -> None:
    ids = support.configure(stack, source={"excludedGroups": ["Service accounts", "Doubled name", "No such group"]})
    run = support.run_and_wait(stack, ids["connector"])
    assert run["state"] == "succeeded"
    codes = {problem["code"] for problem in run["problems"]}
    assert codes == {"excluded-group-unknown", "excluded-group-ambiguous"}
    users = next(stream for stream in run["streams"] if stream["name"] == "users")
    assert users["outOfScope"] > 0 and users["new"] + users["outOfScope"] == stack.options.people
    stored = {
        r["RowKey"].split("|")[0]
        for r in support.rows(stack, "Records")
        if r["PartitionKey"].startswith(f"{ids['source']}|person")
    }
    stubs = {
        r["RowKey"].split("|")[0]: r["Reason"]
        for r in support.rows(stack, "OutOfScope")
        if ids["source"] in r["PartitionKey"]
    }
    assert len(stored) == users["new"] and not stored & set(stubs) and set(stubs.values()) == {"excluded-group"}
    _, now = stack.api("PATCH", f"sources/{ids['source']}", {"excludedGroups": []}, {"If-Match": "*"})
    again = support.run_and_wait(stack, ids["connector"])
    assert support.stream(again)["returned"] == len(stubs) and support.stream(again)["reason"] == "scope-changed"
    assert not [r for r in support.rows(stack, "OutOfScope") if ids["source"] in r["PartitionKey"]]
    assert now["excludedGroups"] == []


def test_domains_and_device_thresholds_leave_out_and_take_back(stack: Stack) -> None:
    ids = support.configure(
        stack, source={"domains": ["FABRIKAM.example"]}, connector={"options": {"deviceThresholdDays": 90}}
    )
    run = support.run_and_wait(stack, ids["connector"])
    streams = {stream["name"]: stream for stream in run["streams"]}
    users = list(support.truth(stack, "users"))
    wanted = [user for user in users if (user["mail"] or "").endswith("@fabrikam.example")]
    assert streams["users"]["new"] == len(wanted) and streams["users"]["outOfScope"] == stack.options.people - len(
        wanted
    )
    assert 0 < streams["devices"]["outOfScope"] < stack.options.devices
    unknown = [d["id"] for d in support.truth(stack, "devices") if d["approximateLastSignInDateTime"] is None]
    stored = {
        r["RowKey"].split("|")[0]
        for r in support.rows(stack, "Records")
        if r["PartitionKey"].startswith(f"{ids['source']}|device")
    }
    assert set(unknown) <= stored  # activity that is not known keeps a device
    stack.api("PATCH", f"sources/{ids['source']}", {"domains": ["*"]}, {"If-Match": "*"})
    stack.api("PATCH", f"connectors/{ids['connector']}", {"options": {"deviceThresholdDays": 0}}, {"If-Match": "*"})
    again = {s["name"]: s for s in support.run_and_wait(stack, ids["connector"])["streams"]}
    assert (
        again["users"]["returned"] == stack.options.people - len(wanted)
        and again["devices"]["returned"] == streams["devices"]["outOfScope"]
    )


def test_the_api_describes_itself(stack: Stack) -> None:
    _, document = stack.api("GET", "openapi.json")
    assert document["openapi"] == "3.1.0"
    status, page = stack.api("GET", "docs")
    assert status == 200 and "<!doctype html>" in page
    assert "http://" not in page and "https://" not in page and "<script" not in page


def test_sign_in_name_and_mail_that_begin_alike_are_both_found(stack: Stack) -> None:
    ids = support.configure(stack)
    person = next(user["id"] for user in support.truth(stack, "users"))
    long = "maximiliana.vandenberg-hohenzollern.of.the.northern.office"
    changed = {"userPrincipalName": f"{long}@contoso.onmicrosoft.example", "mail": f"{long}@contoso.example"}
    support.mutate(stack, "set", ids=[person], properties=changed)
    support.run_and_wait(stack, ids["connector"])
    for address in changed.values():
        _, found = stack.api("GET", f"people/search?text={address}&source={ids['source']}")
        assert [item["id"].split("~")[1] for item in found["items"]] == [person]


def test_a_body_that_is_nested_too_deep_is_refused(stack: Stack) -> None:
    body = b'{"a":' * 500 + b"1" + b"}" * 500
    _problem(_raw(stack, "PATCH", "organizations/0a", body, {**JSON, "If-Match": "*"}), 400, "too-deep")


def test_ids_that_can_not_be_are_not_found(stack: Stack) -> None:
    for path in (
        "people/" + "a" * 3000,
        "people/a~" + "b" * 500,
        "people/a~b%2Fc",
        "people/a~%00",
        "runs/x",
        "runs/a~b~c",
        "connectors/%0A",
    ):
        assert stack.api("GET", path)[0] == 404, path


def test_a_credential_of_another_organization_is_refused(stack: Stack) -> None:
    ids = support.configure(stack)
    other = support.make(stack, "organizations", {"name": "Somebody else"})["id"]
    credential = {"name": "Theirs", "organizationId": other, "clientId": GUID, "clientSecret": "x"}
    theirs = support.make(stack, "credentials", credential)["id"]
    status, problem = stack.api("PATCH", f"sources/{ids['source']}", {"credentialId": theirs}, {"If-Match": "*"})
    assert (status, problem["errors"][0]["code"]) == (422, "foreign")


def test_a_connector_of_another_server_is_not_run_here(stack: Stack) -> None:
    server = support.make(stack, "connector-servers", {"name": "Basement"})["id"]
    ids = support.configure(stack, connector={"connectorServerId": server, "schedule": {"firstRun": "at-once"}})
    assert stack.api("POST", f"connectors/{ids['connector']}/runs")[1]["code"] == "other-server"
    assert stack.api("GET", f"connectors/{ids['connector']}/runs")[1]["items"] == []


def test_two_connectors_of_one_source_do_not_take_each_others_look_ups(stack: Stack) -> None:
    ids = support.configure(
        stack, connector={"options": {"collectUsers": False}, "removalLimit": {"count": 5000, "percent": 100}}
    )
    other = support.make(
        stack, "connectors", {"name": "All", "sourceId": ids["source"], "options": {"collectUsers": False}}
    )["id"]
    for connector in (ids["connector"], other):
        support.run_and_wait(stack, connector)
    change = {"options": {"deviceThresholdDays": 90}}
    stack.api("PATCH", f"connectors/{ids['connector']}", change, {"If-Match": "*"})
    run = support.run_and_wait(stack, ids["connector"])
    assert run["streams"][0]["outOfScope"] > 0
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        _, page = stack.api(
            "GET", f"devices?source={ids['source']}&orderBy=name&limit=100" + (f"&after={after}" if after else "")
        )
        found += [item["id"] for item in page["items"]]
        after = page["next"]
    assert len(set(found)) == stack.options.devices
    _, listed = stack.api("GET", f"devices?source={ids['source']}&limit=500")
    assert len(listed["items"]) == stack.options.devices
