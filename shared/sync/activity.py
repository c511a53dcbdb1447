"""When objects were last active, as another stream stored it: for thresholds in days."""

import asyncio
from array import array
from collections.abc import Sequence
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


class Activity:
    """16 bytes and the day of the last activity for each object. `known`: there was a complete pass (somebody without a
    row was never active before it) and what is stored is still true enough. Otherwise everything is unknown.
    `since`: the day of that pass.
    """

    def __init__(self, index: Index, *, known: bool, since: str = "", absent: datetime | None = NEVER) -> None:
        """`absent`: what is known of somebody without a row."""
        self._index, self.known, self.since, self._absent = index, known, since, absent

    @classmethod
    async def load(
        cls, runs: Runs, session: Session, source: str, connector: str, kind: Kind, name: str, now: datetime, days: int
    ) -> "Activity":
        """From the stream of that name, for a threshold of so many days. Passes that stopped long ago, for want of a
        licence or because somebody switched them off, know of nobody that they were not active since.
        """
        stream = kind.stream(name)
        assert stream is not None
        state = await asyncio.to_thread(runs.stream, track_of(connector, kind.job_of(name).name), name)
        # Passes in between do not see who signs in without a person: the last full one says how old this is.
        full_at = parse_iso(state.full_at) if state.full_at else None
        age = now - full_at if full_at else None
        known = age is not None and timedelta() <= age <= min(MOST_AGE, timedelta(days=days))
        index = Index()
        if known:
            columns = _columns(stream)
            home = Home(source, connector, name, stream.record_type, stream.partition)
            async for page in session.columns(home, columns):
                index.load((object_id, 0, _day(row, columns)) for object_id, row in page)
        index.start()
        return cls(
            index,
            known=known,
            since=f"{full_at:%Y-%m-%d}" if full_at and known else "",
            absent=NEVER if stream.knows_all else None,
        )

    def last_seen(self, object_id: str) -> datetime | None:
        """The end of the day of the last activity; NEVER where a complete pass found none; None: unknown."""
        if not self.known:
            return None
        place = self._index.find(object_id)
        return datetime.fromtimestamp((self._index.changed_day(place) + 1) * 86400, UTC) if place >= 0 else self._absent


def _columns(stream: Stream) -> list[str]:
    return [attribute.column for attribute in stream.attributes if attribute.name in stream.seen]


def _day(row: dict[str, Any], columns: Sequence[str]) -> int:
    days = array("I", [0])
    for name in columns:
        if value := row.get(name):
            days.append(max(0, int(parse_iso(value).timestamp() // 86400)))
    return max(days)
