"""A mapping tried before it is saved: against the present one, on a few objects that Microsoft Graph is asked for."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from shared.clock import Clock
from shared.configuration.mappings import Mappings
from shared.connectors.base import DirectoryList, Kind, Pages, PartsOf, Report, Stream
from shared.connectors.catalogue import EXTENSION
from shared.connectors.mappings import default_id, mapped, version_of
from shared.connectors.registry import Registry
from shared.domain.clouds import CloudName
from shared.domain.columns import TIME_SUFFIX
from shared.domain.configuration import SourceIn
from shared.domain.document import Document
from shared.domain.mapping import MappingIn
from shared.domain.page import Page
from shared.domain.preview import Example, Preview, PreviewIn, TargetPreview
from shared.domain.run import Waits, track_of
from shared.errors import FieldError, Invalid, SourceProblem
from shared.graph.answers import Postponed
from shared.graph.client import GraphClient
from shared.graph.credentials import claims_of
from shared.graph.listing import Listing, PageReader, no_such_property, without_property
from shared.graph.parts import PartsReader
from shared.mapping.attribute import Attribute, Type
from shared.mapping.compiled import ODD, compile_mapping, mark, selected
from shared.storage.config import ConfigStore
from shared.storage.runs import Runs
from shared.validation import read_as

_PATIENCE = 12.0
_EXAMPLES = 5
Objects = list[dict[str, Any]]


@dataclass(frozen=True)
class _Tried:
    """A stream before and after; None where the mapping has none of it."""

    before: Stream
    after: Stream


class Previews:
    """`graph` makes a client of a credential, a cloud, a tenant and what counts its waits."""

    def __init__(
        self,
        registry: Registry,
        store: ConfigStore,
        mappings: Mappings,
        runs: Runs,
        graph: Callable[[Document, CloudName, str, Waits], GraphClient],
        clock: Clock,
    ) -> None:
        self._registry, self._store, self._mappings, self._runs = registry, store, mappings, runs
        self._graph, self._clock = graph, clock

    async def of(self, asked: PreviewIn) -> Preview:
        """Raises Invalid for a mapping that can't be saved, or a connector that is not there."""
        await asyncio.to_thread(self._mappings.check, MappingIn(name="preview", kind=asked.kind, targets=asked.targets))
        kind = self._registry.kinds[asked.kind]
        connector = await asyncio.to_thread(self._connector, asked)
        used = await asyncio.to_thread(self._mappings.of, kind, connector) if connector else None
        before, after = used.kind if used else kind, mapped(kind, asked.targets)
        version = version_of(asked.targets)
        present = used.mark if used else f"{default_id(kind.name)}.{self._mappings.default_version(kind.name)}"
        made = Preview(
            version=version,
            targets=[],
            journal=f"mapping: {present} becomes version {version}; no entry for each record",
        )
        objects: dict[str, Objects] = {}
        if connector and asked.sample:
            objects = await self._sampled(connector, before, after, asked.sample, made)
        for stream in kind.streams:
            tried = _Tried(_stream(before, stream.name), _stream(after, stream.name))
            self._compare(tried, objects.get(stream.name), made)
            if connector:
                track = track_of(connector.id, kind.job_of(stream.name).name)
                state = await asyncio.to_thread(self._runs.stream, track, stream.name)
                made.records[stream.name] = state.records
        needs, needed = _needs(after), _needs(before)
        made.permissions_gained, made.permissions_not_needed = sorted(needs - needed), sorted(needed - needs)
        return made

    def _connector(self, asked: PreviewIn) -> Document | None:
        if not asked.connector_id:
            return None
        found = self._store.get("connector", asked.connector_id)
        if found is None or found.body.get("kind") != asked.kind:
            wrong = FieldError("connectorId", "unknown", "there is no connector of this kind with this id")
            raise Invalid("The connector is not there.", fields=(wrong,))
        return found

    async def _sampled(
        self, connector: Document, before: Kind, after: Kind, most: int, made: Preview
    ) -> dict[str, Objects]:
        """A few objects of each stream, with everything that either mapping reads."""
        read = self._registry.connector(connector)
        options = read.options
        source_document = await asyncio.to_thread(self._store.get, "source", connector.source_id)
        source = read_as("source", source_document, SourceIn) if source_document else None
        named = read.credential_id or (source.credential_id if source else "")
        credential = await asyncio.to_thread(self._store.get, "credential", named)
        streams = [stream for stream in before.streams if stream.wanted(options)]
        if source is None or credential is None:
            made.not_sampled = {stream.name: "The connector's source or credential is gone." for stream in streams}
            return {}
        found: dict[str, Objects] = {}
        try:
            graph = await asyncio.to_thread(self._graph, credential, source.cloud, source.tenant_id, Waits())
        except SourceProblem as problem:
            made.not_sampled = {stream.name: problem.detail for stream in streams}
            return {}
        graph.budget = lambda: 2.0
        try:
            for stream in streams:
                await self._one(graph, _Tried(stream, _stream(after, stream.name)), most, found, made)
        finally:
            await graph.close()
        return found

    async def _one(
        self, graph: GraphClient, tried: _Tried, most: int, found: dict[str, Objects], made: Preview
    ) -> None:
        name = tried.before.name
        try:
            async with asyncio.timeout(_PATIENCE):
                roles = claims_of(await graph.token()).roles
                before, after = tried.before.granted(roles), tried.after.granted(roles)
                found[name] = (await self._page(graph, before, after, most)).items[:most]
        except SourceProblem as problem:
            made.not_sampled[name] = problem.detail
        except Postponed:
            made.not_sampled[name] = "Microsoft Graph is throttling: try again later."
        except TimeoutError:
            made.not_sampled[name] = "Microsoft Graph did not answer in time."

    async def _page(self, graph: GraphClient, before: Stream, after: Stream, most: int) -> Page:
        listing = _listing(before, after, most)
        try:
            if isinstance(before.reader, PartsOf):
                return await PartsReader(graph, listing, before.reader.parts, ahead=False).page(None)
            return await PageReader(graph, listing, counted=False).page(None)
        except SourceProblem as problem:
            names = [name for name in listing.select if EXTENSION.fullmatch(name)]
            if problem.code == "graph-refused" and names:
                missing = await without_property(graph, listing.path, names, listing.permission)
                if missing:
                    raise no_such_property(missing) from problem
            raise

    def _compare(self, tried: _Tried, objects: Objects | None, made: Preview) -> None:
        before = {one.role or one.name: one for one in tried.before.attributes}
        after = {one.role or one.name: one for one in tried.after.attributes}
        marks = {one.name: mark(one) for one in tried.before.attributes if one.mapped}
        if marks != {one.name: mark(one) for one in tried.after.attributes if one.mapped}:
            made.full_read.append(tried.before.name)
        made.targets += [
            self._target(tried.before.name, before.get(key), after.get(key), objects) for key in {**before, **after}
        ]
        if objects is not None:
            one, other = tried.before.attributes, tried.after.attributes
            made.sampled[tried.before.name] = len(objects)
            made.would_change[tried.before.name] = sum(_columns(one, item) != _columns(other, item) for item in objects)

    def _target(
        self, stream: str, before: Attribute | None, after: Attribute | None, objects: Objects | None
    ) -> TargetPreview:
        shown = after or before
        assert shown
        same = before and after and (mark(before), before.missing) == (mark(after), after.missing)
        change = "lost" if after is None else "new" if before is None else "same" if same else "changed"
        made = TargetPreview(stream=stream, target=shown.name, change=change)
        if objects is None or after is None:
            return made
        values = [(item["id"], _value(before, item), _value(after, item)) for item in objects]
        made.filled = sum(value not in (None, ODD) for _, _, value in values)
        made.malformed = sum(value is ODD for _, _, value in values)
        telling = [(i, b, a) for i, b, a in values if b != a] or [(i, b, a) for i, b, a in values if a is not None]
        made.examples = [
            Example(id=i, before=None if b is ODD else b, after=None if a is ODD else a)
            for i, b, a in telling[:_EXAMPLES]
        ]
        return made


