"""People actions: the catalogue, what can be done to somebody, plans, and what becomes of them."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, StringConstraints

from functions.models import PageQuery
from shared.actions.book import ACTIONS, NOT_OFFERED, QUERIES, action_named, query_named
from shared.api import Call, Reply, Routes
from shared.api.pools import GRAPH
from shared.api.surfaces import PREFIX
from shared.domain.base import Id, Model
from shared.domain.offers import Available, CredentialCheck
from shared.domain.plan import MOST_TARGETS, Item, Plan, Risk, State
from shared.errors import FieldError, Invalid, NotFound
from shared.names import Role
from shared.wiring import app

routes = Routes(tag="Actions", role=Role.READ)
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PLURAL = {"person": "people", "device": "devices"}
RecordId = Annotated[str, StringConstraints(pattern=r"^[0-9a-z]{1,40}~[0-9A-Fa-f-]{36}$")]


class ActionEntry(Model):
    """One action."""

    name: str
    """What plans name it by."""
    title: str
    """In words."""
    target: Literal["person", "device", "source"]
    """What it is done to; source: the tenant itself."""
    description: str
    """What it does."""
    note: str
    """What else to know."""
    risk: Risk
    """low, disruptive or severe: policies go by it."""
    permissions: list[str]
    """The least application permissions of Microsoft Graph for it, as a rule."""
    roles: list[str]
    """One of these directory roles the application needs, too."""
    licence: str
    """What the tenant has to have bought."""
    repeatable: bool
    """Done twice it is as if it was done once. No action is ever repeated by Rollcall."""
    reverse: str
    """The action that takes it back; empty: nothing does."""
    parameters: dict[str, Any]
    """JSON Schema of what it is given."""


class QueryEntry(Model):
    """Something that can be asked live."""

    name: str
    """What it is asked for by."""
    title: str
    """In words."""
    target: Literal["person", "device", "source"]
    """What it is about."""
    description: str
    """What it answers."""
    permission: str
    """The least application permission."""
    licence: str
    """What the tenant has to have bought."""


class Refusable(Model):
    """Something that Microsoft Graph has not for an application."""

    title: str
    """What people look for."""
    because: str
    """Why it is not here."""


class ActionCatalogue(Model):
    """Everything that can be done and asked."""

    actions: list[ActionEntry]
    """In the order of their names."""
    queries: list[QueryEntry]
    """In the order of their names."""
    not_offered: list[Refusable]
    """What people look for in vain, and why."""


class PlanIn(Model):
    """What an action is given."""

    parameters: dict[str, Any] = {}
    """As the action's entry in GET /actions describes them."""


class BulkIn(PlanIn):
    """The same action on many."""

    ids: Annotated[list[RecordId], Field(max_length=MOST_TARGETS)] = []
    """Record ids, all of one source."""
    source: Id | None = None
    """With a filter: the source."""
    filter: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None
    """Those records that it finds, as the lists of records take it."""


class Planned(Model):
    """A plan, and what submits it."""

    plan: Plan
    """What would be done. In state planning: its targets are still being looked at."""
    items: list[Item]
    """What would be sent, and what keeps it from being sent; the first hundred."""
    token: str | None
    """Send it to POST /plans within 15 minutes. It does nothing else. null: there is nothing to submit."""


class SubmitIn(Model):
    """The consent of its author."""

    token: Annotated[str, StringConstraints(min_length=20, max_length=200, pattern=r"^[\x21-\x7e]+$")]
    """As the plan gave it."""
    justification: Annotated[str, StringConstraints(max_length=1000)] = ""
    """Why; it goes into the audit trail."""
    password: Annotated[SecretStr, Field(min_length=8, max_length=256)] | None = None
    """Of a reset whose parameter `given` is true, and that nobody else has to agree to. Kept nowhere."""


class PerformIn(Model):
    """What an approved plan may need."""

    password: Annotated[SecretStr, Field(min_length=8, max_length=256)] | None = None
    """Of a reset whose parameter `given` is true. Kept nowhere."""


class Performed(Model):
    """How far it got, and what is shown once."""

    plan: Plan
    """As it is now."""
    items: list[Item]
    """The first hundred."""
    shown_once: dict[str, str] = {}
    """password or temporaryAccessPass. Nobody can show it again."""


class ApproveIn(Model):
    """Consent to what was looked at."""

    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """The plan's."""
    comment: Annotated[str, StringConstraints(max_length=1000)] = ""
    """Goes into the audit trail."""


