"""Every request that the tests made to the simulated Graph is one that Microsoft describes. Run after all others."""

import json
import re

from tests.conftest import JOURNALS
from tests.microsoft import load_spec


def test_every_request_to_graph_is_one_that_microsoft_describes() -> None:
    """All requests that this whole session made to the simulated Graph, each different one once."""
    spec = load_spec()
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
    url = re.sub(r"(\$(?:skip|delta)token=)[^&]+", r"\1T", url)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", url)
