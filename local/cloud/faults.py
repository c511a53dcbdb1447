"""Faults on a switch: which request gets which trouble, counted, so that a run with the same faults meets the same ones."""

import asyncio
import itertools
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

GRAPH_FAULTS = (
    "429", "429-date", "429-bare", "500", "502", "503", "504", "reset", "truncate", "slow", "expired-page-token", "delta-410",
    "empty-page", "twice", "foreign-link", "part-503", "part-lost", "404-bare", "bom", "no-value", "bad-link", "link-number",
)  # fmt: skip
GRAPH_LIES = ("short-list", "empty-list", "old-report", "first-again", "same-again", "400", "404", "page-size", "echo")
"""Whole answers that are not true: a list that ends too early, a removal that was taken back long ago, a page that links to
the first one, or to itself with another token; and refusals of what is allowed.
"""
CHANGE_FAULTS = ("504-done", "reset-done", "403", "echo-body")
"""The answer to a change is lost after it was made; it is denied; a refusal repeats the request."""
STORAGE_FAULTS = ("503", "500", "reset", "delay", "answer-lost", "empty-page", "inner-503")
TARGETS = {
    "graph": (*GRAPH_FAULTS, *GRAPH_LIES, *CHANGE_FAULTS, "hang"),
    "storage": (*STORAGE_FAULTS, "being-deleted", "hang"),
    "token": ("503", "reset", "500", "delay", "echo"),
    "vault": ("429", "503", "500", "reset", "answer-lost", "delay", "echo"),
}


@dataclass
class Fault:
    """`every`: one matching request in so many, once `after` of them went well; `most`: how often at all (0: no limit);
    `match`: a pattern that `METHOD path?query` must contain; `seconds`: of Retry-After or delay, or, where
    it hangs, of the sender's patience;
    `until`: on the clock of Faults, 0: for ever.
    """

    target: str
    kind: str
    every: int = 10
    most: int = 0
    after: int = 0
    match: str = ""
    seconds: float = 1.0
    until: float = 0.0
    seen: int = 0
    done: int = 0
    id: int = field(default_factory=itertools.count(1).__next__)


class Faults:
    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._faults: list[Fault] = []
        self._now = now
        self.wait: Callable[[float], Awaitable[None]] = asyncio.sleep

    def add(self, options: dict[str, Any]) -> Fault:
        """Raises ValueError for a fault that the target does not know."""
        fault = Fault(**options)
        if fault.kind not in TARGETS.get(fault.target, ()):
            raise ValueError(f"{fault.target} knows the faults {', '.join(TARGETS.get(fault.target, ()))}")
        re.compile(fault.match)
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        self._faults.clear()

    def list(self) -> list[Fault]:
        return list(self._faults)

    async def hangs(self, fault: Fault) -> bool:
        """Keeps a request until the fault is over, or its sender has given it up: then it gives True."""
        given_up = self._now() + fault.seconds
        while self._now() < given_up:
            if fault.until and self._now() >= fault.until:
                return False
            await self.wait(1.0)
        return True

    def hit(self, target: str, request: str) -> Fault | None:
        """The fault of this request, if it has one."""
        for fault in self._faults:
            if fault.until and self._now() >= fault.until:
                continue
            if fault.target != target or (fault.match and not re.search(fault.match, request)):
                continue
            fault.seen += 1
            if fault.seen <= fault.after:
                continue
            if fault.seen % fault.every == 0 and (not fault.most or fault.done < fault.most):
                fault.done += 1
                return fault
        return None
