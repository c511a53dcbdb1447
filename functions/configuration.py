"""The configuration API: the same six operations for each of the six kinds."""

from collections.abc import Callable

from functions.models import DeleteConnectorQuery, PageQuery
from shared.api import PREFIX, Call, Reply, Route, add_route, route
from shared.configuration.kinds import ConfigKind, config_kinds
from shared.connectors.registry import Registry
from shared.domain.base import Model, is_id
from shared.domain.configuration import PermissionNeeded
from shared.domain.run import Run
from shared.errors import NotFound, foreign_cursor
from shared.principal import Role
from shared.wiring import app

Handler = Callable[[Call], Reply]


def _etag(model: Model) -> dict[str, str]:
    return {"ETag": f'"r{model.revision}"'}  # type: ignore[attr-defined]


def object_id(noun: str, call: Call) -> str:
    """The id in the address. Raises NotFound for what can be none."""
    given = call.path["id"]
    if not is_id(given):
        raise NotFound(f"There is no {noun} with this id.")
    return given


def _handlers(kind: ConfigKind) -> dict[str, Handler]:
    def read_list(call: Call) -> Reply:
        query: PageQuery = call.query
        if query.after and not is_id(query.after):
            raise foreign_cursor()
        items = app().configuration.page(kind, after=query.after, limit=query.limit + 1)
        more = len(items) > query.limit
        items = items[: query.limit]
        return Reply({"items": items, "next": items[-1].id if more else None})  # type: ignore[attr-defined]

    def create(call: Call) -> Reply:
        made = app().configuration.create(kind, call.body)
        location = f"/{PREFIX}/{kind.path}/{made.id}"  # type: ignore[attr-defined]
        return Reply(made, 201, {"Location": location, **_etag(made)})

    def read(call: Call) -> Reply:
        found = app().configuration.get(kind, object_id(kind.noun, call))
        return Reply(found, headers=_etag(found))

    def replace(call: Call) -> Reply:
        saved = app().configuration.replace(kind, object_id(kind.noun, call), call.body, call.revision())
        return Reply(saved, headers=_etag(saved))

    def patch(call: Call) -> Reply:
        saved = app().configuration.patch(kind, object_id(kind.noun, call), call.body, call.revision())
        return Reply(saved, headers=_etag(saved))

    def delete(call: Call) -> Reply:
        if call.query and call.query.records:
            return _delete_with_records(object_id(kind.noun, call), call)
        app().configuration.delete(kind, object_id(kind.noun, call), call.revision())
        return Reply(status=204)

    return {"list": read_list, "create": create, "read": read, "replace": replace, "patch": patch, "delete": delete}


def _delete_with_records(connector: str, call: Call) -> Reply:
    """Answers with the run that removes them; the connector shows `deleting` until its end."""
    document = app().configuration.mark_deleting(connector, call.revision())
    run = app().dispatch.delete_records(document, call.principal.name)
    return Reply(run.shown() if run else None, 202, {"Location": f"/{PREFIX}/runs/{run.id}"} if run else {})


def _register(kind: ConfigKind) -> None:
    handlers = _handlers(kind)
    one = kind.path.replace("-", "_").removesuffix("s")
    many = kind.path.replace("-", "_")
    tag = kind.noun.capitalize() + "s"
    noun = f"{'an' if kind.noun[0] in 'aeiou' else 'a'} {kind.noun}"

    def add(name: str, method: str, path: str, operation: str, summary: str, **options: object) -> None:
        role = Role.READ if method == "GET" else Role.CONFIGURE
        add_route(Route(name, method, path, handlers[operation], role, summary, tag, **options))  # type: ignore[arg-type]

    item = f"{kind.path}/{{id}}"
    add(
        f"list_{many}",
        "GET",
        kind.path,
        "list",
        f"List {many.replace('_', ' ')}",
        query=PageQuery,
        returns=kind.out,
        returns_list=True,
    )
    add(
        f"create_{one}",
        "POST",
        kind.path,
        "create",
        f"Create {noun}",
        body=kind.model,
        returns=kind.out,
        status=201,
    )
    add(f"read_{one}", "GET", item, "read", f"Read {noun}", returns=kind.out)
    add(
        f"replace_{one}",
        "PUT",
        item,
        "replace",
        f"Replace {noun}",
        body=kind.model,
        returns=kind.out,
        needs_if_match=True,
    )
    add(
        f"patch_{one}",
        "PATCH",
        item,
        "patch",
        f"Change fields of {noun}",
        body=kind.model,
        merge_patch=True,
        returns=kind.out,
        needs_if_match=True,
    )
    query = DeleteConnectorQuery if kind.key == "connector" else None
    also = ((202, Run, "The run that removes its records first"),) if kind.key == "connector" else ()
    add(
        f"delete_{one}",
        "DELETE",
        item,
        "delete",
        f"Delete {noun}",
        status=204,
        needs_if_match=True,
        query=query,
        also=also,
    )


def register(registry: Registry) -> None:
    """Adds the routes of every kind of configuration."""
    for kind in config_kinds(registry).values():
        _register(kind)


@route(
    "GET",
    "connectors/{id}/permissions",
    role=Role.READ,
    summary="List the application permissions that a connector needs as it is configured",
    tag="Connectors",
    query=PageQuery,
    returns=PermissionNeeded,
    returns_list=True,
)
def list_connector_permissions(call: Call) -> Reply:
    """Derived from the streams that its options switch on, and from the source's excluded groups."""
    query: PageQuery = call.query
    needed = app().configuration.permissions(object_id("connector", call))
    start = int(query.after) if query.after and query.after.isdecimal() else 0
    end = start + query.limit
    return Reply({"items": needed[start:end], "next": str(end) if end < len(needed) else None})


@route(
    "GET",
    "credentials/{id}/certificate",
    role=Role.READ,
    summary="Download a credential's public certificate",
    tag="Credentials",
    content_type="application/x-pem-file",
)
def read_credential_certificate(call: Call) -> Reply:
    """The public part, PEM: upload it to the app registration."""
    pem = app().configuration.certificate_pem(object_id("credential", call))
    return Reply(pem, content_type="application/x-pem-file")
