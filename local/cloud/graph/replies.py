"""Requests and answers of the simulated Graph."""

from dataclasses import dataclass
from typing import Any


class GraphRefusal(Exception):
    """An answer in Graph's error shape."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class GraphRequest:
    """One request after sign-in. `roles` and `wids` are the token's; `base` is scheme, host and version for links."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    roles: frozenset[str]
    base: str
    wids: frozenset[str] = frozenset()


@dataclass(frozen=True)
class GraphReply:
    status: int
    body: Any
    content_type: str = "application/json"
    location: str = ""


def not_found(what: str) -> GraphRefusal:
    return GraphRefusal(
        404,
        "Request_ResourceNotFound",
        f"Resource '{what}' does not exist or one of its queried reference-property objects are not present.",
    )
