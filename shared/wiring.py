"""The composition root: the only place that builds clients. Everything is made on first use, nothing at import.

What a test needs otherwise (time, credentials, limits, kinds, retries) are arguments of App; nothing is patched.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from shared import settings as app_settings
from shared.clock import Clock
from shared.connectors import REGISTRY
from shared.connectors.registry import Registry
from shared.domain.clouds import CloudName
from shared.domain.document import Document
from shared.errors import Unavailable
from shared.names import CONFIG, RUN_QUEUE
from shared.settings import Settings, is_loopback

if TYPE_CHECKING:
    from shared.actions.availability import Availability
    from shared.actions.credential import Credentials
    from shared.actions.service import Actions
    from shared.api.edge import Edge
    from shared.configuration.mappings import Mappings
    from shared.configuration.preview import Previews
    from shared.configuration.service import Configuration
    from shared.domain.pacing import Pacing
    from shared.domain.run import Waits
    from shared.graph.client import GraphClient
    from shared.graph.credentials import SignIn
    from shared.graph.pacing import Pace
    from shared.health import Checks
    from shared.principal import Principal
    from shared.records.journal import Journal
    from shared.records.lists import Lists
    from shared.records.removals import Removals
    from shared.records.service import Records
    from shared.reports.copy import Copy
    from shared.scheduling.claims import Claims
    from shared.scheduling.dispatch import Dispatch
    from shared.scheduling.signs import Signs
    from shared.scheduling.tick import Tick
    from shared.scheduling.timetable import Timetable
    from shared.storage.audit import Audit
    from shared.storage.bulk import BulkTables
    from shared.storage.config import ConfigStore
    from shared.storage.connection import StorageConnection
    from shared.storage.gate import Gate
    from shared.storage.history import History
    from shared.storage.layout import Layout
    from shared.storage.lease import Lease
    from shared.storage.once import Once
    from shared.storage.plans import Plans
    from shared.storage.queues import Queues
    from shared.storage.runs import Runs
    from shared.storage.schedules import Schedules
    from shared.storage.session import Session
    from shared.storage.tables import Tables
    from shared.storage.tenants import Tenants
    from shared.sync.forecast import Forecasts
    from shared.sync.limits import Limits
    from shared.sync.slice import Services
    from shared.vault import Vault


class App:
    """All services of one process. `make_credential`: from a sign-in to a token credential of azure-identity;
    `storage_retries`: how often the storage SDKs repeat a request; `limits`: how much a read takes on at a time; `layout`: how rows are stored.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry = REGISTRY,
        *,
        clock: Clock | None = None,
        make_credential: "Callable[[SignIn], Any] | None" = None,
        storage_retries: int = 3,
        limits: "Limits | None" = None,
        layout: "Layout | None" = None,
    ) -> None:
        self.settings, self.registry = settings, registry
        self.clock = clock or Clock()
        self._make_credential, self._storage_retries, self._limits = make_credential, storage_retries, limits
        self._layout = layout

    @cached_property
    def _credential(self) -> Any:
        from azure.identity import DefaultAzureCredential

        return DefaultAzureCredential()

    @cached_property
    def _connection(self) -> "StorageConnection":
        from shared.storage.connection import from_settings

        return from_settings(self.settings)

    @cached_property
    def tables(self) -> "Tables":
        from shared.storage.tables import Tables

        connection = self._connection
        credential = None if connection.account_key else self._credential
        return Tables.connect(
            connection, credential, retries=self._storage_retries, pause=self.clock.pause, layout=self.layout
        )

    @cached_property
    def layout(self) -> "Layout":
        from shared.storage.layout import CURRENT

        return self._layout or CURRENT

    @cached_property
    def gate(self) -> "Gate":
        from shared.storage.gate import Gate

        return Gate(self.tables, self.layout)

    @cached_property
    def queues(self) -> "Queues":
        from shared.storage.queues import Queues
        from shared.transport import InTime

        credential = None if self._connection.account_key else self._credential
        return Queues(self._connection, credential, InTime(), retries=self._storage_retries)

    @cached_property
    def vault(self) -> "Vault":
        from azure.keyvault.secrets import SecretClient

        from shared.transport import InTime
        from shared.vault import Vault

        url = self.settings.vault_uri
        if not url:
            raise Unavailable(
                "No Key Vault is configured.", code="vault-not-configured", remedy="Set ROLLCALL_VAULT_URI."
            )
        return Vault(
            SecretClient(
                url,
                self._credential,
                # A vault on this machine can't have the name that its challenge resource asks for.
                verify_challenge_resource=not is_loopback(url),
                retry_total=3,
                retry_backoff_factor=0.3,
                transport=InTime(),
            )
        )

    @cached_property
    def config(self) -> "ConfigStore":
        from shared.storage.config import ConfigStore

        return ConfigStore(self.tables)

    @cached_property
    def runs(self) -> "Runs":
        from shared.storage.runs import Runs

        return Runs(self.tables)

    @cached_property
    def tenants(self) -> "Tenants":
        from shared.storage.tenants import Tenants

        return Tenants(self.tables)

    @cached_property
    def schedules(self) -> "Schedules":
        from shared.storage.schedules import Schedules

        return Schedules(self.tables)

    @cached_property
    def timetable(self) -> "Timetable":
        from shared.scheduling.timetable import Timetable

        return Timetable(self.registry, self.schedules, self.clock)

    @cached_property
    def configuration(self) -> "Configuration":
        from shared.configuration.service import Configuration

        def halt(connector: str, why: str) -> None:
            self.dispatch.halt(connector, why)

        self.gate.check()
        return Configuration(
            self.registry, self.config, lambda: self.vault, self.timetable, self.tenants, self.history, self.clock, halt,
            self.mappings,
        )  # fmt: skip

    @cached_property
    def previews(self) -> "Previews":
        from shared.configuration.preview import Previews

        return Previews(self.registry, self.config, self.mappings, self.runs, self.graph, self.clock)

    @cached_property
    def mappings(self) -> "Mappings":
        from shared.configuration.mappings import Mappings
        from shared.storage.mappings import MappingRows

        return Mappings(self.registry, self.config, MappingRows(self.tables))

    @cached_property
    def history(self) -> "History":
        from shared.storage.history import History

        return History(self.tables)

    @cached_property
    def audit(self) -> "Audit":
        from shared.storage.audit import Audit

        return Audit(self.tables, self.clock)

    @cached_property
    def once(self) -> "Once":
        from shared.storage.once import Once

        return Once(self.tables, self.clock)

    @cached_property
    def health(self) -> "Checks":
        from shared.health import Checks

        def vault() -> None:
            self.vault.probe()

        looks = {
            "tables": lambda: self.tables.probe(CONFIG),
            "queues": lambda: self.queues.probe(RUN_QUEUE),
            "vault": vault,
        }
        return Checks(looks, self.clock)

    @cached_property
    def claims(self) -> "Claims":
        from shared.scheduling.claims import Claims

        return Claims(self.schedules, self.runs, self.queues, self.clock)

    @cached_property
    def dispatch(self) -> "Dispatch":
        from shared.scheduling.dispatch import Dispatch

        return Dispatch(
            self.registry, self.config, self.schedules, self.timetable, self.runs, self.claims, self.clock, self.audit.note
        )  # fmt: skip

    @cached_property
    def tick(self) -> "Tick":
        from shared.scheduling.tick import Tick

        return Tick(
            self.registry, self.config, self.schedules, self.timetable, self.runs, self.claims, self.dispatch, self.clock,
            self.gate.check, {"secrets": self.configuration.keeper.sweep, "refusals": self.audit.fold, "mappings": self.configuration.mapping_keeper.pin_again, "signs": self.signs.give, "plans": self._look_after_plans},
        )  # fmt: skip

    @cached_property
    def plans(self) -> "Plans":
        from shared.storage.plans import Plans

        return Plans(self.tables, self.clock)

    def _look_after_plans(self) -> None:
        """Where no source has any, one query is all that it costs."""
        if self.plans.marked():
            self.actions.look_after()

    @cached_property
    def signs(self) -> "Signs":
        from shared.scheduling.signs import Signs

        return Signs(self.tables, self.config, self.dispatch, self.clock)

    @cached_property
    def forecasts(self) -> "Forecasts":
        from shared.sync.forecast import Forecasts

        return Forecasts(self.registry, self.config, self.runs, self.session, self.clock)

    @cached_property
    def records(self) -> "Records":
        from shared.records.service import Records

        return Records(self.registry, self.tables, self.config, self.runs, self.mappings.wrote)

    @cached_property
    def lists(self) -> "Lists":
        from shared.records.lists import Lists

        return Lists(self.registry, self.tables, self.config, self.runs, self.mappings.wrote)

    def copy_of(self, source: str) -> "Copy":
        """What reports read of a source."""
        from shared.reports.copy import Copy

        return Copy(self.tables, self.config, self.runs, self.registry, source, self.clock)

    @cached_property
    def actions(self) -> "Actions":
        from shared.actions.planner import Planner
        from shared.actions.service import Actions

        self.gate.check()
        planner = Planner(self.records.left_out, self.clock)
        return Actions(
            self.plans, planner, self._acting, self.graph, self.queues, self.clock, self.audit.note
        )  # fmt: skip

    @cached_property
    def availability(self) -> "Availability":
        from shared.actions.availability import Availability

        return Availability(self._acting, self.graph, self.records.values_of)

    @cached_property
    def _acting(self) -> "Credentials":
        from shared.actions.credential import Credentials

        return Credentials(self.registry, self.config)

    @cached_property
    def journal(self) -> "Journal":
        from shared.records.journal import Journal

        return Journal(self.tables, self.config, self.settings.keep_days["journal"])

    @cached_property
    def removals(self) -> "Removals":
        from shared.records.removals import Removals

        return Removals(
            self.tables, self.config, self.runs, self.schedules, self.dispatch, self.clock, self.registry, self.audit.note
        )  # fmt: skip

    def bulk(self) -> "BulkTables":
        """A bulk client for one event loop; the caller closes it."""
        from shared.storage.bulk import BulkTables, build_pipeline

        credential = None
        if not self._connection.account_key:
            from azure.identity.aio import DefaultAzureCredential

            credential = DefaultAzureCredential()
        pipeline = build_pipeline(self._connection, credential)
        return BulkTables(pipeline, self._connection.table_endpoint, self.clock, credential, layout=self.layout)

    def session(self) -> "Session":
        """Bulk storage for one slice; the caller closes it."""
        from shared.storage.session import Session

        return Session(self.bulk(), self.tables)

    def lease(self, track: str, run: str) -> "Lease":
        from shared.storage.lease import Lease

        return Lease(self.tables, track, run, self.clock)

    def pace(self, pacing: "Pacing", tenant_id: str, application: str, waits: "Waits") -> "Pace":
        """The pace that all runs of a tenant and application keep together with one service of Graph."""
        from shared.graph.pacing import Pace
        from shared.storage.slots import Slots

        return Pace(pacing, Slots(self.tables), tenant_id, application, self.clock, waits)

    def graph(self, credential: Document, cloud_name: CloudName, tenant_id: str, waits: "Waits") -> "GraphClient":
        """A Graph client that signs in as the credential; its secret is read from the vault here and kept nowhere else."""
        from shared.graph import credentials
        from shared.graph.client import GraphClient

        cloud = self.settings.clouds[cloud_name]
        pin = credential.system.get("pin")
        secret = self.vault.get(pin["name"]) if pin else None
        sign_in = credentials.SignIn(
            type=credential.body["type"],
            tenant_id=tenant_id,
            client_id=credential.body.get("clientId"),
            cloud=cloud,
            overridden=self.settings.overridden,
            secret=secret,
        )
        make = self._make_credential or credentials.build
        return GraphClient(
            f"{cloud.graph}/v1.0",
            lambda: make(sign_in),
            f"{cloud.resource}/.default",
            self.clock,
            waits,
            tenant_id,
        )

    def close(self) -> None:
        """Closes the connections to storage that were made."""
        for client in (self.__dict__.get("tables"), self.__dict__.get("queues")):
            if client is not None:
                client.close()

    @property
    def run_services(self) -> "Services":
        from shared.domain.retention import Retention
        from shared.sync.limits import Limits
        from shared.sync.slice import Services

        return Services(
            registry=self.registry,
            config=self.config,
            runs=self.runs,
            tenants=self.tenants,
            schedules=self.schedules,
            dispatch=self.dispatch,
            clock=self.clock,
            slice_seconds=self.settings.slice_seconds,
            session=self.session,
            lease=self.lease,
            graph=self.graph,
            pace=self.pace,
            mapped=self.mappings.of,
            keep=Retention(**{f"{what}_days": days for what, days in self.settings.keep_days.items()}),
            limits=self._limits or Limits(),
        )


_registries: list[Registry] = [REGISTRY]


def use(registry: Registry) -> None:
    """Has this process serve other kinds than the product's own. Call it before the app is first asked for."""
    _registries[:] = [registry]
    app.cache_clear()


@lru_cache(maxsize=1)
def app() -> App:
    """The process' services. Called in `functions/` only; everything deeper gets arguments."""
    return App(app_settings.load(), _registries[0])


def edge() -> "Edge":
    """What the HTTP edge needs; made of the app's services when it first needs them."""
    from shared.api.edge import Edge

    def refused(principal: "Principal", needed: str) -> None:
        app().audit.refused(principal.actor, needed)

    return Edge(refused, lambda: app().once)
