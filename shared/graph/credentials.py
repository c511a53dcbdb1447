"""From a stored credential to a token source of azure-identity, and what its token allows."""

import base64
from dataclasses import dataclass
from typing import Any

import orjson

from shared.domain.clouds import Cloud
from shared.errors import SourceProblem

_EXCHANGE = "api://AzureADTokenExchange/.default"


@dataclass(frozen=True)
class SignIn:
    """Everything that a sign-in needs. `secret`: client secret, or PEM of certificate and key; repr hides it."""

    type: str
    tenant_id: str
    client_id: str | None
    cloud: Cloud
    overridden: bool
    secret: str | None = None

    def __repr__(self) -> str:
        return f"SignIn({self.type}, {self.tenant_id}, {self.client_id})"


def build(sign_in: SignIn) -> Any:
    """An async token credential. Raises SourceProblem for one that can't even be built."""
    from azure.identity.aio import (
        CertificateCredential,
        ClientAssertionCredential,
        ClientSecretCredential,
        ManagedIdentityCredential,
    )

    options: dict[str, Any] = {"authority": sign_in.cloud.authority, "disable_instance_discovery": sign_in.overridden}
    client = sign_in.client_id or ""
    try:
        match sign_in.type:
            case "client-secret":
                return ClientSecretCredential(sign_in.tenant_id, client, _needed(sign_in.secret), **options)
            case "certificate":
                data = _needed(sign_in.secret).encode()
                return CertificateCredential(sign_in.tenant_id, client, certificate_data=data, **options)
            case "federated":
                return ClientAssertionCredential(sign_in.tenant_id, client, _own_assertion, **options)
            case _:
                return ManagedIdentityCredential(client_id=sign_in.client_id)
    except ValueError as error:
        raise SourceProblem(
            "The stored certificate or secret can't be used.",
            code="secret-unusable",
            remedy="Enter the secret or certificate again on the credential.",
        ) from error


def _needed(secret: str | None) -> str:
    if not secret:
        raise SourceProblem(
            "The credential has no secret.",
            code="secret-missing",
            remedy="Enter the secret on the credential (PATCH /api/v1/credentials/{id}).",
        )
    return secret


def _own_assertion() -> str:
    """The function app's own token, which the app registration trusts through a federated credential."""
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential().get_token(_EXCHANGE).token


def token_roles(token: str) -> frozenset[str]:
    """The granted application permissions. Read to tell what is missing, never to decide what is allowed."""
    try:
        payload = token.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return frozenset(claims.get("roles") or ())
    except (IndexError, ValueError, AttributeError):
        return frozenset()
