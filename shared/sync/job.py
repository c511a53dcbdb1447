"""One slice of a job: signs in, keeps the pace that the job declares, and reads one stream after the other."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shared.connectors.base import Job, Kind, Stream
from shared.domain.configuration import Connector, SourceIn
from shared.domain.document import Document
from shared.domain.receipt import Receipt
from shared.domain.run import StreamProgress
from shared.domain.state import SaveReceipt
from shared.errors import Conflict, SourceProblem
from shared.graph.answers import Postponed
from shared.graph.client import GraphClient
from shared.graph.credentials import claims_of
from shared.graph.pacing import Pace
from shared.sync.contracts import Session, Used
from shared.sync.plan import Cancelled, SliceOver
from shared.sync.slice import Slice
from shared.sync.stream import OneStream, Tenant
from shared.validation import read_as

NOT_FINISHED = "not-finished"


@dataclass(frozen=True)
class Configured:
    """What the run's configuration says, read anew in each slice."""

    connector: Connector
    source: SourceIn
    kind: Kind
    job: Job
    credential: Document
    mapping: Used


async def read(work: Slice) -> None:
    """All streams of the run's job that the connector's options switch on."""
    found = await configured(work)
    session = work.services.session()
    session.guard = work.lease.guard
    graph = await asyncio.to_thread(_sign_in, work, found)
    session.way = graph.way
    pace = _pace(work, found)
    try:
        if pace:
            await pace.take(work.run.id, lambda holder: _is_over(work, holder))
            graph.pace = pace
        await _read(work, found, graph, session)
    finally:
        if pace and all(stream.ended for stream in work.run.streams):
            await pace.release()
        await graph.close()
        await session.close()


async def configured(work: Slice) -> Configured:
    """Raises Cancelled where the connector or its source is gone or switched off, or the job is."""
    services = work.services
    document = await asyncio.to_thread(services.config.get, "connector", work.run.connector_id)
    if document is None or document.deleting:
        raise Cancelled
    with _said():
        connector, kind = services.registry.connector(document), services.registry.kind_of(document)
    mapping = await asyncio.to_thread(services.mapped, kind, document)
    kind = mapping.kind
    job = kind.job(work.run.job)
    if job is None or not job.wanted(connector.options):
        raise Cancelled
    source_document = await asyncio.to_thread(services.config.get, "source", connector.source_id)
    if source_document is None:
        raise Cancelled
    with _said():
        source = read_as("source", source_document, SourceIn)
    if not source.crawl:
        raise Cancelled
    credential = await asyncio.to_thread(
        services.config.get, "credential", connector.credential_id or source.credential_id
    )
    if credential is None:
        raise SourceProblem(
            "The credential that it reads with is gone.",
            code="credential-missing",
            remedy="Choose a credential on the source, or on the connector.",
        )
    return Configured(connector, source, kind, job, credential, mapping)


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """A stored object that this release can't read ends the run with what to do about it."""
    try:
        yield
    except Conflict as error:
        raise SourceProblem(error.detail, code=error.code, remedy=error.remedy) from error


def _sign_in(work: Slice, found: Configured) -> GraphClient:
    source = found.source
    graph = work.services.graph(found.credential, source.cloud, source.tenant_id, work.run.waits)
    graph.budget = _waiting_budget(work)
    return graph


def _waiting_budget(work: Slice) -> Callable[[], float]:
    """What a slice may wait for Graph: not all of its time, for a worker that waits is one that others wait for."""
    waits, most = work.run.waits, work.services.limits.waiting_seconds
    before = waits.throttle_seconds + waits.retry_seconds

    def left() -> float:
        return min(work.time_left(), most - (waits.throttle_seconds + waits.retry_seconds - before))

    return left


def _pace(work: Slice, found: Configured) -> Pace | None:
    """The job's own pace, which every run of the same tenant and application keeps together."""
    if found.job.pacing is None:
        return None
    application = str(found.credential.body.get("clientId") or "identity")
    return work.services.pace(found.job.pacing, found.source.tenant_id, application, work.run.waits)


async def _is_over(work: Slice, run_id: str) -> bool:
    run = await asyncio.to_thread(work.services.runs.get, run_id)
    return run is None or run.state.closed


async def _read(work: Slice, found: Configured, graph: GraphClient, session: Session) -> None:
    run, streams = work.run, found.job.wanted(found.connector.options)
    receipt = Receipt(run_id=run.id, connector_id=run.connector_id)
    if not run.streams:
        run.streams = [StreamProgress(name=stream.name) for stream in streams]
    else:
        earlier: Receipt | None = await asyncio.to_thread(work.services.runs.receipt, run)
        receipt = earlier or receipt
    claims = claims_of(await graph.token())
    receipt.tenant_id, receipt.application_id = claims.tenant_id, claims.application_id
    receipt.mapping_id, receipt.mapping_version = found.mapping.mapping, found.mapping.version
    receipt.permissions_granted = sorted(claims.roles)
    needed = found.kind.permissions(found.connector.options, found.source, found.job)
    receipt.permissions_needed = sorted({one.permission.name for one in needed})
    ahead = {entry.name for entry in run.streams if not entry.ended}
    options = found.connector.options
    unfinished = [stream.granted(claims.roles).configured(options) for stream in streams if stream.name in ahead]
    receipt.missing_streams |= dict.fromkeys([stream.name for stream in unfinished], NOT_FINISHED)
    tenant = Tenant(
        found.connector, found.source, found.kind, found.job, graph, session, claims.roles, found.mapping.mark
    )
    for stream in unfinished:
        await _one(work, receipt, tenant, stream)


async def _one(work: Slice, receipt: Receipt, tenant: Tenant, stream: Stream) -> None:
    try:
        await OneStream(work, receipt, tenant, stream).read()
    except SourceProblem as problem:
        problem.stream = stream.name
        receipt.missing_streams[stream.name] = problem.code
        work.phase(stream.name, "failed")
        work.later(SaveReceipt(work.run, receipt))
        raise
    except (Cancelled, SliceOver, Postponed):
        work.later(SaveReceipt(work.run, receipt))
        raise
