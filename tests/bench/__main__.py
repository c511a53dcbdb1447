"""`python -m tests.bench`: Rollcall against the bare reference and against the loop that one would write with the SDKs, in
the same run and on the same machine. Ratios, not seconds, are what it says.
"""

import argparse
import contextlib
import json
import math
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from local.stack import Options, Stack

SINK = "Records,Lookup"
ROOT_COMMAND = [sys.executable, "-m"]


def call(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
    return json.loads(text) if text else None


@dataclass
class Servers:
    """A Graph and a table service for measurements, each in its own process."""

    graph: str
    tables: str

    def graph_admin(self, **change: Any) -> None:
        call(f"{self.graph}/admin", change)

    def tables_admin(self, **change: Any) -> None:
        call(f"{self.tables.rsplit('/', 1)[0]}/admin", change)

    def stats(self) -> Any:
        return call(f"{self.tables.rsplit('/', 1)[0]}/stats")

    def graph_stats(self) -> Any:
        return call(f"{self.graph}/stats")


@contextlib.contextmanager
def servers(users: int, *, slim: str = "", sink: str = "") -> Iterator[Servers]:
    commands = (
        ("tests.bench.graph_server", "--users", str(users)),
        ("tests.bench.table_server", "--slim", slim, "--sink", sink),
    )
    running = [subprocess.Popen([*ROOT_COMMAND, *command], stdout=subprocess.PIPE, text=True) for command in commands]
    try:
        urls = [process.stdout.readline().strip() for process in running if process.stdout]
        yield Servers(*urls)
    finally:
        for process in running:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def measure(module: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [*ROOT_COMMAND, f"tests.bench.{module}", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{module} {' '.join(arguments)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rollcall(at: Servers, mode: str = "auto", *more: str) -> dict[str, Any]:
    at.tables_admin()
    result = measure("run_once", "--graph", at.graph, "--tables", at.tables, "--token", "x", "--mode", mode, *more)
    stats = at.stats()
    result["tableRequests"] = stats["requests"]
    result["recordOperations"] = sum(count for name, count in stats["operations"].items() if name.startswith("Records"))
    result["rows"] = {table: stats["rows"].get(table, 0) for table in ("Records", "Lookup")}
    return result


def reference(at: Servers) -> dict[str, Any]:
    result = measure("reference", "--graph", at.graph, "--tables", at.tables)
    rows = at.stats()["rows"]
    return result | {"rows": {table: rows.get(table, 0) for table in ("Records", "Lookup")}}


@dataclass
class Report:
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    failed: bool = False

    def add(self, what: str, found: str, limit: str, *, good: bool) -> None:
        row = (what, found, limit, "ok" if good else "MISSED")
        self.rows.append(row)
        self.failed |= not good
        print(f"{row[0]:<66} {row[1]:>34}   {row[2]:<28} {row[3]}", flush=True)


def cpu(report: Report, users: int, rounds: int) -> None:
    ours, floor = [], []
    with servers(users) as at:
        for _ in range(rounds):
            at.tables_admin(clear=True)
            bottom = reference(at)
            floor.append(bottom["cpuSeconds"] / users * 1e6)
            at.tables_admin(clear=True)
            first = rollcall(at)
            if first["rows"] != bottom["rows"] or first["rows"]["Records"] != users:
                sys.exit(f"both must write the same: {first['rows']} {bottom['rows']}")
            ours.append(first["cpuSeconds"] / users * 1e6)
        mine, bare = statistics.median(ours), statistics.median(floor)
        text = f"{mine:.0f} / {bare:.0f} us a user = {mine / bare:.2f}"
        report.add(
            f"CPU of a first full sync, {users:,} users, against the reference",
            text,
            "at most 1.5",
            good=mine <= 1.5 * bare,
        )
        again = rollcall(at, "full")
        operations = again["recordOperations"]
        report.add(f"unchanged full read of {users:,}: record operations", str(operations), "0", good=operations == 0)
        most = users // 1000 + 20
        found = again["tableRequests"]
        report.add("  table requests", str(found), f"at most {most}", good=found <= most)
        ratio = again["cpuSeconds"] / first["cpuSeconds"]
        report.add("  CPU against the first sync", f"{ratio:.2f}", "at most 1.0", good=ratio <= 1)
        quiet(report, at, users)
        for number, mode in enumerate(("delta", "full")):
            at.graph_admin(mutated=1000, generation=number + 1)
            changed = rollcall(at, mode)
            operations = changed["recordOperations"]
            report.add(
                f"1,000 mutations at {users:,} by {mode}: record operations",
                str(operations),
                "1,000",
                good=operations == 1000,
            )


def licences(report: Report, users: int, rounds: int) -> None:
    """What people hold, and a usage report of all of them, joined to people who are stored."""
    of_kind = ("--kind", "microsoft-365")
    with servers(users) as at:
        for job, what, per, rows in (
            ("licences", "licences", "assignment", users * 2),
            ("usage", "report", "row", users),
        ):
            bare_times: list[float] = []
            times: list[float] = []
            for _ in range(rounds):
                for found in (bare_times, times):
                    at.tables_admin(clear=True)
                    rollcall(at, "auto", *of_kind, "--records-only")
                    at.tables_admin()
                    if found is times:
                        taken = rollcall(at, "auto", *of_kind, "--job", job)
                    else:
                        taken = measure(
                            "reference", "--graph", at.graph, "--tables", at.tables, "--source", "bench", "--what", what
                        )
                    found.append(taken["cpuSeconds"] / rows * 1e6)
                    written = at.stats()["operations"].get("Records put")
                    if written != rows:
                        sys.exit(f"both must write {rows} rows of {what}: {written}")
            mine, bare = statistics.median(times), statistics.median(bare_times)
            report.add(
                f"CPU of {rows:,} {per}s of {what}, against the reference",
                f"{mine:.0f} / {bare:.0f} us = {mine / bare:.2f}",
                "at most 2.0",
                good=mine <= 2 * bare,
            )


def quiet(report: Report, at: Servers, users: int) -> None:
    """A delta round that brings nothing."""
    before = at.graph_stats()["requests"]
    nothing = rollcall(at, "delta")
    asked = at.graph_stats()["requests"] - before
    operations = nothing["recordOperations"]
    report.add(f"no-change delta at {users:,}: requests to Graph", str(asked), "1", good=asked == 1)
    report.add("  record operations", str(operations), "0", good=operations == 0)
    report.add("  table requests", str(nothing["tableRequests"]), "at most 10", good=nothing["tableRequests"] <= 10)


def walls(report: Report, users: int) -> None:
    chain = math.ceil(users / 999) * 0.15
    with servers(users, sink=SINK) as at:
        busy = reference(at)["cpuSeconds"]  # the pages are compressed by now, which is Graph's work and none of ours
        at.graph_admin(latency=0.15)
        at.tables_admin(clear=True, latency=0.01)
        wall = rollcall(at)["wallSeconds"]
        # Where the processor is slower than the latency its limit holds: 1.5 times the reference's own work.
        what, floor, most = ("the chain", chain, 1.25) if 1.25 * chain >= 1.5 * busy else ("bare work", busy, 1.5)
        report.add(
            f"wall of {users:,} at 150 ms Graph and 10 ms tables, against {what}",
            f"{wall:.1f} s / {floor:.1f} s = {wall / floor:.2f}",
            f"at most {most}",
            good=wall <= most * floor,
        )
        at.tables_admin(clear=True, latency=0.01)
        at.graph_admin(throttle_every=10)
        wall = rollcall(at)["wallSeconds"]
        stats = at.graph_stats()
        waits = float(stats["throttled"])  # Retry-After is one second
        text = f"{wall:.1f} s / {chain + waits:.1f} s = {wall / (chain + waits):.2f}"
        report.add(
            "  with 429 on every tenth page, against chain and waits",
            text,
            "at most 1.2",
            good=wall <= 1.2 * (chain + waits),
        )
        report.add("  requests earlier than their Retry-After", str(stats["early"]), "0", good=stats["early"] == 0)


def memory(report: Report, small: int, large: int) -> None:
    with servers(small, sink="Lookup", slim="Records") as at:
        few = rollcall(at)
    with servers(large, sink="Lookup", slim="Records") as at:
        many = rollcall(at)
        ratio = many["peakMegabytes"] / few["peakMegabytes"]
        text = f"{many['peakMegabytes']} / {few['peakMegabytes']} MB = {ratio:.2f}"
        report.add(
            f"peak memory of a first sync, {large:,} against {small:,}", text, "at most 1.15", good=ratio <= 1.15
        )
        growth = many["peakMegabytes"] - many["idleMegabytes"]
        report.add("  growth over idle", f"{growth} MB", "at most 100 MB", good=growth <= 100)
        quiet(report, at, large)


def sdk(report: Report, users: int, rounds: int) -> None:
    """Records only. The table server counts them and no more: ours keeps it busy while it works, the loop waits for it,
    and what a busy neighbour costs is not the loop's merit. With fewer people than 20,000 the batches, one for each of 64
    partitions, are nearly empty, and their requests are most of what ours costs.
    """
    ours, theirs = [], []
    with servers(users, sink="Records") as at:
        for _ in range(rounds):
            at.tables_admin(clear=True)
            theirs.append(measure("sdk_loop", "--graph", at.graph, "--tables", at.tables)["cpuSeconds"] / users * 1e6)
            other = at.stats()["operations"].get("Records put")
            at.tables_admin(clear=True)
            found = rollcall(at, "auto", "--records-only")
            ours.append(found["cpuSeconds"] / users * 1e6)
            if not found["recordOperations"] == other == users:
                sys.exit(f"both must write the same: {found['recordOperations']} {other}")
    mine, loop = statistics.median(ours), statistics.median(theirs)
    report.add(
        f"CPU of PageIterator + submit_transaction, {users:,} users, against ours",
        f"{loop:.0f} / {mine:.0f} us a user = {loop / mine:.0f}",
        "at least 50",
        good=loop >= 50 * mine,
    )


def azurite(report: Report, users: int, rounds: int) -> None:
    ours: list[float] = []
    floor: list[float] = []
    with servers(users) as at:
        for _ in range(rounds):
            for name, token, found in (("reference", (), floor), ("run_once", ("--token", "x"), ours)):
                stack = Stack(Options(plain=True))  # an emulator of its own: tables are slower the fuller they are
                try:
                    tables = f"{stack._start_azurite()[2]}/devstoreaccount1"
                    found.append(measure(name, "--graph", at.graph, "--tables", tables, *token)["wallSeconds"])
                finally:
                    stack.stop()
    mine, bare = statistics.median(ours), statistics.median(floor)
    text = f"{mine:.1f} / {bare:.1f} s = {mine / bare:.2f}"
    report.add(
        f"wall of {users:,} users into Azurite, against the reference", text, "at most 1.3", good=mine <= 1.3 * bare
    )


_MADE = 2000


def mapping(report: Report, rounds: int) -> None:
    """What turning an object into a row takes, as the default does it and with three transforms of an owner more."""
    from local.cloud.graph.people import EXTENSION, Maker
    from shared.connectors.entra_id import ENTRA_ID, USERS
    from shared.connectors.mappings import default_targets, mapped
    from shared.domain.mapping import Target
    from shared.mapping.compiled import compile_mapping

    maker = Maker(7, _MADE, 0)
    people = [{**maker.person(number), "manager": None} for number in range(_MADE)]
    plain = [one for one in USERS.attributes if one.mapped][:40]
    more = [
        {"target": "costCentre", "source": [EXTENSION], "transforms": [{"name": "trim"}]},
        {"target": "place", "source": ["officeLocation", "city"], "transforms": [{"name": "join", "parameters": {"separator": " "}}]},
        {"target": "badge", "source": ["employeeId"], "transforms": [{"name": "capture", "parameters": {"pattern": "E0*([0-9]+)"}}]},
    ]  # fmt: skip
    owners = mapped(
        ENTRA_ID, [*default_targets(ENTRA_ID), *(Target.model_validate({"stream": "users", **one}) for one in more)]
    )
    users = next(stream for stream in owners.streams if stream.name == USERS.name)
    mine = [one for one in users.attributes if one.mapped]
    for what, attributes, most in (
        ("mapping of 40 attributes", plain, 10.0),
        ("  with three transforms of an owner", [*plain[:37], *mine[-3:]], 20.0),
    ):
        mapper, taken = compile_mapping(tuple(attributes)), []
        for _ in range(rounds * 5):
            began = time.process_time()
            for person in people:
                mapper(person)
            taken.append((time.process_time() - began) / _MADE * 1e6)
        found = statistics.median(taken)
        report.add(what, f"{found:.1f} us a record", f"at most {most:.0f} us", good=found <= most)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--million", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many")
    parser.add_argument("--only", default="", help="cpu, licences, walls, memory, sdk, azurite, mapping; default: all")
    options = parser.parse_args()
    parts = {
        "cpu": lambda report: cpu(report, options.users, options.rounds),
        "licences": lambda report: licences(report, options.users, options.rounds),
        "walls": lambda report: walls(report, options.users),
        "sdk": lambda report: sdk(report, 20_000, options.rounds),
        "azurite": lambda report: azurite(report, 20_000, options.rounds),
        "mapping": lambda report: mapping(report, options.rounds),
        "memory": lambda report: memory(report, options.users, options.million),
    }
    report, began = Report(), time.monotonic()
    for name in options.only.split(",") if options.only else parts:
        parts[name](report)
    print(
        f"\n{len(report.rows)} figures in {time.monotonic() - began:.0f} s: {'some MISSED' if report.failed else 'all ok'}"
    )
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
