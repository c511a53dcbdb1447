"""When objects were last active, as another stream stored it: for thresholds in days."""

import asyncio
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.clock import parse_iso
from shared.connectors.base import Kind, Stream
from shared.domain.run import track_of
from shared.domain.write import Home
from shared.sync.contracts import Runs, Session
from shared.sync.index import Index
from shared.sync.scope import NEVER

MOST_AGE = timedelta(days=8)  # a full pass is made each week


@dataclass(frozen=True)
class _Told:
    """What one stream knows. `absent`: what that is of somebody without a row; None: nothing."""

    index: Index
    full_at: datetime
    absent: datetime | None


class Activity:
    """For each object and each stream that knows: 16 bytes and the day of the last activity. Only streams count that were read
    whole and whose rows are still true enough; without any, everything is unknown.
    """

    def __init__(self, told: Sequence[_Told]) -> None:
        self._told = told

    @property
    def known(self) -> bool:
        return bool(self._told)

    @property
    def since(self) -> str:
        """The day of the oldest of these reads: of whom we first saw later, not all is known."""
        return f"{min(one.full_at for one in self._told):%Y-%m-%d}" if self._told else ""

    @classmethod
    async def load(
        cls,
        runs: Runs,
        session: Session,
        source: str,
        connector: str,
        kind: Kind,
        names: Sequence[str],
        now: datetime,
        days: int,
    ) -> "Activity":
        """From the streams of these names, for a threshold of so many days. Passes that stopped long ago, for want of a
        licence or because somebody switched them off, know of nobody that they were not active since.
        """
        told = []
        for name in names:
            stream = kind.stream(name)
            assert stream is not None
            state = await asyncio.to_thread(runs.stream, track_of(connector, kind.job_of(name).name), name)
            # Passes in between do not see who signs in without a person: the last full one says how old this is.
            full_at = parse_iso(state.full_at) if state.full_at else None
            if full_at and state.refreshed_on:  # a report that is read today may be of last week
                full_at = min(full_at, parse_iso(f"{state.refreshed_on}T00:00:00Z"))
            if full_at is None or not timedelta() <= now - full_at <= min(MOST_AGE, timedelta(days=days)):
                continue
            index, columns = Index(), _columns(stream)
            home = Home(source, connector, name, stream.record_type, stream.partition)
            async for page in session.columns(home, columns):
                index.load((object_id, 0, _day(row, columns)) for object_id, row in page)
            index.start()
            told.append(_Told(index, full_at, NEVER if stream.knows_all else None))
        return cls(told)

    def last_seen(self, object_id: str) -> datetime | None:
        """The end of the day of the last activity; NEVER where a complete pass found none; None: unknown."""
        return max((at for one in self._told if (at := _of(one, object_id))), default=None)


def _of(told: _Told, object_id: str) -> datetime | None:
    place = told.index.find(object_id)
    if place < 0:
        return told.absent
    return datetime.fromtimestamp((told.index.changed_day(place) + 1) * 86400, UTC)


def _columns(stream: Stream) -> list[str]:
    return [attribute.column for attribute in stream.attributes if attribute.name in stream.seen]


def _day(row: dict[str, Any], columns: Sequence[str]) -> int:
    days = array("I", [0])
    for name in columns:
        if value := row.get(name):
            days.append(max(0, int(parse_iso(value).timestamp() // 86400)))
    return max(days)
