"""When people last signed in, as the sign-in stream stored it: for thresholds in days."""

from array import array
from datetime import UTC, datetime, timedelta

from shared.clock import parse_iso
from shared.storage import keys
from shared.storage.bulk import BulkTables
from shared.storage.records import RECORDS
from shared.storage.runs import Runs
from shared.sync.index import Index
from shared.sync.scope import NEVER

ACTIVITY = "activity"
"""The record type of sign-in activity: partitions of its own, so that reading people does not read it too."""
MOST_AGE = timedelta(days=8)  # a full pass is made each week
COLUMNS = ("LastSuccessfulSignInAt", "LastSignInAttemptAt", "LastNonInteractiveSignInAt")


class Activity:
    """16 bytes and the day of the last sign-in for each person. `known`: there was a complete pass (somebody without a
    row never signed in before it) and what is stored is still true enough. Otherwise everything is unknown.
    `since`: the day of that pass.
    """

    def __init__(self, index: Index, *, known: bool, since: str = "") -> None:
        self._index, self.known, self.since = index, known, since

    @classmethod
    async def load(
        cls, runs: Runs, bulk: BulkTables, source: str, connector: str, stream: str, now: datetime, days: int
    ) -> "Activity":
        """For a threshold of so many days. Passes that stopped long ago, for want of a licence or because somebody
        switched them off, know of nobody that they have not signed in since.
        """
        from asyncio import to_thread

        from shared.domain.run import track_of

        state = await to_thread(runs.stream, track_of(connector, stream), stream)
        index, suffix = Index(), f"|{connector}|{stream}"
        # Passes in between do not see who signs in without a person: the last full one says how old this is.
        full_at = parse_iso(state.full_at) if state.full_at else None
        age = now - full_at if full_at else None
        known = age is not None and timedelta() <= age <= min(MOST_AGE, timedelta(days=days))
        if known:
            partitions = keys.record_partitions(source, ACTIVITY)
            async for page in bulk.scan(RECORDS, partitions, ("RowKey", *COLUMNS)):
                index.load(
                    (row["RowKey"][: -len(suffix)], 0, _day(row)) for row in page if row["RowKey"].endswith(suffix)
                )
        index.start()
        return cls(index, known=known, since=f"{full_at:%Y-%m-%d}" if full_at and known else "")

    def last_seen(self, object_id: str) -> datetime | None:
        """The end of the day of the last sign-in; NEVER where a complete pass found none; None: unknown."""
        if not self.known:
            return None
        place = self._index.find(object_id)
        return datetime.fromtimestamp((self._index.changed_day(place) + 1) * 86400, UTC) if place >= 0 else NEVER


def _day(row: dict[str, str]) -> int:
    days = array("I", [0])
    for name in COLUMNS:
        if value := row.get(name):
            days.append(max(0, int(parse_iso(value).timestamp() // 86400)))
    return max(days)
