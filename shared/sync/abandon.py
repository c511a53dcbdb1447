"""Closing a run whose message kept failing, once nobody works on it any more."""

import asyncio
from typing import Any

from shared.domain.run import Problem, RunState
from shared.domain.state import SaveRun
from shared.events import emit
from shared.sync.slice import Services

_CHANCES = 3  # a storage outage of minutes poisons a message; the run itself may be quite well


async def abandon(services: Services, message: dict[str, Any]) -> str:
    """Closes the run as failed if its lease can be had; gives what came of it."""
    run = await asyncio.to_thread(services.runs.get, str(message.get("run")))
    if run is None or run.state.closed or message.get("slice") != run.slice:
        return "nothing to close"
    lease = services.lease(run.track, run.id)
    await lease.look()
    if lease.held or not await lease.take():
        return "another worker has the run, or had it: then the tick sends it again"
    run = await asyncio.to_thread(services.runs.get, run.id) or run
    if run.state.closed or message.get("slice") != run.slice:
        await asyncio.to_thread(lease.commit, [], release=True)
        return "going on, or closed meanwhile"
    run.abandoned += 1
    if run.abandoned < _CHANCES:
        await asyncio.to_thread(lease.commit, [SaveRun(run)], release=True)
        return "left to the tick, which sends it again"
    run.state, run.finished_at = RunState.FAILED, services.clock.now()
    run.problems.append(
        Problem(
            code="worker-failed",
            message="The worker failed five times in a row, three times over, before it could report.",
            remedy="Look at the log of run_slice; the next run tries again by itself. Nobody was removed.",
            transient=True,
        )
    )
    await asyncio.to_thread(lease.commit, [SaveRun(run)], release=True)
    emit("run.failed", connector=run.connector_id, job=run.job, run=run.id, code="worker-failed", transient=True)
    await asyncio.to_thread(services.dispatch.closed, run)
    return "closed as failed"
