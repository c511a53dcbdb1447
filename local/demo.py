"""`make demo`: the main job on real input, end to end, as a user would do it: through the HTTP API."""

import os
import signal
import sys
import time
from typing import Any

from local.stack import Options, Stack

_BAR = 32


def main(people: int, devices: int, *, once: bool, port: int) -> int:
    began = time.monotonic()
    stack = Stack(Options(people=people, devices=devices, port=port))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"Starting the local stack with {people:,} people and {devices:,} devices ...", flush=True)
    try:
        stack.start()
        print(f"  up in {time.monotonic() - began:.1f} s: {stack.url}\n", flush=True)
        connector = configure(stack)
        run = follow(stack, connector)
        show(stack, connector, run)
        if run["state"] != "succeeded":
            return 1
        if once:
            return 0
        print("\nIt stays up. Try the addresses above; Ctrl-C ends it.", flush=True)
        while True:
            signal.pause()
    except KeyboardInterrupt:
        print("\nStopping.")
        return 0
    finally:
        stack.stop()


def configure(stack: Stack) -> str:
    """Organization, source group, credential, source and connector; gives the connector's id."""
    print("Configuring, through the HTTP API:", flush=True)

    def create(path: str, what: str, body: dict[str, Any]) -> str:
        status, made = stack.api("POST", path, body)
        if status != 201:
            sys.exit(f"  {what}: {status} {made}")
        print(f"  POST /api/v1/{path:<16} {what}", flush=True)
        return str(made["id"])

    tenant = stack.addresses["tenants"]["global"]
    organization = create("organizations", "organization Contoso", {"name": "Contoso"})
    group = create("source-groups", "source group Head office", {"name": "Head office", "organizationId": organization})
    credential = create(
        "credentials",
        "credential, whose secret goes to Key Vault",
        {"name": "Rollcall reader", "clientId": stack.addresses["clientId"], "clientSecret": stack.secret},
    )
    source = create(
        "sources",
        f"source, tenant {tenant}",
        {"name": "Contoso tenant", "sourceGroupId": group, "tenantId": tenant, "credentialId": credential},
    )
    schedule = {
        "repeats": {"every": 1, "unit": "hours"},
        "startTime": "02:00",
        "timeZone": "Europe/Amsterdam",
        "firstRun": "at-once",
    }
    return create(
        "connectors",
        "connector, every hour, first run at once",
        {"name": "People and devices", "sourceId": source, "schedule": schedule},
    )


def follow(stack: Stack, connector: str) -> dict[str, Any]:
    """Waits for the timer to start the run, shows its progress, gives the closed run."""
    print("\nWaiting for the timer to start the run ...", flush=True)
    while True:
        _, page = stack.api("GET", f"connectors/{connector}/runs?limit=1")
        if page["items"]:
            break
        time.sleep(0.2)
    while True:
        _, run = stack.api("GET", f"runs/{page['items'][0]['id']}")
        read = sum(stream["read"] for stream in run["streams"])
        expected = sum(stream["expected"] or 0 for stream in run["streams"]) or 1
        if sys.stdout.isatty() or run["finishedAt"]:
            filled = min(_BAR, _BAR * read // expected)
            bar = "#" * filled + "." * (_BAR - filled)
            text = f"  [{bar}] {read:,} read, {run['recordsPerSecond']:,.0f}/s, {run['state']}"
            print(f"\r{text}", end="\n" if run["finishedAt"] else "", flush=True)
        if run["finishedAt"]:
            return dict(run)
        time.sleep(0.2)


def show(stack: Stack, connector: str, run: dict[str, Any]) -> None:
    """Counts, three people as stored, due times, addresses."""
    for stream in run["streams"]:
        counts = ", ".join(
            f"{stream[name]:,} {word}"
            for name, word in (
                ("new", "new"),
                ("changed", "changed"),
                ("unchanged", "unchanged"),
                ("outOfScope", "out of scope"),
            )
        )
        print(
            f"  {stream['name']:<8} {stream['read']:,} of {stream['expected']:,} read in {stream['pages']} pages: {counts}"
        )
    waits = run["waits"]
    print(
        f"  Graph    {waits['requests']} requests, {waits['throttled']} throttled, {waits['throttleSeconds']:.0f} s waited"
    )
    for problem in run["problems"]:
        print(f"  ! {problem['message']} {problem['remedy']}")
    print("\nThree people, as stored:")
    _, page = stack.api("GET", "people?limit=3")
    for card in page["items"]:
        _, person = stack.api("GET", f"people/{card['id']}")
        values = person["values"]
        print(f"  {values['displayName']['value']}  <{values['mail']['value'] or 'no mail'}>")
        for name in ("jobTitle", "department", "employeeType", "city", "createdAt", "enabled"):
            print(f"    {name:<14} {_text(values[name])}")
        manager = person["manager"]
        print(f"    {'manager':<14} {manager and (manager['displayName'] or manager['missing'])}")
        print(f"    {'lastLogonAt':<14} {_text(values['lastLogonAt'])}")
        print(f"    {'expiresAt':<14} {_text(values['expiresAt'])}")
    _, found = stack.api("GET", f"connectors/{connector}")
    print("\nNext due (UTC): " + ", ".join(moment[:16].replace("T", " ") for moment in found["jobs"][0]["nextDue"]))
    print(f"\n  {stack.url}/api/v1/docs           the API, described")
    print(f"  {stack.url}/api/v1/people         people")
    print(f"  {stack.url}/api/v1/people/search?text=an")
    print(f"  {stack.url}/api/v1/runs/{run['id']}", flush=True)


def _text(value: dict[str, Any]) -> str:
    if value["missing"]:
        return f"unknown: {value['missing']}"
    return "(empty)" if value["value"] is None else str(value["value"])


def from_environment(people: int, devices: int, port: int) -> int:
    return main(people, devices, once=os.environ.get("ONCE", "") not in ("", "0"), port=port)
