"""The composition root: the only place that builds clients. Everything is made on first use, nothing at import."""

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from shared import settings as app_settings
from shared.clock import Clock
from shared.domain.clouds import CloudName
from shared.errors import Unavailable
from shared.settings import Settings, is_loopback

if TYPE_CHECKING:
    from shared.configuration.service import Configuration
    from shared.domain.run import Run, Waits
    from shared.graph.client import GraphClient
    from shared.records.journal import Journal
    from shared.records.removals import Removals
    from shared.records.service import Records
    from shared.scheduling import Scheduling
    from shared.storage.bulk import BulkTables
    from shared.storage.config import ConfigStore, Document
    from shared.storage.connection import StorageConnection
    from shared.storage.queues import Queues
    from shared.storage.runs import Runs
    from shared.storage.schedules import Schedules
    from shared.storage.tables import Tables
    from shared.sync.dispatch import Dispatch
    from shared.sync.forecast import Forecasts
    from shared.sync.slice import Services
    from shared.vault import Vault


class App:
    """All services of one process."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or Clock()

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
        from azure.core.credentials import AzureNamedKeyCredential
        from azure.data.tables import TableServiceClient

        from shared.storage.tables import Tables

        connection = self._connection
        credential = (
            AzureNamedKeyCredential(connection.account, connection.account_key)
            if connection.account_key
            else self._credential
        )
        return Tables(
            TableServiceClient(
                endpoint=connection.table_endpoint,
                credential=credential,
                retry_total=3,
                retry_backoff_factor=0.3,
                connection_timeout=5,
                read_timeout=35,
            )
        )

    @cached_property
    def queues(self) -> "Queues":
        from shared.storage.queues import Queues

        return Queues(self._connection, None if self._connection.account_key else self._credential)

    @cached_property
    def vault(self) -> "Vault":
        from azure.keyvault.secrets import SecretClient

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
                connection_timeout=5,
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
    def schedules(self) -> "Schedules":
        from shared.storage.schedules import Schedules

        return Schedules(self.tables)

    @cached_property
    def scheduling(self) -> "Scheduling":
        from shared.scheduling import Scheduling

        return Scheduling(self.schedules, self.clock)

    @cached_property
    def configuration(self) -> "Configuration":
        from shared.configuration.service import Configuration

        def halt(connector: str, who: str) -> None:
            self.dispatch.halt(connector, who)

        return Configuration(self.config, lambda: self.vault, self.scheduling, self.clock, halt)

    @cached_property
    def dispatch(self) -> "Dispatch":
        from shared.sync.dispatch import Dispatch

        return Dispatch(self.config, self.schedules, self.scheduling, self.runs, self.queues, self.clock)

    @cached_property
    def forecasts(self) -> "Forecasts":
        from shared.sync.forecast import Forecasts

        return Forecasts(self.config, self.runs, self.bulk, self.clock)

    @cached_property
    def records(self) -> "Records":
        from shared.records.service import Records

        return Records(self.tables, self.config, self.runs)

    @cached_property
    def journal(self) -> "Journal":
        from shared.records.journal import Journal

        return Journal(self.tables, self.config, self.settings.keep_days["journal"])

    @cached_property
    def removals(self) -> "Removals":
        from shared.records.removals import Removals

        def run_now(connector: str, who: str) -> "Run":
            return self.dispatch.run_now(connector, who)[0]

        return Removals(self.tables, self.config, self.runs, self.schedules, run_now, self.clock)

    def bulk(self) -> "BulkTables":
        """A bulk client for one slice; the caller closes it."""
        from shared.storage.bulk import BulkTables, build_pipeline

        credential = None
        if not self._connection.account_key:
            from azure.identity.aio import DefaultAzureCredential

            credential = DefaultAzureCredential()
        pipeline = build_pipeline(self._connection, credential)
        return BulkTables(pipeline, self._connection.table_endpoint, self.clock, credential)

    def graph(self, credential: "Document", cloud_name: CloudName, tenant_id: str, waits: "Waits") -> "GraphClient":
        """A Graph client that signs in as the credential; its secret is read from the vault here and kept nowhere else."""
        from shared.configuration.secrets import secret_name
        from shared.graph import credentials
        from shared.graph.client import GraphClient

        cloud = self.settings.clouds[cloud_name]
        pin = credential.body.get("pin")
        secret = self.vault.get(secret_name(credential.id), pin["version"]) if pin else None
        sign_in = credentials.SignIn(
            type=credential.body["type"],
            tenant_id=tenant_id,
            client_id=credential.body.get("clientId"),
            cloud=cloud,
            overridden=self.settings.overridden,
            secret=secret,
        )
        return GraphClient(
            f"{cloud.graph}/v1.0",
            lambda: credentials.build(sign_in),
            f"{cloud.resource}/.default",
            self.clock,
            waits,
            tenant_id,
        )

    @property
    def run_services(self) -> "Services":
        from shared.sync.slice import Retention, Services

        return Services(
            tables=self.tables,
            config=self.config,
            runs=self.runs,
            dispatch=self.dispatch,
            clock=self.clock,
            slice_seconds=self.settings.slice_seconds,
            bulk=self.bulk,
            graph=self.graph,
            keep=Retention(**{f"{what}_days": days for what, days in self.settings.keep_days.items()}),
        )


@lru_cache(maxsize=1)
def app() -> App:
    """The process' services. Called in `functions/` only; everything deeper gets arguments."""
    return App(app_settings.load())
