"""The kinds of configuration. Each has a write model (what a person sends) and is read back with id, revision
and times; secrets are write-only.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator

from shared.domain.base import Guid, Id, Model, Name
from shared.domain.clouds import CloudName
from shared.domain.domains import domain_name
from shared.domain.pending import Pending
from shared.domain.policy import ActionPolicy
from shared.domain.reason import Reason
from shared.domain.schedule import Schedule

CLOUD_SERVER_ID = "cloud"
"""The connector server that every installation has: the function app itself."""

ThresholdDays = Annotated[int, Field(ge=0, le=5000)]


class OrganizationIn(Model):
    """A managed customer or division; owns source groups."""

    name: Name
    """Unique in the installation."""
    description: Annotated[str, StringConstraints(max_length=1000)] = ""
    """Free text."""


class SourceGroupIn(Model):
    """A named group of sources that share configuration."""

    organization_id: Id
    """The organization that owns the group."""
    name: Name
    """Unique in the organization."""


Domain = Annotated[str, StringConstraints(min_length=1, max_length=253), AfterValidator(domain_name)]


class SourceIn(Model):
    """One Entra tenant to collect from."""

    source_group_id: Id
    """The group that the source belongs to."""
    name: Name
    """Unique in the group."""
    tenant_id: Guid
    """Directory (tenant) ID, from the app registration's overview page."""
    cloud: CloudName = CloudName.GLOBAL
    """The Microsoft cloud that the tenant lives in."""
    credential_id: Id
    """The credential that reads from the tenant."""
    action_credential_id: Id | None = None
    """Credential for people actions in the tenant, where none of its connectors names one. Empty: only connectors' own."""
    action_policy: ActionPolicy = ActionPolicy()
    """When people actions need somebody else's consent."""
    crawl: bool = True
    """Crawl source: off stops every collection from this source and keeps what was collected."""
    domains: Annotated[list[Domain], Field(min_length=1, max_length=500)] = ["*"]
    """Only people whose primary mail address is in one of these domains, one name a row; subdomains are names of their own.
    * includes everybody, also people without mail, whatever else is there."""
    excluded_groups: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=256)]], Field(max_length=50)
    ] = []
    """Service-account groups, as display names or object ids. Their members, including nested ones, are left out."""

    @property
    def directory(self) -> str:
        """The tenant within its cloud: what a source is, for good, once anything was collected."""
        return f"{self.cloud.value}/{self.tenant_id}"


class CredentialBase(Model):
    name: Name
    """Display name, unique in its organization."""
    organization_id: Id | None = None
    """The organization it belongs to; empty: every organization may use it (one app registration for many tenants)."""
    type: Literal["client-secret", "certificate", "federated", "managed-identity"] = "client-secret"
    """client-secret or certificate of an app registration; federated: the function app's managed identity signs in as
    the app registration, without a secret; managed-identity: the function app's own identity, its own tenant only."""
    client_id: Guid | None = None
    """Application (client) ID. With managed-identity: the client id of a user-assigned identity, or empty."""
    secret_expires_on: (
        Annotated[datetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), le=datetime(2200, 1, 1, tzinfo=UTC))] | None
    ) = None
    """When the client secret expires, as Entra shows it; used for warnings. A certificate's expiry is read from the
    certificate."""


class CredentialIn(CredentialBase):
    """The identity of an app registration, named and reusable. What is secret goes to Key Vault and never comes back."""

    client_secret: Annotated[SecretStr, Field(min_length=1, max_length=2000)] | None = None
    """The secret's value, not its id. Write-only; required for a new client-secret credential. If absent from a
    change, the stored secret is kept."""
    certificate: Annotated[SecretStr, Field(min_length=1, max_length=20000)] | None = None
    """PEM with the certificate and its private key. Write-only. A certificate credential without one gets a new
    self-signed certificate, whose public part is downloaded under /credentials/{id}/certificate."""

    @model_validator(mode="after")
    def _fits(self) -> "CredentialIn":
        if self.type != "managed-identity" and not self.client_id:
            raise ValueError("clientId is needed for this type")
        if self.client_secret and self.type != "client-secret":
            raise ValueError("clientSecret goes with type client-secret only")
        if self.certificate and self.type != "certificate":
            raise ValueError("certificate goes with type certificate only")
        return self


