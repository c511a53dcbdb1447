"""Runs in this process, against Azurite and the simulated Graph, with everything in the tests' hands: the time, the
tenant, and a proxy before Azurite that cuts the worker off at any write. Nothing of the product is replaced: what the
rig builds is what `wiring` builds, with plain addresses and a clock of its own.
"""

import asyncio
import base64
import contextlib
import gc
import json
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient

from local.cloud import tokens
from local.cloud.faults import Faults
from local.cloud.graph.directory import Directory
from local.cloud.graph.server import Graph
from local.cloud.graph.web import GraphWeb
from local.cloud.storage_proxy import Asked, StorageProxy, answer
from local.cloud.storage_proxy import Cut as Severed
from local.stack import Options, Stack
from shared.clock import Clock, iso
from shared.connectors import REGISTRY
from shared.domain.actor import Actor
from shared.domain.clouds import Cloud, CloudName
from shared.domain.document import Document
from shared.domain.retention import Retention
from shared.domain.run import Run
from shared.errors import Unavailable
from shared.names import RUN_QUEUE
from shared.settings import Settings
from shared.storage.connection import StorageConnection, from_connection_string
from shared.storage.layout import CURRENT
from shared.sync.abandon import abandon
from shared.sync.limits import Limits
from shared.sync.runner import run_slice
from shared.wiring import App
from tests.bench.run_once import StaticToken, connection_string
from tests.stored import Rows, Stored

TENANT = "7e4a0000-0000-4000-8000-000000000001"
AUDIENCE = "https://graph.microsoft.com"
ROLES = ["User.Read.All", "Device.Read.All", "GroupMember.Read.All", "AuditLog.Read.All", "Organization.Read.All"]
_WRITES = ("POST", "PUT", "DELETE", "MERGE", "PATCH")
TESTER = Actor("0b1ec7", "somebody")
EMULATOR = from_connection_string("UseDevelopmentStorage=true")


