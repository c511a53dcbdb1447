"""Every setting, read once from the environment. README's table of settings is checked against SETTINGS."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from shared.domain.clouds import CLOUDS, Cloud, CloudName
from shared.errors import Unavailable

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
    "ROLLCALL_CLOUD_ENDPOINTS": "Loopback addresses that stand in for Microsoft's. For the local stack only.",
    "ROLLCALL_DEVELOPMENT_PRINCIPAL": "App roles of callers on this machine. Ignored in Azure.",
}

# Set by the platform on every App Service or Functions instance (also Flex), never by the local stack or Core Tools.
_AZURE_MARKS = (
    "WEBSITE_SITE_NAME",
    "WEBSITE_INSTANCE_ID",
    "WEBSITE_POD_NAME",
    "WEBSITE_OWNER_NAME",
    "WEBSITE_RESOURCE_GROUP",
)


def is_loopback(url: str) -> bool:
    """Whether the URL can only reach this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """`storage_connection_string` or both `*_service_uri`; `platform_auth`: App Service authentication guards us."""

    storage_connection_string: str | None
    table_service_uri: str | None
    queue_service_uri: str | None
    vault_uri: str | None
    slice_seconds: float
    keep_days: dict[str, int]
    platform_auth: bool
    development_roles: tuple[str, ...]
    in_azure: bool
    clouds: dict[CloudName, Cloud] = field(default_factory=lambda: dict(CLOUDS))
    overridden: bool = False


def _clouds(text: str | None) -> tuple[dict[CloudName, Cloud], bool]:
    clouds = dict(CLOUDS)
    if not text:
        return clouds, False
    for name, hosts in json.loads(text).items():
        cloud = CloudName(name)
        for url in (hosts["graph"], hosts["authority"]):
            if not is_loopback(url):
                raise Unavailable(
                    "ROLLCALL_CLOUD_ENDPOINTS names a host that is not this machine.",
                    code="setting-invalid",
                    remedy="Remove the setting: it exists for the local stack only.",
                )
        clouds[cloud] = Cloud(hosts["graph"], hosts["authority"], CLOUDS[cloud].resource)
    return clouds, True


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    try:
        number = float(env.get(name) or default)
    except ValueError:
        number = 0
    if number <= 0:
        raise Unavailable(
            f"{name} is not a number above 0.", code="setting-invalid", remedy=f"Set a number, such as {default:g}."
        )
    return number


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process. Raises Unavailable for one that can't be used."""
    env = os.environ if environment is None else environment
    in_azure = any(env.get(mark) for mark in _AZURE_MARKS)
    development = env.get("ROLLCALL_DEVELOPMENT_PRINCIPAL", "")
    clouds, overridden = _clouds(env.get("ROLLCALL_CLOUD_ENDPOINTS"))
    slice_seconds = _number(env, "ROLLCALL_SLICE_SECONDS", 480)
    keep = {"runs": 90, "tombstones": 365, "holds": 90, "journal": 400}
    return Settings(
        storage_connection_string=env.get(STORAGE) or None,
        table_service_uri=env.get(f"{STORAGE}__tableServiceUri") or None,
        queue_service_uri=env.get(f"{STORAGE}__queueServiceUri") or None,
        vault_uri=env.get("ROLLCALL_VAULT_URI") or None,
        slice_seconds=slice_seconds,
        keep_days={what: int(_number(env, f"ROLLCALL_KEEP_{what.upper()}_DAYS", days)) for what, days in keep.items()},
        platform_auth=env.get("WEBSITE_AUTH_ENABLED", "").lower() == "true",
        development_roles=() if in_azure else tuple(r.strip() for r in development.split(",") if r.strip()),
        in_azure=in_azure,
        clouds=clouds,
        overridden=overridden,
    )
