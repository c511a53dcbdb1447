"""`python -m tests.bench.run_once`: one connector's users stream, once, through the real engine in this process.

Without host, vault and sign-in, against any loopback Graph and table endpoint; the tables may be empty or hold an earlier
run's state. Prints counts, operations by table, requests, waits, CPU seconds and peak memory as JSON.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Self

from azure.core.credentials import AccessToken

from shared.clock import Clock, iso
from shared.connectors.base import Kind
from shared.connectors.entra_id import ENTRA_ID, USERS
from shared.connectors.microsoft_365 import ASSIGNMENTS, MICROSOFT_365, REPORTS
from shared.connectors.registry import Registry
from shared.domain.base import new_id
from shared.domain.clouds import Cloud, CloudName
from shared.domain.document import Document
from shared.domain.run import Run, RunRow, Waits, new_run_id, track_of
from shared.graph.answers import Postponed
from shared.graph.client import GraphClient
from shared.settings import Settings, is_loopback
from shared.storage.bulk import BulkTables, Entity, build_pipeline
from shared.storage.config import ConfigStore
from shared.storage.connection import StorageConnection, from_connection_string
from shared.sync.runner import run_slice
from shared.wiring import App

EMULATOR = from_connection_string("UseDevelopmentStorage=true")


_STREAMS = (USERS, ASSIGNMENTS, REPORTS[0])
"""What is measured: people, licences, and a usage report."""


class StaticToken:
    """The token that was given, for every scope. `before` is called each time, and may raise."""

    def __init__(self, text: str, before: Callable[[], None] = lambda: None) -> None:
        self._token, self._before = AccessToken(text, int(time.time()) + 86400), before

    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        self._before()
        return self._token

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_raised: object) -> None:
        pass


class BenchGraph(GraphClient):
    """The token may be any text, so the roles that it would name are said here."""

    async def token(self) -> str:
        claims = (
            base64.urlsafe_b64encode(
                json.dumps(
                    {"roles": [permission.name for stream in _STREAMS for permission in stream.permissions]}
                ).encode()
            )
            .decode()
            .rstrip("=")
        )
        return f"x.{claims}.x"


class CountingBulk(BulkTables):
    """Counts entity operations by table."""

    operations: Counter[str]

    async def put(self, table: str, entities: Iterable[Entity]) -> None:
        await super().put(table, self._counted(f"{table} put", entities))

    def _counted(self, name: str, entities: Iterable[Entity]) -> Iterator[Entity]:
        for entity in entities:
            self.operations[name] += 1
            yield entity

    async def delete(self, table: str, keys: Iterable[tuple[str, str]]) -> None:
        keys = list(keys)
        self.operations[f"{table} delete"] += len(keys)
        await super().delete(table, keys)


class NoDispatch:
    """Stands where the queue is: remembers how the slice ended."""

    run: RunRow | None = None

    def next_slice(self, run: Run, delay_seconds: float) -> None:
        assert isinstance(run, RunRow)
        self.run = run
        time.sleep(delay_seconds)  # the queue would hide the message so long; nothing else runs here meanwhile

    def watch(self, run: Run, seen: str, *, guard: bool) -> None:
        """Nobody dies here."""

    def closed(self, run: RunRow) -> None:
        self.run = run


class BenchApp(App):
    """The product's wiring, with requests counted, any token, and nobody to send messages to."""

    def __init__(self, settings: Settings, registry: Registry, token: str) -> None:
        super().__init__(settings, registry)
        self._token, self.operations, self.ended = token, Counter[str](), NoDispatch()

    @property
    def dispatch(self) -> Any:
        return self.ended

    def bulk(self) -> BulkTables:
        connection = self._connection
        made = CountingBulk(build_pipeline(connection, None), connection.table_endpoint, self.clock)
        made.operations = self.operations
        return made

    def graph(self, credential: Document, cloud_name: CloudName, tenant_id: str, waits: Waits) -> GraphClient:
        url = f"{self.settings.clouds[cloud_name].graph}/v1.0"
        return BenchGraph(url, lambda: StaticToken(self._token), "bench/.default", self.clock, waits, tenant_id)


def connection_string(tables: str, queues: str) -> str:
    """The emulator's well-known account at these addresses."""
    account = f"AccountName={EMULATOR.account};AccountKey={EMULATOR.account_key}"
    return f"DefaultEndpointsProtocol=http;{account};TableEndpoint={tables};QueueEndpoint={queues}"


def _settings(options: argparse.Namespace) -> Settings:
    text = options.tables
    if text.startswith("http"):
        text = connection_string(text.rstrip("/"), text.rstrip("/"))
    graph = options.graph.rstrip("/")
    return Settings(
        storage_connection_string=text, table_service_uri=None, queue_service_uri=None, vault_uri=None,
        slice_seconds=options.slice_seconds, keep_days={"runs": 90, "tombstones": 365, "holds": 90, "journal": 400},
        platform_auth=False, development_roles=(), in_azure=False,
        clouds={CloudName.GLOBAL: Cloud(graph, graph, "bench")}, overridden=True,
    )  # fmt: skip