class DenyIn(Model):
    """No."""

    comment: Annotated[str, StringConstraints(max_length=1000)] = ""
    """Why."""


class SettleIn(Model):
    """What a person found to be true."""

    verdict: Literal["done", "not-done", "go-on"]
    """done or not-done: of an unknown outcome, or of something that a person does. go-on: with what was planned anew."""


class PlansQuery(PageQuery):
    """Which plans."""

    source: Id
    """The source."""
    target: Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f-]{36}$")] | None = None
    """Only plans for this object id."""


class ItemsQuery(PageQuery):
    """Which items."""

    after: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}$")] | None = None
    """The `next` of the page before."""


class Answers(Model):
    """A live answer."""

    query: str
    """What was asked."""
    rows: list[dict[str, Any]]
    """As Microsoft Graph answered now."""


def _entry(name: str) -> ActionEntry:
    one = ACTIONS[name]
    schema = one.parameters.model_json_schema(by_alias=True)
    given = one.parameters.model_construct()
    return ActionEntry(
        name=name, title=one.title, target=one.target, description=one.description, note=one.note, risk=one.risk,
        permissions=[permission.name for permission in one.permissions(given)], roles=[role.title for role in one.roles],
        licence=one.licence, repeatable=one.same_again, reverse=one.reverse, parameters=schema,
    )  # fmt: skip


@routes.get("actions", "List what can be done to people, devices and tenants", returns=ActionCatalogue, waits_for="")
def list_actions(_call: Call) -> Reply:
    """With parameters, permissions, roles, risk, and what takes each back. Nothing is done by a look at it."""
    queries = [
        QueryEntry(
            name=one.name, title=one.title, target=one.target, description=one.description,
            permission=one.permission.name, licence=one.licence,
        ) for _, one in sorted(QUERIES.items())
    ]  # fmt: skip
    missing = [Refusable(title=one.title, because=one.because) for one in NOT_OFFERED]
    return Reply(
        ActionCatalogue(actions=[_entry(name) for name in sorted(ACTIONS)], queries=queries, not_offered=missing)
    )


def _target(record_id: str) -> tuple[str, str]:
    """Source and object id, also of somebody who is not in the copy. Raises NotFound."""
    source, _, object_id = record_id.partition("~")
    if not (source.isalnum() and _GUID.fullmatch(object_id.lower())):
        raise NotFound(
            "There is no such object.", remedy="The id is that of the record: the source's id, ~, and the object id."
        )
    return source, object_id.lower()


def _planned(plan: Plan, token: str) -> Reply:
    items = app().actions.items(plan.id, 0, 100)
    usable = plan.state in (State.PLANNED, State.PLANNING)
    body = Planned(plan=_shown(plan), items=items, token=token if usable else None)
    return Reply(body, 202 if plan.state is State.PLANNING else 200, {"Location": f"/{PREFIX}/plans/{plan.id}"})


def _shown(plan: Plan) -> Plan:
    return Plan(**{name: getattr(plan, name) for name in Plan.model_fields})


def _add(kind: Literal["person", "device"]) -> None:
    many, noun = _PLURAL[kind], kind

    @routes.get(
        f"{many}/{{id}}/actions", f"List what can be done to a {noun}, and why something can't",
        name=f"list_{kind}_actions", returns=Available, waits_for=GRAPH,
    )  # fmt: skip
    def available(call: Call) -> Reply:
        """By the permissions of the action credential, and what the copy knows of the target. A plan looks at the target itself."""
        source, object_id = _target(call.path["id"])
        return Reply(app().availability.of(source, kind, object_id))

    @routes.post(
        f"{many}/{{id}}/actions/{{name}}/plan", f"Plan an action on a {noun}",
        name=f"plan_{kind}_action", role=Role.ACT, body=PlanIn, returns=Planned, waits_for=GRAPH,
        also=((202, Planned, "Its steps are still being looked at"),),
    )  # fmt: skip
    def plan(call: Call) -> Reply:
        """Looks at the target now and answers with the exact requests. Nothing is changed. The target need not be in the copy."""
        source, object_id = _target(call.path["id"])
        action = action_named(call.path["name"], kind)
        return _planned(*app().actions.plan(source, action, [object_id], call.body.parameters, call.principal))

    @routes.post(
        f"{many}/actions/{{name}}/plan", f"Plan an action on many {many}",
        name=f"plan_{many}_action", role=Role.ACT, body=BulkIn, returns=Planned, waits_for=GRAPH,
        also=((202, Planned, "Its targets are still being looked at"),),
    )  # fmt: skip
    def plan_many(call: Call) -> Reply:
        """For a list of record ids, or for what a filter finds."""
        action = action_named(call.path["name"], kind)
        source, targets = _targets(kind, call.body)
        return _planned(*app().actions.plan(source, action, targets, call.body.parameters, call.principal))

    @routes.get(
        f"{many}/{{id}}/queries/{{name}}", f"Ask Microsoft Graph about a {noun} now",
        name=f"ask_{kind}_query", role=Role.ACT, returns=Answers, waits_for=GRAPH,
    )  # fmt: skip
    def ask(call: Call) -> Reply:
        """With the action credential. That it was asked is audited; the answer is stored nowhere."""
        source, object_id = _target(call.path["id"])
        found = query_named(call.path["name"], kind)
        return Reply(Answers(query=found.name, rows=app().actions.ask(source, found, object_id, call.principal)))


