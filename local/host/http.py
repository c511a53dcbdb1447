"""HTTP triggers, with the real host's rules: route templates and constraints, only bodies with a Content-Length, no empty
query values, an empty 500 for a function that raised.
"""

import logging
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from local.host.engine import Engine, Function, InvocationFailed
from local.host.messages import PROTOS, TypedData

_log = logging.getLogger("host.http")
_PART = re.compile(r"\{(\*{0,2})([A-Za-z_]\w*)(?::([a-z]+))?(\?)?\}")
_KINDS = {"int": r"-?\d+", "guid": r"[0-9a-fA-F-]{36}", "alpha": r"[A-Za-z]+", "bool": r"(?i:true|false)"}
_MOST_BODY = 100 * 1024 * 1024


@dataclass(frozen=True)
class HttpRoute:
    """`weight` sorts literal templates before parameters before catch-alls."""

    function: Function
    methods: frozenset[str]
    pattern: re.Pattern[str]
    weight: tuple[int, ...]


def compile_route(function: Function, prefix: str) -> HttpRoute:
    template = (function.trigger.get("route") or function.name).strip("/")
    template = f"{prefix}/{template}" if prefix else template
    pieces, weight = [], []
    for segment in template.split("/"):
        match = _PART.fullmatch(segment)
        if not match:
            pieces.append(
                "/"
                + _PART.sub(
                    lambda m: f"(?P<{m.group(2)}>[^/]+)", re.escape(segment).replace(r"\{", "{").replace(r"\}", "}")
                )
            )
            weight.append(0)
            continue
        star, name, kind, optional = match.groups()
        if star:
            pieces.append(f"(?:/(?P<{name}>.*))?")
            weight.append(3)
        else:
            body = f"/(?P<{name}>{_KINDS.get(kind or '', '[^/]+')})"
            pieces.append(f"(?:{body})?" if optional else body)
            weight.append(1 if kind else 2)
    methods = function.trigger.get("methods") or ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE"]
    return HttpRoute(
        function, frozenset(m.upper() for m in methods), re.compile("".join(pieces), re.IGNORECASE), tuple(weight)
    )


class HttpTriggers:
    def __init__(self, engine: Engine, functions: list[Function], prefix: str) -> None:
        self._engine = engine
        self._routes = sorted(
            (compile_route(function, prefix) for function in functions), key=lambda route: route.weight
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "TRACE":  # the front ends of App Service let none through
            return web.Response(status=405, headers={"Allow": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"})
        path = request.rel_url.raw_path.rstrip("/") or "/"
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match and request.method in route.methods:
                return await self._invoke(route, request, match)
        return web.Response(status=404)

    async def _invoke(self, route: HttpRoute, request: web.Request, match: re.Match[str]) -> web.StreamResponse:
        began = time.monotonic()
        try:
            outcome = await self._engine.invoke(route.function, TypedData(http=await _to_rpc(request, match)))
            response = _from_rpc(outcome.value)
        except InvocationFailed as error:
            _log.error("%s failed: %s\n%s", route.function.name, error, error.trace)
            response = web.Response(status=500)
        taken = (time.monotonic() - began) * 1000
        _log.info(
            "%s %s -> %s (%s, %.0f ms)", request.method, request.path, response.status, route.function.name, taken
        )
        return response


async def _to_rpc(request: web.Request, match: re.Match[str]) -> Any:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        low = name.lower()
        headers[low] = f"{headers[low]},{value}" if low in headers else value
    body = await request.read() if (request.content_length or 0) > 0 else b""
    query = {name: ",".join(request.query.getall(name)) for name in request.query if any(request.query.getall(name))}
    return PROTOS.RpcHttp(
        method=request.method,
        url=f"{request.scheme}://{request.host}{request.rel_url.raw_path_qs}",
        headers=headers,
        params={name: unquote(value) for name, value in match.groupdict().items() if value is not None},
        query=query,
        body=TypedData(bytes=body) if body else TypedData(),
    )


def _from_rpc(value: Any) -> web.Response:
    if value is None or value.WhichOneof("data") != "http":
        text = getattr(value, "string", None) if value is not None else None
        return web.Response(status=200 if text else 204, text=text)
    http = value.http
    body = b""
    if http.body is not None:
        body = http.body.bytes if http.body.WhichOneof("data") == "bytes" else str(http.body.string or "").encode()
    response = web.Response(status=int(http.status_code), body=body)
    for name, content in (http.headers or {}).items():
        if name.lower() != "content-length":
            response.headers[name] = content
    for cookie in http.cookies or []:
        path = cookie.path.value if cookie.path else "/"
        http_only = bool(cookie.http_only and cookie.http_only.value)
        response.set_cookie(cookie.name, cookie.value, path=path, httponly=http_only)
    return response


def limits() -> dict[str, int]:
    return {"client_max_size": _MOST_BODY}