def _stream(kind: Kind, name: str) -> Stream:
    found = kind.stream(name)
    assert found
    return found


def _listing(before: Stream, after: Stream, size: int) -> Listing:
    reader = before.reader
    select = list(dict.fromkeys([*selected(before.attributes), *selected(after.attributes)]))
    permission = " and ".join(one.name for one in before.permissions)
    match reader:
        case DirectoryList():
            return Listing(reader.path, select, permission, reader.expand, None, size, reader.delta_links)
        case Pages():
            size = size if reader.page_size else 0
            return Listing(reader.path, select, permission, page_size=size, licence_tries=reader.licence_tries)
        case PartsOf():
            return Listing(reader.path, reader.select, permission, page_size=size)
        case Report():
            raise SourceProblem(
                "A usage report is not sampled.", code="not-sampled", remedy="Run the connector to see its values."
            )


def _columns(attributes: tuple[Attribute, ...], item: dict[str, Any]) -> dict[str, Any]:
    return {one.column: value for one in attributes if (value := _value(one, item)) not in (None, ODD)}


def _value(attribute: Attribute | None, item: dict[str, Any]) -> Any:
    """The value as the API would show it; None: empty; ODD: malformed."""
    if attribute is None or not attribute.mapped:
        return None
    try:
        columns = compile_mapping((attribute,))(item)
    except ODD:
        return ODD
    value = columns.get(attribute.column)
    columns.pop(attribute.column + TIME_SUFFIX, None)
    return orjson.loads(value) if attribute.type is Type.JSON and value is not None else value


def _needs(kind: Kind) -> set[str]:
    return {one.name for stream in kind.streams for one in stream.more_permissions.values()}
