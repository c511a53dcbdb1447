"""Faults of Entra and Key Vault: refused, cut off, answered and lost, slow, or an error that repeats what was sent."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from local.cloud.faults import Faults

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def reset(request: web.Request) -> None:
    """Cuts the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()


def troubled(target: str, faults: Faults, handler: Handler, error: Callable[[str, str], dict[str, Any]]) -> Handler:
    """The handler behind the faults of a target. `error` makes the service's error body of a code and a text."""

    async def handle(request: web.Request) -> web.StreamResponse:
        fault = faults.hit(target, f"{request.method} {request.raw_path}")
        if fault is None:
            return await handler(request)
        if fault.kind == "reset":
            reset(request)
            return web.Response()
        if fault.kind == "answer-lost":
            await handler(request)
            reset(request)
            return web.Response()
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
            return await handler(request)
        if fault.kind == "echo":
            sent = f"{await request.text()} {dict(request.headers)}"
            return web.json_response(error("BadRequest", f"The request could not be served: {sent}"), status=400)
        code = "Throttled" if fault.kind == "429" else "ServiceUnavailable"
        return web.json_response(
            error(code, "Injected fault."), status=int(fault.kind), headers={"Retry-After": f"{fault.seconds:g}"}
        )

    return handle


def of_entra(code: str, text: str) -> dict[str, Any]:
    return {
        "error": "invalid_request" if code == "BadRequest" else "temporarily_unavailable",
        "error_description": text,
    }


def of_vault(code: str, text: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": text}}
