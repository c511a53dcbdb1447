"""Every request that the tests made to the simulated Graph is one that Microsoft describes. Run after all others."""

import json
import re
from typing import Any

from tests.conftest import JOURNALS
from tests.microsoft import load_spec


def test_every_request_to_graph_is_one_that_microsoft_describes() -> None:
    """All requests of the whole session, each different one once. The app's own must fit Microsoft's description, whatever
    was answered; what others asked beside it must have been refused.
    """
    spec = load_spec()
    asked: dict[str, dict[str, Any]] = {}
    for file in JOURNALS.glob("*.jsonl"):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            odd = not entry["app"] and entry["status"] >= 400
            asked[
                json.dumps([entry["method"], _shape(entry["url"]), sorted(entry["headers"]), "body" in entry, odd])
            ] = entry
    problems = []
    for entry in asked.values():
        url = f"https://graph.microsoft.com{entry['url']}"
        found = spec.problems(entry["method"], url, entry["headers"], entry.get("body"))
        if entry["app"] or entry["status"] < 400:
            problems += [f"{entry['method']} {entry['url']}: {problem}" for problem in found]
    app = sum(entry["app"] for entry in asked.values())
    print(f"\n{app} different requests of the app and {len(asked) - app} of tests were checked")
    assert app > 0
    assert problems == []


def _shape(url: str) -> str:
    """The URL without what differs from page to page and object to object."""
    url = re.sub(r"(\$(?:skip|delta)token=)[^&]+", r"\1T", url)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", url)
