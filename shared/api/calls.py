"""One validated request, as a handler gets it."""

import re
from dataclasses import dataclass, field
from typing import Any

from shared.errors import Changed, MissingPrecondition
from shared.principal import Principal

_OURS = re.compile(r'"r(\d{1,9})"')
_TAG = re.compile(r'\s*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)')


@dataclass(frozen=True)
class Call:
    """`query` and `body` are instances of the route's models (None without one); `csrf` is the token that a page's forms
    carry; `once` an id for what this request makes, the same when it is sent again with its Idempotency-Key (empty without).
    """

    principal: Principal
    path: dict[str, str]
    query: Any
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    base_url: str = ""
    csrf: str = ""
    once: str = ""

    def revisions(self) -> frozenset[int] | None:
        """The revisions that If-Match names, any of which may match; None for *. Raises MissingPrecondition, or
        Changed if no tag can match: weak tags never do (RFC 9110, 13.1.1).
        """
        text = self.headers.get("if-match", "").strip()
        if not text:
            raise MissingPrecondition("If-Match is missing.")
        if text == "*":
            return None
        tags, at = [], 0
        while at < len(text) and (found := _TAG.match(text, at)):
            tags.append(found.group(1))
            at = found.end()
        ours = frozenset(int(match.group(1)) for tag in tags if (match := _OURS.fullmatch(tag)))
        if at < len(text) or not ours:
            raise Changed("If-Match holds no ETag of this object.")
        return ours
