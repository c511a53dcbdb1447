"""A worker in a process of its own, so that it can be killed for good. Forked from a server that has imported everything:
what is killed is a whole process all the same, only its start does not take seconds.
"""

import asyncio
import multiprocessing
from multiprocessing.context import ForkServerProcess
from typing import Any

from shared.clock import parse_iso
from shared.sync.runner import Retention
from tests.bench.run_once import warm
from tests.rig import Hands, Rig

_CONTEXT = multiprocessing.get_context("forkserver")


def start(given: dict[str, Any]) -> ForkServerProcess:
    _CONTEXT.set_forkserver_preload(["tests.worker_modules"])
    worker = _CONTEXT.Process(target=work, args=(given,), daemon=True)
    worker.start()
    return worker


def work(given: dict[str, Any]) -> None:
    rig = Rig.__new__(Rig)  # the worker's half only: no emulator, no proxies of its own
    rig.tables_url, rig.queues_url, rig.graph_url = given["tables"], given["queues"], given["graph"]
    rig.roles, rig.token = given["roles"], given["token"]
    rig.clock, rig.slice_seconds, rig.keep = Hands(parse_iso(given["now"])), 480.0, Retention()
    rig.retries = 0
    rig._services, rig.crowded, rig._runner = [], False, asyncio.Runner()
    rig.work(given["message"])


def preload() -> None:
    """What a worker imports when it first needs it."""
    asyncio.run(warm())
