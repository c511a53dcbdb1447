"""Which stored records a changed scope would leave out: the rules of a run, over what is stored."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from shared.clock import Clock
from shared.connectors import KINDS
from shared.connectors.base import Stream
from shared.domain.base import Model
from shared.domain.configuration import ConnectorIn, SourceIn
from shared.domain.forecast import Forecast, StreamForecast
from shared.domain.write import changed_day
from shared.errors import NotFound
from shared.storage import keys
from shared.storage.bulk import BulkTables
from shared.storage.config import ConfigStore
from shared.storage.records import RECORDS
from shared.storage.runs import Runs
from shared.sync.activity import Activity
from shared.sync.scope import Scope


class Forecasts:
    """Answers before a change is saved. `bulk` makes a client for one answer."""

    def __init__(self, config: ConfigStore, runs: Runs, bulk: Callable[[], BulkTables], clock: Clock) -> None:
        self._config, self._runs, self._bulk, self._clock = config, runs, bulk, clock

    def of(self, object_id: str, changed: Model) -> Forecast:
        """With a connector or a source as it would be."""
        if isinstance(changed, ConnectorIn):
            return self._connector(object_id, changed)
        assert isinstance(changed, SourceIn)
        return self._source(object_id, changed)

    def _connector(self, connector_id: str, connector: ConnectorIn) -> Forecast:
        source = SourceIn.model_validate(self._body("source", connector.source_id))
        return asyncio.run(self._look([(connector_id, connector, source)], []))

    def _source(self, source_id: str, source: SourceIn) -> Forecast:
        """For all its connectors."""
        before = SourceIn.model_validate(self._body("source", source_id))
        users = self._config.users_of(f"source.{source_id}")
        proposed = [
            (user, ConnectorIn.model_validate(self._body("connector", user)), source)
            for kind, _, user in users
            if kind == "connector"
        ]
        groups = ["excludedGroups"] if set(source.excluded_groups) - set(before.excluded_groups) else []
        return asyncio.run(self._look(proposed, groups))

    def _body(self, kind: str, object_id: str) -> dict[str, Any]:
        document = self._config.get(kind, object_id)
        if document is None:
            raise NotFound(f"There is no {kind} with the id {object_id} any more.")
        return {name: value for name, value in document.body.items() if name != "deleting"}

    async def _look(self, proposed: list[tuple[str, ConnectorIn, SourceIn]], not_counted: list[str]) -> Forecast:
        """A documented scan of each stream: 1,000 records a request."""
        found: list[StreamForecast] = []
        bulk = self._bulk()
        try:
            for connector_id, connector, source in proposed:
                kind = KINDS[connector.kind]
                for stream in kind.streams_of(connector.options):
                    scope, known = await self._scope(bulk, connector_id, connector, source, stream)
                    if not known and "userThresholdDays" not in not_counted:
                        not_counted = [*not_counted, "userThresholdDays"]
                    found.append(await _count(bulk, connector_id, connector.source_id, scope))
        finally:
            await bulk.close()
        return Forecast(
            leave=sum(stream.leave for stream in found),
            streams=found,
            not_counted=not_counted,
            explanation=_words(found, not_counted),
        )

    async def _scope(
        self, bulk: BulkTables, connector_id: str, connector: ConnectorIn, source: SourceIn, stream: Stream
    ) -> tuple[Scope, bool]:
        """The scope, and whether it is known when the stream's objects were last seen, where that matters."""
        days, activity = KINDS[connector.kind].threshold_of(connector.options, stream.name), None
        now = self._clock.now()
        if days and stream.activity_stream:
            activity = await Activity.load(
                self._runs, bulk, connector.source_id, connector_id, stream.activity_stream, now, days
            )
        last_activity = activity.last_seen if activity else None
        since = activity.since if activity else ""
        scope = Scope(stream, frozenset(source.domains), (), (), days, now, last_activity, since)
        return scope, activity is None or activity.known


async def _count(bulk: BulkTables, connector: str, source: str, scope: Scope) -> StreamForecast:
    stream, causes, records = scope.stream, Counter[str](), 0
    columns = _columns(stream)
    select = ("RowKey", "ChangedAt", "FirstSeenAt", *columns.values())
    suffix = f"|{connector}|{stream.name}"
    async for page in bulk.scan(RECORDS, keys.record_partitions(source, stream.record_type), select):
        for row in page:
            if not row["RowKey"].endswith(suffix):
                continue
            records += 1
            item: dict[str, Any] = {name: row.get(column) for name, column in columns.items()}
            item["id"] = row["RowKey"][: -len(suffix)]
            if reason := scope.left_out(
                item,
                lambda row=row: changed_day(row) or None,  # type: ignore[misc]
                lambda row=row: scope.unknown_since(row["FirstSeenAt"]),  # type: ignore[misc]
            ):
                causes[reason] += 1
    return StreamForecast(
        connector_id=connector, stream=stream.name, records=records, leave=causes.total(), causes=dict(causes)
    )


def _columns(stream: Stream) -> dict[str, str]:
    """The Graph properties that a scope looks at, and the columns that hold them."""
    names = [name for name in (stream.created, stream.last_seen) if name]
    if stream.by_domain:
        names += ["mail", "userPrincipalName"]
    return {name: stream.column_of(name) for name in names}


def _words(found: list[StreamForecast], not_counted: list[str]) -> str:
    causes = Counter[str]()
    for stream in found:
        causes.update(stream.causes)
    records = sum(stream.records for stream in found)
    why = ", ".join(f"{count:,} by {cause}" for cause, count in sorted(causes.items()))
    text = f"{causes.total():,} of {records:,} records would leave the copy{f' ({why})' if why else ''}."
    if not_counted:
        text += f" Who would leave by {' and '.join(not_counted)} only the next run can tell."
    return text
