"""Runs that remove rows: everything of a deleted connector, and what is older than the owner wants to keep.

Each table is gone through from its beginning; what a slice removed the next one does not find any more.
"""

import asyncio
from collections.abc import Sequence

from shared.domain.actor import SYSTEM
from shared.domain.run import DELETE, job_of
from shared.graph.answers import Postponed
from shared.sync.contracts import Session, Sweep
from shared.sync.plan import SliceOver
from shared.sync.slice import Slice


async def delete(work: Slice) -> None:
    """Every row of the connector, then the connector itself."""
    services, connector = work.services, work.run.connector_id
    document = await asyncio.to_thread(services.config.get, "connector", connector)
    if document is None:
        return
    rows = await asyncio.to_thread(services.schedules.of, connector)
    tracks = [row.track for row in rows if job_of(row.track) != DELETE]
    for row in rows:
        run = await asyncio.to_thread(services.runs.get, row.run) if row.run and row.track in tracks else None
        if run and not run.state.closed:
            raise Postponed(10)  # it was asked to stop; nobody may write behind us
    session = _session(work)
    try:
        await _remove(work, await session.belongings(document.source_id, connector, tracks))
    finally:
        await session.close()
    for track in tracks:
        await asyncio.to_thread(services.schedules.remove, track)
    await asyncio.to_thread(services.config.remove, document, SYSTEM, work.clock.now())


async def purge(work: Slice) -> None:
    """Closed runs with their receipts, tombstones, undecided holds and the journal, each older than its days."""
    session = _session(work)
    try:
        await _remove(work, await session.outdated(work.services.keep, work.clock.now()))
    finally:
        await session.close()


def _session(work: Slice) -> Session:
    session = work.services.session()
    session.guard = work.lease.guard
    return session


async def _remove(work: Slice, sweeps: Sequence[Sweep]) -> None:
    """One after the other, from where an earlier slice stopped, with progress and within the slice."""
    run = work.run
    for sweep in sweeps:
        if sweep.name in run.done:
            continue
        run.working_on = sweep.table
        at = run.cursor
        async for last, found in sweep.pages(run.cursor):
            await sweep.remove(found)
            run.deleted_rows += len(found)
            await work.beat()
            if last == at:
                continue  # each slice gets a partition further, however short it is
            at = run.cursor = last
            if work.time_left() <= 0:
                raise SliceOver
        run.done, run.cursor = [*run.done, sweep.name], ""
