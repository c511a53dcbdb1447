"""`make demo`: the main job on real input, end to end, as a user would do it: through the HTTP API."""

import os
import signal
import sys
import time
from typing import Any

from local import person_text
from local.stack import Options, Stack

DIRECTORY_RUNS, SIGN_IN_RUNS = "job=directory", "job=sign-ins"
"""Query options of a connector's runs: of people and devices, and of when people last signed in."""
_BAR, _LINE = 32, 78
_COUNTS = (("new", "new"), ("changed", "changed"), ("unchanged", "unchanged"), ("outOfScope", "out of scope"))


def main(people: int, devices: int, *, once: bool, port: int) -> int:
    began = time.monotonic()
    stack = Stack(Options(people=people, devices=devices, port=port))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"Starting the local stack with {people:,} people and {devices:,} devices ...", flush=True)
    try:
        stack.start()
        print(f"  up in {time.monotonic() - began:.1f} s: {stack.url}\n", flush=True)
        connector = configure(stack)
        runs = first_runs(stack, connector)
        show(stack, connector, runs)
        if any(run["state"] != "succeeded" for run in runs):
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


def first_runs(stack: Stack, connector: str) -> list[dict[str, Any]]:
    """Follows both runs of the connector to their ends: people and devices, then when people last signed in."""
    print("\nWaiting for the timer to start ...", flush=True)
    began = first_run(stack, connector, DIRECTORY_RUNS)
    print("Reading people and devices", flush=True)
    directory = follow(stack, began)
    show_run(directory)
    print("\nWaiting for the sign-in activity run (10 requests a minute at most) ...", flush=True)
    people = next((stream["read"] for stream in directory["streams"]), 0)
    activity = follow(stack, first_run(stack, connector, SIGN_IN_RUNS), expected=people)
    show_run(activity)
    return [directory, activity]


def first_run(stack: Stack, connector: str, which: str) -> str:
    """The id of the connector's newest run, once the timer has started it."""
    while True:
        _, page = stack.api("GET", f"connectors/{connector}/runs?limit=1&{which}")
        if page["items"]:
            return str(page["items"][0]["id"])
        time.sleep(0.2)


def follow(stack: Stack, run_id: str, expected: int = 0) -> dict[str, Any]:
    """Shows the run's progress, gives the closed run. `expected` stands in for streams that Graph does not count."""
    while True:
        _, run = stack.api("GET", f"runs/{run_id}")
        read = sum(stream["read"] for stream in run["streams"])
        total = sum(stream["expected"] or 0 for stream in run["streams"]) or expected or 1
        if sys.stdout.isatty() or run["finishedAt"]:
            filled = min(_BAR, _BAR * read // total)
            bar = "#" * filled + "." * (_BAR - filled)
            until = f" until {run['notBefore'][11:19]} UTC" if run["notBefore"] and not run["finishedAt"] else ""
            text = f"  [{bar}] {read:,} read, {run['recordsPerSecond']:,.0f}/s, {run['state']}{until}"
            print(
                f"\r{text:<{_LINE}}" if sys.stdout.isatty() else text, end="\n" if run["finishedAt"] else "", flush=True
            )
        if run["finishedAt"]:
            return dict(run)
        time.sleep(0.2)


def show_run(run: dict[str, Any]) -> None:
    """Counts by stream, requests and waits, problems with their remedies."""
    for stream in run["streams"]:
        counts = ", ".join(f"{stream[name]:,} {word}" for name, word in _COUNTS)
        of = f" of {stream['expected']:,}" if stream["expected"] is not None else ""
        pages = "1 page" if stream["pages"] == 1 else f"{stream['pages']} pages"
        print(f"  {stream['name']:<8} {stream['read']:,}{of} read in {pages}: {counts}")
    waits = run["waits"]
    waited = waits["throttleSeconds"] + waits["pacedSeconds"]
    requests = "1 request" if waits["requests"] == 1 else f"{waits['requests']} requests"
    print(f"  Graph    {requests}, {waits['throttled']} throttled, {waited:.0f} s waited")
    for problem in run["problems"]:
        print(f"  ! {problem['message']} {problem['remedy']}")


def choose(stack: Stack) -> list[dict[str, Any]]:
    """Two people of the first hundred: one with a manager and a successful logon, then one who lacks either."""
    _, page = stack.api("GET", "people?limit=100")
    usual: dict[str, Any] | None = None
    other: dict[str, Any] | None = None
    for card in page["items"]:
        person = stack.api("GET", f"people/{card['id']}")[1]
        manager = person["manager"]
        if manager and not manager["missing"] and person["values"]["lastLogonKind"]["value"] == "successful":
            usual = usual or person
        else:
            other = other or person
        if usual and other:
            break
    return [person for person in (usual, other) if person]


def show(stack: Stack, connector: str, runs: list[dict[str, Any]]) -> None:
    """Some people as stored, due times, addresses."""
    print("\nPeople, as stored:")
    people = choose(stack)
    for person in people:
        print()
        for line in person_text.lines(person):
            print(f"  {line}")
    _, found = stack.api("GET", f"connectors/{connector}")
    print("\nNext due (UTC): " + ", ".join(moment[:16].replace("T", " ") for moment in found["jobs"][0]["nextDue"]))
    print(f"\n  {stack.link('docs')}   the API, described")
    print(f"  {stack.link('people')}   people")
    print(f"  {stack.link('people/search?text=an')}")
    if people:
        print(f"  {stack.link(f'people/{people[0]["id"]}')}")
    for run in runs:
        print(f"  {stack.link(f'runs/{run["id"]}')}", flush=True)


def from_environment(people: int, devices: int, port: int) -> int:
    return main(people, devices, once=os.environ.get("ONCE", "") not in ("", "0"), port=port)
