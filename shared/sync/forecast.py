"""Which stored records a changed scope would leave out: the rules of a run, over what is stored."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from pydantic.alias_generators import to_camel

from shared.clock import Clock
from shared.connectors.base import Kind, Stream
from shared.connectors.registry import Registry
from shared.domain.base import Model
from shared.domain.configuration import Connector, SourceIn
from shared.domain.document import Document
from shared.domain.forecast import Forecast, StreamForecast
from shared.domain.removal import leaves_hardly_anybody, limit_of
from shared.domain.write import Home, changed_day
from shared.errors import NotFound
from shared.sync.activity import Activity
from shared.sync.contracts import Configs, Runs, Session
from shared.sync.scope import Scope
from shared.validation import read_as


class Forecasts:
    """Answers before a change is saved. `session` makes a client for one answer."""

    def __init__(
        self, registry: Registry, config: Configs, runs: Runs, session: Callable[[], Session], clock: Clock
    ) -> None:
        self._registry, self._config, self._runs, self._session, self._clock = registry, config, runs, session, clock

    def of(self, object_id: str, changed: Model) -> Forecast:
        """With a connector or a source as it would be."""
        if isinstance(changed, Connector):
            return self._connector(object_id, changed)
        assert isinstance(changed, SourceIn)
        return self._source(object_id, changed)

    def _connector(self, connector_id: str, connector: Connector) -> Forecast:
        source = read_as("source", self._document("source", connector.source_id), SourceIn)
        return asyncio.run(self._look([(connector_id, connector, source)], []))

    def _source(self, source_id: str, source: SourceIn) -> Forecast:
        """For all its connectors."""
        before = read_as("source", self._document("source", source_id), SourceIn)
        users = self._config.users_of(f"source.{source_id}")
        proposed = [
            (user, self._registry.connector(self._document("connector", user)), source)
            for kind, _, user in users
            if kind == "connector"
        ]
        groups = ["excludedGroups"] if set(source.excluded_groups) - set(before.excluded_groups) else []
        return asyncio.run(self._look(proposed, groups))

    def _document(self, kind: str, object_id: str) -> Document:
        document = self._config.get(kind, object_id)
        if document is None:
            raise NotFound(f"There is no {kind} with the id {object_id} any more.")
        return document

    async def _look(self, proposed: list[tuple[str, Connector, SourceIn]], not_counted: list[str]) -> Forecast:
        """A documented scan of each stream: 1,000 records a request."""
        found: list[StreamForecast] = []
        session = self._session()
        try:
            for connector_id, connector, source in proposed:
                kind = self._registry.kinds[connector.kind]
                for stream in (s for job in kind.jobs for s in job.wanted(connector.options) if not s.leader):
                    scope, known = await self._scope(session, connector_id, connector, source, kind, stream)
                    if not known and (field := to_camel(stream.threshold)) not in not_counted:
                        not_counted = [*not_counted, field]
                    found.append(await _count(session, connector_id, connector, scope))
        finally:
            await session.close()
        return Forecast(
            leave=sum(stream.leave for stream in found),
            streams=found,
            not_counted=not_counted,
            explanation=_words(found, not_counted),
        )

    async def _scope(
        self, session: Session, connector_id: str, connector: Connector, source: SourceIn, kind: Kind, stream: Stream
    ) -> tuple[Scope, bool]:
        """The scope, and whether it is known when the stream's objects were last seen, where that matters."""
        days, activity = stream.threshold_days(connector.options), None
        now = self._clock.now()
        if days and stream.activity:
            activity = await Activity.load(
                self._runs, session, connector.source_id, connector_id, kind, stream.activity, now, days
            )
        last_activity = activity.last_seen if activity else None
        since = activity.since if activity else ""
        domains = frozenset(stream.domains_of(connector.options, source))
        scope = Scope(stream, domains, (), (), days, now, last_activity, since)
        return scope, activity is None or activity.known


async def _count(session: Session, connector_id: str, connector: Connector, scope: Scope) -> StreamForecast:
    stream, causes, records = scope.stream, Counter[str](), 0
    columns = stream.scope_columns
    home = Home(connector.source_id, connector_id, stream.name, stream.record_type, stream.partition)
    async for page in session.columns(home, ("ChangedAt", "FirstSeenAt", *columns.values())):
        for object_id, row in page:
            records += 1
            item: dict[str, Any] = {name: row.get(column) for name, column in columns.items()}
            item["id"] = object_id
            if reason := scope.left_out(
                item,
                lambda row=row: changed_day(row) or None,  # type: ignore[misc]
                lambda row=row: scope.unknown_since(row["FirstSeenAt"]),  # type: ignore[misc]
            ):
                causes[reason] += 1
    leave, limit = causes.total(), limit_of(records, connector.removal_limit.count, connector.removal_limit.percent)
    held = leave > limit or (leave > 0 and leaves_hardly_anybody(records, leave))
    return StreamForecast(
        connector_id=connector_id, stream=stream.name, records=records, leave=leave, causes=dict(causes), limit=limit,
        held=held,
    )  # fmt: skip


def _words(found: list[StreamForecast], not_counted: list[str]) -> str:
    causes = Counter[str]()
    for stream in found:
        causes.update(stream.causes)
    records = sum(stream.records for stream in found)
    why = ", ".join(f"{count:,} by {cause}" for cause, count in sorted(causes.items()))
    text = f"{causes.total():,} of {records:,} records would leave the copy{f' ({why})' if why else ''}."
    if any(stream.held for stream in found):
        streams = ", ".join(dict.fromkeys(stream.stream for stream in found if stream.held))
        text += f" Those of {streams} would be held until a person confirms them."
    if not_counted:
        text += f" Who would leave by {' and '.join(not_counted)} only the next run can tell."
    return text
