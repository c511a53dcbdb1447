"""One slice of a run: lease -> the work of its task -> closed, or the next slice queued."""

import asyncio
import contextlib
from typing import Any

from shared.domain.run import Run
from shared.errors import Unavailable
from shared.storage.lease import Lease, LeaseLost
from shared.storage.runs import parse, put_run
from shared.sync.slice import Services, Slice, Work


async def run_slice(services: Services, message: dict[str, Any]) -> str:
    """Works on one message; gives what came of it, for the log. Raises Unavailable where storage can't be used."""
    found = await asyncio.to_thread(services.runs.stamped, str(message.get("run")))
    run = parse(found) if found else None
    if found is None or run is None or run.state.closed or message.get("slice") != run.slice:
        return "dropped: the run is closed, or the message is old"
    lease = Lease(services.tables, run.track, run.id, services.clock)
    key = run.id.partition("~")[2]
    asked = any(row["RowKey"] == f"cancel|{key}" for row in await lease.look())
    if not await lease.watch():
        return "dropped: another worker has the run"
    if lease.taken_over:
        found = await asyncio.to_thread(services.runs.stamped, run.id) or found
        run = parse(found)
        if run.state.closed or message.get("slice") != run.slice:
            return "dropped: another worker was faster"
    work = Slice(services, lease, run, cancel_asked=asked)
    if not await lease.take([put_run(work.begin(taken_over=lease.taken_over), found.etag)]):
        return "dropped: another worker was faster"
    lease.start()
    try:
        return await work.do(_task)
    except LeaseLost:
        return "stopped: the lease is lost"
    except Unavailable:
        # The message comes again: whoever gets it should not have to watch a lease that nobody holds.
        with contextlib.suppress(Unavailable, LeaseLost):
            await asyncio.to_thread(lease.commit, [], release=True)
        raise
    finally:
        lease.stop()


def _task(run: Run) -> Work:
    """The work of a task; imported on first use, for a run does one of them."""
    if run.task in ("delete", "purge"):
        from shared.sync import housekeeping

        return housekeeping.delete if run.task == "delete" else housekeeping.purge
    if run.task == "sign-ins":
        from shared.sync import signins

        return signins.read
    from shared.sync import directory

    return directory.read
