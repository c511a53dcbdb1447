"""Every route as its own HTTP function, and one function per surface for unknown addresses and methods. Each is answered
within its deadline, whatever the services behind it do.
"""

import contextlib
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, cast
from urllib.parse import unquote

import azure.functions as func
from pydantic import BaseModel

from shared import settings as app_settings
from shared.api import cursors
from shared.api.answering import Reply, respond, without_body
from shared.api.bodies import read_file, read_form, read_json, read_query, validate_form
from shared.api.calls import Call
from shared.api.csrf import FIELD, require_no_form, require_own_site
from shared.api.edge import Edge
from shared.api.idempotency import carry_out
from shared.api.pools import STORAGE
from shared.api.routes import Route, RouteTable
from shared.api.surfaces import PREFIX, Surface
from shared.deadline import Deadline
from shared.errors import Forbidden, MethodNotAllowed, NotFound, Unanswered, Unavailable
from shared.principal import ANYBODY, Principal, identify, require
from shared.settings import Settings

_DEFAULT_SECONDS = 20.0
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
Endpoint = Callable[[func.HttpRequest], Coroutine[Any, Any, func.HttpResponse]]
_ATTEMPT = 2.0
"""Seconds for counting a refusal: it is answered all the same."""


def blueprint(table: RouteTable, edge: Edge | None = None) -> func.Blueprint:
    made, edge = func.Blueprint(), edge or Edge()
    for route in table:
        methods = ["GET", "HEAD"] if route.method == "GET" else [route.method]
        _register(made, route.name, route.address, methods, endpoint(route, edge))
    for surface in table.surfaces():
        name = "no_such_address" if surface.prefix == PREFIX else "no_such_page"
        _register(made, name, f"{surface.catch_all}/{{*path}}", _METHODS, _explaining(table, surface))
    return made


def _register(made: func.Blueprint, name: str, path: str, methods: list[str], called: Endpoint) -> None:
    called.__name__ = name
    routed = made.route(route=path, methods=methods, auth_level=func.AuthLevel.ANONYMOUS)(called)
    made.function_name(name)(routed)


def endpoint(route: Route, edge: Edge | None = None) -> Endpoint:
    """The function that answers for a route."""
    edge = edge or Edge()

    async def answer(req: func.HttpRequest) -> func.HttpResponse:
        response = await respond(lambda: handle(route, req, edge), route.surface.show_problem, route.surface.headers)
        return without_body(response) if req.method == "HEAD" else response

    return answer


async def handle(route: Route, req: func.HttpRequest, edge: Edge) -> Reply:
    """Principal, role, site, query, body, handler: in this order, so that nobody learns more than they may."""
    settings = app_settings.load() if route.role else None
    seconds = settings.request_seconds if settings else _DEFAULT_SECONDS
    until = Deadline(seconds, edge.clock)
    call, asked, address = await _admitted(route, req, settings, edge)
    try:
        if inspect.iscoroutinefunction(route.handler):
            reply = await cast("Awaitable[Reply]", route.handler(call))
        elif not route.waits_for:
            reply = cast("Reply", route.handler(call))
        else:
            where = f"{route.method} {address}"
            handler = cast("Callable[[Call], Reply]", route.handler)
            pool = route.waits_for if isinstance(route.waits_for, str) else route.waits_for(call)
            reply = await edge.pools[pool].run(
                lambda: carry_out(call, where, handler, edge.once() if route.method == "POST" else None, seconds), until
            )
    except Unavailable as error:
        raise _told(error, until, route, address) from error
    if route.returns_list and asked is not None and isinstance(reply.body, dict):
        reply = replace(reply, body=cursors.sealed(address, asked, reply.body))
    return reply


def _told(error: Unavailable, until: Deadline, route: Route, address: str) -> Unavailable:
    """A change that was sent and not answered may have been made: the answer says where to look."""
    if not (until.unanswered or isinstance(error, Unanswered)):
        return error
    where = f"Read /{PREFIX}/{address}" if route.method != "POST" else f"List /{PREFIX}/{address.partition('/')[0]}"
    return Unanswered(
        error.detail,
        remedy=f"{where} to see whether it was done before you send it again. A POST that carries an Idempotency-Key can "
        "simply be sent again.",
    )


async def _admitted(
    route: Route, req: func.HttpRequest, settings: Settings | None, edge: Edge
) -> tuple[Call, BaseModel | None, str]:
    """The call as its handler gets it, the query as it was sent, and the address. Counts who is refused."""
    surface = route.surface
    headers = {name.lower(): value for name, value in req.headers.items()}
    principal = ANYBODY
    try:
        if route.role is not None and settings:
            principal = identify(settings, headers)
            require(principal, route.role)
        require_own_site(route.method, headers, req.url)
        if not surface.forms and route.body is None and not route.upload:  # a body has to be JSON anyhow
            require_no_form(route.method, headers)
    except Forbidden as error:
        await _count(error.who if isinstance(error.who, Principal) else principal, error, route, edge)
        raise
    query = read_query(route.query, dict(req.params), req.url)
    address = unquote(req.url.partition("?")[0].partition(f"/{surface.prefix}/")[2]).strip("/")
    opened = cursors.opened(address, query) if route.returns_list and query is not None else query
    call = Call(
        principal=principal,
        path={name: unquote(str(value)) for name, value in req.route_params.items()},
        query=opened,
        body=_body(route, principal, headers, req),
        headers=headers,
        base_url=req.url.partition(f"/{surface.prefix}")[0],
        csrf=surface.csrf.make(principal) if surface.csrf else "",
    )
    return call, query, address


async def _count(principal: Principal, error: Forbidden, route: Route, edge: Edge) -> None:
    """Who is refused is counted; an answer does not depend on it."""
    if principal == ANYBODY:
        return
    needed = route.role.value if error.code == "role-missing" and route.role else error.code
    with contextlib.suppress(Unavailable):
        await edge.pools[STORAGE].run(lambda: edge.refused(principal, needed), Deadline(_ATTEMPT, edge.clock))


def _body(route: Route, principal: Principal, headers: dict[str, str], req: func.HttpRequest) -> object:
    surface = route.surface
    if not surface.forms:
        if route.upload:
            return read_file(headers, req.get_body(), route.upload)
        if route.body is None:
            return None
        return read_json(route.body, headers, req.get_body(), merge_patch=route.merge_patch)
    if route.method == "GET":
        return None
    fields = read_form(headers, req.get_body())
    token = fields.pop(FIELD, "")
    if surface.csrf:
        surface.csrf.check(principal, token if isinstance(token, str) else "")
    return validate_form(route.body, fields) if route.body else None


def _explaining(table: RouteTable, surface: Surface) -> Endpoint:
    async def explain(req: func.HttpRequest) -> Reply:
        headers = {name.lower(): value for name, value in req.headers.items()}
        identify(app_settings.load(), headers)
        path = unquote(req.url.partition("?")[0].partition(f"/{surface.catch_all}/")[2])
        methods = table.allowed_methods(f"{surface.catch_all}/{path}")
        if methods:
            raise MethodNotAllowed(f"This address takes {', '.join(methods)}.", headers={"Allow": ", ".join(methods)})
        raise NotFound("There is nothing at this address.", remedy=f"See /{PREFIX}/docs for what there is.")

    async def answer(req: func.HttpRequest) -> func.HttpResponse:
        response = await respond(lambda: explain(req), surface.show_problem, surface.headers)
        return without_body(response) if req.method == "HEAD" else response

    return answer
