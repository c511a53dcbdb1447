"""Every setting, read once from the environment. README's table of settings is checked against SETTINGS."""

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from shared.domain.clouds import CLOUDS, Cloud, CloudName
from shared.errors import Unavailable
from shared.names import Role

STORAGE = "RollcallStorage"
SETTINGS: dict[str, str] = {
    STORAGE: "Connection of tables and queues: a connection string. Leave it out to sign in with the function app's identity.",
    f"{STORAGE}__tableServiceUri": "Table endpoint, where there is no connection string. The function app's identity signs in.",
    f"{STORAGE}__queueServiceUri": "Queue endpoint, where there is no connection string. The function app's identity signs in.",
    "ROLLCALL_VAULT_URI": "Address of the Key Vault that holds every secret, such as https://NAME.vault.azure.net.",
    "ROLLCALL_TICK": "Schedule (NCRONTAB) of the timer that looks for due connectors. In Azure: 0 */5 * * * *.",
    "ROLLCALL_SLICE_SECONDS": "Seconds that one invocation works on a run before the next invocation takes over. Default 480.",
    "ROLLCALL_KEEP_RUNS_DAYS": "Days for which runs and their receipts are kept. Default 90.",
    "ROLLCALL_KEEP_TOMBSTONES_DAYS": "Days for which tombstones of objects that are gone are kept. Default 365.",
    "ROLLCALL_KEEP_HOLDS_DAYS": "Days for which held removals wait for a decision. The next full read then looks again. Default 90.",
    "ROLLCALL_KEEP_JOURNAL_DAYS": "Days for which the journal of changes is kept, rounded up to whole months. Default 400.",
    "ROLLCALL_KEEP_AUDIT_DAYS": "Days for which the audit trail and the history of the configuration are kept. Default 400.",
    "ROLLCALL_REQUEST_SECONDS": "Seconds after which an HTTP request is answered at the latest, whatever does not answer us. Default 20.",
    "ROLLCALL_TENANTS": "Ids of the tenants whose people and applications may sign in, with commas. Default: those that App Service authentication is set to.",
    "ROLLCALL_CLOUD_ENDPOINTS": "Loopback addresses that stand in for Microsoft's: a JSON object, cloud to graph and authority. For the local stack only; refused in Azure.",
    "ROLLCALL_DEVELOPMENT_PRINCIPAL": "App roles, with commas, of callers that show the development token. For developers' machines; ignored in Azure.",
    "ROLLCALL_DEVELOPMENT_TOKEN": "What those callers show, as a bearer token or as the password: at least 16 characters. Ignored in Azure.",
}

# Set by the platform on every App Service or Functions instance (also Flex), never by the local stack or Core Tools.
_APP_SERVICE_MARKS = (
    "WEBSITE_SITE_NAME",
    "WEBSITE_INSTANCE_ID",
    "WEBSITE_POD_NAME",
    "WEBSITE_OWNER_NAME",
    "WEBSITE_RESOURCE_GROUP",
)
# Where else an app may be put: Container Apps, and clusters, App Service on Azure Arc among them.
_OTHER_MARKS = ("CONTAINER_APP_NAME", "CONTAINER_APP_REVISION", "CONTAINER_APP_HOSTNAME", "KUBERNETES_SERVICE_HOST")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LEAST_TOKEN = 16
_MOST_SLICE = 1500.0
"""host.json ends an invocation after half an hour."""
_MOST_REQUEST = 200.0
"""The load balancer before a function app waits 230 seconds."""


