"""One storage connection, in the two forms that Azure Functions knows: a connection string or identity-based URIs."""

import base64
import functools
import hmac
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

from shared.errors import Unavailable
from shared.redact import known_secret
from shared.settings import Settings, is_loopback

SCOPE = "https://storage.azure.com/.default"
_DEVELOPMENT = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    # The emulator's well-known key: public, the same on every machine (learn.microsoft.com, "Use Azurite").
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1"
)


@dataclass(frozen=True)
class StorageConnection:
    """Endpoints without a trailing slash; `account_key` is None where the app's identity signs in."""

    table_endpoint: str
    queue_endpoint: str
    account: str
    account_key: str | None = field(repr=False)


def from_settings(settings: Settings) -> StorageConnection:
    """Raises Unavailable naming the setting that is missing or malformed."""
    if settings.storage_connection_string:
        return from_connection_string(settings.storage_connection_string)
    if settings.table_service_uri and settings.queue_service_uri:
        table = settings.table_service_uri.rstrip("/")
        parts = urlsplit(table)
        account = parts.path.strip("/") if is_loopback(table) else (parts.hostname or "").split(".")[0]
        return StorageConnection(table, settings.queue_service_uri.rstrip("/"), account, None)
    raise Unavailable(
        "No storage connection is configured.",
        code="storage-not-configured",
        remedy="Set RollcallStorage, or RollcallStorage__tableServiceUri and RollcallStorage__queueServiceUri.",
    )


def from_connection_string(text: str) -> StorageConnection:
    """Raises Unavailable for a string that lacks what is needed; never quotes it."""
    if text.strip().rstrip(";").lower() == "usedevelopmentstorage=true":
        text = _DEVELOPMENT
    parts = dict(part.split("=", 1) for part in text.strip().strip(";").split(";") if "=" in part)
    try:
        account, key = parts["AccountName"], parts["AccountKey"]
        base64.b64decode(key, validate=True)
        suffix = parts.get("EndpointSuffix", "core.windows.net")
        protocol = parts.get("DefaultEndpointsProtocol", "https")
        table = parts.get("TableEndpoint") or f"{protocol}://{account}.table.{suffix}"
        queue = parts.get("QueueEndpoint") or f"{protocol}://{account}.queue.{suffix}"
    except (KeyError, ValueError) as error:
        raise Unavailable(
            "The connection string RollcallStorage lacks its account name or key.",
            code="storage-not-configured",
            remedy="Copy the whole connection string again from the storage account's access keys page.",
        ) from error
    known_secret(key)
    return StorageConnection(table.rstrip("/"), queue.rstrip("/"), account, key)


def _hmac(key: str, text: str) -> str:
    return base64.b64encode(hmac.digest(_secret(key), text.encode(), "sha256")).decode()


_secret = functools.lru_cache(4)(base64.b64decode)


def table_signature(account: str, key: str, path: str) -> dict[str, str]:
    """The headers that sign a table request with the account key (Shared Key Lite:
    https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key). `path` as the URL spells it.
    """
    return _signed(account, key, path, int(time.time()))


@functools.lru_cache(16)
def _signed(account: str, key: str, path: str, second: int) -> dict[str, str]:
    """Batches all go to one path, many in a second."""
    date = formatdate(second, usegmt=True)
    return {"x-ms-date": date, "Authorization": f"SharedKeyLite {account}:{_hmac(key, f'{date}\n/{account}{path}')}"}


class TableKeyPolicy(SansIOHTTPPolicy[Any, Any]):
    """Signs a table request with the account key."""

    def __init__(self, account: str, key: str) -> None:
        super().__init__()
        self._account, self._key = account, key

    def on_request(self, request: PipelineRequest[Any]) -> None:
        http = request.http_request
        http.headers.update(table_signature(self._account, self._key, urlsplit(http.url).path))


class QueueKeyPolicy(SansIOHTTPPolicy[Any, Any]):
    """Signs a queue request with the account key (Shared Key)."""

    def __init__(self, account: str, key: str) -> None:
        super().__init__()
        self._account, self._key = account, key

    def on_request(self, request: PipelineRequest[Any]) -> None:
        http = request.http_request
        headers = {name.lower(): value for name, value in http.headers.items()}
        headers["x-ms-date"] = http.headers["x-ms-date"] = formatdate(usegmt=True)
        length = headers.get("content-length", "")
        plain = ["content-encoding", "content-language", length if length != "0" else "", "content-md5", "content-type"]
        lines = [http.method]
        lines += [headers.get(name, "") if not name.isdigit() else name for name in plain]
        lines += ["", *(headers.get(n, "") for n in ("if-modified-since", "if-match", "if-none-match"))]
        lines += [headers.get("if-unmodified-since", ""), headers.get("range", "")]
        lines += [f"{name}:{value}" for name, value in sorted(headers.items()) if name.startswith("x-ms-")]
        parts = urlsplit(http.url)
        lines.append(f"/{self._account}{unquote(parts.path)}")
        lines += [f"{name.lower()}:{value}" for name, value in sorted(parse_qsl(parts.query))]
        http.headers["Authorization"] = f"SharedKey {self._account}:{_hmac(self._key, '\n'.join(lines))}"
