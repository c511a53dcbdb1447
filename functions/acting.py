"""The queue that carries plans of people actions, and the one for messages that kept failing."""

import json
import logging

import azure.functions as func

from functions.sync import shown
from shared.names import ACTION_POISON_QUEUE, ACTION_QUEUE

blueprint = func.Blueprint()
_log = logging.getLogger("rollcall.actions")


@blueprint.function_name("act")
@blueprint.queue_trigger(arg_name="message", queue_name=ACTION_QUEUE, connection="RollcallStorage")
async def act(message: func.QueueMessage) -> None:
    """Works on one plan for a while."""
    from shared.wiring import app

    body = json.loads(message.get_body())
    await shown(app().actions.carry_on(str(body.get("plan"))))
    _log.info("plan %s", body.get("plan"))


@blueprint.function_name("act_failed")
@blueprint.queue_trigger(arg_name="message", queue_name=ACTION_POISON_QUEUE, connection="RollcallStorage")
async def act_failed(message: func.QueueMessage) -> None:
    """A message that failed five times. The timer wakes its plan again; nothing of it is lost."""
    from shared.wiring import app

    plan = str(json.loads(message.get_body()).get("plan"))
    state = await shown(app().actions.state_of(plan))
    _log.error("plan %s could not be worked on; it is %s", plan, state)
