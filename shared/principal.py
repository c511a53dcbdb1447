"""Who calls, and what they may: App Service authentication's principal header in Azure, a development principal on a
developer's own machine, nobody anywhere else.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from shared.errors import Forbidden, Unauthenticated, Unavailable
from shared.names import Role
from shared.settings import Settings, is_loopback

HEADER = "x-ms-client-principal"
_MOST_HEADER = 64 * 1024
_ROLE_CLAIMS = ("roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role")
_OBJECT_CLAIMS = ("oid", "http://schemas.microsoft.com/identity/claims/objectidentifier")
_NAME_CLAIMS = ("preferred_username", "name", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name")


@dataclass(frozen=True)
class Principal:
    """`id` is the object id, `application` whether an application rather than a person calls."""

    id: str
    name: str
    roles: frozenset[str]
    application: bool = False


ANYBODY = Principal("anonymous", "anonymous", frozenset())


def identify(settings: Settings, headers: Mapping[str, str], url: str) -> Principal:
    """Who sent the request. Raises Unavailable where nothing guards the app (fail closed) or Unauthenticated."""
    if settings.platform_auth:
        return _from_header(headers.get(HEADER))
    if settings.development_roles and not settings.in_azure and is_loopback(url):
        return Principal("development", "development", frozenset(settings.development_roles))
    raise Unavailable(
        "App Service authentication is not switched on, so nobody can be told apart and every request is refused.",
        code="authentication-off",
        remedy="Switch on App Service authentication with Microsoft as identity provider and 'require authentication' "
        "(README, Deploy to Azure).",
    )


def _from_header(text: str | None) -> Principal:
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
    if not object_id:
        raise Unauthenticated("The principal has no object id.", code="principal-malformed")
    roles = frozenset(value for typ, value in claims if typ in _ROLE_CLAIMS)
    application = ("idtyp", "app") in claims
    return Principal(object_id, first(_NAME_CLAIMS) or object_id, roles, application)


def require(principal: Principal, role: Role) -> None:
    """Raises Forbidden without the role."""
    if role.value not in principal.roles:
        raise Forbidden(f"This needs the app role {role.value}.")