class CertificateOut(Model):
    """The public part of a certificate."""

    subject: str
    """Distinguished name."""
    thumbprint: str
    """SHA-1 in hex, as the Entra portal shows it."""
    expires_on: datetime
    """When it ends."""


class RemovalLimit(Model):
    """How many removals of one stream within 24 hours need no confirmation: the lower of the two limits, but at least
    10.
    """

    count: Annotated[int, Field(ge=0, le=5000)] = 500
    """As a number. 0: every removal needs confirmation."""
    percent: Annotated[int, Field(ge=0, le=100)] = 20
    """As a percentage of the stream's records. 0: every removal needs confirmation."""
    grace_hours: Annotated[int, Field(ge=0, le=720)] = 24
    """Objects that were first seen, or came back, within so many hours are not removed for being absent from a list: a
    replica of the directory may not know them yet."""


class ConnectorSettings(Model):
    """What a connector is, apart from its source. The registry of kinds gives `kind` and `options` their types."""

    name: Name
    """Connector name, unique in the source."""
    kind: str
    """What it collects: one of the kinds of this installation."""
    connector_server_id: Id = CLOUD_SERVER_ID
    """Connector server: where it runs. cloud is the function app."""
    active: bool = True
    """Whether it runs on its schedule. Off: it gathers nothing until it is switched on again."""
    schedule: Schedule = Schedule()
    """Repeats, start time and time zone."""
    full_every_hours: Annotated[int, Field(ge=1, le=144)] = 24
    """Hours after which everything is read again. Runs in between read only what changed (delta)."""
    removal_limit: RemovalLimit = RemovalLimit()
    """More removals than this are held until a person confirms them."""
    options: Any
    """Options of its kind."""
    mapping_id: Id | None = None
    """Mapping: which attributes are collected, under which names. Empty: the kind's default."""
    credential_id: Id | None = None
    """Reading credential of this connector alone. Empty: the source's."""
    action_credential_id: Id | None = None
    """Action credentials: the separate credential for people actions. Empty: actions are off."""
    reading_credential_acts: bool = False
    """Lets the credential that reads the source be the action credential too. Off: they are two, so that whoever steals the
    one that is used every day can change nobody."""


class Connector(ConnectorSettings):
    """One kind of collection from one source, with its schedule."""

    source_id: Id
    """The source (tenant) it reads."""


class ConnectorIn(ConnectorSettings):
    """One kind of collection from one source, with its schedule. Name the source; or give tenantId, clientId and
    clientSecret instead: the source of that tenant and the credential of that application are found, or made.
    """

    source_id: Id | None = None
    """The source (tenant) it reads. Without it: the source of tenantId."""
    source_group_id: Id | None = None
    """Where a source that has to be made goes. Empty: the only source group there is, or a new one."""
    tenant_id: Guid | None = None
    """Directory (tenant) ID. With sourceId it has to be that source's tenant."""
    cloud: CloudName | None = None
    """The Microsoft cloud of tenantId. Empty: global."""
    client_id: Guid | None = None
    """Application (client) ID of the app registration that this connector reads with. The source's credential is used where
    it is of this application, else another one becomes the connector's own."""
    client_secret: Annotated[SecretStr, Field(min_length=1, max_length=2000)] | None = None
    """Client secret. Write-only. A new connector stores it with the credential that it makes. In a change of a connector it
    replaces the secret of the credential that the connector reads with, for everybody who uses that credential."""
    action_client_id: Guid | None = None
    """Action details: Application (client) ID of the second app registration, which people actions are done with. The source's
    action credential is used where it is of this application, else another one becomes the connector's own."""
    action_client_secret: Annotated[SecretStr, Field(min_length=1, max_length=2000)] | None = None
    """Action details: its client secret. Write-only, and kept like clientSecret."""


class ConnectorServerIn(Model):
    """Where connectors run: the function app (cloud), or a named on-premises server."""

    name: Name
    """Unique in the installation."""
    description: Annotated[str, StringConstraints(max_length=1000)] = ""
    """Free text."""


class Effective(Model):
    """Whether a connector gathers on its schedule."""

    state: Literal["on", "off"]
    """off: it gathers nothing, and shows no due times."""
    because: list[Reason] = []
    """Everything that keeps it from it: inactive, crawl-off, other-server or deleting."""


class Stored(Model):
    """What every stored object has besides its own fields."""

    id: Id
    """Never changes."""
    revision: int
    """Counts changes; the ETag is made of it."""
    created_at: datetime
    """UTC."""
    updated_at: datetime
    """UTC."""
    pending: list[Pending] = []
    """Of an answer to a change: what of it is still to come."""


