"""One slice of a run: lease -> configuration -> credential -> streams -> closed, or the next slice queued."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.clock import Clock, iso
from shared.connectors import KINDS
from shared.connectors.base import Kind, Stream
from shared.domain.checkpoint import Checkpoint, StreamState
from shared.domain.clouds import CloudName
from shared.domain.configuration import ConnectorIn, SourceIn
from shared.domain.run import Problem, Run, RunState, StreamProgress, Waits
from shared.errors import SourceProblem, Unavailable
from shared.graph.answers import Denied, Postponed
from shared.graph.client import GraphClient
from shared.graph.credentials import token_roles
from shared.graph.listing import DirectoryReader, Listing
from shared.mapping.compiled import fingerprint, selected
from shared.storage.bulk import BulkTables, Refused
from shared.storage.config import ConfigStore, Document
from shared.storage.lease import Lease, LeaseLost
from shared.storage.records import Home, RecordStore
from shared.storage.runs import Runs, put_run, put_stream
from shared.storage.tables import Operation, Tables
from shared.sync.dispatch import Dispatch
from shared.sync.engine import Control, SliceOver, StreamReader
from shared.sync.groups import excluded_people
from shared.sync.index import IdSet
from shared.sync.scope import Scope

_PROGRESS_EVERY = 2.0
_MOST_ATTEMPTS = 3
_MOST_TAKEOVERS = 10
_MOST_UNSEEN = 1000
_log = logging.getLogger("rollcall.run")


class Cancelled(Exception):
    """Somebody asked the run to stop."""


@dataclass(frozen=True)
class Services:
    """What a run needs from outside. `bulk` and `graph` make clients for one slice."""

    tables: Tables
    config: ConfigStore
    runs: Runs
    dispatch: Dispatch
    clock: Clock
    slice_seconds: float
    bulk: Callable[[], BulkTables]
    graph: Callable[[Document, CloudName, str, Waits], GraphClient]


async def run_slice(services: Services, message: dict[str, Any]) -> str:
    """Works on one message; gives what came of it, for the log. Raises Unavailable where storage can't be used."""
    run = await asyncio.to_thread(services.runs.get, str(message.get("run")))
    if run is None or run.state.closed or message.get("slice") != run.slice:
        return "dropped: the run is closed, or the message is old"
    lease = Lease(services.tables, run.connector_id, run.id, services.clock)
    if not await lease.acquire():
        return "dropped: another worker has the run"
    run = await asyncio.to_thread(services.runs.get, run.id) or run
    if run.state.closed or message.get("slice") != run.slice:
        await asyncio.to_thread(lease.commit, [], release=True)
        return "dropped: another worker was faster"
    work = SliceWork(services, lease, run)
    lease.start()
    try:
        return await work.do(taken_over=lease.taken_over)
    except LeaseLost:
        return "stopped: the lease is lost"
    except Unavailable:
        # The message comes again: whoever gets it should not have to watch a lease that nobody holds.
        with contextlib.suppress(Unavailable, LeaseLost):
            await asyncio.to_thread(lease.commit, [], release=True)
        raise
    finally:
        lease.stop()


