"""Against Microsoft's own description."""

import json
from typing import Any

import pytest

from local.cloud.graph import description
from shared.connectors import REGISTRY
from shared.sync.sources import listing_of
from tests.microsoft import GRAPH, load_spec, needs_shared


@pytest.fixture(scope="module", name="spec")
def _spec_fixture() -> Any:
    return load_spec()


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
@pytest.mark.parametrize("kind", sorted(REGISTRY.kinds))
def test_every_listing_and_permission_of_a_connector_is_microsofts(kind: str, spec: Any) -> None:
    permissions = json.loads((GRAPH / "permissions.json").read_text())["permissions"]
    known = {name for name, facts in permissions.items() if facts["application"]}
    for stream in REGISTRY.kinds[kind].streams:
        listing = listing_of(stream)
        url = f"https://graph.microsoft.com/v1.0{listing.first}"
        assert spec.problems("GET", url) == []
        enough = set(spec.permissions("GET", url)["application"]["all"])
        named = {name for permission in stream.permissions for name in (permission.name, *permission.wider)}
        assert named & enough
        assert named <= known


@needs_shared
def test_the_simulated_permissions_are_microsofts(spec: Any) -> None:
    for path, collection in description.COLLECTIONS.items():
        permissions = spec.permissions("GET", f"https://graph.microsoft.com/v1.0/{path}")
        assert collection.permissions <= set(permissions["application"]["all"]), path
