"""`make demo`: the main job on real input, end to end, as a user would do it: through the HTTP API."""

import os
import signal
import sys
import time
from typing import Any

from local import demo_actions, person_text
from local.stack import Options, Stack

DIRECTORY_RUNS, SIGN_IN_RUNS = "job=directory", "job=sign-ins"
"""Query options of a connector's runs: of people and devices, and of when people last signed in."""
LICENCE_RUNS = {
    "directory": "people, with the connector for licences", "licences": "what the tenant has bought, and who got it",
    "usage": "who uses what, from nine usage reports",
}  # fmt: skip
"""Jobs of the connector for licences, and what they read."""
PRICES = {
    "c7df2760-2c81-4ef7-b578-5b5392b571df": 38.00, "05e9a617-0261-4cee-bb44-138d3ef5d965": 36.00,
    "f245ecc8-75af-4f8e-b61f-27d8114de5f3": 12.50,
}  # fmt: skip
"""What a seat costs a month, by SKU id."""
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
        connector, licences = configure(stack)
        runs = first_runs(stack, connector)
        runs += licence_runs(stack, licences)
        show(stack, connector, runs)
        if any(run["state"] != "succeeded" for run in runs):
            return 1
        if os.environ.get("ACT", "") not in ("", "0"):
            demo_actions.show(stack, connector)
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


def configure(stack: Stack) -> tuple[str, str]:
    """Organization, source group, credential, source, and two connectors, whose ids it gives."""
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
    directory = create(
        "connectors",
        "connector, every hour, first run at once",
        {"name": "People and devices", "sourceId": source, "schedule": schedule},
    )
    licences = create(
        "connectors",
        "connector for subscriptions, licences and usage",
        {
            "name": "Licences", "sourceId": source, "kind": "microsoft-365", "schedule": schedule,
            "options": {"prices": [{"skuId": sku, "monthly": price} for sku, price in PRICES.items()]},
        },
    )  # fmt: skip
    return directory, licences


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
        print(f"  {stream['name']:<19} {stream['read']:,}{of} read in {pages}: {counts}")
    waits = run["waits"]
    waited = waits["throttleSeconds"] + waits["pacedSeconds"]
    requests = "1 request" if waits["requests"] == 1 else f"{waits['requests']} requests"
    print(f"  {'Graph':<19} {requests}, {waits['throttled']} throttled, {waited:.0f} s waited")
    for problem in run["problems"]:
        print(f"  ! {problem['message']} {problem['remedy']}")


def licence_runs(stack: Stack, connector: str) -> list[dict[str, Any]]:
    """Follows the runs of the connector for licences, then shows what is bought and what of it is wasted."""
    runs = []
    for job, what in LICENCE_RUNS.items():
        print(f"\nReading {what}", flush=True)
        runs.append(follow(stack, first_run(stack, connector, f"job={job}")))
        show_run(runs[-1])
    _, found = stack.api("GET", f"connectors/{connector}")
    show_licences(stack, found["sourceId"])
    return runs


def show_licences(stack: Stack, source: str) -> None:
    """What was bought, taken and left, and what the reports of waste find."""
    _, page = stack.api("GET", f"reports/licences?source={source}")
    print(f"\n  {'Licence':<34}{'bought':>8}{'taken':>8}{'left':>8}   {'note'}")
    for row in page["items"]:
        counts = "".join(
            f"{row[name] if row[name] is not None else '-':>8}" for name in ("bought", "consumed", "available")
        )
        print(f"  {row['product'][:33]:<34}{counts}   {row['note'] or ''}")
    print("\n  What is wasted a month, at the prices that were entered")
    for name, what in WASTE.items():
        rows, after = [], ""
        while True:
            _, page = stack.api("GET", f"reports/{name}?source={source}&limit=1000{after}")
            rows += page["items"]
            if not page["next"]:
                break
            after = f"&after={page['next']}"
        cost = sum(row.get("monthlyCost") or 0 for row in rows)
        print(f"    {what:<44}{len(rows):>6} licences{cost:>12,.2f}")
    print(f"\n  {stack.link(f'reports/licensed-but-silent?source={source}&format=xlsx')}", flush=True)


WASTE = {
    "disabled-but-licensed": "of disabled accounts",
    "licensed-but-silent": "of people silent for 30 days",
    "never-active": "of people of whom no activity is known",
    "direct-and-inherited": "given twice, directly and through a group",
    "assignments-in-error": "that could not be assigned",
}
"""Reports of waste, and what their rows are."""


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
