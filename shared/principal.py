"""Who calls, and what they may: App Service authentication's principal header in Azure, a development principal for
callers that show its token on a developer's own machine, nobody anywhere else. Nothing that a request says of where it
comes from is believed: the app never sees the other side's address.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

from shared.domain.actor import Actor
from shared.errors import Forbidden, Unauthenticated, Unavailable
from shared.names import Role
from shared.settings import Settings

HEADER = "x-ms-client-principal"
_MOST_HEADER = 64 * 1024
_ROLE_CLAIMS = ("roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role")
_OBJECT_CLAIMS = ("oid", "http://schemas.microsoft.com/identity/claims/objectidentifier")
_TENANT_CLAIMS = ("tid", "http://schemas.microsoft.com/identity/claims/tenantid")
_ISSUERS = (
    "sts.windows.net", "login.microsoftonline.com", "login.microsoftonline.us", "sts.chinacloudapi.cn",
    "login.chinacloudapi.cn", "login.partner.microsoftonline.cn",
)  # fmt: skip
_NAME_CLAIMS = ("preferred_username", "name", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name")


@dataclass(frozen=True)
class Principal:
    """`id` is the object id, `application` whether an application rather than a person calls."""

    id: str
    name: str
    roles: frozenset[str]
    application: bool = False

    @property
    def actor(self) -> Actor:
        """As it is written down."""
        return Actor(self.id, self.name, self.application)


ANYBODY = Principal("anonymous", "anonymous", frozenset())


def identify(settings: Settings, headers: Mapping[str, str]) -> Principal:
    """Who sent the request. Raises Unavailable where nothing guards the app (fail closed), Unauthenticated, or Forbidden for
    somebody of another tenant.
    """
    if settings.platform_auth:
        return _from_header(headers.get(HEADER), settings.tenants)
    if settings.development_roles:
        _check_development_token(settings.development_token, headers.get("authorization", ""))
        return Principal("development", "development", frozenset(settings.development_roles))
    raise Unavailable(
        "App Service authentication is not switched on, so nobody can be told apart and every request is refused.",
        code="authentication-off",
        remedy="Switch on App Service authentication with Microsoft as identity provider and 'require authentication' "
        "(README, Deploy to Azure).",
    )


def _check_development_token(token: str, shown: str) -> None:
    scheme, _, given = shown.partition(" ")
    if scheme.lower() not in ("basic", "bearer"):
        given = ""
    if scheme.lower() == "basic":  # what a browser sends for http://anything:TOKEN@127.0.0.1
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except ValueError:
            given = ""
    if not (token and hmac.compare_digest(given.strip().encode(), token.encode())):
        raise Unauthenticated(
            "The request does not show the development token.",
            code="development-token",
            remedy="Send ROLLCALL_DEVELOPMENT_TOKEN as a bearer token, or as the password of any user name. The local stack "
            "prints addresses that hold it.",
            headers={"WWW-Authenticate": 'Basic realm="Rollcall, development", charset="UTF-8"'},
        )


def _from_header(text: str | None, tenants: frozenset[str]) -> Principal:
    if not tenants:
        raise Unavailable(
            "Nothing says whose people may sign in, so every request is refused.",
            code="tenants-missing",
            remedy="Set ROLLCALL_TENANTS to the id of the tenant that owns this installation.",
        )
    if not text:
        raise Unauthenticated("The request carries no principal.")
    try:
        if len(text) > _MOST_HEADER:
            raise ValueError("too long")
        principal = orjson.loads(base64.b64decode(text, validate=True))
        claims = [(str(claim["typ"]), str(claim["val"])) for claim in principal["claims"]]
        auth_type = str(principal.get("auth_typ", ""))
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise Unauthenticated(
            "The principal header is not what App Service authentication writes.", code="principal-malformed"
        ) from error
    if auth_type != "aad":
        raise Unauthenticated("Only Microsoft Entra sign-ins are accepted.", code="principal-foreign")

    def first(types: tuple[str, ...]) -> str:
        return next((value for kind in types for typ, value in claims if typ == kind), "")

    object_id = first(_OBJECT_CLAIMS)
    roles = frozenset(value for typ, value in claims if typ in _ROLE_CLAIMS)
    application = ("idtyp", "app") in claims
    principal_of = Principal(object_id, first(_NAME_CLAIMS) or object_id, roles, application)
    try:
        _check_tenant(first(_TENANT_CLAIMS).lower(), first(("iss",)).lower(), tenants)
    except Forbidden as error:
        error.who = principal_of if object_id else None
        raise
    if not object_id:
        raise Unauthenticated("The principal has no object id.", code="principal-malformed")
    return principal_of


def _check_tenant(tenant: str, issuer: str, tenants: frozenset[str]) -> None:
    """A registration that any tenant may use would let in whoever has an account anywhere."""
    if not tenant:
        raise Unauthenticated("The principal names no tenant.", code="principal-malformed")
    parts = urlsplit(issuer) if issuer else None
    if parts and (parts.hostname not in _ISSUERS or parts.path.strip("/").partition("/")[0] != tenant):
        raise Unauthenticated("The principal was issued by somebody else than its tenant.", code="principal-foreign")
    if tenant not in tenants:
        raise Forbidden(
            f"The tenant {tenant} may not use this installation.",
            code="tenant-foreign",
            remedy="Sign in with an account of the organisation that owns it. Its owner may allow another tenant with "
            "ROLLCALL_TENANTS.",
        )


def require(principal: Principal, role: Role) -> None:
    """Raises Forbidden without the role."""
    if role.value not in principal.roles:
        raise Forbidden(f"This needs the app role {role.value}.")
