"""Against Microsoft's description of Graph: the facts in local/cloud/graph/facts.json, and where ROLLCALL_GRAPH_REFERENCE
names a folder with that description, the description itself.
"""

import importlib.util
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from local.cloud.graph import description, make_facts
from local.cloud.graph.facts import VERSION, Facts, facts
from shared.connectors import REGISTRY
from shared.connectors.base import DirectoryList, Stream
from shared.sync.sources import changes_since, listing_of
from tests.rig import Hands

REFERENCE = Path(os.environ.get("ROLLCALL_GRAPH_REFERENCE") or "")
STREAMS = [stream for kind in REGISTRY.kinds.values() for stream in kind.streams]
EVENTUAL = {"ConsistencyLevel": "eventual"}

# Method, address, headers, whether a body is sent; then whether Microsoft describes it.
ASKED: list[tuple[str, str, dict[str, str], bool, bool]] = [
    ("GET", "/users?$select=id,mail&$top=999&$expand=manager($select=id)", {}, False, True),
    ("GET", "/users?$select=id,signInActivity&$top=500&$filter=signInActivity/lastSignInDateTime ge 2026-01-01T00:00:00Z", {}, False, True),
    ("GET", "/users/delta?$select=id,mail,manager&$deltatoken=latest", {}, False, True),
    ("GET", "/users/$count", EVENTUAL, False, True),
    ("GET", "/users/7e4a0000-0000-4000-8000-000000000001?$select=id", {}, False, True),
    ("GET", "/directory/deletedItems/7e4a0000-0000-4000-8000-000000000001?$select=id", {}, False, True),
    ("GET", "/groups/7e4a0000-0000-4000-8000-000000000001/transitiveMembers/microsoft.graph.user?$select=id&$top=999", {}, False, True),
    ("GET", "/groups?$filter=displayName eq 'O''Neill'&$select=id,displayName", {}, False, True),
    ("GET", "/domains", {}, False, True),
    ("GET", "/subscribedSkus", {}, False, True),
    ("GET", "/reports/getOffice365ActiveUserDetail(period='D30')", {}, False, True),
    ("POST", "/$batch", {}, True, True),
    ("GET", "/users?$select=id,phone", {}, False, False),
    ("GET", "/users?$select=", {}, False, False),
    ("GET", "/users?$select=id,id", {}, False, False),
    ("GET", "/users?$top=1000", {}, False, False),
    ("GET", "/users?$top=many", {}, False, False),
    ("GET", "/users?$skip=10", {}, False, False),
    ("GET", "/users?$expand=boss", {}, False, False),
    ("GET", "/users?$expand=manager($select=id),", {}, False, False),
    ("GET", "/users?$expand=manager($select=id)", EVENTUAL, False, False),
    ("GET", '/users?$search="displayName:ann"', {}, False, False),
    ("GET", "/users?$filter=accountEnabled ne true", {}, False, False),
    ("GET", "/users/$count", {}, False, False),
    ("GET", "/users/$count?$select=id", EVENTUAL, False, False),
    ("GET", "/users/delta?$top=10", {}, False, False),
    ("GET", "/users/delta?$orderby=displayName", {}, False, False),
    ("GET", "/user", {}, False, False),
    ("GET", "/users/1/boss", {}, False, False),
    ("PUT", "/users/1", {}, True, False),
    ("GET", "/users", {}, True, False),
    ("POST", "/$batch", {}, False, False),
    ("GET", "/reports/getOffice365ActiveUserDetail(period='D31')", {}, False, False),
    ("GET", "/domains?$orderby=id", {}, False, False),
    ("GET", "/users?$filter=accountEnabled ne true&$count=true", EVENTUAL, False, True),
    ("GET", "/users?$filter=assignedLicenses/any(l:l/skuId eq 7e4a0000-0000-4000-8000-000000000001)", {}, False, True),
    ("GET", "/auditLogs/signIns?$filter=createdDateTime ge 2026-11-01T00:00:00Z and status/errorCode eq 0&$top=1000", {}, False, True),
    ("GET", "/auditLogs/directoryAudits?$orderby=activityDateTime desc", {}, False, True),
    ("GET", "/directory/subscriptions?$select=id,skuId,status", {}, False, True),
    ("GET", "/reports/getOffice365ActiveUserDetail(date=2026-11-03)?$format=text/csv", {}, False, True),
    ("GET", "/devices/7e4a0000-0000-4000-8000-000000000001/registeredOwners?$select=id", {}, False, True),
    ("GET", "/users?$select=phone&$select=id", {}, False, False),
    ("GET", "/users?$top=5000&$top=5", {}, False, False),
    ("GET", "/users?$count=maybe", {}, False, False),
    ("GET", "/users?$count=true", {}, False, False),
    ("GET", "/users/$count", {"ConsistencyLevel": "strong"}, False, False),
    ("GET", "/users/delta?$filter=accountEnabled eq true", {}, False, False),
    ("GET", "/users/1?$filter=accountEnabled eq true", {}, False, False),
    ("PATCH", "/users/delta", {}, True, False),
    ("DELETE", "/users/delta", {}, False, False),
    ("GET", "/auditLogs/signIns?$top=1001", {}, False, False),
    ("GET", "/identityProtection/riskyUsers?$top=501", {}, False, False),
    ("GET", "/reports/getOffice365ActiveUserDetail(date=yesterday)", {}, False, False),
    ("GET", "/reports/getOffice365ActiveUserDetail(date=2026-13-03)", {}, False, False),
    ("GET", "/reports/getOffice365ActiveUserDetail(period='D30')?$format=xml", {}, False, False),
    ("GET", "/reports/getMailboxUsageDetail(date=2026-11-03)", {}, False, False),
]  # fmt: skip

