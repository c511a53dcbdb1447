"""The timer that looks for due connectors, the queue that carries runs, and the queue for messages that kept failing."""

import json
import logging
from collections.abc import Awaitable

import azure.functions as func

from shared.events import emit
from shared.names import POISON_QUEUE, RUN_QUEUE
from shared.redact import clean

blueprint = func.Blueprint()
_log = logging.getLogger("rollcall.sync")


@blueprint.function_name("tick")
@blueprint.timer_trigger(arg_name="timer", schedule="%ROLLCALL_TICK%", use_monitor=False)
def tick(timer: func.TimerRequest) -> None:
    """Starts due runs, and repairs runs that were only half started."""
    from shared.wiring import app

    for run in app().tick.run():
        _log.info("run %s started on schedule", run)


async def shown[T](work: Awaitable[T]) -> T:
    """What it gives, or raises without anything that may not be shown: the worker writes it to the host and to telemetry."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - whatever it was
        failed = clean(error)[1]
    raise failed


@blueprint.function_name("run_slice")
@blueprint.queue_trigger(arg_name="message", queue_name=RUN_QUEUE, connection="RollcallStorage")
async def run_slice(message: func.QueueMessage) -> None:
    """Works on one slice of a run."""
    from shared.sync.runner import run_slice as work
    from shared.wiring import app

    body = json.loads(message.get_body())
    _log.info("run %s slice %s: %s", body.get("run"), body.get("slice"), await shown(work(app().run_services, body)))


@blueprint.function_name("run_failed")
@blueprint.queue_trigger(arg_name="message", queue_name=POISON_QUEUE, connection="RollcallStorage")
async def run_failed(message: func.QueueMessage) -> None:
    """A message that failed five times: closes its run, unless the tick has got it going again."""
    from shared.sync.abandon import abandon
    from shared.wiring import app

    body = json.loads(message.get_body())
    outcome = await shown(abandon(app().run_services, body))
    _log.error("run %s slice %s: %s", body.get("run"), body.get("slice"), outcome)
    emit("queue.poison", run=str(body.get("run")), outcome=outcome)
