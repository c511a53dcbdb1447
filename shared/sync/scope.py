"""Which objects belong in the copy: domains, excluded groups, thresholds in days.

With names of domains the primary mail address decides, and who has none is left out.

A threshold leaves out only what is known to be old in every respect: creation (none counts as old), last sign-in, and no
change seen by us within the days. Unknown activity keeps an object.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.clock import parse_iso
from shared.connectors.base import Stream
from shared.domain.columns import UNKNOWN
from shared.domain.domains import EVERYBODY, domain_of

NEVER = datetime.fromtimestamp(86400, UTC)
"""The last sign-in of an object in whose case a pass over everybody found none."""


@dataclass(frozen=True)
class Scope:
    """What the owner left in. `excluded` holds object ids of people in service-account groups."""

    stream: Stream
    domains: frozenset[str]
    excluded: Container[str]
    groups: tuple[str, ...]
    threshold_days: int
    now: datetime
    last_activity: Callable[[str], datetime | None] | None = None
    """Where a stream's activity is read by another one: the last sign-in of an object, None: unknown."""
    activity_since: str = ""
    """The day (ISO 8601) of the last pass over everybody's activity: of whom we first saw later nothing is known."""

    @property
    def narrow(self) -> bool:
        """Whether anybody can be out of scope at all."""
        stream = self.stream
        return bool(
            self._by_domain
            or (stream.by_group and self.groups)
            or (self.threshold_days and (stream.last_seen or self.last_activity))
        )

    @property
    def _by_domain(self) -> bool:
        return bool(self.stream.address) and EVERYBODY not in self.domains

    def unknown_since(self, first_seen: str) -> bool:
        """Whether we first saw an object too late to know that it never signed in."""
        return bool(self.activity_since) and first_seen >= self.activity_since

    def left_out(
        self,
        item: dict[str, Any],
        changed_day: Callable[[], int | None],
        recent: Callable[[], bool] = lambda: False,
        *,
        inside: bool = False,
    ) -> str | None:
        """Why the object stays out of the copy: excluded-group, domain or threshold; None: it belongs in.
        `changed_day`: the day (since 1970) of the last change that we saw, None where we never saw one;
        `recent`: whether we first saw it too late to know that it never signed in; `inside`: it has a record, which an
        address that can't be understood does not take away.
        """
        if self.stream.by_group and item["id"] in self.excluded:
            return "excluded-group"
        if self._by_domain and not self._in_domains(item.get(self.stream.address), inside=inside):
            return "domain"
        if self.threshold_days and self.stream.created and self._aged(item, changed_day, recent):
            return "threshold"
        return None

    def _in_domains(self, address: Any, *, inside: bool) -> bool:
        return inside if address is UNKNOWN else domain_of(address) in self.domains

    def _aged(self, item: dict[str, Any], changed_day: Callable[[], int | None], recent: Callable[[], bool]) -> bool:
        assert self.stream.created is not None
        limit = self.now - timedelta(days=self.threshold_days)
        created = item.get(self.stream.created)
        if created is UNKNOWN or (created and parse_iso(created) >= limit):
            return False
        day = changed_day()
        if day is not None and datetime.fromtimestamp(day * 86400, UTC) >= limit:
            return False
        seen = self._last_seen(item)
        if seen == NEVER and recent():
            return False
        return seen is not None and seen < limit

    def _last_seen(self, item: dict[str, Any]) -> datetime | None:
        if self.stream.last_seen:
            seen = item.get(self.stream.last_seen)
            return parse_iso(seen) if seen and seen is not UNKNOWN else None
        return self.last_activity(item["id"]) if self.last_activity else None
