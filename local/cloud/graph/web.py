"""Graph over HTTP: tokens, faults, and no good answer to a request that Microsoft does not describe."""

import asyncio
import time
import uuid
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import orjson
from aiohttp import web

from local.cloud import tokens
from local.cloud.faults import Fault, Faults
from local.cloud.graph.facts import Facts, facts
from local.cloud.graph.replies import GraphReply, GraphRequest
from local.cloud.graph.server import REPORT_FILES, Graph
from local.cloud.trouble import reset

_SMALL_PAGE = 120


class GraphWeb:
    """`resources` maps a cloud to Graph's audience there; `graphs` a tenant id to its Graph. `known`: what Microsoft
    describes, facts.json by default.
    """

    def __init__(
        self, graphs: dict[str, Graph], resources: dict[str, str], faults: Faults, known: Facts | None = None
    ) -> None:
        self._graphs, self._resources, self._faults = graphs, resources, faults
        self._known = known or facts()
        self.requests = 0
        self.undescribed: list[str] = []
        """Requests of the app that Microsoft does not describe, with what is wrong. Each was refused."""
        self.rewrite: Callable[[GraphRequest, GraphReply], GraphReply] = lambda _asked, reply: reply
        """Has the last word on an answer, whose body may then be any bytes."""
        self.slow_seconds = 0.0
        self.gate: asyncio.Event | None = None
        """Requests that come while it is there wait for it; `held` counts them."""
        self.held = 0
        self.now: Callable[[], float] = time.time
        """Seconds since 1970, for the dates that it writes."""

    def handler(self, cloud: str) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            if request.path.startswith(REPORT_FILES):
                return self._file(request)
            body = await request.read()
            problems = self._known.problems_with(request.method, request.raw_path, request.headers, body)
            # The app marks each of its requests; whoever does not is a test that asks for something odd on purpose, and
            # is refused in Graph's own words where the simulated Graph has them.
            if problems and "client-request-id" in request.headers:
                self.undescribed += [f"{request.method} {request.raw_path}: {problem}" for problem in problems]
                return _send(_undescribed(problems))
            return await self._handle(request, cloud, body, problems)

        return handle

    def _file(self, request: web.Request) -> web.StreamResponse:
        """A report's file. Whoever sends a token there gives it away."""
        if "Authorization" in request.headers:
            self.undescribed.append(f"{request.method} {request.path}: a token was sent to where files lie")
        key = request.path.removeprefix(REPORT_FILES)
        for graph in self._graphs.values():
            if (content := graph.directory.reports.file(key)) is not None:
                return web.Response(body=content, content_type="application/octet-stream")
        return web.Response(status=403, text="<html>The link has expired.</html>", content_type="text/html")

    async def _handle(self, request: web.Request, cloud: str, body: bytes, problems: list[str]) -> web.StreamResponse:
        self.requests += 1
        fault = self._faults.hit("graph", f"{request.method} {request.raw_path}")
        if self.slow_seconds:
            await asyncio.sleep(self.slow_seconds)
        if gate := self.gate:
            self.held += 1
            await gate.wait()
        if fault and (early := await self._early(fault, request)):
            return early
        claims = tokens.read(request.headers.get("Authorization"), self._resources[cloud])
        graph = self._graphs.get(claims["tid"]) if claims else None
        if claims is None or graph is None:
            return _send(Graph.refuse(401, "InvalidAuthenticationToken", "Access token validation failure."))
        if not request.path.startswith("/v1.0/"):
            return _send(Graph.refuse(404, "UnknownError", "The version is not simulated."))
        if fault:
            self._spoil(fault, graph)
        asked = GraphRequest(
            method=request.method,
            path=request.path.removeprefix("/v1.0"),
            query=dict(request.query),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            roles=frozenset(claims["roles"]),
            wids=frozenset(claims.get("wids", ())),
            base=f"{request.scheme}://{request.host}/v1.0",
        )
        reply = graph.answer(asked)
        if problems and reply.status < 400:
            reply = _undescribed(problems)
        if fault and reply.status == 200 and isinstance(reply.body, dict):
            reply = self._bend(fault, reply, asked, request, graph)
        reply = self.rewrite(asked, reply)
        response = _send(reply)
        response.headers["request-id"] = str(uuid.uuid4())
        if fault and fault.kind == "504-done":  # it was done, and something before Graph gave up waiting
            return _send(Graph.refuse(504, "ServiceNotAvailable", "Injected fault."))
        if fault and fault.kind == "reset-done":
            reset(request)
            return web.Response()
        if reply.status == 429:
            response.headers["Retry-After"] = "30"
        if fault and fault.kind == "bom" and isinstance(response.body, bytes):
            response.body = b"\xef\xbb\xbf" + response.body
        if fault and fault.kind == "truncate":
            return await _truncated(request, response)
        return response

    async def _early(self, fault: Fault, request: web.Request) -> web.StreamResponse | None:
        kind = fault.kind
        if kind == "reset" or (kind == "hang" and await self._faults.hangs(fault)):
            reset(request)
            return web.Response()
        if kind == "slow":
            await asyncio.sleep(fault.seconds)
        if kind.startswith("429"):
            reply = _send(Graph.refuse(429, "TooManyRequests", "Too many requests."))
            if kind == "429":
                reply.headers["Retry-After"] = str(int(fault.seconds) or 1)
            elif kind == "429-date":
                reply.headers["Retry-After"] = formatdate(self.now() + fault.seconds + 1, usegmt=True)
            return reply
        if kind in ("500", "502", "503", "504"):
            return _send(
                Graph.refuse(int(kind), "UnknownError" if kind == "500" else "ServiceNotAvailable", "Injected fault.")
            )
        if kind == "403":
            return _send(
                Graph.refuse(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
            )
        if kind == "400":
            return _send(Graph.refuse(400, "Request_UnsupportedQuery", "Injected fault."))
        if kind == "echo-body":
            return _send(Graph.refuse(400, "BadRequest", f"Not understood: {(await request.read()).decode()}"))
        if kind == "echo":
            return _send(Graph.refuse(400, "BadRequest", f"The request could not be served: {dict(request.headers)}"))
        if kind == "404":
            return _send(Graph.refuse(404, "Request_ResourceNotFound", "Injected fault."))
        if kind == "404-bare":
            return web.Response(status=404, text="<html>Not Found</html>", content_type="text/html")
        if kind == "page-size" and int(request.query.get("$top", "0")) > _SMALL_PAGE:
            return _send(
                Graph.refuse(400, "BadRequest", f"Cannot query data for more than {_SMALL_PAGE} users at a time.")
            )
        return None

    def _spoil(self, fault: Fault, graph: Graph) -> None:
        if fault.kind == "expired-page-token":
            graph.expire_page_tokens()
        elif fault.kind == "delta-410":
            graph.expire_delta_tokens()

    def _bend(
        self, fault: Fault, reply: GraphReply, asked: GraphRequest, request: web.Request, graph: Graph
    ) -> GraphReply:
        body = dict(reply.body)
        if fault.kind.startswith("part-") and "responses" in body:
            return GraphReply(200, body | {"responses": _spoiled_parts(fault.kind, body["responses"])})
        if "value" not in body or not isinstance(body["value"], list):
            return reply
        if fault.kind == "empty-page":
            if "$deltatoken" in asked.query:
                return reply
            body["value"] = []
            body.pop("@odata.deltaLink", None)
            body["@odata.nextLink"] = graph.same_page(asked)
        elif fault.kind == "same-again":
            body.pop("@odata.deltaLink", None)
            body["@odata.nextLink"] = graph.same_page(asked)
        elif fault.kind == "first-again" and "$skiptoken" in asked.query:
            body.pop("@odata.deltaLink", None)
            body["@odata.nextLink"] = graph.first_page(asked)
        elif fault.kind == "no-value":
            del body["value"]
        elif fault.kind == "twice":
            body["value"] = body["value"] + body["value"][:3]
        elif fault.kind == "old-report" and "$deltatoken" in asked.query:
            old = {"id": graph.directory.maker.object_id("user", 0), "@removed": {"reason": "changed"}}
            body["value"] = [*body["value"], old]
        elif fault.kind in ("short-list", "empty-list") and "delta" not in asked.path:
            body.pop("@odata.nextLink", None)
            if fault.kind == "empty-list":
                body["value"] = []
        elif fault.kind == "bad-link" and "@odata.nextLink" in body:
            body["@odata.nextLink"] = "https://[" + body["@odata.nextLink"].replace("users", "us\x01ers")
        elif fault.kind == "link-number" and "@odata.nextLink" in body:
            body["@odata.nextLink"] = 5
        elif fault.kind == "foreign-link" and "@odata.nextLink" in body:
            body["@odata.nextLink"] = body["@odata.nextLink"].replace(request.host, "graph.attacker.example")
        return GraphReply(reply.status, body, reply.content_type)


def _undescribed(problems: list[str]) -> GraphReply:
    return Graph.refuse(400, "NotInMicrosoftsDescription", "; ".join(problems))


def _spoiled_parts(kind: str, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a batch that went well as a whole: its parts fail, or are not there."""
    if kind == "part-lost":
        return []
    refused = {"status": 503, "body": {"error": {"code": "ServiceNotAvailable", "message": "Injected fault."}}}
    return [{**part, **refused} for part in parts]


def _send(reply: GraphReply) -> web.Response:
    if reply.location:
        return web.Response(status=reply.status, headers={"Location": reply.location})
    if reply.status == 204:
        return web.Response(status=204)
    body = reply.body.encode() if isinstance(reply.body, str) else reply.body
    body = body if isinstance(body, bytes) else orjson.dumps(body)
    return web.Response(status=reply.status, body=body, content_type=reply.content_type, charset="utf-8")


async def _truncated(request: web.Request, whole: web.Response) -> web.StreamResponse:
    """Promises the whole length, sends half, cuts the connection."""
    body = whole.body if isinstance(whole.body, bytes) else b""
    response = web.StreamResponse(
        status=whole.status, headers={"Content-Length": str(len(body)), "Content-Type": "application/json"}
    )
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    await asyncio.sleep(0.01)
    reset(request)
    return response