# The same, where the independent checker looks less closely: it knows no properties of filters and orders, nothing inside the
# parentheses of an expansion, and takes words in quotes for operators.
CLOSER: list[tuple[str, str, dict[str, str], bool, bool]] = [
    ("GET", "/groups?$filter=displayName eq 'Do not sync'", {}, False, True),
    ("GET", "/groups?$filter=displayName eq 'it''s not (me'", {}, False, True),
    ("GET", "/users?$filter=startswith(displayName,'a') or endswith(mail,'b')&$count=true", EVENTUAL, False, True),
    ("GET", "/users?$filter=phone eq '1'", {}, False, False),
    ("GET", "/users?$filter=mail eq 'a' and phone eq '1'", {}, False, False),
    ("GET", "/users?$filter=lowercase(mail) eq 'a'", {}, False, False),
    ("GET", "/users?$filter=mail eq 'a", {}, False, False),
    ("GET", "/users/$count?$filter=phone eq '1'", EVENTUAL, False, False),
    ("GET", "/users?$orderby=phone", {}, False, False),
    ("GET", "/users?$orderby=displayName upwards", {}, False, False),
    ("GET", "/users?$expand=manager($elect=id)", {}, False, False),
    ("GET", "/users?$top=5&$top=5", {}, False, False),
]  # fmt: skip


def _fits(method: str, address: str, headers: dict[str, str], body: bool) -> bool:
    return facts().problems(method, f"{VERSION}{address.replace(' ', '%20')}", headers, body=body) == []


@pytest.mark.parametrize(("method", "address", "headers", "body", "described"), ASKED + CLOSER)
def test_a_request_fits_only_if_microsoft_describes_it(
    method: str, address: str, headers: dict[str, str], body: bool, described: bool
) -> None:
    assert _fits(method, address, headers, body) is described


def test_another_version_of_graph_is_another_description() -> None:
    assert facts().problems("GET", "/beta/users", {}) != []


def _part(**changes: Any) -> dict[str, Any]:
    return {"id": "1", "method": "GET", "url": "/users/1?$select=id", **changes}


@pytest.mark.parametrize(
    ("batch", "described"),
    [
        ({"requests": [_part(), _part(id="2", url="/directory/deletedItems/1")]}, True),
        ({"requests": [_part(url="/users/$count", headers=EVENTUAL)]}, True),
        ({"requests": [_part(url="/users?$select=phone")]}, False),
        ({"requests": [_part(), _part(id="2", url="/users/1/boss")]}, False),
        ({"requests": [_part(url="/users/$count")]}, False),
        ({"requests": [_part(body={})]}, False),
        ({"requests": [_part(method="FETCH")]}, False),
        ({"requests": [_part(url="/$batch", method="POST", body={"requests": [_part()]})]}, False),
        ({"requests": [_part(), _part()]}, False),
        ({"requests": [_part(id=str(number)) for number in range(21)]}, False),
        ({"requests": [_part(id=1)]}, False),
        ({"requests": [_part(priority=1)]}, False),
        ({"requests": [_part()], "atomic": True}, False),
        ({"requests": [{"id": "1", "url": "/users"}]}, False),
        ({"requests": []}, False),
        ({"requests": "all"}, False),
        ([], False),
    ],
)
def test_a_batch_fits_only_if_each_of_its_requests_does(batch: Any, described: bool) -> None:
    found = facts().problems_with("POST", f"{VERSION}/$batch", {}, json.dumps(batch).encode())
    assert (found == []) is described, found


