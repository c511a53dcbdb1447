"""The configuration API: the same six operations for each of the six kinds of objects."""

import contextlib
from collections.abc import Callable

from pydantic.alias_generators import to_camel

from functions.models import DeleteConnectorQuery, PageQuery
from shared.api import Call, Reply, Routes
from shared.api.pools import STORAGE, VAULT
from shared.api.surfaces import PREFIX
from shared.configuration.kinds import ConfigKind, config_kinds
from shared.connectors.registry import Registry
from shared.domain.base import Model, is_id
from shared.domain.configuration import PermissionNeeded, Unreadable
from shared.domain.pending import Pending, Underway
from shared.domain.run import Run
from shared.errors import NotFound, Unavailable, foreign_cursor
from shared.names import Role
from shared.wiring import app

other_routes = Routes(tag="Connectors", role=Role.READ)
"""What only some kinds have."""


def routes(registry: Registry) -> Routes:
    """The routes of every kind of configuration."""
    group = Routes(tag="Configuration", role=Role.CONFIGURE)
    for kind in config_kinds(registry).values():
        _add_reading(group, kind)
        _add_writing(group, kind)
        _add_deleting(group, kind)
    return group


def _etag(model: Model) -> dict[str, str]:
    return {"ETag": f'"r{model.revision}"'}  # type: ignore[attr-defined]


def object_id(noun: str, call: Call) -> str:
    """The id in the address. Raises NotFound if it cannot be an id."""
    given = call.path["id"]
    if not is_id(given):
        raise NotFound(f"There is no {noun} with this id.")
    return given


def _waits_for(kind: ConfigKind) -> Callable[[Call], str]:
    """Changes of credentials go to the vault, and so does a connector's secret."""

    def waits_for(call: Call) -> str:
        names = ("client_secret", "action_client_secret")
        body = call.body
        secret = any(body.get(to_camel(one)) if isinstance(body, dict) else getattr(body, one, None) for one in names)
        return VAULT if kind.key == "credential" or secret else STORAGE

    return waits_for


def _names(kind: ConfigKind) -> tuple[str, str, str, str]:
    """Singular and plural for the functions' names, the noun with its article, and the tag."""
    many = kind.path.replace("-", "_")
    noun = f"{'an' if kind.noun[0] in 'aeiou' else 'a'} {kind.noun}"
    return many.removesuffix("s"), many, noun, f"{kind.noun.capitalize()}s"


def _add_reading(group: Routes, kind: ConfigKind) -> None:
    one, many, noun, tag = _names(kind)

    @group.get(
        kind.path, f"List {many.replace('_', ' ')}",
        name=f"list_{many}", tag=tag, role=Role.READ, query=PageQuery, returns=kind.out, returns_list=True, or_items=(Unreadable,),
    )  # fmt: skip
    def read_list(call: Call) -> Reply:
        query: PageQuery = call.query
        if query.after and not is_id(query.after):
            raise foreign_cursor()
        items = app().configuration.page(kind, after=query.after, limit=query.limit + 1)
        more = len(items) > query.limit
        items = items[: query.limit]
        return Reply({"items": items, "next": items[-1].id if more else None})  # type: ignore[attr-defined]

    @group.get(
        f"{kind.path}/{{id}}", f"Read {noun}", name=f"read_{one}", tag=tag, role=Role.READ, returns=kind.out
    )  # fmt: skip
    def read(call: Call) -> Reply:
        found = app().configuration.get(kind, object_id(kind.noun, call))
        return Reply(found, headers=_etag(found))


def _add_writing(group: Routes, kind: ConfigKind) -> None:
    one, _, noun, tag = _names(kind)
    item, waits_for = f"{kind.path}/{{id}}", _waits_for(kind)

    @group.post(
        kind.path, f"Create {noun}", name=f"create_{one}", tag=tag, body=kind.model, returns=kind.out, status=201,
        waits_for=waits_for,
    )  # fmt: skip
    def create(call: Call) -> Reply:
        made = app().configuration.create(kind, call.body, call.principal.actor, object_id=call.once)
        location = f"/{PREFIX}/{kind.path}/{made.id}"  # type: ignore[attr-defined]
        return Reply(made, 201, {"Location": location, **_etag(made)})

    @group.put(
        item, f"Replace {noun}",
        name=f"replace_{one}", tag=tag, body=kind.model, returns=kind.out, needs_if_match=True, waits_for=waits_for,
    )  # fmt: skip
    def replace(call: Call) -> Reply:
        changed = object_id(kind.noun, call)
        saved = app().configuration.replace(kind, changed, call.body, call.revisions(), call.principal.actor)
        return Reply(saved, headers=_etag(saved))

    @group.patch(
        item, f"Change fields of {noun}",
        name=f"patch_{one}", tag=tag, body=kind.model, merge_patch=True, returns=kind.out, needs_if_match=True, waits_for=waits_for,
    )  # fmt: skip
    def patch(call: Call) -> Reply:
        changed = object_id(kind.noun, call)
        saved = app().configuration.patch(kind, changed, call.body, call.revisions(), call.principal.actor)
        return Reply(saved, headers=_etag(saved))


def _add_deleting(group: Routes, kind: ConfigKind) -> None:
    one, _, noun, tag = _names(kind)
    with_records = kind.key == "connector"

    @group.delete(
        f"{kind.path}/{{id}}", f"Delete {noun}",
        name=f"delete_{one}", tag=tag, status=204, needs_if_match=True,
        query=DeleteConnectorQuery if with_records else None, waits_for=_waits_for(kind),
        also=(
            *(((202, Run, "The run that removes its records first"),) if with_records else ()),
            (202, Underway, "Deleted, with something still to come"),
        ),
    )  # fmt: skip
    def delete(call: Call) -> Reply:
        if call.query and call.query.records:
            return _delete_with_records(object_id(kind.noun, call), call)
        deleted = object_id(kind.noun, call)
        pending = app().configuration.delete(kind, deleted, call.revisions(), call.principal.actor)
        return Reply(Underway(pending=pending), 202) if pending else Reply(status=204)


def _delete_with_records(connector: str, call: Call) -> Reply:
    """Answers with the run that removes them; the connector shows `deleting` until its end."""
    who = call.principal.actor
    document = app().configuration.mark_deleting(connector, call.revisions(), who)
    run = None
    with contextlib.suppress(Unavailable):  # the connector is marked: the timer starts the run
        run = app().dispatch.delete_records(document, who)
    if run is None:
        return Reply(Underway(pending=[_DELETION]), 202)
    return Reply(run.shown(), 202, {"Location": f"/{PREFIX}/runs/{run.id}"})


_DELETION = Pending(code="deletion-run", message="The run that removes its records begins with the timer's next turn.")


@other_routes.get(
    "connectors/{id}/permissions",
    "List the application permissions that a connector needs as it is configured",
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


@other_routes.get(
    "credentials/{id}/certificate",
    "Download a credential's public certificate",
    tag="Credentials",
    content_type="application/x-pem-file",
)
def read_credential_certificate(call: Call) -> Reply:
    """The public part, PEM: upload it to the app registration."""
    pem = app().configuration.certificate_pem(object_id("credential", call))
    return Reply(pem, content_type="application/x-pem-file")
