"""One slice of a run: lease -> the work of its job -> closed, or the next slice queued."""

import asyncio
import contextlib
from typing import Any

from shared.domain.run import DELETE, PURGE, Run
from shared.domain.state import SaveRun
from shared.errors import LeaseLost, Unavailable
from shared.sync.memory import tune_memory
from shared.sync.slice import Services, Slice, Work


async def run_slice(services: Services, message: dict[str, Any]) -> str:
    """Works on one message; gives what came of it, for the log. Raises Unavailable where storage can't be used."""
    found = await asyncio.to_thread(services.runs.stored, str(message.get("run")))
    if found is None or found.run.state.closed or message.get("slice") != found.run.slice:
        return "dropped: the run is closed, or the message is old"
    run = found.run
    lease = services.lease(run.track, run.id)
    asked = run.id.partition("~")[2] in await lease.look()
    if not await lease.watch():
        return "dropped: another worker has the run"
    if lease.taken_over:
        found = await asyncio.to_thread(services.runs.stored, run.id) or found
        run = found.run
        if run.state.closed or message.get("slice") != run.slice:
            return "dropped: another worker was faster"
    work = Slice(services, lease, run, cancel_asked=asked)
    if not await lease.take([SaveRun(work.begin(taken_over=lease.taken_over), found.etag)]):
        return "dropped: another worker was faster"
    lease.start()
    try:
        return await work.do(_work_of)
    except LeaseLost:
        return "stopped: the lease is lost"
    except Unavailable:
        # The message comes again: whoever gets it should not have to watch a lease that nobody holds.
        with contextlib.suppress(Unavailable, LeaseLost):
            await asyncio.to_thread(lease.commit, [], release=True)
        raise
    finally:
        lease.stop()


def _work_of(run: Run) -> Work:
    """The work of a job; imported on first use, for a run does one of them."""
    if run.job in (DELETE, PURGE):
        from shared.sync import housekeeping

        return housekeeping.delete if run.job == DELETE else housekeeping.purge
    from shared.sync import job

    tune_memory()
    return job.read
