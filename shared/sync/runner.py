"""One slice of a run: lease -> the work of its job -> closed, or the next slice queued."""

import asyncio
import contextlib
import logging
from typing import Any

from shared.domain.run import DELETE, PURGE, Run
from shared.domain.state import SaveRun
from shared.errors import LeaseLost, Unavailable
from shared.sync.memory import tune_memory
from shared.sync.slice import Services, Slice, Work

_log = logging.getLogger("rollcall.run")


async def run_slice(services: Services, message: dict[str, Any]) -> str:
    """Works on one message; gives what came of it, for the log. Raises Unavailable where storage can't be used."""
    found = await asyncio.to_thread(services.runs.stored, str(message.get("run")))
    if found is None or found.run.state.closed or message.get("slice") != found.run.slice:
        return "dropped: the run is closed, or the message is old"
    run = found.run
    lease = services.lease(run.track, run.id)
    asked = run.id.partition("~")[2] in await lease.look()
    if lease.held and message.get("seen") != lease.held:
        return await _look_again(services, run, lease.held, message)
    work = Slice(services, lease, run, cancel_asked=asked)
    if not await lease.take([SaveRun(work.begin(taken_over=bool(lease.held)), found.etag)]):
        return "dropped: another worker was faster"
    lease.start()
    try:
        await _watched(services, run, lease.etag)
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


async def _look_again(services: Services, run: Run, held: str, message: dict[str, Any]) -> str:
    """Somebody has the run, or had it when he died: after a term the same ETag tells. The message that guards the run does
    so until its slice is over; any other has seen enough with one sign of life.
    """
    if "seen" in message and not message.get("guard"):
        return "dropped: another worker has the run"
    await asyncio.to_thread(services.dispatch.watch, run, held, guard=bool(message.get("guard")))
    return "waits: another worker has the run"


async def _watched(services: Services, run: Run, etag: str) -> None:
    """Leaves a message that takes the run over should this worker die. Without it the tick notices, some time later."""
    try:
        await asyncio.to_thread(services.dispatch.watch, run, etag, guard=True)
    except Unavailable as error:
        _log.warning("run %s goes on without a message that guards it: %s", run.id, error.code)


def _work_of(run: Run) -> Work:
    """The work of a job; imported on first use, for a run does one of them."""
    if run.job in (DELETE, PURGE):
        from shared.sync import housekeeping

        return housekeeping.delete if run.job == DELETE else housekeeping.purge
    from shared.sync import job

    tune_memory()
    return job.read
