"""`up`, `fault` and `tenant`: the stack from the command line."""

import argparse
import json
import signal
import sys
import time
from typing import Any

from local import bootstrap
from local.stack import Options, Stack, http

STATE = bootstrap.STATE / "stack.json"


def run(options: argparse.Namespace) -> int:
    if options.command == "up":
        return up(options)
    try:
        state = json.loads(STATE.read_text())
    except FileNotFoundError:
        print("No stack is up. Start one with: python3 -m local up", file=sys.stderr)
        return 1
    return fault(options, state) if options.command == "fault" else tenant(options, state)


def up(options: argparse.Namespace) -> int:
    began = time.monotonic()
    chosen = Options(
        people=options.people,
        devices=options.devices,
        seed=options.seed,
        persist=options.persist,
        plain=options.plain,
        port=options.port,
    )
    stack = Stack(chosen)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        stack.start()
        STATE.parent.mkdir(exist_ok=True)
        STATE.write_text(
            json.dumps(
                {"admin": stack.addresses["admin"], "tenant": stack.addresses["tenants"]["global"], "url": stack.url}
            )
        )
        print(f"up in {time.monotonic() - began:.1f} s")
        print(f"  function app   {stack.link('docs')}")
        print(f"  tenant         {stack.addresses['tenants']['global']}")
        print(f"  client id      {stack.addresses['clientId']}")
        print(f"  client secret  in {stack.folder / 'client-secret'}")
        print(f"  tables         {stack.addresses['table']}")
        print(f"  logs           {stack.log}", flush=True)
        with (stack.log / "host.log").open() as log:
            while True:
                line = log.readline()
                if line:
                    print(line, end="", flush=True)
                else:
                    time.sleep(0.2)
    except KeyboardInterrupt:
        return 0
    finally:
        STATE.unlink(missing_ok=True)
        stack.stop()


def _answer(status: int, body: Any) -> int:
    print(json.dumps(body, indent=2) if body else "done")
    return 0 if status < 400 else 1


def fault(options: argparse.Namespace, state: dict[str, str]) -> int:
    url = f"{state['admin']}/faults"
    if options.target == "list":
        return _answer(*http("GET", url))
    if options.target == "clear":
        return _answer(*http("DELETE", url))
    names = ("target", "kind", "every", "most", "match", "seconds")
    return _answer(*http("POST", url, {name: getattr(options, name) for name in names}))


def tenant(options: argparse.Namespace, state: dict[str, str]) -> int:
    change: dict[str, Any] = {"do": options.do, "count": options.count, "salt": options.salt}
    if options.ids:
        change["ids"] = options.ids
    if options.do.startswith("premium"):
        change = {"do": "premium", "on": options.do.endswith("on")}
    return _answer(*http("POST", f"{state['admin']}/tenants/{state['tenant']}", change))
