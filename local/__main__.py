"""`python3 -m local COMMAND`: set-up, the local stack, the demo, tests and checks.

Any Python from 3.9 on starts it. It finds or fetches a Python 3.13 for .venv and goes on there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from local import bootstrap


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("setup", help="install what is missing: packages, Node, the storage emulator")
    demo = commands.add_parser(
        "demo", help="run the main job end to end (ONCE=1: then stop; ACT=1: with a people action)"
    )
    up = commands.add_parser("up", help="start the stack and keep it up")
    for command, port in ((demo, 0), (up, 7071)):
        command.add_argument("--people", type=int, default=1000, help="10 to 1,000,000 (default 1000)")
        command.add_argument("--devices", type=int, help="default: 6 for every 10 people")
        command.add_argument("--port", type=int, default=port, help="of the function app")
    up.add_argument("--seed", type=int, default=7, help="another seed is another tenant")
    up.add_argument("--persist", type=Path, metavar="DIR", help="keep tables, secrets and the tenant here")
    up.add_argument("--plain", action="store_true", help="storage without TLS: UseDevelopmentStorage=true")
    fault = commands.add_parser("fault", help="switch faults of the simulated cloud: list, clear, or TARGET KIND")
    fault.add_argument("target", help="list, clear, graph, storage, token or vault")
    fault.add_argument("kind", nargs="?", help="such as 429, 503, reset; a wrong one lists them all")
    fault.add_argument("--every", type=int, default=10, help="one request in so many (default 10)")
    fault.add_argument("--most", type=int, default=0, help="at most so often (default: no limit)")
    fault.add_argument("--match", default="", help="only requests in which this pattern occurs")
    fault.add_argument("--seconds", type=float, default=1.0, help="of Retry-After or delay")
    tenant = commands.add_parser("tenant", help="change the simulated tenant")
    tenant.add_argument(
        "do", choices=("hire", "leave", "restore", "purge", "rename", "move", "premium-on", "premium-off")
    )
    tenant.add_argument("ids", nargs="*", help="object ids; none: --count people chosen by --salt")
    tenant.add_argument("--count", type=int, default=1)
    tenant.add_argument("--salt", type=int, default=0)
    for name, text in (
        ("test", "run the tests"),
        ("check", "lint, types, architecture, requirements and all tests, with samples of the long matrices"),
        ("prove", "the same with every case of every matrix, 100,000 people, and the figures: some hours"),
    ):
        commands.add_parser(name, help=text).add_argument("rest", nargs=argparse.REMAINDER)
    bench = commands.add_parser("bench", help="measure against a bare reference and the loop of the SDKs: ratios")
    bench.add_argument("rest", nargs=argparse.REMAINDER)
    facts = commands.add_parser("graph-facts", help="make the file of facts about Microsoft Graph from its description")
    told = os.environ.get("ROLLCALL_GRAPH_REFERENCE")
    facts.add_argument(
        "folder", type=Path, nargs=None if told is None else "?", default=told, help="default: ROLLCALL_GRAPH_REFERENCE"
    )
    commands.add_parser("compile", help="write both requirements files from pyproject.toml")
    commands.add_parser("docs", help="write the pages of docs/ that are made from the code")
    commands.add_parser("package", help="build the deployment package, .local/rollcall.zip")
    guards = commands.add_parser("preflight-azure", help="ask Azure whether a deployment can succeed, before it begins")
    guards.add_argument("rest", nargs=argparse.REMAINDER)
    return parser


def _parse() -> argparse.Namespace:
    """`test`, `check` and `bench` take any further argument; argparse alone would refuse options that come first."""
    parser = _parser()
    options, unknown = parser.parse_known_args()
    if unknown and not hasattr(options, "rest"):
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    options.rest = unknown + getattr(options, "rest", [])
    return options


def main() -> int:
    options = _parse()
    bootstrap.ensure()
    bootstrap.enter_venv()
    # Only from here on is this Python 3.13: what needs it is imported below.
    if options.command == "setup":
        print("setup: everything is there")
        return 0
    if options.command == "demo":
        from local import demo

        devices = options.people * 6 // 10 if options.devices is None else options.devices
        return demo.from_environment(options.people, devices, options.port)
    if options.command in ("up", "fault", "tenant"):
        from local import control

        return control.run(options)
    if options.command == "graph-facts":
        from local.cloud.graph import make_facts

        return make_facts.run(options.folder)
    if options.command == "docs":
        from local import docs

        docs.write()
        return 0
    if options.command == "package":
        from local import package

        return package.run()
    if options.command == "preflight-azure":
        return subprocess.run(
            [sys.executable, str(bootstrap.ROOT / "infra" / "guards.py"), *(options.rest or ["before"])], check=False
        ).returncode
    from local import checks

    return checks.run(options.command, options.rest)


if __name__ == "__main__":
    sys.exit(main())
