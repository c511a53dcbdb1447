"""The route table: one decorator makes an HTTP function, validates what comes in, and turns every error into problem+json.

    @route("GET", "people/{id}", role=Role.READ, returns=Record)
    def read_person(call: Call) -> Reply: ...

The function's name is the operation's name everywhere: in Azure, in telemetry, in OpenAPI.
"""

import logging
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import azure.functions as func
import orjson
from pydantic import BaseModel, ValidationError

from shared import settings as app_settings
from shared.errors import (
    BadRequest,
    Changed,
    FieldError,
    Invalid,
    MissingPrecondition,
    NotFound,
    RollcallError,
    TooLarge,
    UnsupportedMedia,
)
from shared.principal import Principal, Role, identify, require
from shared.validation import field_errors

PREFIX = "api/v1"
MOST_BODY = 1024 * 1024
_DEEPEST = 20
_ETAG = re.compile(r'^"r(\d{1,9})"$')
_log = logging.getLogger("rollcall.api")


@dataclass(frozen=True)
class Call:
    """One validated request. `query` and `body` are instances of the route's models (None without one)."""

    principal: Principal
    path: dict[str, str]
    query: Any
    body: Any
    headers: dict[str, str]
    base_url: str

    def revision(self) -> int | None:
        """The revision that If-Match names, None for *. Raises MissingPrecondition or Changed."""
        text = self.headers.get("if-match", "").strip()
        if not text:
            raise MissingPrecondition("If-Match is missing.")
        if text == "*":
            return None
        match = _ETAG.match(text)
        if not match:
            raise Changed("The ETag in If-Match is none of ours.")
        return int(match.group(1))


