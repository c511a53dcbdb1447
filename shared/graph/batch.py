"""JSON batching: up to 20 reads in one request, each answered and throttled for itself.

https://learn.microsoft.com/graph/json-batching
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import SourceProblem
from shared.graph.answers import GONE_CODES, parse_code
from shared.graph.client import GraphClient

MOST = 20
_ROUNDS = 4
_AGAIN = (0, 408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Part:
    """The answer to one of the requests."""

    status: int
    body: Any

    @property
    def gone(self) -> bool:
        """Whether Graph says, in words of its own, that there is no such object: any other 404 says nothing about it."""
        return self.status == 404 and parse_code(self.body) in GONE_CODES

    def named(self, object_id: str) -> bool:
        """Whether it is the object itself."""
        return self.status == 200 and isinstance(self.body, dict) and self.body.get("id") == object_id


async def get(client: GraphClient, urls: Mapping[str, str], permission: str) -> dict[str, Part]:
    """GETs by key. What is throttled or fails is asked for again a few times; then its last answer stands."""
    found: dict[str, Part] = {}
    waiting = dict(urls)
    for attempt in range(_ROUNDS):
        told = False
        names = list(waiting)
        for start in range(0, len(names), MOST):
            chosen = names[start : start + MOST]
            numbered = {str(n): name for n, name in enumerate(chosen)}
            body = {"requests": [{"id": n, "method": "GET", "url": waiting[name]} for n, name in numbered.items()]}
            answer = await client.post_json("/$batch", permission, body)
            wait = 0.0
            for part in _parts(answer):
                name = numbered.get(str(part.get("id")))
                if name is None:
                    continue
                status = part.get("status")
                found[name] = Part(status if isinstance(status, int) else 0, part.get("body"))
                wait = max(wait, _retry_after(part))
            if wait:  # before anything else is asked
                told = True
                await client.wait_throttled(wait)
        waiting = {name: url for name, url in waiting.items() if name not in found or found[name].status in _AGAIN}
        if not waiting:
            break
        if attempt < _ROUNDS - 1 and not told:
            await client.wait_throttled(2.0 * 2**attempt)
    return {name: found.get(name, Part(0, None)) for name in urls}


def _parts(answer: Any) -> list[dict[str, Any]]:
    parts = answer.get("responses") if isinstance(answer, dict) else None
    if not isinstance(parts, list):
        raise SourceProblem(
            "Microsoft Graph answered a batch without its parts.",
            code="graph-malformed",
            remedy="The next run tries again by itself.",
            transient=True,
        )
    return [part for part in parts if isinstance(part, dict)]


def _retry_after(part: dict[str, Any]) -> float:
    headers = part.get("headers")
    if not isinstance(headers, dict):
        return 0.0
    try:
        seconds = float({str(name).lower(): value for name, value in headers.items()}.get("retry-after", 0))
    except (TypeError, ValueError):
        return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
