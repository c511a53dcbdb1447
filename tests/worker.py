"""A worker in a process of its own, so that it can be killed or frozen for good. Forked from a server that has imported everything:
what ends is a whole process all the same, only its start does not take seconds.
"""

import asyncio
import multiprocessing
import os
import signal
import time
from datetime import datetime, timedelta
from multiprocessing.context import ForkServerProcess
from multiprocessing.queues import SimpleQueue
from multiprocessing.sharedctypes import Synchronized
from typing import Any

import psutil

from shared.clock import parse_iso
from shared.connectors import REGISTRY
from shared.domain.retention import Retention
from shared.storage.layout import CURRENT
from shared.sync.limits import Limits
from tests.bench.run_once import warm
from tests.rig import Hands, Rig

_CONTEXT = multiprocessing.get_context("forkserver")


class Elsewhere(Hands):
    """Time in the hands of a test in another process: `past` holds the seconds that went by."""

    def __init__(self, start: datetime, past: "Synchronized[float]") -> None:
        super().__init__(start)
        self._past = past

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self._past.value)

    def monotonic(self) -> float:
        return super().monotonic() + self._past.value


class Remote:
    """A worker, what it said in the end, and the time that goes by for it. Keep it: the process shares both."""

    def __init__(self, given: dict[str, Any]) -> None:
        _CONTEXT.set_forkserver_preload(["tests.worker_modules"])
        self.past, self._said = _CONTEXT.Value("d", 0.0), _CONTEXT.SimpleQueue()
        self.process: ForkServerProcess = _CONTEXT.Process(
            target=work, args=(given, self.past, self._said), daemon=True
        )
        self.process.start()

    def freeze(self) -> None:
        """Stops the whole process, threads and all, wherever it is."""
        os.kill(self.process.pid or 0, signal.SIGSTOP)
        while psutil.Process(self.process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.005)  # the kernel tells nobody when it has stopped a process

    def kill(self) -> None:
        """Its end, without a last word."""
        self.process.kill()
        self.process.join(30)

    def resume(self) -> None:
        os.kill(self.process.pid or 0, signal.SIGCONT)

    def ended(self) -> str:
        """What its slice came to."""
        self.process.join(30)
        assert self.process.exitcode == 0
        return str(self._said.get())


def work(given: dict[str, Any], past: "Synchronized[float]", said: "SimpleQueue[str]") -> None:
    rig = Rig.__new__(Rig)  # the worker's half only: no emulator, no proxies of its own
    rig.tables_url, rig.queues_url, rig.graph_url = given["tables"], given["queues"], given["graph"]
    rig.roles, rig.token = given["roles"], given["token"]
    rig.clock, rig.slice_seconds, rig.keep = Elsewhere(parse_iso(given["now"]), past), 480.0, Retention()
    rig.registry, rig.limits, rig.layout = REGISTRY, Limits(), CURRENT
    rig.retries, rig.vault, rig.before_sign_in = 0, None, lambda _service: None
    rig._apps, rig.crowded, rig._runner = [], False, asyncio.Runner()
    said.put(rig.work(given["message"]))


def preload() -> None:
    """What a worker imports when it first needs it."""
    asyncio.run(warm())