class Unreadable(Model):
    """Stands in a list for an object that this release can't read, for example one of another release."""

    id: Id
    """Its id."""
    revision: int
    """Its revision, for If-Match."""
    name: str
    """Its name, as far as that can be read."""
    unreadable: str
    """What is wrong with it. PATCH or PUT mends it, DELETE removes it."""


class OrganizationOut(OrganizationIn, Stored):
    """An organization as stored."""


class SourceGroupOut(SourceGroupIn, Stored):
    """A source group as stored."""


class SourceOut(SourceIn, Stored):
    """A source as stored."""


class CredentialOut(CredentialBase, Stored):
    """A credential as stored: without its secret."""

    has_secret: bool
    """Whether Key Vault holds a secret or certificate for it."""
    certificate: CertificateOut | None = None
    """The public facts of its certificate."""
    warnings: list[Reason] = []
    """What should be looked at: application-shared."""


class Quarantine(Model):
    """A job that keeps failing is slowed to once a day, and its schedule stops after four weeks. `active` does not
    change. A success or a changed credential ends the quarantine at once.
    """

    since: datetime
    """UTC."""
    state: Literal["slowed", "off"]
    """slowed: once a day. off: no scheduled runs any more."""
    code: str
    """What its last run failed with."""
    message: str = ""
    """The same in words."""
    remedy: str = ""
    """What to do about it."""
    failures: int
    """Runs in a row that failed."""


class Backoff(Model):
    """A job whose last runs met something that may pass, such as an outage: it is tried again within the hour, at first after
    minutes. The next success ends it.
    """

    since: datetime
    """UTC."""
    failures: int
    """Runs in a row that failed so."""
    code: str
    """What its last run failed with."""
    message: str = ""
    """The same in words."""
    remedy: str = ""
    """What to do if it goes on."""


class JobState(Model):
    """One job of a connector, such as the reading of its directory: each has runs of its own."""

    name: str
    """What runs name it by."""
    title: str
    """What it does."""
    next_due: list[datetime] = []
    """The next five due times, UTC; empty while the connector gathers nothing (`effective`), one while the job is quarantined."""
    current_run_id: str | None = None
    """The run that is going on."""
    quarantine: Quarantine | None = None
    """Why it runs less often than the schedule says."""
    backoff: Backoff | None = None
    """Why it runs at other times than the schedule says, for now."""


class PermissionNeeded(Model):
    """An application permission of Microsoft Graph that a connector needs as it is configured."""

    permission: str
    """The least permission. Grant it to the app registration of the source's credential."""
    or_instead: list[str]
    """Wider permissions that are sufficient too."""
    job: str
    """The job that needs it."""
    purpose: str
    """What it is for: a stream, or excluded groups."""


class ConnectorOut(Connector, Stored):
    """A connector as stored, with its state."""

    tenant_id: str | None = None
    """Directory (tenant) ID of its source."""
    cloud: str | None = None
    """The Microsoft cloud of that tenant."""
    client_id: str | None = None
    """Application (client) ID that it reads with."""
    has_secret: bool = False
    """Whether Key Vault holds a secret or certificate for that application."""
    action_client_id: str | None = None
    """Application (client) ID that people actions are done with: this connector's, or its source's."""
    has_action_secret: bool = False
    """Whether Key Vault holds a secret or certificate for that application."""
    jobs: list[JobState] = []
    """The jobs that its options switch on, each with its own runs."""
    deleting: bool = False
    """It and its records are being deleted."""
    effective: Effective
    """Whether it gathers on its schedule, and what keeps it from it."""
    warnings: list[Reason] = []
    """What should be looked at: acts-as-reader, domains-differ. Of a change: secret-shared."""


def reading_credential(connector: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    """The credential that a stored connector reads with: its own, else its source's. Both as they are stored."""
    return str(connector.get("credentialId") or source.get("credentialId") or "")


class ConnectorServerOut(ConnectorServerIn, Stored):
    """A connector server as stored."""

    built_in: bool = False
    """The function app's own server: can't be renamed or deleted."""


def acting_credential(connector: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    """The action credential that a stored connector names, else its source's; empty without one. Both as they are stored."""
    return str(connector.get("actionCredentialId") or source.get("actionCredentialId") or "")
