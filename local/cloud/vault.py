"""Key Vault's secrets: versions, expiry, enabled, soft delete, recover, purge. Speaks what the real SecretClient expects."""

import json
import re
import time
import uuid
from pathlib import Path
from typing import Any

from aiohttp import web

from local.cloud import tokens

RESOURCE = "https://vault.azure.net"
_NAME = re.compile(r"^[0-9a-zA-Z-]{1,127}$")
_MOST_BYTES = 25_600
_RETENTION_DAYS = 90


class Refusal(Exception):
    def __init__(self, status: int, code: str, message: str, inner: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.inner = status, code, message, inner


class Vault:
    def __init__(self, store: Path | None = None) -> None:
        self._store = store
        self.secrets: dict[str, list[dict[str, Any]]] = {}  # name -> versions, oldest first
        self.deleted: dict[str, dict[str, Any]] = {}
        self.tenant = ""
        self.authority = ""
        if store and store.exists():
            saved = json.loads(store.read_text())
            self.secrets, self.deleted = saved["secrets"], saved["deleted"]

    def _save(self) -> None:
        if self._store:
            self._store.touch(mode=0o600)
            self._store.write_text(json.dumps({"secrets": self.secrets, "deleted": self.deleted}))

    async def handle(self, request: web.Request) -> web.Response:
        claims = tokens.read(request.headers.get("Authorization"), RESOURCE)
        if claims is None:
            challenge = f'Bearer authorization="{self.authority}/{self.tenant}", resource="{RESOURCE}"'
            return web.json_response(
                {"error": {"code": "Unauthorized", "message": "AKV10000: Request is missing a Bearer or PoP token."}},
                status=401,
                headers={"WWW-Authenticate": challenge},
            )
        parts = request.path.strip("/").split("/")
        body = await request.json() if request.can_read_body else {}
        base = f"https://{request.host}"
        try:
            status, answer = self._route(request.method, parts, body, base)
        except Refusal as refusal:
            error: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
            if refusal.inner:
                error["innererror"] = {"code": refusal.inner}
            return web.json_response({"error": error}, status=refusal.status)
        if request.method in ("PUT", "PATCH", "DELETE", "POST"):
            self._save()
        return web.Response(status=204) if answer is None else web.json_response(answer, status=status)

    def _route(self, method: str, parts: list[str], body: dict[str, Any], base: str) -> tuple[int, Any]:
        match method, parts:
            case "PUT", ["secrets", name]:
                return 200, self._set(name, body, base)
            case "GET", ["secrets"]:
                return 200, {
                    "value": [self._bundle(n, v[-1], base, value=False) for n, v in self.secrets.items()],
                    "nextLink": None,
                }
            case "GET", ["secrets", name, "versions"]:
                return 200, {
                    "value": [self._bundle(name, v, base, value=False) for v in self._versions(name)],
                    "nextLink": None,
                }
            case "GET", ["secrets", name]:
                return 200, self._get(name, None, base)
            case "GET", ["secrets", name, version]:
                return 200, self._get(name, version, base)
            case "PATCH", ["secrets", name, version]:
                return 200, self._update(name, version, body, base)
            case "DELETE", ["secrets", name]:
                return 200, self._delete(name, base)
            case "GET", ["deletedsecrets"]:
                return 200, {"value": list(self.deleted.values()), "nextLink": None}
            case "GET", ["deletedsecrets", name]:
                return 200, self._deleted(name)["bundle"]
            case "DELETE", ["deletedsecrets", name]:
                self._deleted(name)
                del self.deleted[name]
                return 204, None
            case "POST", ["deletedsecrets", name, "recover"]:
                self.secrets[name] = self._deleted(name)["versions"]
                del self.deleted[name]
                return 200, self._bundle(name, self.secrets[name][-1], base, value=False)
        raise Refusal(405, "BadMethod", "Method not allowed here.")

    def _versions(self, name: str) -> list[dict[str, Any]]:
        if name not in self.secrets:
            raise Refusal(404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault.")
        return self.secrets[name]

    def _find(self, name: str, version: str | None) -> dict[str, Any]:
        versions = self._versions(name)
        found = versions[-1] if not version else next((v for v in versions if v["version"] == version), None)
        if found is None:
            raise Refusal(
                404, "SecretNotFound", f"A secret with (name/id) {name}/{version} was not found in this key vault."
            )
        return found

    def _set(self, name: str, body: dict[str, Any], base: str) -> dict[str, Any]:
        if not _NAME.match(name):
            raise Refusal(400, "BadParameter", f"The request URI contains an invalid name: {name}")
        if name in self.deleted:
            raise Refusal(
                409,
                "Conflict",
                f"Secret {name} is currently in a deleted but recoverable state.",
                "ObjectIsDeletedButRecoverable",
            )
        value = body.get("value")
        if not isinstance(value, str) or len(value.encode()) > _MOST_BYTES:
            raise Refusal(400, "BadParameter", "The value is missing or longer than 25 KB.")
        now = int(time.time())
        made = {"version": uuid.uuid4().hex, "value": value, "contentType": body.get("contentType"), "tags": body.get("tags") or {},
                "attributes": {"enabled": True, **(body.get("attributes") or {}), "created": now, "updated": now,
                               "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": _RETENTION_DAYS}}  # fmt: skip
        self.secrets.setdefault(name, []).append(made)
        return self._bundle(name, made, base)

    def _get(self, name: str, version: str | None, base: str) -> dict[str, Any]:
        found = self._find(name, version)
        if not found["attributes"]["enabled"]:
            raise Refusal(403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled")
        return self._bundle(name, found, base)

    def _update(self, name: str, version: str, body: dict[str, Any], base: str) -> dict[str, Any]:
        found = self._find(name, version)
        found["attributes"] |= {**(body.get("attributes") or {}), "updated": int(time.time())}
        if "contentType" in body:
            found["contentType"] = body["contentType"]
        return self._bundle(name, found, base, value=False)

    def _delete(self, name: str, base: str) -> dict[str, Any]:
        versions = self._versions(name)
        now = int(time.time())
        bundle = self._bundle(name, versions[-1], base, value=False)
        bundle |= {
            "recoveryId": f"{base}/deletedsecrets/{name}",
            "deletedDate": now,
            "scheduledPurgeDate": now + _RETENTION_DAYS * 86400,
        }
        self.deleted[name] = {"versions": self.secrets.pop(name), "bundle": bundle}
        return bundle

    def _deleted(self, name: str) -> dict[str, Any]:
        if name not in self.deleted:
            raise Refusal(404, "SecretNotFound", f"Deleted Secret not found: {name}")
        return self.deleted[name]

    @staticmethod
    def _bundle(name: str, made: dict[str, Any], base: str, *, value: bool = True) -> dict[str, Any]:
        bundle = {
            "id": f"{base}/secrets/{name}/{made['version']}",
            "attributes": made["attributes"],
            "tags": made["tags"],
        }
        if made["contentType"]:
            bundle["contentType"] = made["contentType"]
        return bundle | ({"value": made["value"]} if value else {})
