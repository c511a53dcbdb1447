"""What every job of a run has at hand in one slice: services, commits under the lease, progress, cancelling."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from shared.clock import Clock, iso
from shared.connectors.base import Kind
from shared.connectors.registry import Registry
from shared.domain.clouds import CloudName
from shared.domain.document import Document
from shared.domain.pacing import Pacing
from shared.domain.retention import Retention
from shared.domain.run import Problem, Run, RunRow, RunState, StreamProgress, Waits
from shared.domain.state import Change, ForgetCancel, SaveGroups, SaveReceipt, SaveRun, SaveStream
from shared.errors import LeaseLost, Refused, SourceProblem, Unavailable
from shared.events import emit
from shared.graph.answers import Postponed
from shared.graph.client import GraphClient
from shared.graph.pacing import Pace
from shared.redact import redact
from shared.sync.contracts import Configs, Dispatch, Lease, Runs, Schedules, Session, Tenants, Used
from shared.sync.limits import Limits
from shared.sync.plan import Cancelled, SliceOver

_PROGRESS_EVERY = 5.0
_CANCEL_EVERY = 2.0
_MOST_ATTEMPTS = 3
_MOST_TAKEOVERS = 10
_log = logging.getLogger("rollcall.run")


@dataclass(frozen=True)
class Services:
    """What a run needs from outside. `session`, `lease`, `graph` and `pace` make what belongs to one slice."""

    registry: Registry
    config: Configs
    runs: Runs
    tenants: Tenants
    schedules: Schedules
    dispatch: Dispatch
    clock: Clock
    slice_seconds: float
    session: Callable[[], Session]
    lease: Callable[[str, str], Lease]
    graph: Callable[[Document, CloudName, str, Waits], GraphClient]
    pace: Callable[[Pacing, str, str, Waits], Pace]
    mapped: Callable[[Kind, Document], Used]
    """The kind as a connector's mapping makes it."""
    keep: Retention
    limits: Limits


Work = Callable[["Slice"], Awaitable[None]]


class Slice:
    """The state of one slice, and what every job needs: commits, progress, cancelling."""

    def __init__(self, services: Services, lease: Lease, run: RunRow, *, cancel_asked: bool) -> None:
        self.services, self.lease, self.run = services, lease, run
        self.clock = services.clock
        self._began = self.clock.monotonic()
        self._told_at = self._asked_at = self._began
        self._cancel_asked = cancel_asked
        self._later: dict[tuple[str, ...], Change] = {}

    def time_left(self) -> float:
        return self.services.slice_seconds - (self.clock.monotonic() - self._began)

    def begin(self, *, taken_over: bool) -> RunRow:
        run, now = self.run, self.clock.now()
        run.state, run.not_before = RunState.RUNNING, None
        run.started_at = run.started_at or now
        run.updated_at = now
        run.takeovers += taken_over
        return run

    async def do(self, work: Callable[[Run], Work]) -> str:
        """Does the work of its job and gives what came of it. Raises LeaseLost, and Unavailable for storage."""
        run = self.run
        try:
            if run.takeovers > _MOST_TAKEOVERS:
                raise SourceProblem(
                    f"{run.takeovers} workers in a row stopped in the middle of this run without reporting an error.",
                    code="worker-lost",
                    remedy="Look at the function app's memory and log at the times of the run; nobody was removed.",
                )
            if self._cancel_asked:
                raise Cancelled
            await work(run)(self)
        except Cancelled:
            return await self._close(RunState.CANCELLED)
        except (SliceOver, Postponed) as pause:
            return await self._pause(pause.seconds if isinstance(pause, Postponed) else 0)
        except SourceProblem as problem:
            run.problems.append(problem_of(problem))
            return await self._close(RunState.FAILED)
        except Refused as refused:
            run.problems.append(_refused(refused))
            return await self._close(RunState.FAILED)
        except (LeaseLost, Unavailable):
            raise
        except Exception:  # noqa: BLE001 - a defect of ours must not lose the run: tried again, then closed
            _log.exception("run %s failed in slice %s", run.id, run.slice)
            return await self._defect()
        return await self._close(_outcome(run))

    def show(self, progress: StreamProgress) -> None:
        self.run.streams = [progress.model_copy() if s.name == progress.name else s for s in self.run.streams]

    def phase(self, name: str, phase: str) -> None:
        for stream in self.run.streams:
            if stream.name == name:
                stream.phase = phase

    async def beat(self, progress: StreamProgress | None = None) -> None:
        """After each page: stop if asked to (looked for every two seconds); show progress every few seconds."""
        self.lease.guard()
        now = self.clock.monotonic()
        if now - self._asked_at >= _CANCEL_EVERY:
            self._asked_at = now
            if await asyncio.to_thread(self.services.runs.cancel_asked, self.run):
                self._cancel_asked = True
                raise Cancelled
        if now - self._told_at >= _PROGRESS_EVERY:
            self._told_at = now
            if progress:
                self.show(progress)
            await self.commit([])

    def later(self, *changes: Change) -> None:
        """Changes that go with the next commit."""
        for change in changes:
            self._later[_place(change)] = change

    async def commit(self, changes: list[Change], *, release: bool = False) -> None:
        run = self.run
        run.updated_at = self.clock.now()
        self._told_at = self.clock.monotonic()
        if run.started_at:
            seconds = max((run.updated_at - run.started_at).total_seconds(), 0.001)
            run.records_per_second = round(sum(stream.read for stream in run.streams) / seconds, 1)
        self.later(SaveRun(run.model_copy(deep=True)), *changes)
        batch, self._later = list(self._later.values()), {}
        await asyncio.to_thread(self.lease.commit, batch, release=release)

    async def _close(self, state: RunState) -> str:
        self.run.state, self.run.finished_at = state, self.clock.now()
        if state is RunState.CANCELLED:
            for stream in self.run.streams:
                if stream.phase == "reading":
                    stream.phase = "pending"
        if self._cancel_asked:
            self.later(ForgetCancel(self.run))
        await self.commit([], release=True)
        _tell(self.run)
        await asyncio.to_thread(self.services.dispatch.closed, self.run)
        return state.value

    async def _pause(self, seconds: float) -> str:
        run = self.run
        run.slice += 1
        run.state = RunState.WAITING if seconds else RunState.QUEUED
        if seconds:
            run.not_before = self.clock.now() + timedelta(seconds=seconds)
        await self.commit([], release=True)
        await asyncio.to_thread(self.services.dispatch.next_slice, run, seconds)
        return f"slice over, next in {seconds:.0f} s"

    async def _defect(self) -> str:
        attempts = sum(problem.code == "internal-error" for problem in self.run.problems) + 1
        self.run.problems.append(
            Problem(
                code="internal-error",
                message=f"Attempt {attempts} of this run met a defect in Rollcall at {iso(self.clock.now())}.",
                remedy="The log of that time has the details; report them. Nobody was removed.",
            )
        )
        if attempts >= _MOST_ATTEMPTS:
            return await self._close(RunState.FAILED)
        return await self._pause(5.0 * attempts)