def _registry(*, records_only: bool) -> Registry:
    """What is measured; `records_only`: people without look-up rows."""
    record_type = replace(USERS.record_type, lookups=()) if records_only else USERS.record_type
    named = {stream.name for stream in _STREAMS} | {"sign-ins"}

    def only(kind: Kind) -> Kind:
        jobs = []
        for job in kind.jobs:
            streams = (
                replace(s, record_type=record_type) if s.record_type is USERS.record_type else s
                for s in job.streams
                if kind is ENTRA_ID or s.name in named
            )
            jobs.append(replace(job, streams=tuple(streams)))
        return replace(kind, jobs=tuple(jobs))

    return Registry((only(ENTRA_ID), only(MICROSOFT_365)))


def connection(text: str) -> StorageConnection:
    """A connection string, or a table URL of the emulator's account with its well-known key."""
    if text.startswith("http"):
        return StorageConnection(text.rstrip("/"), "", EMULATOR.account, EMULATOR.account_key)
    return from_connection_string(text)


def _documents(config: ConfigStore, source: str, kind_name: str) -> str:
    """The configuration that the run reads; made on the first use of these tables. Gives the connector's id."""
    connector = f"c{source}"
    if config.get("connector", connector) is None:
        now = iso(Clock().now())
        bodies: dict[str, dict[str, Any]] = {
            "credential": {"name": source, "type": "federated", "clientId": None},
            "source": {
                "name": source, "sourceGroupId": "0", "tenantId": "00000000-0000-0000-0000-000000000000", "cloud": "global",
                "credentialId": source, "crawl": True, "domains": ["*"], "excludedGroups": [],
            },
            "connector": {
                "name": source, "sourceId": source, "kind": kind_name, "active": False,
                "options": {"collectUsers": True, "collectSignIns": False} | ({"collectDevices": False} if kind_name == ENTRA_ID.name else {}),
            },
        }  # fmt: skip
        for kind, body in bodies.items():
            config.create(
                Document(kind, connector if kind == "connector" else source, 1, now, now, source, "", (), body)
            )
    return connector


async def warm() -> None:
    """Imports what a worker that has run before has imported: a second of CPU that is no user's."""
    import httpx  # noqa: F401

    from shared.sync import job  # noqa: F401

    client = GraphClient("http://127.0.0.1:9/v1.0", lambda: StaticToken("x"), "x/.default", Clock(), Waits())
    client.budget = lambda: 0.0  # nobody listens there, and nobody waits for it
    with contextlib.suppress(Postponed):
        await client.get_json("/users", "none")
    await client.close()


async def drive(options: argparse.Namespace) -> dict[str, Any]:
    """Runs to the end, however many slices that takes."""
    app = BenchApp(_settings(options), _registry(records_only=options.records_only), options.token)
    try:
        return await _drive(app, options)
    finally:
        app.close()


async def _drive(app: BenchApp, options: argparse.Namespace) -> dict[str, Any]:
    connector = await asyncio.to_thread(_documents, app.config, options.source, options.kind)
    now = app.clock.now()
    job = options.job
    run = RunRow(
        id=new_run_id(track_of(connector, job), now, new_id()[-8:]), connector_id=connector, job=job, trigger="manual",
        full=options.mode == "full", created_at=now, updated_at=now,
    )  # fmt: skip
    app.runs.create(run)
    await warm()
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    began, cpu = time.monotonic(), time.process_time()
    while not run.state.closed:
        await run_slice(app.run_services, {"run": run.id, "connector": connector, "slice": run.slice})
        run = app.ended.run or run
    return {
        "run": run.model_dump(mode="json", by_alias=True, include={"id", "state", "slice", "streams", "problems"}),
        "operations": dict(app.operations),
        "waits": run.waits.model_dump(mode="json", by_alias=True),
        "wallSeconds": round(time.monotonic() - began, 3),
        "cpuSeconds": round(time.process_time() - cpu, 3),
        "idleMegabytes": idle,
        "peakMegabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run_once", description=__doc__)
    parser.add_argument("--graph", required=True, help="scheme, host and port, such as http://127.0.0.1:8080")
    parser.add_argument("--tables", required=True, help="table endpoint of devstoreaccount1, or a connection string")
    parser.add_argument("--token", required=True, help="sent to Graph as it is")
    parser.add_argument(
        "--mode",
        choices=("full", "delta", "auto"),
        default="auto",
        help="auto: as the rules say. delta: the same, and fails where everything had to be read",
    )
    parser.add_argument(
        "--source", default="bench", help="letters and digits; another source is another set of records"
    )
    parser.add_argument("--kind", choices=(ENTRA_ID.name, MICROSOFT_365.name), default=ENTRA_ID.name)
    parser.add_argument("--job", default=ENTRA_ID.jobs[0].name, help="of the kind: directory, licences or usage")
    parser.add_argument("--records-only", action="store_true", help="without look-up rows, for comparison with others")
    parser.add_argument("--slice-seconds", type=float, default=480)
    options = parser.parse_args()
    if not is_loopback(options.graph) or not is_loopback(connection(options.tables).table_endpoint):
        parser.error("both endpoints must be on this machine")
    result = asyncio.run(drive(options))
    print(json.dumps(result, indent=2))
    mode = result["run"]["streams"][0]["mode"] if result["run"]["streams"] else ""
    wrong = options.mode == "delta" and mode != "delta"
    return 1 if wrong or result["run"]["state"] not in ("succeeded", "held") else 0


if __name__ == "__main__":
    sys.exit(main())
