"""Against Microsoft's own description, where it is at hand (../shared); skipped, visibly, where it is not."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from local.cloud.graph import description
from shared.connectors import KINDS
from shared.graph.listing import Listing
from shared.mapping.compiled import selected
from tests.conftest import JOURNALS, SHARED

GRAPH = SHARED / "reference" / "graph"
needs_shared = pytest.mark.skipif(not GRAPH.exists(), reason="Microsoft's description is not beside this checkout")


def _spec() -> Any:
    spec = importlib.util.spec_from_file_location("check_request", GRAPH / "check_request.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.GraphSpec(GRAPH / "openapi" / "graph-v1.0.trimmed.json")


@pytest.fixture(scope="module", name="spec")
def _spec_fixture() -> Any:
    if not GRAPH.exists():
        pytest.skip("Microsoft's description is not beside this checkout")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.open", _closing_open)  # that checker leaves its file to the garbage collector
        return _spec()


def _closing_open(file: Any, *args: Any, **kwargs: Any) -> Any:
    import io

    return io.StringIO(Path(file).read_text()) if not args else open(file, *args, **kwargs)


@needs_shared
@pytest.mark.parametrize("kind", ["user", "device", "group", "organization", "subscribedSku", "domain"])
def test_the_simulated_graph_has_no_property_that_microsoft_has_not(kind: str) -> None:
    ours = {
        "user": description.USER | description.USER_SINGLE_ONLY, "device": description.DEVICE, "group": description.GROUP,
        "organization": description.ORGANIZATION, "subscribedSku": description.SKU, "domain": description.DOMAIN,
    }[kind]  # fmt: skip
    theirs = set(json.loads((GRAPH / "properties" / f"{kind}.json").read_text())["properties"])
    assert ours - theirs == set()


@needs_shared
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_listing_and_permission_of_a_connector_is_microsofts(kind: str, spec: Any) -> None:
    permissions = json.loads((GRAPH / "permissions.json").read_text())["permissions"]
    known = {name for name, facts in permissions.items() if facts["application"]}
    for stream in KINDS[kind].streams:
        listing = Listing(stream.path, selected(stream.attributes), stream.permission.name, stream.expand)
        url = f"https://graph.microsoft.com/v1.0{listing.first}"
        assert spec.problems("GET", url) == []
        enough = set(spec.permissions("GET", url)["application"]["all"])
        assert {stream.permission.name, *stream.permission.wider} <= enough
        assert {stream.permission.name, *stream.permission.wider} <= known


@needs_shared
def test_the_simulated_permissions_are_microsofts(spec: Any) -> None:
    for path, collection in description.COLLECTIONS.items():
        permissions = spec.permissions("GET", f"https://graph.microsoft.com/v1.0/{path}")
        assert collection.permissions <= set(permissions["application"]["all"]), path


def test_every_request_to_graph_is_one_that_microsoft_describes(spec: Any) -> None:
    """All requests that this whole session made to the simulated Graph, each different one once."""
    seen: set[str] = set()
    problems = []
    for file in JOURNALS.glob("*.jsonl"):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            shape = json.dumps([entry["method"], _shape(entry["url"]), sorted(entry["headers"]), "body" in entry])
            if shape in seen:
                continue
            seen.add(shape)
            problems += [
                f"{entry['method']} {entry['url']}: {problem}"
                for problem in spec.problems(
                    entry["method"], f"https://graph.microsoft.com{entry['url']}", entry["headers"], entry.get("body")
                )
            ]
    print(f"\n{len(seen)} different requests to Graph were checked")
    assert problems == []


def _shape(url: str) -> str:
    """The URL without what differs from page to page and object to object."""
    import re

    url = re.sub(r"(\$(?:skip|delta)token=)[^&]+", r"\1T", url)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", url)
