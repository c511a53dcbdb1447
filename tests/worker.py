"""`python -m tests.worker JSON`: works on one message in a process of its own, so that it can be killed for good."""

import json
import sys
from typing import Any

from shared.clock import parse_iso
from shared.sync.runner import Retention
from tests.rig import Hands, Rig


def main(given: dict[str, Any]) -> None:
    rig = Rig.__new__(Rig)  # the worker's half only: no emulator, no proxies of its own
    rig.tables_url, rig.queues_url, rig.graph_url = given["tables"], given["queues"], given["graph"]
    rig.roles, rig.token = given["roles"], given["token"]
    rig.clock, rig.slice_seconds, rig.keep = Hands(parse_iso(given["now"])), 480.0, Retention()
    rig._services, rig.crowded = [], False
    print(rig.work(given["message"]), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
