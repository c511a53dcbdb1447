"""The seven kinds of configuration: models, where names are unique, what refers to what."""

from dataclasses import dataclass, field

from shared.connectors.registry import Registry
from shared.domain.base import Model
from shared.domain.configuration import (
    ConnectorServerIn,
    ConnectorServerOut,
    CredentialIn,
    CredentialOut,
    OrganizationIn,
    OrganizationOut,
    SourceGroupIn,
    SourceGroupOut,
    SourceIn,
    SourceOut,
)
from shared.domain.mapping import MappingIn, MappingOut


@dataclass(frozen=True)
class ConfigKind:
    """`key` is the storage kind, `path` the collection's address; `scope` the field that names are unique in;
    `refers` maps a field to the kind that it names.
    """

    key: str
    path: str
    noun: str
    model: type[Model]
    out: type[Model]
    scope: str | None = None
    refers: dict[str, str] = field(default_factory=dict)


def config_kinds(registry: Registry) -> dict[str, ConfigKind]:
    """By storage kind; a connector's models are the registry's."""
    kinds = (
        ConfigKind("organization", "organizations", "organization", OrganizationIn, OrganizationOut),
        ConfigKind(
            "sourceGroup", "source-groups", "source group", SourceGroupIn, SourceGroupOut,
            scope="organization_id", refers={"organization_id": "organization"},
        ),
        ConfigKind(
            "source", "sources", "source", SourceIn, SourceOut,
            scope="source_group_id", refers={"source_group_id": "sourceGroup", "credential_id": "credential", "action_credential_id": "credential"},
        ),
        ConfigKind(
            "credential", "credentials", "credential", CredentialIn, CredentialOut,
            scope="organization_id", refers={"organization_id": "organization"},
        ),
        ConfigKind(
            "connector", "connectors", "connector", registry.connector_in, registry.connector_out,
            scope="source_id",
            refers={
                "source_id": "source", "connector_server_id": "connectorServer", "credential_id": "credential",
                "action_credential_id": "credential", "mapping_id": "mapping",
            },
        ),
        ConfigKind("mapping", "mappings", "mapping", MappingIn, MappingOut),
        ConfigKind("connectorServer", "connector-servers", "connector server", ConnectorServerIn, ConnectorServerOut),
    )  # fmt: skip
    return {kind.key: kind for kind in kinds}