def _tell(run: RunRow) -> None:
    """What alerts ask for."""
    which: dict[str, object] = {"connector": run.connector_id, "job": run.job, "run": run.id}
    extra: dict[str, object] = {}
    if run.state is RunState.FAILED:
        last = run.problems[-1] if run.problems else None
        extra = {"code": last.code if last else "", "transient": bool(last and last.transient)}
    elif run.state is RunState.HELD:
        extra = {"held": sum(stream.held for stream in run.streams)}
    emit(f"run.{run.state.value}", **which, **extra)
    if run.waits.throttled:
        emit("graph.throttled", **which, count=run.waits.throttled, seconds=run.waits.throttle_seconds)


def _outcome(run: RunRow) -> RunState:
    """How a run ended that came to its end: what needs a person goes before what the next run mends."""
    if any(stream.phase == "failed" for stream in run.streams):
        return RunState.FAILED
    if any(stream.held for stream in run.streams):
        return RunState.HELD
    incomplete = any(stream.incomplete_because for stream in run.streams)
    return RunState.INCOMPLETE if incomplete else RunState.SUCCEEDED


def _place(change: Change) -> tuple[str, ...]:
    """Two changes of one row can't be in one transaction: the later one counts."""
    match change:
        case SaveStream(track, name, _):
            return "stream", track, name
        case SaveGroups(track, _):
            return "groups", track
        case SaveRun(run, _):
            return "run", run.id
        case SaveReceipt(run, _):
            return "receipt", run.id
        case ForgetCancel(run):
            return "cancel", run.id


def problem_of(problem: SourceProblem, stream: str | None = None) -> Problem:
    return Problem(
        code=problem.code, message=redact(problem.detail), remedy=problem.remedy, stream=stream or problem.stream,
        transient=problem.transient,
    )  # fmt: skip


def _refused(refused: Refused) -> Problem:
    return Problem(
        code="storage-refused",
        message=f"Table Storage refused a write: {refused.status} {refused.code}.",
        remedy="Nobody was removed. Check the storage account's limits; if it goes on, report the run's id.",
    )