class SliceWork:
    """The state of one slice."""

    def __init__(self, services: Services, lease: Lease, run: Run) -> None:
        self._services, self._lease, self.run = services, lease, run
        self._clock = services.clock
        self._began = self._clock.monotonic()
        self._told_at = -_PROGRESS_EVERY
        self._states: dict[str, StreamState] = {}

    def _time_left(self) -> float:
        return self._services.slice_seconds - (self._clock.monotonic() - self._began)

    async def do(self, *, taken_over: bool) -> str:
        run, now = self.run, self._clock.now()
        run.state, run.not_before = RunState.RUNNING, None
        run.started_at = run.started_at or now
        run.takeovers += taken_over
        try:
            await self._commit([])
            if run.takeovers > _MOST_TAKEOVERS:
                raise SourceProblem(
                    f"{run.takeovers} workers in a row stopped in the middle of this run without a word.",
                    code="worker-lost",
                    remedy="Look at the function app's memory and log at the times of the run; nobody was removed.",
                )
            if await asyncio.to_thread(self._services.runs.cancel_asked, run):
                raise Cancelled
            await self._streams()
        except Cancelled:
            return await self._close(RunState.CANCELLED)
        except (SliceOver, Postponed) as pause:
            return await self._pause(pause.seconds if isinstance(pause, Postponed) else 0)
        except SourceProblem as problem:
            run.problems.append(_problem(problem))
            return await self._close(RunState.FAILED)
        except Refused as refused:
            run.problems.append(_refused(refused))
            return await self._close(RunState.FAILED)
        except (LeaseLost, Unavailable):
            raise
        except Exception:  # noqa: BLE001 - a defect of ours must not lose the run: tried again, then closed
            _log.exception("run %s failed in slice %s", run.id, run.slice)
            return await self._defect()
        failed = any(stream.phase == "failed" for stream in run.streams)
        return await self._close(RunState.FAILED if failed else RunState.SUCCEEDED)

    async def _streams(self) -> None:
        document = await asyncio.to_thread(self._services.config.get, "connector", self.run.connector_id)
        if document is None:
            raise Cancelled
        connector = ConnectorIn.model_validate(document.body)
        source_document = await asyncio.to_thread(self._services.config.get, "source", connector.source_id)
        if source_document is None:
            raise Cancelled
        source = SourceIn.model_validate({k: v for k, v in source_document.body.items() if k != "pin"})
        if not source.crawl:
            raise Cancelled
        kind = KINDS[connector.kind]
        streams = kind.streams_of(connector.options)
        if not self.run.streams:
            self.run.streams = [StreamProgress(name=stream.name) for stream in streams]
        graph = await asyncio.to_thread(self._graph, source)
        graph.budget = self._time_left
        bulk = self._services.bulk()
        bulk.guard = self._lease.guard
        try:
            roles = token_roles(await graph.token())
            excluded = await self._excluded(graph, kind, source)
            for stream in streams:
                progress = next((entry for entry in self.run.streams if entry.name == stream.name), None)
                if progress is None or progress.phase in ("done", "failed"):
                    continue
                scope = Scope(
                    stream, frozenset(source.domains), excluded, kind.threshold_of(connector.options, stream.name),
                    self._clock.now(),
                )  # fmt: skip
                await self._one_stream(stream, connector, graph, bulk, scope, roles)
        finally:
            await graph.close()
            await bulk.close()

    def _graph(self, source: SourceIn) -> GraphClient:
        credential = self._services.config.get("credential", source.credential_id)
        if credential is None:
            raise SourceProblem(
                "The source's credential is gone.",
                code="credential-missing",
                remedy="Choose a credential on the source.",
            )
        return self._services.graph(credential, source.cloud, source.tenant_id, self.run.waits)

    async def _excluded(self, graph: GraphClient, kind: Kind, source: SourceIn) -> IdSet:
        if not source.excluded_groups or kind.group_permission is None:
            return IdSet()
        people, problems = await excluded_people(graph, source.excluded_groups, kind.group_permission.name)
        known = {(problem.code, problem.message) for problem in self.run.problems}
        self.run.problems += [problem for problem in problems if (problem.code, problem.message) not in known]
        return people

    async def _one_stream(
        self,
        stream: Stream,
        connector: ConnectorIn,
        graph: GraphClient,
        bulk: BulkTables,
        scope: Scope,
        roles: frozenset[str],
    ) -> None:
        runs, run = self._services.runs, self.run
        state = self._states[stream.name] = await asyncio.to_thread(runs.stream, run.connector_id, stream.name)
        listing = Listing(
            stream.path,
            selected(stream.attributes),
            stream.permission.name,
            stream.expand,
            stream.follow,
            stream.page_size,
        )
        mark = fingerprint(listing.first, connector.source_id, graph.tenant_id, graph.base_url)
        home = Home(connector.source_id, run.connector_id, stream.name, stream.record_type, stream.lookups)
        store = RecordStore(bulk, home, run.id, self._clock, self._lease.guard)

        async def save(checkpoint: Checkpoint) -> None:
            state.checkpoint = checkpoint
            self._show(checkpoint.progress)
            await self._commit([put_stream(run.connector_id, stream.name, state)])

        control = Control(save, self._beat, self._time_left, self._clock)
        try:
            if not stream.permission.granted(roles):
                raise _not_granted(stream)
            resumed = state.for_run(run.id, mark)
            reader = StreamReader(
                stream, DirectoryReader(graph, listing), store, scope, control, run.id, resumed, fingerprint=mark
            )
            checkpoint = await reader.read()
        except Denied as denied:
            # One listing is closed to us; the others may go on. Nothing of this one is touched.
            run.problems.append(_problem(denied, stream.name))
            self._phase(stream.name, "failed")
            await self._commit([])
            return
        state.fingerprint = fingerprint(listing.first, stream.attributes, sorted(scope.domains), scope.threshold_days)
        state.completed_at, state.completed_run, state.checkpoint = checkpoint.begun_at, run.id, None
        state.records = checkpoint.progress.new + checkpoint.progress.changed + checkpoint.progress.unchanged
        state.attributes = [a.name for a in stream.attributes if a.source]
        state.unseen = reader.unseen(_MOST_UNSEEN)
        state.many_unseen = len(state.unseen) == _MOST_UNSEEN
        state.missing = {a.name: a.missing for a in stream.attributes if a.missing}
        self._show(checkpoint.progress)
        await self._commit([put_stream(run.connector_id, stream.name, state)])

    def _show(self, progress: StreamProgress) -> None:
        self.run.streams = [progress.model_copy() if s.name == progress.name else s for s in self.run.streams]

    def _phase(self, name: str, phase: str) -> None:
        for stream in self.run.streams:
            if stream.name == name:
                stream.phase = phase

    async def _beat(self, progress: StreamProgress) -> None:
        """After each page: stop if asked to; show progress every two seconds."""
        if await asyncio.to_thread(self._services.runs.cancel_asked, self.run):
            raise Cancelled
        self._lease.guard()
        now = self._clock.monotonic()
        if now - self._told_at >= _PROGRESS_EVERY:
            self._told_at = now
            self._show(progress)
            await self._commit([])

    async def _commit(self, operations: list[Operation], *, release: bool = False) -> None:
        run = self.run
        run.updated_at = self._clock.now()
        if run.started_at:
            seconds = max((run.updated_at - run.started_at).total_seconds(), 0.001)
            run.records_per_second = round(sum(stream.read for stream in run.streams) / seconds, 1)
        snapshot = [put_run(run.model_copy(deep=True)), *operations]
        await asyncio.to_thread(self._lease.commit, snapshot, release=release)

    async def _close(self, state: RunState) -> str:
        self.run.state, self.run.finished_at = state, self._clock.now()
        if state is RunState.CANCELLED:
            for stream in self.run.streams:
                if stream.phase == "reading":
                    stream.phase = "pending"
        await self._commit([], release=True)
        await asyncio.to_thread(self._services.dispatch.closed, self.run)
        return state.value

    async def _pause(self, seconds: float) -> str:
        run = self.run
        run.slice += 1
        run.state = RunState.WAITING if seconds else RunState.QUEUED
        if seconds:
            run.not_before = self._clock.now().fromtimestamp(
                self._clock.now().timestamp() + seconds, self._clock.now().tzinfo
            )
        await self._commit([], release=True)
        await asyncio.to_thread(self._services.dispatch.next_slice, run, seconds)
        return f"slice over, next in {seconds:.0f} s"

    async def _defect(self) -> str:
        attempts = sum(problem.code == "internal-error" for problem in self.run.problems) + 1
        self.run.problems.append(
            Problem(
                code="internal-error",
                message=f"Attempt {attempts} of this run met a defect in Rollcall at {iso(self._clock.now())}.",
                remedy="The log of that time has the details; report them. Nobody was removed.",
            )
        )
        if attempts >= _MOST_ATTEMPTS:
            return await self._close(RunState.FAILED)
        return await self._pause(5.0 * attempts)


def _problem(problem: SourceProblem, stream: str | None = None) -> Problem:
    return Problem(code=problem.code, message=problem.detail, remedy=problem.remedy, stream=stream)


def _refused(refused: Refused) -> Problem:
    return Problem(
        code="storage-refused",
        message=f"Table Storage refused a write: {refused.status} {refused.code}.",
        remedy="Nobody was removed. Check the storage account's limits; if it goes on, report the run's id.",
    )


def _not_granted(stream: Stream) -> Denied:
    name = stream.permission.name
    return Denied(
        f"The application permission {name} is not granted, so {stream.name} can't be read.",
        code="graph-permission-missing",
        remedy=f"In the app registration add the application permission {name} of Microsoft Graph, then grant admin consent.",
        reason="permission",
    )