def _targets(kind: str, asked: BulkIn) -> tuple[str, list[str]]:
    """Source and object ids. Raises Invalid."""
    if bool(asked.ids) == bool(asked.filter):
        raise Invalid(
            "Targets are needed.", fields=(FieldError("ids", "either", "give ids, or a filter with its source"),)
        )
    if asked.ids:
        found = [_target(one) for one in asked.ids]
        if len({source for source, _ in found}) > 1:
            raise Invalid(
                "A plan is of one source.", fields=(FieldError("ids", "many-sources", "must be of one source"),)
            )
        return found[0][0], [object_id for _, object_id in found]
    if not asked.source:
        raise Invalid(
            "A filter needs its source.", fields=(FieldError("source", "missing", "is needed with a filter"),)
        )
    record_type = app().registry.record_types[kind]
    targets: list[str] = []
    after: str | None = None
    while True:
        rows, after = app().lists.page(
            record_type, select=[], condition=asked.filter, missing=None, source=asked.source, after=after, limit=500
        )
        targets += [row.id.partition("~")[2] for row in rows]
        if len(targets) > MOST_TARGETS:
            raise Invalid(
                "The filter finds too many.",
                fields=(FieldError("filter", "too-many", f"finds more than {MOST_TARGETS}"),),
            )
        if after is None:
            break
    if not targets:
        raise Invalid("The filter finds nobody.", fields=(FieldError("filter", "nobody", "finds nobody"),))
    return asked.source, targets


_add("person")
_add("device")


@routes.post(
    "sources/{id}/actions/{name}/plan", "Plan an action on a tenant",
    name="plan_source_action", tag="Actions", role=Role.ACT, body=PlanIn, returns=Planned, waits_for=GRAPH,
    also=((202, Planned, "Its steps are still being looked at"),),
)  # fmt: skip
def plan_source_action(call: Call) -> Reply:
    """Such as inviting a guest."""
    action = action_named(call.path["name"], "source")
    return _planned(*app().actions.plan(call.path["id"], action, [""], call.body.parameters, call.principal))


@routes.get(
    "sources/{id}/action-credential",
    "Check what may act in a tenant",
    name="check_action_credential",
    tag="Actions",
    returns=CredentialCheck,
    waits_for=GRAPH,
)
def check_action_credential(call: Call) -> Reply:
    """Which credential acts and why it is that one, and for each action whether its token has the permission."""
    return Reply(app().availability.check(call.path["id"]))


@routes.post(
    "plans", "Submit a plan", role=Role.ACT, body=SubmitIn, returns=Performed, waits_for=GRAPH,
    also=((202, Performed, "It waits for approval, or goes on by itself"),),
)  # fmt: skip
def submit_plan(call: Call) -> Reply:
    """Carried out at once where nobody else has to agree; otherwise it waits for approval."""
    asked: SubmitIn = call.body
    password = asked.password.get_secret_value() if asked.password else ""
    plan = app().actions.submit(asked.token, call.principal, asked.justification, password)
    if plan.state is not State.APPROVED:
        return _performed(plan, {})
    return _perform(plan.id, asked.password, call)


@routes.post(
    "plans/{id}/perform", "Carry out an approved plan", role=Role.ACT, body=PerformIn, returns=Performed, waits_for=GRAPH,
    also=((202, Performed, "It goes on by itself"),),
)  # fmt: skip
def perform_plan(call: Call) -> Reply:
    """Its author does that, while the approval lasts. The target has to be as it was when it was planned."""
    return _perform(call.path["id"], call.body.password, call)