@dataclass(frozen=True)
class Reply:
    """What a handler gives back; `body` is a model, JSON data, or text with a content type of its own."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True)
class Route:
    """One operation. `role` None: open to everybody (health only). `returns_list`: a page of `returns`."""

    name: str
    method: str
    path: str
    handler: Callable[[Call], Reply]
    role: Role | None
    summary: str
    tag: str
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    merge_patch: bool = False
    returns: type[BaseModel] | None = None
    returns_list: bool = False
    status: int = 200
    content_type: str = "application/json"
    needs_if_match: bool = False
    also: tuple[tuple[int, type[BaseModel], str], ...] = ()
    """Other good answers: status, model, when."""


ROUTES: dict[str, Route] = {}


def add_route(route_: Route) -> Route:
    if route_.name in ROUTES:
        raise ValueError(f"two routes are named {route_.name}")
    ROUTES[route_.name] = route_
    return route_


def route(
    method: str, path: str, *, role: Role | None, summary: str, tag: str, **options: Any
) -> Callable[[Callable[[Call], Reply]], Callable[[Call], Reply]]:
    """Registers a handler under its own name."""

    def register(handler: Callable[[Call], Reply]) -> Callable[[Call], Reply]:
        add_route(Route(handler.__name__, method, path, handler, role, summary, tag, **options))
        return handler

    return register


def blueprint() -> func.Blueprint:
    """Every route as an HTTP function of its own, and one that answers for addresses and methods that are not there."""
    made = func.Blueprint()
    for entry in ROUTES.values():
        _register(made, entry.name, f"{PREFIX}/{entry.path}", [entry.method], _endpoint(entry))
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    _register(made, "no_such_address", "api/{*path}", methods, _no_such_address)
    return made


def _register(
    made: func.Blueprint,
    name: str,
    path: str,
    methods: list[str],
    endpoint: Callable[[func.HttpRequest], func.HttpResponse],
) -> None:
    endpoint.__name__ = name
    routed = made.route(route=path, methods=methods, auth_level=func.AuthLevel.ANONYMOUS)(endpoint)
    made.function_name(name)(routed)


def _endpoint(entry: Route) -> Callable[[func.HttpRequest], func.HttpResponse]:
    def endpoint(req: func.HttpRequest) -> func.HttpResponse:
        return respond(lambda: handle(entry, req))

    return endpoint


def respond(work: Callable[[], Reply]) -> func.HttpResponse:
    """Runs the work; every error becomes an answer with a stable code and a remedy, unknown ones without their text."""
    request_id = uuid.uuid4().hex
    try:
        return _response(work(), request_id)
    except RollcallError as error:
        if error.status >= 500:
            _log.warning("request %s: %s %s", request_id, error.code, error.detail)
        return problem(error, request_id)
    except Exception:  # noqa: BLE001 - the edge: whatever it was, the caller gets an answer and the log the rest
        _log.exception("request %s failed", request_id)
        return problem(RollcallError("The request met a defect in Rollcall."), request_id)


def handle(entry: Route, req: func.HttpRequest) -> Reply:
    """Principal, role, query, body, handler: in this order, so that nobody learns more than they may."""
    settings = app_settings.load()
    headers = {name.lower(): value for name, value in req.headers.items()}
    principal = Principal("anonymous", "anonymous", frozenset())
    if entry.role is not None:
        principal = identify(settings, headers, req.url)
        require(principal, entry.role)
    path = {name: unquote(str(value)) for name, value in req.route_params.items()}
    call = Call(
        principal=principal,
        path=path,
        query=_query(entry, dict(req.params)),
        body=_body(entry, headers, req.get_body()),
        headers=headers,
        base_url=req.url.partition("/api/")[0],
    )
    return entry.handler(call)


def _query(entry: Route, given: dict[str, str]) -> Any:
    model = entry.query
    if model is None:
        if given:
            unknown = tuple(FieldError(name, "unknown", "is not an option of this address") for name in given)
            raise Invalid("Unknown query options.", fields=unknown)
        return None
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise Invalid("The query is not valid.", fields=field_errors(error)) from error


def _body(entry: Route, headers: dict[str, str], raw: bytes) -> Any:
    if len(raw) > MOST_BODY:
        raise TooLarge(f"The body has {len(raw)} bytes.")
    if entry.body is None:
        return None
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    allowed = ("application/json", "application/merge-patch+json") if entry.merge_patch else ("application/json",)
    if kind not in allowed:
        raise UnsupportedMedia(f"The content type is {kind or 'missing'}.", remedy=f"Send {' or '.join(allowed)}.")
    if not raw:
        raise BadRequest(
            "The body is empty.",
            code="body-missing",
            remedy="Send JSON with a Content-Length header: the Functions host drops chunked bodies.",
        )
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest(
            f"The body is not JSON (line {error.lineno}, column {error.colno}).", code="malformed-json"
        ) from None
    if _depth(data) > _DEEPEST:
        raise BadRequest(f"The body is nested deeper than {_DEEPEST} levels.", code="too-deep")
    if not isinstance(data, dict):
        raise Invalid("The body must be a JSON object.", fields=(FieldError("(body)", "object", "must be an object"),))
    if entry.merge_patch:
        return data
    try:
        return entry.body.model_validate(data)
    except ValidationError as error:
        raise Invalid("The body is not valid.", fields=field_errors(error)) from None


def _depth(data: Any) -> int:
    """Levels of nesting, counted without recursion."""
    depth, level = 0, [data]
    while level and depth <= _DEEPEST:
        depth += 1
        level = [
            v
            for item in level
            if isinstance(item, dict | list)
            for v in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


def _json(data: Any) -> bytes:
    if isinstance(data, BaseModel):
        return data.model_dump_json(by_alias=True).encode()
    return orjson.dumps(data, default=lambda value: value.model_dump(mode="json", by_alias=True))


def _response(reply: Reply, request_id: str) -> func.HttpResponse:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Request-Id": request_id}
    headers |= reply.headers
    if reply.status == 204:
        return func.HttpResponse(status_code=204, headers=headers)
    body = reply.body if isinstance(reply.body, str | bytes) else _json(reply.body)
    return func.HttpResponse(
        body=body,
        status_code=reply.status,
        headers=headers,
        mimetype=reply.content_type.partition(";")[0],
        charset="utf-8",
    )


def problem(error: RollcallError, request_id: str) -> func.HttpResponse:
    """RFC 9457, with `code`, `remedy` and the bad fields."""
    body: dict[str, Any] = {
        "type": f"urn:rollcall:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "remedy": error.remedy,
        "requestId": request_id,
    }
    if error.fields:
        body["errors"] = [{"field": f.field, "code": f.code, "message": f.message} for f in error.fields]
    headers = {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Request-Id": request_id,
        **error.headers,
    }
    return func.HttpResponse(
        body=orjson.dumps(body), status_code=error.status, headers=headers, mimetype="application/problem+json"
    )


def allowed_methods(path: str) -> list[str]:
    """The methods that an address takes; none: there is no such address."""
    found = set()
    for entry in ROUTES.values():
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", f"{PREFIX}/{entry.path}")
        if re.fullmatch(pattern, path.strip("/")):
            found.add(entry.method)
    return sorted(found)


def _no_such_address(req: func.HttpRequest) -> func.HttpResponse:
    return respond(lambda: _explain_address(req))


def _explain_address(req: func.HttpRequest) -> Reply:
    from shared.errors import MethodNotAllowed

    settings = app_settings.load()
    identify(settings, {name.lower(): value for name, value in req.headers.items()}, req.url)
    path = unquote(req.url.partition("?")[0].partition("/api/")[2])
    methods = allowed_methods(f"api/{path}")
    if methods:
        raise MethodNotAllowed(f"This address takes {', '.join(methods)}.", headers={"Allow": ", ".join(methods)})
    raise NotFound("There is nothing at this address.", remedy=f"See /{PREFIX}/docs for what there is.")
