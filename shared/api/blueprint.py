"""Every route as its own HTTP function, and one function per surface for unknown addresses and methods."""

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import unquote

import azure.functions as func

from shared import settings as app_settings
from shared.api import cursors
from shared.api.answering import Reply, respond, without_body
from shared.api.bodies import read_form, read_json, read_query, validate_form
from shared.api.calls import Call
from shared.api.csrf import FIELD, require_no_form, require_own_site
from shared.api.routes import Route, RouteTable
from shared.api.surfaces import PREFIX, Surface
from shared.errors import MethodNotAllowed, NotFound
from shared.principal import ANYBODY, Principal, identify, require

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
Endpoint = Callable[[func.HttpRequest], func.HttpResponse]


def blueprint(table: RouteTable) -> func.Blueprint:
    made = func.Blueprint()
    for route in table:
        methods = ["GET", "HEAD"] if route.method == "GET" else [route.method]
        _register(made, route.name, route.address, methods, endpoint(route))
    for surface in table.surfaces():
        name = "no_such_address" if surface.prefix == PREFIX else "no_such_page"
        _register(made, name, f"{surface.catch_all}/{{*path}}", _METHODS, _explaining(table, surface))
    return made


def _register(made: func.Blueprint, name: str, path: str, methods: list[str], called: Endpoint) -> None:
    called.__name__ = name
    routed = made.route(route=path, methods=methods, auth_level=func.AuthLevel.ANONYMOUS)(called)
    made.function_name(name)(routed)


def endpoint(route: Route) -> Endpoint:
    """The function that answers for a route."""

    def answer(req: func.HttpRequest) -> func.HttpResponse:
        response = respond(lambda: handle(route, req), route.surface.show_problem, route.surface.headers)
        return without_body(response) if req.method == "HEAD" else response

    return answer


def handle(route: Route, req: func.HttpRequest) -> Reply:
    """Principal, role, site, query, body, handler: in this order, so that nobody learns more than they may."""
    surface = route.surface
    headers = {name.lower(): value for name, value in req.headers.items()}
    principal = ANYBODY
    if route.role is not None:
        principal = identify(app_settings.load(), headers)
        require(principal, route.role)
    require_own_site(route.method, headers, req.url)
    if not surface.forms and route.body is None:  # a body has to be JSON anyhow
        require_no_form(route.method, headers)
    query = read_query(route.query, dict(req.params), req.url)
    address = unquote(req.url.partition("?")[0].partition(f"/{surface.prefix}/")[2]).strip("/")
    asked = query
    if route.returns_list and query is not None:
        query = cursors.opened(address, asked)
    call = Call(
        principal=principal,
        path={name: unquote(str(value)) for name, value in req.route_params.items()},
        query=query,
        body=_body(route, principal, headers, req),
        headers=headers,
        base_url=req.url.partition(f"/{surface.prefix}")[0],
        csrf=surface.csrf.make(principal) if surface.csrf else "",
    )
    reply = route.handler(call)
    if route.returns_list and asked is not None and isinstance(reply.body, dict):
        reply = replace(reply, body=cursors.sealed(address, asked, reply.body))
    return reply


def _body(route: Route, principal: Principal, headers: dict[str, str], req: func.HttpRequest) -> object:
    surface = route.surface
    if not surface.forms:
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
    def explain(req: func.HttpRequest) -> Reply:
        headers = {name.lower(): value for name, value in req.headers.items()}
        identify(app_settings.load(), headers)
        path = unquote(req.url.partition("?")[0].partition(f"/{surface.catch_all}/")[2])
        methods = table.allowed_methods(f"{surface.catch_all}/{path}")
        if methods:
            raise MethodNotAllowed(f"This address takes {', '.join(methods)}.", headers={"Allow": ", ".join(methods)})
        raise NotFound("There is nothing at this address.", remedy=f"See /{PREFIX}/docs for what there is.")

    def answer(req: func.HttpRequest) -> func.HttpResponse:
        response = respond(lambda: explain(req), surface.show_problem, surface.headers)
        return without_body(response) if req.method == "HEAD" else response

    return answer
