"""What the timer says now and then, for alerts that something is missing: that it ticks at all, which connectors ought to run, and
which secrets end.
"""

from datetime import datetime, timedelta

from shared.clock import Clock, iso, parse_iso
from shared.domain.document import Document
from shared.events import emit
from shared.names import STATE
from shared.scheduling.dispatch import Dispatch
from shared.storage.config import ConfigStore
from shared.storage.tables import Put, RowChanged, RowExists, Stamped, Tables

_PARTITION, _ROW = "signs", "last"
EVERY = timedelta(hours=1)
WARN_DAYS = 30


class Signs:
    def __init__(self, tables: Tables, config: ConfigStore, dispatch: Dispatch, clock: Clock) -> None:
        self._tables, self._config, self._dispatch, self._clock = tables, config, dispatch, clock

    def give(self) -> None:
        """Once an hour, whichever instance it is; expiring secrets once a day."""
        now = self._clock.now()
        last = self._tables.get(STATE, _PARTITION, _ROW)
        hour = parse_iso(str(last.row["At"])) if last else None
        if hour and timedelta() <= now - hour < EVERY:
            return
        day = str(last.row["Day"]) if last else ""
        if not self._claimed(last, now):
            return
        emit("timer.ticked")
        for connector in self._config.all("connector"):
            if connector.body.get("active") and not connector.deleting and self._dispatch.crawled(connector):
                emit("connector.active", connector=connector.id, name=connector.name)
        if day != f"{now:%Y%m%d}":
            for credential in self._config.all("credential"):
                days = days_left(credential, now)
                if days is not None and days <= WARN_DAYS:
                    emit("credential.expiring", credential=credential.id, name=credential.name, daysLeft=days)

    def _claimed(self, last: Stamped | None, now: datetime) -> bool:
        row = {"PartitionKey": _PARTITION, "RowKey": _ROW, "At": iso(now), "Day": f"{now:%Y%m%d}"}
        try:
            self._tables.transaction(STATE, [Put(row, last.etag if last else None)])
        except (RowChanged, RowExists):
            return False
        return True


def days_left(credential: Document, now: datetime) -> int | None:
    """Until a credential's secret or certificate ends; None where nothing says when."""
    certificate = credential.system.get("pin", {}).get("certificate") or {}
    ends = certificate.get("expiresOn") or credential.body.get("secretExpiresOn")
    return (parse_iso(str(ends)) - now).days if ends else None