def test_addresses_that_differ_in_an_id_or_a_token_take_one_verdict() -> None:
    fresh = Facts(json.loads(make_facts.FILE.read_text()))
    for number in range(50):
        one = f"7e4a0000-0000-4000-8000-{number:012d}"
        assert fresh.problems("GET", f"{VERSION}/users/{one}?$select=id", {}) == []
        assert fresh.problems("GET", f"{VERSION}/users?$skiptoken=T{number}x&$select=id", {}) == []
        assert fresh.problems("GET", f"{VERSION}/users/delta?$select=id&$deltatoken={number}", {}) == []
        assert fresh.problems("GET", f"{VERSION}/users/{one}?$select=phone", {}) != []
    assert fresh._verdict.cache_info().misses == 4


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_every_address_of_a_stream_is_microsofts(stream: Stream) -> None:
    listing = listing_of(stream)
    addresses = [listing.first, listing.one("7e4a0000-0000-4000-8000-000000000001")]
    if isinstance(stream.reader, DirectoryList):
        addresses += [listing.delta, f"{listing.delta}&$deltatoken=latest"]
    elif newer := changes_since(stream, listing, Hands().now()):
        addresses.append(newer)
    for address in addresses:
        assert facts().problems("GET", f"{VERSION}{address}", {}) == []


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_streams_permissions_are_application_permissions_that_its_list_takes(stream: Stream) -> None:
    enough = facts().application_permissions("GET", listing_of(stream).path)
    for permission in stream.permissions:
        assert {permission.name, *permission.wider} <= facts().permissions
    read = [p for p in stream.permissions if p.name in enough]
    assert read, "none of them allows the list"
    assert all(set(permission.wider) <= enough for permission in read)


def test_the_permission_for_excluded_groups_is_microsofts() -> None:
    enough = facts().application_permissions("GET", "/groups/1/transitiveMembers/microsoft.graph.user")
    for kind in REGISTRY.kinds.values():
        if kind.group_permission:
            assert {kind.group_permission.name, *kind.group_permission.wider} <= enough


@pytest.mark.parametrize("path", sorted(description.COLLECTIONS))
def test_the_simulated_graph_takes_no_option_and_no_permission_that_microsoft_does_not(path: str) -> None:
    collection = description.COLLECTIONS[path]
    operation = facts().operation("GET", f"/{path}")
    assert operation
    assert collection.options <= operation["options"].keys()
    assert collection.permissions <= set(operation["permissions"])
    assert set(collection.default) | collection.no_delta <= collection.properties


if REFERENCE.name:

    def test_the_facts_are_what_the_description_says() -> None:
        assert make_facts.FILE.read_text() == make_facts.make(REFERENCE), "run python3 -m local graph-facts FOLDER"
        assert make_facts.PROPERTIES.read_text() == make_facts.make_properties(REFERENCE)

    @pytest.fixture(scope="module")
    def checker() -> Any:
        spec = importlib.util.spec_from_file_location("check_request", REFERENCE / "check_request.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("builtins.open", lambda file: io.StringIO(Path(file).read_text()))  # it leaves its file open
            return module.GraphSpec(REFERENCE / "openapi" / "graph-v1.0.trimmed.json")

    def test_permissions_are_those_that_an_independent_checker_reads(checker: Any) -> None:
        held = json.loads(make_facts.FILE.read_text())["operations"]
        for key in held:
            method, _, template = key.partition(" ")
            path = template.replace("='{}'", "='D7'").replace("={}", "=2026-11-03").replace("{}", "x")
            path = path.replace("date='D7'", "date='2026-11-03'")
            theirs = checker.permissions(method, f"https://graph.microsoft.com/v1.0{path}") or {}
            assert facts().operation(method, path) is not None, path
            assert facts().application_permissions(method, path) == set(
                (theirs.get("application") or {}).get("all", [])
            )

    def test_our_verdicts_are_those_of_an_independent_checker(checker: Any) -> None:
        differing = []
        for method, address, headers, body, described in ASKED:
            sent = {"requests": [{"id": "1", "method": "GET", "url": "/users"}]} if body else None
            found = checker.problems(method, f"https://graph.microsoft.com/v1.0{address}", headers, sent)
            if (found == []) is not described:
                differing.append((method, address, found))
        samples = json.loads((REFERENCE / "openapi" / "request_samples.json").read_text())
        compared = 0
        for sample in samples:
            path = re.sub(r"^https://[^/]+", "", sample["url"])
            if (
                sample["spec"] != "v1.0"
                or sample["method"] != "GET"
                or not facts().operation("GET", path[5:].partition("?")[0])
            ):
                continue
            compared += 1
            if _fits("GET", path[5:], sample["headers"] or {}, body=False) is not (sample["expect"] == "accept"):
                differing.append(("sample", sample["url"], sample["expect"]))
        assert compared > 10
        assert differing == []
