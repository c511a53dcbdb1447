"""Access tokens of the simulated Entra: JWTs, signed with a key that only this process knows."""

import base64
import hashlib
import hmac
import json
import os
import time
import uuid
from typing import Any

_KEY = os.urandom(32)
LIFETIME = 3599


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode_part(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def issue(audience: str, tenant: str, app: str, roles: list[str], subject: str = "", wids: tuple[str, ...] = ()) -> str:
    now = int(time.time())
    claims = {
        "aud": audience, "iss": f"https://sts.windows.net/{tenant}/", "iat": now, "nbf": now - 5, "exp": now + LIFETIME,
        "appid": app, "tid": tenant, "oid": subject or app, "sub": subject or app, "idtyp": "app", "roles": roles,
        "wids": ["0997a1d0-0d1d-4acb-b408-d5ca73121e90", *wids],
        "uti": uuid.uuid4().hex, "ver": "1.0",
    }  # fmt: skip
    head = _encode(json.dumps({"typ": "JWT", "alg": "HS256"}).encode())
    body = _encode(json.dumps(claims).encode())
    return f"{head}.{body}.{_encode(hmac.digest(_KEY, f'{head}.{body}'.encode(), hashlib.sha256))}"


def read(header: str | None, audience: str) -> dict[str, Any] | None:
    """The claims of a bearer token that is ours, for this audience, and not over; else None."""
    if not header or not header.startswith("Bearer "):
        return None
    try:
        head, body, signature = header[7:].split(".")
        good = hmac.digest(_KEY, f"{head}.{body}".encode(), hashlib.sha256)
        claims: dict[str, Any] = json.loads(decode_part(body))
        if not hmac.compare_digest(good, decode_part(signature)):
            return None
    except ValueError:
        return None
    return claims if claims["aud"].rstrip("/") == audience.rstrip("/") and claims["exp"] > time.time() else None
