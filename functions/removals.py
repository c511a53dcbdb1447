"""Removals that wait for a person, and what is kept of objects that are gone."""

from functions.models import Decision, PageQuery, TombstonesQuery
from shared.api import Call, Reply, Routes
from shared.api.surfaces import PREFIX
from shared.domain.pending import Pending, Underway
from shared.domain.records import Hold, HoldItem, Tombstone
from shared.domain.run import Run
from shared.names import Role
from shared.wiring import app

routes = Routes(tag="Removals", role=Role.READ)
_LATER = Pending(code="run-message", message="The decision is saved. The connector's next run carries it out.")


@routes.get("holds", "List removals that wait for a person", query=PageQuery, returns=Hold, returns_list=True)
def list_holds(call: Call) -> Reply:
    """One for each stream, explained by cause."""
    query: PageQuery = call.query
    found = [hold for hold in app().removals.holds() if not query.after or hold.id > query.after]
    page = found[: query.limit]
    return Reply({"items": page, "next": page[-1].id if len(found) > query.limit else None})


@routes.get("holds/{id}", "Read what waits in one stream", returns=Hold)
def read_hold(call: Call) -> Reply:
    return Reply(app().removals.hold(call.path["id"]))


@routes.get(
    "holds/{id}/items", "List the objects whose removal waits", query=PageQuery, returns=HoldItem, returns_list=True
)
def list_hold_items(call: Call) -> Reply:
    query: PageQuery = call.query
    items, following = app().removals.items(call.path["id"], after=query.after, limit=query.limit)
    return Reply({"items": items, "next": following})


@routes.post(
    "holds/{id}/confirm",
    "Confirm held removals: a run asks Microsoft Graph for each object again, then removes it",
    role=Role.OPERATE,
    body=Decision,
    returns=Run,
    status=202,
    also=((202, Underway, "The decision is saved; its run could not be started yet"),),
)
def confirm_hold(call: Call) -> Reply:
    run = app().removals.decide(call.path["id"], "confirmed", call.principal.actor, call.body.ids)
    if run is None:
        return Reply(Underway(pending=[_LATER]), 202)
    return Reply(run.shown(), 202, {"Location": f"/{PREFIX}/runs/{run.id}"})


@routes.post(
    "holds/{id}/reject",
    "Reject held removals: the records are kept until the objects are seen again",
    role=Role.OPERATE,
    body=Decision,
    returns=Hold,
)
def reject_hold(call: Call) -> Reply:
    app().removals.decide(call.path["id"], "rejected", call.principal.actor, call.body.ids)
    return Reply(app().removals.hold(call.path["id"]))


@routes.get(
    "tombstones",
    "List objects that are gone, with date and reason",
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
