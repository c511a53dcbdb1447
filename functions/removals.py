"""Removals that wait for a person, and what is kept of objects that are gone."""

from functions.models import Decision, PageQuery, TombstonesQuery
from shared.api import PREFIX, Call, Reply, route
from shared.domain.records import Hold, HoldItem, Tombstone
from shared.domain.run import Run
from shared.principal import Role
from shared.wiring import app


@route(
    "GET",
    "holds",
    role=Role.READ,
    summary="List removals that wait for a person",
    tag="Removals",
    query=PageQuery,
    returns=Hold,
    returns_list=True,
)
def list_holds(call: Call) -> Reply:
    """One for each stream, explained by cause."""
    query: PageQuery = call.query
    found = [hold for hold in app().removals.holds() if not query.after or hold.id > query.after]
    page = found[: query.limit]
    return Reply({"items": page, "next": page[-1].id if len(found) > query.limit else None})


@route("GET", "holds/{id}", role=Role.READ, summary="Read what waits in one stream", tag="Removals", returns=Hold)
def read_hold(call: Call) -> Reply:
    return Reply(app().removals.hold(call.path["id"]))


@route(
    "GET",
    "holds/{id}/items",
    role=Role.READ,
    summary="List the objects whose removal waits",
    tag="Removals",
    query=PageQuery,
    returns=HoldItem,
    returns_list=True,
)
def list_hold_items(call: Call) -> Reply:
    query: PageQuery = call.query
    items, following = app().removals.items(call.path["id"], after=query.after, limit=query.limit)
    return Reply({"items": items, "next": following})


@route(
    "POST",
    "holds/{id}/confirm",
    role=Role.OPERATE,
    summary="Confirm held removals: a run asks for each once more, then removes it",
    tag="Removals",
    body=Decision,
    returns=Run,
    status=202,
)
def confirm_hold(call: Call) -> Reply:
    run = app().removals.decide(call.path["id"], "confirmed", call.principal.name, call.body.ids)
    assert run is not None
    return Reply(run.shown(), 202, {"Location": f"/{PREFIX}/runs/{run.id}"})


@route(
    "POST",
    "holds/{id}/reject",
    role=Role.OPERATE,
    summary="Reject held removals: the records are kept until the objects are there again",
    tag="Removals",
    body=Decision,
    returns=Hold,
)
def reject_hold(call: Call) -> Reply:
    app().removals.decide(call.path["id"], "rejected", call.principal.name, call.body.ids)
    return Reply(app().removals.hold(call.path["id"]))


@route(
    "GET",
    "tombstones",
    role=Role.READ,
    summary="List objects that are gone, with date and reason",
    tag="Removals",
    query=TombstonesQuery,
    returns=Tombstone,
    returns_list=True,
)
def list_tombstones(call: Call) -> Reply:
    query: TombstonesQuery = call.query
    items, following = app().removals.tombstones(
        app().clock.now(), source=query.source, since=query.since, after=query.after, limit=query.limit
    )
    return Reply({"items": items, "next": following})
