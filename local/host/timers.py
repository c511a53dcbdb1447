"""Timer triggers: NCRONTAB (six fields, day of month and day of week both count) or hh:mm:ss, one run at a time."""

import asyncio
import datetime as dt
import json
import logging
import re
from typing import Any

from croniter import croniter

from local.host.config import resolve, span
from local.host.engine import Engine, Function, InvocationFailed
from local.host.messages import TypedData

_log = logging.getLogger("host.timer")
_SPAN = re.compile(r"^(\d+\.)?\d{1,2}:\d{2}:\d{2}$")


def next_time(expression: str, after: dt.datetime) -> dt.datetime:
    """The next time, UTC, later than `after`."""
    if _SPAN.match(expression):
        return after + dt.timedelta(seconds=span(expression))
    fields = expression if len(expression.split()) == 6 else f"0 {expression}"
    following: dt.datetime = croniter(fields, after, second_at_beginning=True, day_or=False).get_next(dt.datetime)
    return following


class Timer:
    def __init__(self, engine: Engine, function: Function) -> None:
        self._engine, self.function = engine, function
        self.expression = resolve(function.trigger["schedule"])
        next_time(self.expression, dt.datetime.now(dt.UTC))  # a bad expression fails at start, not at night
        self._running = asyncio.Lock()

    async def run(self) -> None:
        if str(self.function.trigger.get("runOnStartup", "")).lower() == "true":
            await self.fire()
        while True:
            now = dt.datetime.now(dt.UTC)
            due = next_time(self.expression, now)
            await asyncio.sleep((due - now).total_seconds())
            await self.fire()

    async def fire(self) -> None:
        """One invocation; a failure is logged and does not stop the schedule."""
        async with self._running:
            data: dict[str, Any] = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
            try:
                await self._engine.invoke(self.function, TypedData(json=json.dumps(data)))
            except InvocationFailed as error:
                _log.error("%s failed: %s\n%s", self.function.name, error, error.trace)