def _perform(plan_id: str, password: SecretStr | None, call: Call) -> Reply:
    given = password.get_secret_value() if password else ""
    return _performed(*app().actions.perform(plan_id, call.principal, given))


def _performed(plan: Plan, shown: dict[str, str]) -> Reply:
    items = app().actions.items(plan.id, 0, 100)
    status = 202 if plan.state in (State.SENT, State.WAITING, State.PAUSED) else 200
    body = Performed(plan=_shown(plan), items=items)
    once = {"shownOnce": shown} if shown else {}
    return Reply(body, status, {"Location": f"/{PREFIX}/plans/{plan.id}"}, once=once)


@routes.get("plans", "List plans, newest first", query=PlansQuery, returns=Plan, returns_list=True)
def list_plans(call: Call) -> Reply:
    """Of a source, or of one person or device."""
    query: PlansQuery = call.query
    after = (query.after or "").partition("~")[2]
    found = app().actions.newest(query.source, after, query.limit + 1, (query.target or "").lower())
    more, found = len(found) > query.limit, found[: query.limit]
    return Reply({"items": [_shown(one) for one in found], "next": found[-1].id if more else None})


@routes.get("plans/{id}", "Read a plan, also while it is carried out", returns=Plan)
def read_plan(call: Call) -> Reply:
    return Reply(_shown(app().actions.get(call.path["id"])))


@routes.get(
    "plans/{id}/items",
    "List the items of a plan, with each request and what came of it",
    query=ItemsQuery,
    returns=Item,
    returns_list=True,
)
def list_plan_items(call: Call) -> Reply:
    query: ItemsQuery = call.query
    found = app().actions.items(call.path["id"], int(query.after or 0), query.limit + 1)
    more, found = len(found) > query.limit, found[: query.limit]
    return Reply({"items": found, "next": str(found[-1].number) if more else None})


@routes.post("plans/{id}/approve", "Agree to a plan of somebody else", role=Role.ACT, body=ApproveIn, returns=Plan)
def approve_plan(call: Call) -> Reply:
    """It binds what was looked at: the digest covers each request and the state that it rests on."""
    asked: ApproveIn = call.body
    return Reply(_shown(app().actions.approve(call.path["id"], call.principal, asked.digest, asked.comment)))


@routes.post("plans/{id}/deny", "Refuse a plan of somebody else", role=Role.ACT, body=DenyIn, returns=Plan)
def deny_plan(call: Call) -> Reply:
    return Reply(_shown(app().actions.deny(call.path["id"], call.principal, call.body.comment)))


@routes.post("plans/{id}/pause", "Begin no further item of a plan", role=Role.ACT, returns=Plan)
def pause_plan(call: Call) -> Reply:
    return Reply(_shown(app().actions.pause(call.path["id"], call.principal)))


@routes.post("plans/{id}/resume", "Go on with a paused plan", role=Role.ACT, returns=Plan)
def resume_plan(call: Call) -> Reply:
    """Also behind an item that was not done."""
    return Reply(_shown(app().actions.resume(call.path["id"], call.principal)))


@routes.post("plans/{id}/cancel", "Cancel what of a plan was not begun", role=Role.ACT, returns=Plan)
def cancel_plan(call: Call) -> Reply:
    """What was sent is read back all the same."""
    return Reply(_shown(app().actions.cancel(call.path["id"], call.principal)))


@routes.post(
    "plans/{id}/undo",
    "Plan the reverse of what a plan did",
    role=Role.ACT,
    returns=Planned,
    waits_for=GRAPH,
    also=((202, Planned, "Its steps are still being looked at"),),
)
def undo_plan(call: Call) -> Reply:
    """From the state before, last item first. What can't be taken back is named."""
    return _planned(*app().actions.undo(call.path["id"], call.principal))


@routes.post(
    "plans/{id}/items/{number}/settle",
    "Say what is true of an item",
    name="settle_item",
    role=Role.ACT,
    body=SettleIn,
    returns=Plan,
)
def settle_item(call: Call) -> Reply:
    """Of an unknown outcome, of something that a person does, or of a plan that differs when its date has come."""
    number = call.path["number"]
    if not number.isdecimal():
        raise NotFound("There is no such item.")
    return Reply(_shown(app().actions.settle(call.path["id"], int(number[:6]), call.body.verdict, call.principal)))
