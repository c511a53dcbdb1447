"""Entra's token endpoint: client secret, certificate assertion (signature checked), federated assertion; AADSTS errors in
Microsoft's shape. And the App Service identity endpoint, which is what makes plain DefaultAzureCredential() work here.
"""

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from local.cloud import tokens

IDENTITY_OBJECT = "11111111-2222-3333-4444-555555555555"
_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_EXCHANGE = "api://AzureADTokenExchange"


@dataclass
class Registration:
    """An app registration. `secrets`: value to expiry (seconds since 1970); `certificates`: PEM; `federated`: subjects."""

    client_id: str
    tenant_id: str
    roles: list[str]
    secrets: dict[str, float] = field(default_factory=dict)
    certificates: list[str] = field(default_factory=list)
    federated: list[str] = field(default_factory=list)
    disabled: bool = False
    directory_roles: list[str] = field(default_factory=list)
    """Templates of the Entra roles that its service principal has."""


class Refusal(Exception):
    def __init__(self, number: int, error: str, text: str, status: int = 401) -> None:
        super().__init__(text)
        self.number, self.error, self.text, self.status = number, error, text, status


class Entra:
    """`clouds` maps a tenant to the cloud that it lives in."""

    def __init__(self, resources: dict[str, str]) -> None:
        self._resources = resources  # cloud -> Graph's audience
        self.tenants: dict[str, str] = {}
        self.apps: dict[tuple[str, str], Registration] = {}
        self.home_tenant = ""

    def register(self, app: Registration) -> None:
        self.apps[app.tenant_id, app.client_id] = app

    async def configuration(self, request: web.Request) -> web.Response:
        tenant = request.match_info["tenant"]
        if tenant not in self.tenants:
            return _error(_unknown_tenant(tenant))
        base = f"https://{request.host}/{tenant}"
        return web.json_response(
            {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "issuer": f"{base}/v2.0",
            }
        )

    async def token(self, request: web.Request, cloud: str) -> web.Response:
        form = await request.post()
        fields = {name: str(value) for name, value in form.items()}
        try:
            return web.json_response(self._issue(request.match_info["tenant"], fields, cloud))
        except Refusal as refusal:
            return _error(refusal)

    def _issue(self, tenant: str, form: dict[str, str], cloud: str) -> dict[str, Any]:
        if tenant not in self.tenants:
            raise _unknown_tenant(tenant)
        if self.tenants[tenant] != cloud:
            raise Refusal(
                900382, "invalid_request", "Confidential Client is not supported in Cross Cloud request.", 400
            )
        app = self.apps.get((tenant, form.get("client_id", "").lower()))
        if app is None:
            raise Refusal(
                700016,
                "unauthorized_client",
                f"Application with identifier '{form.get('client_id')}' was not found in the directory '{tenant}'.",
                400,
            )
        if app.disabled:
            raise Refusal(7000112, "unauthorized_client", "The application is disabled.")
        self._authenticate(app, form, tenant)
        audience = form.get("scope", "").removesuffix("/.default")
        if audience != self._resources[cloud]:
            raise Refusal(
                500011, "invalid_resource", f"The resource principal named {audience} was not found in the tenant.", 400
            )
        token = tokens.issue(audience, tenant, app.client_id, app.roles, wids=tuple(app.directory_roles))
        return {
            "token_type": "Bearer",
            "expires_in": tokens.LIFETIME,
            "ext_expires_in": tokens.LIFETIME,
            "access_token": token,
        }

    def _authenticate(self, app: Registration, form: dict[str, str], tenant: str) -> None:
        if form.get("client_assertion_type") == _BEARER:
            return self._assertion(app, form.get("client_assertion", ""), tenant)
        secret = form.get("client_secret")
        if not secret:
            raise Refusal(
                7000218,
                "invalid_client",
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            )
        if secret not in app.secrets:
            raise Refusal(
                7000215,
                "invalid_client",
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.",
            )
        if app.secrets[secret] < time.time():
            raise Refusal(7000222, "invalid_client", "The provided client secret keys for app are expired.")
        return None

    def _assertion(self, app: Registration, assertion: str, tenant: str) -> None:
        try:
            head, body, signature = assertion.split(".")
            header, claims = json.loads(tokens.decode_part(head)), json.loads(tokens.decode_part(body))
        except ValueError as error:
            raise Refusal(50027, "invalid_request", "JWT token is invalid or malformed.", 400) from error
        if claims.get("aud") == _EXCHANGE:
            if not tokens.read(f"Bearer {assertion}", _EXCHANGE) or claims.get("sub") not in app.federated:
                raise Refusal(
                    700213,
                    "invalid_request",
                    "No matching federated identity record found for presented assertion subject.",
                    400,
                )
            return
        now = time.time()
        if not claims.get("nbf", 0) - 300 <= now <= claims.get("exp", 0) + 300:
            raise Refusal(700024, "invalid_client", "Client assertion is not within its valid time range.")
        if (
            claims.get("iss") != app.client_id
            or claims.get("sub") != app.client_id
            or f"/{tenant}/" not in str(claims.get("aud"))
        ):
            raise Refusal(700021, "invalid_client", "Client assertion application identifier doesn't match.")
        for pem in app.certificates:
            if _signed_by(pem, header, f"{head}.{body}".encode(), tokens.decode_part(signature)):
                return
        raise Refusal(
            700027,
            "invalid_client",
            "The certificate with identifier used to sign the client assertion is not registered on application.",
        )

    async def managed_identity(self, request: web.Request) -> web.Response:
        """GET /msi/token?resource=...: App Service's protocol, version 2019-08-01."""
        if not request.headers.get("X-IDENTITY-HEADER"):
            return web.json_response({"statusCode": 401, "message": "Unauthorized"}, status=401)
        resource = request.query.get("resource", "")
        token = tokens.issue(resource, self.home_tenant, IDENTITY_OBJECT, [], IDENTITY_OBJECT)
        return web.json_response(
            {
                "access_token": token,
                "expires_on": str(int(time.time()) + tokens.LIFETIME),
                "resource": resource,
                "token_type": "Bearer",
            }
        )


def _signed_by(pem: str, header: dict[str, Any], signed: bytes, signature: bytes) -> bool:
    certificate = x509.load_pem_x509_certificate(pem.encode())
    given = {str(header.get(name, "")).rstrip("=") for name in ("x5t", "x5t#S256")}
    prints = {tokens._encode(certificate.fingerprint(kind)) for kind in (hashes.SHA1(), hashes.SHA256())}  # noqa: SLF001
    key = certificate.public_key()
    if not given & prints or not isinstance(key, rsa.RSAPublicKey):
        return False
    scheme: padding.AsymmetricPadding = padding.PKCS1v15()
    if header.get("alg") == "PS256":
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    try:
        key.verify(signature, signed, scheme, hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _unknown_tenant(tenant: str) -> Refusal:
    return Refusal(
        90002,
        "invalid_request",
        f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.",
        400,
    )


def _error(refusal: Refusal) -> web.Response:
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    stamp = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
    body = {
        "error": refusal.error,
        "error_description": f"AADSTS{refusal.number}: {refusal.text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}",
        "error_codes": [refusal.number], "timestamp": stamp, "trace_id": trace, "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={refusal.number}",
    }  # fmt: skip
    return web.json_response(body, status=refusal.status)
