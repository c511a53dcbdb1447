"""From a stored credential to a token source of azure-identity, and what its token allows."""

import base64
import os
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
                # Without a client id: the function app's own identity, which a deployment names here where it has several.
                return ManagedIdentityCredential(client_id=sign_in.client_id or os.environ.get("AZURE_CLIENT_ID"))
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


@dataclass(frozen=True)
class Claims:
    """What a token says of itself; empty where it can't be read. `roles`: the granted application permissions, read to
    tell what is missing, never to decide what is allowed.
    """

    tenant_id: str = ""
    application_id: str = ""
    roles: frozenset[str] = frozenset()
    directory_roles: frozenset[str] = frozenset()
    """Templates of the Entra roles that the token shows (wids). One that it does not show may be there all the same."""


def claims_of(token: str) -> Claims:
    try:
        payload = token.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return Claims(
            str(claims.get("tid") or "").lower(), str(claims.get("appid") or ""), frozenset(claims.get("roles") or ()),
            frozenset(str(role).lower() for role in claims.get("wids") or ()),
        )  # fmt: skip
    except (IndexError, ValueError, AttributeError, TypeError):
        return Claims()


def check_tenant(token: str, tenant_id: str) -> None:
    """Raises SourceProblem for a token of another tenant than the source's. A managed identity gets one of its home tenant,
    whatever tenant was meant; the other kinds name the tenant in their request.
    """
    got = claims_of(token).tenant_id
    if got != tenant_id.lower():
        raise SourceProblem(
            f"The sign-in gave a token of {f'the tenant {got}' if got else 'no tenant that it names'}; "
            f"the source is the tenant {tenant_id}. Nothing was read.",
            code="token-tenant",
            remedy="A managed identity reads its own tenant only: choose a credential whose app registration the source's "
            "tenant knows. If the source names the wrong tenant, create another source with the right one.",
        )