class Hands(Clock):
    """Time in the test's hands: sleeping takes none, and moves both clocks."""

    def __init__(self, start: datetime = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)) -> None:
        self.wall, self.seconds = start, 1000.0
        self.renews = False
        """Whether leases are renewed by this time: then nothing else may move it by more than a second at once."""

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def move(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds

    async def sleep(self, seconds: float) -> None:
        self.move(seconds)
        await asyncio.sleep(0)

    def pause(self, seconds: float) -> None:
        self.move(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """In real time, which tests that count writes have little of, or by the hands."""
        if not self.renews:
            return event.wait(seconds)
        until = self.seconds + seconds
        while self.seconds < until:
            if event.wait(0.005):
                return True
        return event.is_set()


class Cut:
    """Cuts the worker off at one of its writes: `at` counts from 1; `applied`: Azurite does it, the answer is lost.
    From then on nothing gets through until `heal`. `kill` is called at the cut.
    """

    def __init__(self) -> None:
        self.at, self.applied, self.dead, self.writes = 0, False, False, 0
        self.struck = 0
        """How often it cut."""
        self.kill: Callable[[], None] = lambda: None
        self.before: Callable[[str], None] = lambda _request: None  # called with METHOD PATH before any is passed on
        self.named: list[str] = []

    def arm(self, at: int, *, applied: bool) -> None:
        self.at, self.applied, self.dead, self.writes, self.named = at, applied, False, 0, []

    def heal(self) -> None:
        self.at, self.dead = 0, False


class Delays:
    """Messages that the queue keeps back: by the test's time, which the emulator does not know."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._kept: list[tuple[float, dict[str, Any]]] = []
        self.now = now

    def keep(self, seconds: float, body: bytes) -> None:
        text = body.partition(b"<MessageText>")[2].partition(b"<")[0]
        self._kept.append((self.now() + seconds, json.loads(base64.b64decode(text))))

    def due(self) -> list[dict[str, Any]]:
        """Those that workers may see by now, taken out."""
        now = self.now()
        due = [message for at, message in self._kept if at <= now]
        self._kept = [(at, message) for at, message in self._kept if at > now]
        return due

    def clear(self) -> None:
        self._kept.clear()


class CuttingProxy(StorageProxy):
    def __init__(self, upstream: str, cut: Cut, faults: Faults, delays: Delays) -> None:
        super().__init__(upstream, faults)
        self._cut, self._delays = cut, delays

    async def _pass(self, asked: Asked, upstream: Any) -> bytes:
        if asked.method == "POST" and "visibilitytimeout=" in asked.target and asked.path.endswith("/messages"):
            seconds = float(asked.query["visibilitytimeout"])
            if seconds:
                self._delays.keep(seconds, asked.body)
                return answer(201)
        return await super()._pass(asked, upstream)

    async def handle(self, asked: Asked, upstream: Any) -> bytes:
        cut = self._cut
        cut.before(f"{asked.method} {asked.path}")
        if cut.dead:
            raise Severed
        if asked.method in _WRITES:
            cut.writes += 1
            cut.named.append(f"{asked.method} {asked.path}")
            if cut.writes == cut.at:
                cut.dead = True
                cut.struck += 1
                if cut.applied:
                    await super().handle(asked, upstream)
                cut.kill()
                raise Severed
        return await super().handle(asked, upstream)


class Emulator:
    """An Azurite in memory. A rig that closes leaves it empty for the next one: starting it takes a second."""

    def __init__(self) -> None:
        self._stack = Stack(Options(plain=True))
        _, self.queue, self.table = self._stack._start_azurite()

    def stop(self) -> None:
        self._stack.stop()


_IDLE: list[Emulator] = []


def stop_emulators() -> None:
    while _IDLE:
        _IDLE.pop().stop()


class Rig:
    """One tenant, one Azurite, one connector at a time."""

    def __init__(self, people: int, devices: int = 0, *, page_cap: int = 25, seed: int = 7) -> None:
        gc.collect()
        gc.freeze()  # what is there now is not looked through again after each of hundreds of cuts
        self._emulator = _IDLE.pop() if _IDLE else Emulator()
        queue, table = self._emulator.queue, self._emulator.table
        self.direct = StorageConnection(
            f"{table}/devstoreaccount1", f"{queue}/devstoreaccount1", EMULATOR.account, EMULATOR.account_key
        )
        self.cut, self.faults, self.clock = Cut(), Faults(self._seconds), Hands()
        self.delays = Delays(self._seconds)
        self.faults.wait = self._pass_time
        self._tenant = (TENANT, seed, people, devices)
        self.directory = Directory(*self._tenant)
        self.graph = Graph(self.directory, page_cap)
        self.graph.limit_sign_ins = False
        self.web = GraphWeb({TENANT: self.graph}, {"global": AUDIENCE}, self.faults)
        self.web.now = lambda: self.clock.now().timestamp()
        self.slice_seconds = 480.0
        self.roles = list(ROLES)
        self.vault: str | None = None
        self.before_sign_in: Callable[[str], None] = lambda _service: None
        self.keep, self.limits, self.registry, self.layout = Retention(), Limits(), REGISTRY, CURRENT
        self.retries = 0  # of the storage SDKs: what is cut off shall not come back to life
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._runners: list[web.AppRunner] = []
        self._proxies: list[StorageProxy] = []
        self.tables_url = self._serve(CuttingProxy(table, self.cut, self.faults, self.delays)) + "/devstoreaccount1"
        self.queues_url = self._serve(CuttingProxy(queue, self.cut, self.faults, self.delays)) + "/devstoreaccount1"
        self.graph_url = self._serve(self.web.handler("global"))
        key = AzureNamedKeyCredential(EMULATOR.account, EMULATOR.account_key or "")
        self.service = TableServiceClient(self.direct.table_endpoint, credential=key)
        self.queue = QueueClient(
            self.direct.queue_endpoint, RUN_QUEUE, api_version="2021-12-02", credential={"account_name": EMULATOR.account, "account_key": EMULATOR.account_key or ""}
        )  # fmt: skip
        self.stored = Stored(self.direct)
        self._apps: list[App] = []
        self._beside: App | None = None
        self.told: list[str] = []
        self.token = ""
        self._runner = asyncio.Runner()
        self.crowded = False  # several workers at a time: none may close another's clients

    def reset(self) -> None:
        """As new: nothing is stored, the tenant and the time are what they were at first."""
        self.drop_clients()
        self._drop_beside()
        self.collect()
        self.restore({})
        self.cut.heal()
        self.cut.before = lambda _request: None
        self.faults.clear()
        self.directory.__init__(*self._tenant)  # type: ignore[misc]
        self.graph._delta_floor = 0
        self.graph.behind = set()
        self.graph.thin = lambda _way, item: item
        self.graph.page_of = lambda items: items
        self.web.rewrite = lambda _asked, reply: reply
        self.clock, self.web.slow_seconds, self.slice_seconds = Hands(), 0.0, 480.0
        self.roles, self.keep, self.limits, self.layout = list(ROLES), Retention(), Limits(), CURRENT

    def _seconds(self) -> float:
        """By whatever clock the test has now."""
        return self.clock.monotonic()

    async def _pass_time(self, seconds: float) -> None:
        """While a service keeps somebody waiting; threads with something to do get the time for it."""
        self.clock.move(seconds)
        await asyncio.sleep(0.01)

    def _serve(self, handler: Any) -> str:
        async def start() -> int:
            if isinstance(handler, StorageProxy):
                self._proxies.append(handler)
                return await handler.start()
            app = web.Application(client_max_size=16 * 2**20)
            app.router.add_route("*", "/{path:.*}", handler)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._runners.append(runner)
            return int(runner.addresses[0][1])

        return f"http://127.0.0.1:{asyncio.run_coroutine_threadsafe(start(), self._loop).result(20)}"

    def close(self) -> None:
        async def stop() -> None:
            for proxy in self._proxies:
                await proxy.stop()
            for runner in self._runners:
                await runner.cleanup()

        undescribed = self.web.undescribed
        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self.drop_clients()
        self._drop_beside()
        self.restore({}, drop=True)
        _IDLE.append(self._emulator)
        self.service.close()
        self.queue.close()
        self.stored.close()
        self._runner.close()
        self.collect()
        assert undescribed == [], f"requests that Microsoft does not describe: {undescribed[:3]}"

    @staticmethod
    def collect() -> None:
        """A worker that is cut off leaves sockets behind; nobody else's test shall hear of them."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()

    def drop_clients(self) -> None:
        for app in self._apps:
            app.close()
        self._apps.clear()

    def _drop_beside(self) -> None:
        if self._beside:
            self._beside.close()
            self._beside = None

    # The product, built anew

    def app(self) -> App:
        """A worker that knows nothing but storage."""
        if not self.crowded:
            self.drop_clients()
        made = self._build(self.tables_url, self.queues_url)
        self._apps.append(made)
        return made

    def beside(self) -> App:
        """Another process: storage past the proxy."""
        if self._beside is None:
            self._beside = self._build(self.direct.table_endpoint, self.direct.queue_endpoint)
        return self._beside

    def _build(self, tables: str, queues: str) -> App:
        settings = Settings(
            storage_connection_string=connection_string(tables, queues), table_service_uri=None,
            queue_service_uri=None, vault_uri=self.vault, slice_seconds=self.slice_seconds,
            keep_days={name.removesuffix("_days"): days for name, days in vars(self.keep).items()},
            platform_auth=False, development_roles=(), in_azure=False,
            clouds={CloudName.GLOBAL: Cloud(self.graph_url, self.graph_url, "x")}, overridden=True,
        )  # fmt: skip
        token = self.token or tokens.issue(AUDIENCE, TENANT, "app", self.roles)
        return App(
            settings, self.registry, clock=self.clock, make_credential=lambda _sign_in: self._signed_in(token),
            storage_retries=self.retries, limits=self.limits, layout=self.layout,
        )  # fmt: skip

    def _signed_in(self, token: str) -> StaticToken:
        """What stands where azure-identity does."""
        return StaticToken(token, lambda: self.before_sign_in("entra"))

    def configure(self, name: str = "a", **connector: Any) -> str:
        """A source and its connector, as the API would store them; gives the connector's id."""
        self.app().gate.check()
        config, now = self.app().config, iso(self.clock.now())
        source = {
            "name": name, "sourceGroupId": "0", "tenantId": TENANT, "cloud": "global", "credentialId": name,
            "crawl": True, "domains": ["*"], "excludedGroups": [], **connector.pop("source", {}),
        }  # fmt: skip
        bodies: dict[str, dict[str, Any]] = {
            "credential": {"name": name, "type": "federated", "clientId": "app"},
            "source": source,
            "connector": {
                "name": name, "sourceId": name, "kind": "entra-id", "connectorServerId": "cloud", "active": True,
                "schedule": {"firstRun": "scheduled"},
                "options": {} if "kind" in connector else {"collectDevices": bool(self.directory.maker.devices)},
                **connector,
            },
        }  # fmt: skip
        for kind, body in bodies.items():
            object_id = f"c{name}" if kind == "connector" else name
            uses = (f"source.{name}",) if kind == "connector" else ()
            scope = name if kind == "connector" else ""
            config.create(Document(kind, object_id, 1, now, now, name, scope, uses, body))
        return f"c{name}"

    def change(self, kind: str, object_id: str, **fields: Any) -> None:
        config = self.app().config
        before = config.get(kind, object_id)
        assert before
        system = {**before.system, **{name: fields.pop(name) for name in ("deleting",) if name in fields}}
        body = {**before.body, **fields}
        config.replace(replace(before, revision=before.revision + 1, body=body, system=system), before)

    # Working

    def messages(self) -> list[dict[str, Any]]:
        """What workers may see in the queue, taken out."""
        found = self.delays.due()
        with contextlib.suppress(ResourceNotFoundError):
            while batch := list(
                self.queue.receive_messages(messages_per_page=32, max_messages=32, visibility_timeout=1)
            ):
                for message in batch:
                    found.append(json.loads(base64.b64decode(message.content)))
                    self.queue.delete_message(message)
                if len(batch) < 32:
                    break
        return found

    def work(self, message: dict[str, Any]) -> str:
        async def slice_() -> str:
            try:
                return await run_slice(self.app().run_services, message)
            finally:
                await asyncio.sleep(0.01)  # connections that were cut are closed in the loop's next turns

        return self.in_loop(slice_())

    def in_loop(self, work: Coroutine[Any, Any, str]) -> str:
        """In a loop whose threads stay: starting some anew for each of a thousand slices took a third of the time.
        What a slice leaves running is cancelled, as the end of its process would.
        """
        if self.crowded:
            return asyncio.run(work)

        async def alone() -> str:
            try:
                return await work
            finally:
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()

        return self._runner.run(alone())

    def run(self, connector: str, *, job: str | None = None, full: bool = False) -> Run:
        """Starts a run and works on it to its end, as tick, queue and workers would, through every cut. After a cut the
        worker is built anew from storage alone.
        """
        return self.begun(lambda: self.app().dispatch.run_now(connector, TESTER, job=job, full=full)[0])

    def begun(self, begin: Callable[[], Run | None]) -> Run:
        """The closed run that `begin` starts: asked again where it was cut off."""
        for _ in range(8):
            try:
                run = begin()
            except Unavailable:
                self.cut.heal()
            else:
                assert run
                return self.finish(run.id)
        raise AssertionError("no run began")

    def work_on(self, message: dict[str, Any]) -> None:
        """A worker's turn, which may be cut off."""
        try:
            self.told.append(self.work(message))
        except Unavailable as error:
            self.told.append(f"unavailable: {error.detail}")
        if self.cut.dead:
            self.collect()

    def finish(self, run_id: str, rounds: int = 60) -> Run:
        """Works until the run is closed and its schedule row is free."""
        for _ in range(rounds):
            if ended := self._round(run_id):
                return ended
            if self.cut.dead:
                self.collect()
                self.cut.heal()
        raise AssertionError(f"{run_id} did not end: {self.app().runs.get(run_id)} {self.told[-20:]}")

    def _round(self, run_id: str) -> Run | None:
        """Messages, then the tick; gives the run once it is closed. A cut ends it wherever it strikes."""
        for message in self.messages():
            self.work_on(message)
            if self.cut.dead:
                self.cut.heal()
        with contextlib.suppress(Unavailable):
            app = self.app()
            run = app.runs.get(run_id)
            row = app.schedules.get(run_id.partition("~")[0])
            if run and run.state.closed and (row is None or row.run != run_id):
                return run
            wait = max(0.0, (run.not_before - self.clock.now()).total_seconds()) if run and run.not_before else 0.0
            self.clock.move(wait + 45)
            app.tick.run()
        return None

    def given(self, message: dict[str, Any]) -> dict[str, Any]:
        """What a worker in another process needs to work on the message."""
        return {
            "tables": self.tables_url, "queues": self.queues_url, "graph": self.graph_url, "roles": self.roles,
            "token": tokens.issue(AUDIENCE, TENANT, "app", self.roles), "message": message, "now": iso(self.clock.now()),
        }  # fmt: skip

    def give_up(self, message: dict[str, Any]) -> str:
        return self.in_loop(abandon(self.app().run_services, message))

    # What is stored

    def entities(self, table: str) -> list[dict[str, Any]]:
        with contextlib.suppress(ResourceNotFoundError):
            return [dict(entity) for entity in self.service.get_table_client(table).list_entities()]
        return []

    def snapshot(self) -> dict[str, Rows]:
        """Everything that is stored."""
        return self.stored.all()

    def restore(self, snapshot: dict[str, Rows], *, drop: bool = False) -> None:
        """Makes storage what it was. `drop`: without queue, and tables that are new."""
        self.delays.clear()
        with contextlib.suppress(ResourceNotFoundError):
            if drop:
                self.queue.delete_queue()
            else:
                self.queue.clear_messages()
        self.stored.restore(snapshot, drop=drop)

    def objects(self, kind: str = "users") -> Iterator[dict[str, Any]]:
        """The tenant's truth."""
        for index in range(self.directory.size(kind)):
            made = self.directory.get(kind, index)
            if made is not None:
                if kind == "users":
                    made["_manager"] = self.directory.manager_of(index)
                elif kind == "devices":
                    made["_owners"] = self.directory.maker.owners_of(index)
                yield made

    def ids(self, indexes: list[int], kind: str = "user") -> list[str]:
        return [self.directory.maker.object_id(kind, index) for index in indexes]

    def fault(self, kind: str, target: str = "graph", **options: Any) -> None:
        self.faults.add({"target": target, "kind": kind, "every": 1, **options})

    def storage_requests(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for proxy in self._proxies:
            total += proxy.count
        return total
