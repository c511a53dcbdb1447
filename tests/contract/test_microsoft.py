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
from local.cloud.graph.facts import VERSION, facts
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
]  # fmt: skip


def _fits(method: str, address: str, headers: dict[str, str], body: bool) -> bool:
    return facts().problems(method, f"{VERSION}{address.replace(' ', '%20')}", headers, body=body) == []


@pytest.mark.parametrize(("method", "address", "headers", "body", "described"), ASKED)
def test_a_request_fits_only_if_microsoft_describes_it(
    method: str, address: str, headers: dict[str, str], body: bool, described: bool
) -> None:
    assert _fits(method, address, headers, body) is described


def test_another_version_of_graph_is_another_description() -> None:
    assert facts().problems("GET", "/beta/users", {}) != []


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

    @pytest.fixture(scope="module")
    def checker() -> Any:
        spec = importlib.util.spec_from_file_location("check_request", REFERENCE / "check_request.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("builtins.open", lambda file: io.StringIO(Path(file).read_text()))  # it leaves its file open
            return module.GraphSpec(REFERENCE / "openapi" / "graph-v1.0.trimmed.json")

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