def is_loopback(url: str) -> bool:
    """Whether the URL can only reach this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """`storage_connection_string` or both `*_service_uri`; `platform_auth`: App Service authentication guards us, and lets
    in who belongs to one of `tenants`; `development_token`: what callers on a developer's machine show.
    """

    storage_connection_string: str | None = field(repr=False)
    table_service_uri: str | None
    queue_service_uri: str | None
    vault_uri: str | None
    slice_seconds: float
    keep_days: dict[str, int]
    platform_auth: bool
    development_roles: tuple[str, ...]
    in_azure: bool
    tenants: frozenset[str] = frozenset()
    development_token: str = field(default="", repr=False)
    clouds: dict[CloudName, Cloud] = field(default_factory=lambda: dict(CLOUDS))
    overridden: bool = False
    request_seconds: float = 20.0


def _invalid(detail: str, remedy: str) -> Unavailable:
    return Unavailable(detail, code="setting-invalid", remedy=remedy)


def _clouds(text: str | None, *, in_azure: bool) -> tuple[dict[CloudName, Cloud], bool]:
    clouds = dict(CLOUDS)
    if not text:
        return clouds, False
    remedy = "Remove the setting ROLLCALL_CLOUD_ENDPOINTS: it exists for the local stack only."
    if in_azure:
        raise _invalid("ROLLCALL_CLOUD_ENDPOINTS is set in Azure, where Microsoft's own addresses are used.", remedy)
    try:
        for name, hosts in json.loads(text).items():
            cloud, graph, authority = CloudName(name), str(hosts["graph"]), str(hosts["authority"])
            if not (is_loopback(graph) and is_loopback(authority)):
                raise _invalid("ROLLCALL_CLOUD_ENDPOINTS names a host that is not this machine.", remedy)
            clouds[cloud] = Cloud(graph, authority, CLOUDS[cloud].resource)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _invalid(
            'ROLLCALL_CLOUD_ENDPOINTS is not like {"global": {"graph": ADDRESS, "authority": ADDRESS}}.', remedy
        ) from error
    return clouds, True


def _listed(env: Mapping[str, str], name: str) -> list[str]:
    return [part.strip() for part in env.get(name, "").split(",") if part.strip()]


def _tenants(env: Mapping[str, str]) -> frozenset[str]:
    """Whose principals are let in: what the owner says, else what App Service authentication is set to."""
    given = _listed(env, "ROLLCALL_TENANTS")
    if bad := [tenant for tenant in given if not _GUID.fullmatch(tenant.lower())]:
        raise _invalid(
            f"ROLLCALL_TENANTS holds {', '.join(bad)}, which is no tenant id.",
            "Give directory (tenant) ids, such as 00000000-1111-2222-3333-444444444444, with commas between them.",
        )
    given = given or _listed(env, "WEBSITE_AUTH_AAD_ALLOWED_TENANTS")
    return frozenset(
        tenant.lower() for tenant in given or _GUID.findall(env.get("WEBSITE_AUTH_OPENID_ISSUER", "").lower())
    )


def _development(env: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """Roles and token of callers on a developer's machine."""
    roles, token = _listed(env, "ROLLCALL_DEVELOPMENT_PRINCIPAL"), env.get("ROLLCALL_DEVELOPMENT_TOKEN", "").strip()
    known = [role.value for role in Role]
    if bad := [role for role in roles if role not in known]:
        raise _invalid(
            f"ROLLCALL_DEVELOPMENT_PRINCIPAL names {', '.join(bad)}, which is no app role.",
            f"Name some of {', '.join(known)}.",
        )
    if roles and len(token) < _LEAST_TOKEN:
        raise _invalid(
            f"ROLLCALL_DEVELOPMENT_PRINCIPAL needs ROLLCALL_DEVELOPMENT_TOKEN, with at least {_LEAST_TOKEN} characters.",
            "Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(24))'.",
        )
    return tuple(roles), token


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    try:
        number = float(env.get(name) or default)
    except ValueError:
        number = 0
    if not 0 < number < math.inf:
        raise _invalid(f"{name} is not a number above 0.", f"Set a number, such as {default:g}.")
    return number


def _days(env: Mapping[str, str], name: str, default: int) -> int:
    days = _number(env, name, default)
    if days != int(days):
        raise _invalid(f"{name} is not a whole number of days.", f"Set a whole number, such as {default}.")
    return int(days)


def _seconds(env: Mapping[str, str], name: str, default: float, most: float, why: str) -> float:
    seconds = _number(env, name, default)
    if seconds > most:
        raise _invalid(f"{name} is more than {most:g}: {why}.", f"Set at most that; the default is {default:g}.")
    return seconds


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process. Raises Unavailable for one that can't be used."""
    env = os.environ if environment is None else environment
    app_service = any(env.get(mark) for mark in _APP_SERVICE_MARKS)
    in_azure = app_service or any(env.get(mark) for mark in _OTHER_MARKS)
    clouds, overridden = _clouds(env.get("ROLLCALL_CLOUD_ENDPOINTS"), in_azure=in_azure)
    # What Core Tools and the local stack say, and no deployment.
    developing = not in_azure and env.get("AZURE_FUNCTIONS_ENVIRONMENT", "") == "Development"
    roles, token = _development(env) if developing else ((), "")
    keep = {"runs": 90, "tombstones": 365, "holds": 90, "journal": 400, "audit": 400}
    return Settings(
        storage_connection_string=env.get(STORAGE) or None,
        table_service_uri=env.get(f"{STORAGE}__tableServiceUri") or None,
        queue_service_uri=env.get(f"{STORAGE}__queueServiceUri") or None,
        vault_uri=env.get("ROLLCALL_VAULT_URI") or None,
        slice_seconds=_seconds(
            env, "ROLLCALL_SLICE_SECONDS", 480, _MOST_SLICE, "the host would end the invocation before"
        ),
        keep_days={what: _days(env, f"ROLLCALL_KEEP_{what.upper()}_DAYS", days) for what, days in keep.items()},
        platform_auth=app_service and env.get("WEBSITE_AUTH_ENABLED", "").lower() == "true",
        development_roles=roles,
        in_azure=in_azure,
        tenants=_tenants(env),
        development_token=token,
        clouds=clouds,
        overridden=overridden,
        request_seconds=_seconds(
            env, "ROLLCALL_REQUEST_SECONDS", 20, _MOST_REQUEST, "Azure's load balancer gives up before"
        ),
    )
