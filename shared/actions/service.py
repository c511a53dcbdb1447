"""What the API does with plans: makes, submits, approves, carries out, settles, takes back. Claims follow facts: whatever is
answered is stored first.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any

from shared.actions.book import ACTIONS, Action, Query
from shared.actions.catalogue import Cannot
from shared.actions.credential import Acting, Credentials
from shared.actions.planner import Clients, Planner, checked, signed_in
from shared.actions.sending import Secrets
from shared.actions.subject import Look
from shared.actions.worker import Worker
from shared.clock import Clock
from shared.domain.actor import SYSTEM, Actor
from shared.domain.plan import MOST_TARGETS, Approval, Call, Item, Plan, State, StoredPlan
from shared.domain.policy import Asked, risk_of
from shared.domain.reason import Reason
from shared.errors import Conflict, FieldError, Forbidden, Invalid, NotFound, SourceProblem, Unavailable
from shared.graph.answers import Postponed
from shared.names import ACTION_QUEUE
from shared.principal import Principal
from shared.storage.plans import Commit, Entry, Held, Plans, changed
from shared.storage.queues import Queues
from shared.storage.tables import RowChanged

SUBMIT_WITHIN = timedelta(minutes=15)
INLINE_SECONDS = 10.5
WORKER_SECONDS = 240.0
_TRIES = 8
_FORGOTTEN_AFTER = timedelta(days=1)
"""A plan that nobody submitted."""
_LATE = (State.WAITING, State.APPROVED)


class Actions:
    """`note` writes an entry of the audit trail."""

    def __init__(
        self,
        plans: Plans,
        planner: Planner,
        credentials: Credentials,
        graph: Clients,
        queues: Queues,
        clock: Clock,
        note: Callable[[str, Actor, str, str, dict[str, Any]], object],
    ) -> None:
        self._plans, self._planner, self.credentials = plans, planner, credentials
        self._graph, self._queues, self._clock, self._note = graph, queues, clock, note
        self.worker = Worker(plans, planner, credentials, graph, clock, self._planned)

    # Planning

    def plan(
        self, source: str, action: Action, targets: Sequence[str], parameters: dict[str, Any], who: Principal
    ) -> tuple[Plan, str]:
        """A plan, and the token that submits it. One target is looked at now, many by a worker."""
        _check(action, parameters)
        calls = [Call(action=action.name, target=one, parameters=parameters) for one in dict.fromkeys(targets)]
        if len(calls) > MOST_TARGETS:
            raise Invalid(
                f"A plan has at most {MOST_TARGETS} targets.", fields=(FieldError("ids", "too-many", "are too many"),)
            )
        if action.compose and len(calls) > 1:
            raise Invalid(
                "This is planned for one person at a time.", fields=(FieldError("ids", "one-only", "must name one"),)
            )
        acting = self.credentials.acting(source)
        form = "composed" if action.compose else "bulk" if len(calls) > 1 else "single"
        warnings: list[Reason] = []
        if action.compose:
            calls = self._in_time(self._expanded(acting, action, calls[0], who))
        plan, token = self._new(acting, action.name, action.title, form, who, warnings)
        return self._made(acting, plan, calls, who), token

    def _new(
        self, acting: Acting, action: str, title: str, form: Any, who: Principal, warnings: list[Reason]
    ) -> tuple[StoredPlan, str]:
        plan_id = self._plans.new_id(acting.source.id)
        token = f"{plan_id}.{secrets.token_urlsafe(24)}"
        plan = StoredPlan(
            id=plan_id, source_id=acting.source.id, form=form, action=action, title=title, by_id=who.id, by_name=who.name,
            by_application=who.application, created_at=self._clock.now(), through=acting.through, warnings=warnings,
            token_hash=hashlib.sha256(token.encode()).hexdigest(),
        )  # fmt: skip
        return plan, token

    def _made(self, acting: Acting, plan: StoredPlan, calls: Sequence[Call], who: Principal) -> Plan:
        plan = plan.model_copy(update={"items": len(calls)})
        if plan.form == "single":
            item = self._in_time(self._one(acting, calls[0], who))
            plan = self._ready(plan, [item], acting)
            return self._plans.create(plan, [item]).plan
        items = [Item(number=number, call=call, title=_title(call)) for number, call in enumerate(calls, 1)]
        plan = plan.model_copy(update={"counts": {"planning": len(items)}})
        held = self._plans.create(plan, items)
        self._wake(plan.id)
        return held.plan

    async def _one(self, acting: Acting, call: Call, who: Principal) -> Item:
        async with signed_in(self._graph, acting, lambda: 5.0) as tenant:
            return await self._planner.item(tenant, 1, call, who.id)

    async def _expanded(self, acting: Acting, action: Action, call: Call, who: Principal) -> list[Call]:
        """The actions that a composed one is made of."""
        assert action.compose
        async with signed_in(self._graph, acting, lambda: 5.0) as tenant:
            try:
                if action.takes_access and call.target == who.id:
                    raise Cannot("self", "You would lock yourself out.", "Ask a colleague to do it.")
                subject = await self._planner.subject(Look(tenant.client), action, call.target)
                subject.facts["leaverSteps"] = acting.settings.action_policy.leaver
                calls = await action.compose(subject, checked(action, call.parameters))
            except Cannot as stands:
                raise Conflict(stands.reason.message, code=stands.reason.code, remedy=stands.reason.remedy) from stands
        if not calls:
            raise Conflict("There is nothing to do.", code="already-so", remedy="Nothing needs to be done.")
        return calls

    def _planned(self, held: Held, items: list[Item]) -> StoredPlan:
        """A plan whose items were all looked at."""
        return self._ready(held.plan, items, self.credentials.acting(held.plan.source_id))

    def _ready(self, plan: StoredPlan, items: list[Item], acting: Acting) -> StoredPlan:
        possible = [one for one in items if one.state in (State.PLANNED, State.HELD)]
        digest = hashlib.sha256("".join([plan.id, *(one.digest for one in items)]).encode()).hexdigest()
        hour, day = self._plans.acted(plan.source_id, self._clock.now())
        asked = _asked(plan, items, hour, day)
        return plan.model_copy(
            update={
                "state": State.PLANNED if possible else State.REFUSED,
                "digest": digest,
                "risk": risk_of(asked.risks),
                "counts": dict(Counter(str(one.state) for one in items)),
                "submit_until": self._clock.now() + SUBMIT_WITHIN,
                "approvals_needed": acting.settings.action_policy.needed(asked),
            }
        )

    # Submitting

    def submit(self, token: str, who: Principal, justification: str) -> Plan:
        """The plan, which waits for somebody's consent or may be carried out. Raises NotFound, Conflict, Forbidden."""
        plan_id = token.partition(".")[0]
        for _ in range(_TRIES):
            held = self._held(plan_id)
            plan = held.plan
            if not hmac.compare_digest(plan.token_hash, hashlib.sha256(token.encode()).hexdigest()):
                raise NotFound("There is no plan with this token.", remedy="Plan it again.")
            _author(plan, who)
            if plan.state is not State.PLANNED:
                raise Conflict(f"The plan is {plan.state}.", code="plan-state", remedy=f"Read /api/v1/plans/{plan.id}.")
            if plan.submit_until and self._clock.now() > plan.submit_until:
                raise Conflict("The plan is older than 15 minutes.", code="plan-expired", remedy="Plan it again.")
            items = self._plans.items(plan.id)
            acting = self.credentials.acting(plan.source_id)
            self._same_credential(plan, acting)
            hour, day = self._plans.acted(plan.source_id, self._clock.now())
            needed = acting.settings.action_policy.needed(_asked(plan, items, hour, day))
            until = self._clock.now() + timedelta(hours=acting.settings.action_policy.approval_hours)
            new = changed(
                held, state=State.WAITING if needed else State.APPROVED, approvals_needed=needed, justification=justification,
                submitted_at=self._clock.now(), decide_until=until,
            )  # fmt: skip
            count = len({one.call.target for one in items if one.state in (State.PLANNED, State.HELD)})
            known = [one.model_copy(update={"acknowledged": True}) for one in items if one.state is State.REFUSED]
            change = Commit(items=known[:80], said=[self._entry("action-submitted", new, who.actor)], counted=count)
            try:
                return self._committed(held, new, change)
            except RowChanged:
                continue
        raise _busy()

    def perform(self, plan_id: str, who: Principal, password: str = "") -> tuple[Plan, dict[str, str]]:
        """Carries out an approved plan. Gives the state that was reached, and what is shown once."""
        held = self._change(plan_id, lambda held: self._begun(held, who, password))
        return self._driven(held.plan, password)

    def _begun(self, held: Held, who: Principal, password: str) -> tuple[StoredPlan, Commit]:
        plan = held.plan
        _author(plan, who)
        if plan.state is not State.APPROVED:
            raise Conflict(
                f"The plan is {plan.state}, not approved.", code="plan-state", remedy=f"Read /api/v1/plans/{plan.id}."
            )
        self._same_credential(plan, self.credentials.acting(plan.source_id))
        wants = plan.form == "single" and bool(self._plans.items(plan.id)[0].call.parameters.get("given"))
        if wants != bool(password):
            code, why = (
                ("missing", "is needed: the plan says that you give it")
                if wants
                else ("not-here", "is not asked for by this plan")
            )
            raise Invalid("The password does not fit the plan.", fields=(FieldError("password", code, why),))
        started = self._entry("action-started", plan, who.actor)
        return changed(held, state=State.SENT), Commit(said=[started], open=True)

    def _driven(self, plan: StoredPlan, password: str) -> tuple[Plan, dict[str, str]]:
        if plan.form != "single":
            self._wake(plan.id)
            return plan, {}
        shown: dict[str, str] = {}
        kept = Secrets(given=password, shown=shown)
        wait = asyncio.run(self.worker.work(plan.id, INLINE_SECONDS, kept))
        if wait is not None:
            self._wake(plan.id, wait)
        self.flush(plan.source_id)
        return self._held(plan.id).plan, shown

    # Deciding

    def approve(self, plan_id: str, who: Principal, digest: str, comment: str) -> Plan:
        """Somebody else agrees. Raises Forbidden, Conflict."""

        def agreed(held: Held) -> tuple[StoredPlan, Commit]:
            plan = self._waiting(held, who)
            if digest != plan.digest:
                raise Conflict(
                    "That is not the plan as it is.",
                    code="digest-differs",
                    remedy="Read the plan again, and send its digest.",
                )
            if any(one.by_id == who.id for one in plan.approvals):
                raise Conflict(
                    "You have agreed already.", code="approved-already", remedy="Another person has to agree, too."
                )
            given = {one.role for one in plan.approvals}
            open_roles = [one.role for one in plan.approvals_needed if one.role not in given]
            role = next((one for one in open_roles if one in who.roles), None)
            if role is None:
                raise Forbidden(f"This needs the consent of somebody with the app role {' and '.join(open_roles)}.")
            approval = Approval(
                by_id=who.id, by_name=who.name, at=self._clock.now(), role=role, digest=digest, comment=comment
            )
            fields: dict[str, Any] = {"approvals": [*plan.approvals, approval]}
            if len(open_roles) == 1:
                hours = self.credentials.source(plan.source_id)[1].action_policy.approval_hours
                fields |= {"state": State.APPROVED, "decide_until": self._clock.now() + timedelta(hours=hours)}
            new = changed(held, **fields)
            return new, Commit(said=[self._entry("action-approved", new, who.actor, role=role, comment=comment)])

        return self._change(plan_id, agreed).plan

    def deny(self, plan_id: str, who: Principal, comment: str) -> Plan:
        def denied(held: Held) -> tuple[StoredPlan, Commit]:
            plan = self._waiting(held, who)
            new = changed(held, state=State.DENIED, finished_at=self._clock.now())
            return new, Commit(said=[self._entry("action-denied", plan, who.actor, comment=comment)], open=False)

        return self._change(plan_id, denied).plan

    def _waiting(self, held: Held, who: Principal) -> StoredPlan:
        plan = held.plan
        if plan.by_id == who.id:
            raise Forbidden(
                "Nobody decides about their own plan.", code="own-plan", remedy="Ask a colleague with the role."
            )
        if plan.state is not State.WAITING:
            raise Conflict(
                f"The plan is {plan.state}: nobody's consent is asked for.",
                code="plan-state",
                remedy=f"Read /api/v1/plans/{plan.id}.",
            )
        return plan

    def pause(self, plan_id: str, who: Principal) -> Plan:
        """Nothing further is begun; what was sent is read back."""
        return self._steered(
            plan_id,
            who,
            (State.SENT,),
            "action-paused",
            {"state": State.PAUSED, "paused_because": f"{who.name} paused it."},
        )

    def resume(self, plan_id: str, who: Principal) -> Plan:
        """Goes on, also behind items that were not done."""

        def resumed(held: Held) -> tuple[StoredPlan, Commit]:
            plan = held.plan
            _in(plan, (State.PAUSED,))
            known = [
                one.model_copy(update={"acknowledged": True})
                for one in self._plans.items(plan.id)
                if one.state in (State.REFUSED, State.CONTRADICTED, State.UNKNOWN) and not one.acknowledged
            ]
            new = changed(held, state=State.SENT, paused_because="")
            return new, Commit(items=known[:80], said=[self._entry("action-resumed", plan, who.actor)], open=True)

        plan = self._change(plan_id, resumed).plan
        self._wake(plan.id)
        return plan

    def cancel(self, plan_id: str, who: Principal) -> Plan:
        """What was not begun is not begun; what was sent is read back."""
        early = (State.PLANNING, State.PLANNED, State.WAITING, State.APPROVED)

        def cancelled(held: Held) -> tuple[StoredPlan, Commit]:
            plan = held.plan
            _in(plan, (*early, State.SENT, State.PAUSED))
            said = [self._entry("action-cancelled", plan, who.actor)]
            if plan.state in early:
                over = {"state": State.CANCELLED, "finished_at": self._clock.now()}
                return changed(held, **over), Commit(said=said, open=False)
            return changed(held, cancelled=True, state=State.SENT), Commit(said=said, open=True)

        plan = self._change(plan_id, cancelled).plan
        if plan.state is State.SENT:
            self._wake(plan.id)
        return plan

    def settle(self, plan_id: str, number: int, verdict: str, who: Principal) -> Plan:
        """A person says what is true of an item: done, not-done, or go-on with what was planned anew."""

        def said(held: Held) -> tuple[StoredPlan, Commit]:
            plan, item = held.plan, self._plans.item(plan_id, number)
            if item is None:
                raise NotFound(f"The plan has no item {number}.")
            if item.state not in (State.UNKNOWN, State.HELD) or plan.state not in (
                State.SENT,
                State.PAUSED,
                State.UNKNOWN,
            ):
                raise Conflict(
                    f"The item is {item.state}: nothing about it is open.",
                    code="item-state",
                    remedy="Read the plan's items.",
                )
            unlock = [item.call.target] if item.steps and item.state is State.UNKNOWN else []
            if verdict == "go-on":
                if plan.approvals_needed and who.id == plan.by_id:
                    raise Forbidden(
                        "Others agreed to the plan as it was: its author does not decide about the difference.", code="own-plan",
                        remedy="Ask a colleague.",
                    )  # fmt: skip
                if not item.steps:
                    raise Conflict("There is nothing to send.", code="item-state", remedy="Say done, or not-done.")
                item.state, item.reasons, item.acknowledged = State.PLANNED, [], False
                item.call.not_before = None
                item.digest = item.made()
                unlock = []
            else:
                to = State.CONFIRMED if verdict == "done" else State.REFUSED
                for step in item.steps:
                    if step.state in (State.UNKNOWN, State.PLANNED):
                        step.state, step.settled_at, step.settled_by, step.next_look_at = (
                            to,
                            self._clock.now(),
                            who.id,
                            None,
                        )
                item.state, item.acknowledged = to, True
            held_by = [one for one in unlock if self._plans.holder(plan.source_id, one) == plan.id]
            entry = self._entry("action-settled", plan, who.actor, item=number, verdict=verdict)
            state = State.SENT if plan.state is State.UNKNOWN else plan.state
            return changed(held, state=state), Commit(items=[item], said=[entry], open=True, unlock=held_by)

        plan = self._change(plan_id, said).plan
        self._wake(plan.id)
        return plan

    # Taking back

    def undo(self, plan_id: str, who: Principal) -> tuple[Plan, str]:
        """A plan for the reverse of what an earlier one did, last first."""
        before = self._held(plan_id).plan
        acting = self.credentials.acting(before.source_id)
        calls: list[Call] = []
        lost: list[str] = []
        for item in reversed(self._plans.items(plan_id)):
            action = ACTIONS.get(item.call.action)
            if item.state is not State.CONFIRMED or action is None or not any(step.sent_at for step in item.steps):
                continue
            call = action.undo(item) if action.undo else None
            if call:
                calls.append(call)
            else:
                lost.append(f"{item.number} ({item.title})")
        if not calls:
            raise Conflict(
                "Nothing of this plan can be taken back.",
                code="not-reversible",
                remedy="Read its items: each says whether it can.",
            )
        warnings = []
        if lost:
            warnings.append(
                Reason(code="not-reversible", message=f"This can't be taken back: item {', '.join(lost)}.", remedy="Make it good by hand.")
            )  # fmt: skip
        title = f"Undo: {before.title}"
        plan, token = self._new(acting, before.action, title, "single" if len(calls) == 1 else "undo", who, warnings)
        plan = plan.model_copy(update={"undo_of": before.id})
        return self._made(acting, plan, calls, who), token

    # Asking

    def ask(self, source: str, query: Query, target: str, who: Principal) -> list[dict[str, Any]]:
        """A query's answer, live. That it was asked is in the audit trail before it is answered."""
        acting = self.credentials.acting(source)
        self._note(source, who.actor, "query-asked", target, {"query": query.name})
        return self._in_time(self._answer(acting, query, target))

    async def _answer(self, acting: Acting, query: Query, target: str) -> list[dict[str, Any]]:
        async with signed_in(self._graph, acting, lambda: 8.0) as tenant:
            try:
                if not query.permission.granted(tenant.claims.roles):
                    raise Cannot(
                        "permission-missing", f"The action credential has not the application permission {query.permission.name}.",
                        "Add it to the app registration of the action credential and grant admin consent.",
                    )  # fmt: skip
                subject = await self._planner.subject(Look(tenant.client), ACTIONS["revoke-sessions"], target)
                return await query.ask(subject)
            except Cannot as stands:
                raise Conflict(stands.reason.message, code=stands.reason.code, remedy=stands.reason.remedy) from stands

    # Reading

    def get(self, plan_id: str) -> Plan:
        return self._held(plan_id).plan

    def items(self, plan_id: str, after: int, limit: int) -> list[Item]:
        self._held(plan_id)
        return self._plans.items(plan_id, after, limit)

    def newest(self, source: str, after: str, limit: int, target: str = "") -> list[Plan]:
        self.credentials.source(source)
        return [self._late(Held(one, "")).plan for one in self._plans.newest(source, after, limit, target)]

    # The queue's, and the timer's

    async def carry_on(self, plan_id: str) -> None:
        """Works on a plan for as long as a worker may, and says when it needs one again."""
        wait = await self.worker.work(plan_id, WORKER_SECONDS)
        if wait is not None:
            await asyncio.to_thread(self._wake, plan_id, wait)
        await asyncio.to_thread(self.flush, plan_id.partition("~")[0])

    async def state_of(self, plan_id: str) -> str:
        """For logs: gone, or how far the plan got."""
        held = await asyncio.to_thread(self._plans.get, plan_id)
        return str(held.plan.state) if held else "gone"

    def look_after(self, sources: Sequence[str]) -> None:
        """Wakes plans that nobody works on, ends those whose time is over, and tells the audit trail."""
        for source in sources:
            for plan_id in self._plans.open(source):
                self._look_after(plan_id)
            self.flush(source)

    def _look_after(self, plan_id: str) -> None:
        held = self._plans.get(plan_id)
        if held is None:
            self._plans.close(plan_id)
            return
        plan = self._late(held, write=True).plan
        if plan.submitted_at is None and self._clock.now() > plan.created_at + _FORGOTTEN_AFTER:
            self._plans.forget(held)
        elif plan.finished_at or plan.state in (State.PLANNING, State.SENT, State.PAUSED, State.UNKNOWN):
            self._wake(plan_id)

    def flush(self, source: str) -> None:
        """Tells the audit trail what it is to be told. Cut off in between, one may be there twice, with the same event."""
        for key, entry in self._plans.untold(source):
            self._note(source, entry.who, entry.what, entry.subject, entry.details)
            self._plans.told(source, key)

    # Inside

    def _held(self, plan_id: str) -> Held:
        held = self._plans.get(plan_id)
        if held is None:
            raise NotFound(f"There is no plan with the id {plan_id[:100]}.")
        return self._late(held, write=True)

    def _late(self, held: Held, *, write: bool = False) -> Held:
        """A plan whose time is over has expired, whether anybody has written that down or not."""
        plan = held.plan
        if plan.state not in _LATE or plan.decide_until is None or self._clock.now() <= plan.decide_until:
            return held
        new = changed(held, state=State.EXPIRED, finished_at=plan.decide_until)
        if not write:
            return Held(new, held.etag)
        try:
            expired = Commit(said=[self._entry("action-expired", new, SYSTEM)], open=False)
            written = self._plans.commit(held, new, expired)
        except RowChanged:
            return self._held(plan.id)
        self.flush(plan.source_id)
        return written

    def _change(self, plan_id: str, make: Callable[[Held], tuple[StoredPlan, Commit]]) -> Held:
        for _ in range(_TRIES):
            held = self._held(plan_id)
            new, change = make(held)
            try:
                committed = self._plans.commit(held, new, change)
            except RowChanged:
                continue
            self.flush(new.source_id)
            return committed
        raise _busy()

    def _committed(self, held: Held, new: StoredPlan, change: Commit) -> Plan:
        made = self._plans.commit(held, new, change).plan
        self.flush(new.source_id)
        return made

    def _steered(
        self, plan_id: str, who: Principal, states: tuple[State, ...], what: str, fields: dict[str, Any]
    ) -> Plan:
        def steered(held: Held) -> tuple[StoredPlan, Commit]:
            _in(held.plan, states)
            return changed(held, **fields), Commit(said=[self._entry(what, held.plan, who.actor)])

        return self._change(plan_id, steered).plan

    def _same_credential(self, plan: StoredPlan, acting: Acting) -> None:
        if plan.through and plan.through.credential_id != acting.credential.id:
            raise Conflict(
                "Another credential acts in the tenant than when this was planned.",
                code="credential-changed",
                remedy="Plan it again.",
            )

    def _entry(self, what: str, plan: StoredPlan, who: Actor, **more: Any) -> Entry:
        details = {
            "plan": plan.id,
            "action": plan.action,
            "form": plan.form,
            "items": plan.items,
            "digest": plan.digest,
            **more,
        }
        if plan.justification:
            details["justification"] = plan.justification
        return Entry(who, what, plan.id, details)

    def _wake(self, plan_id: str, delay: float = 0.0) -> None:
        """A message only hastens what the timer would do."""
        try:
            self._queues.send(ACTION_QUEUE, {"plan": plan_id}, delay)
        except Unavailable:
            return

    @staticmethod
    def _in_time[T](work: Coroutine[Any, Any, T]) -> T:
        """A live look, with Graph's troubles as errors of the API."""
        try:
            return asyncio.run(work)
        except Postponed as problem:
            raise Unavailable(
                "Microsoft Graph is throttling.", code="graph-throttled", remedy="Try again in a minute."
            ) from problem
        except SourceProblem as problem:
            raise Unavailable(problem.detail, code=problem.code, remedy=problem.remedy) from problem


def _check(action: Action, parameters: dict[str, Any]) -> None:
    """Raises Invalid with every field that is wrong."""
    from pydantic import ValidationError

    from shared.validation import field_errors

    try:
        action.given(parameters)
    except ValidationError as error:
        fields = tuple(FieldError(f"parameters.{one.field}", one.code, one.message) for one in field_errors(error))
        raise Invalid("The parameters are not valid.", fields=fields) from error


def _asked(plan: StoredPlan, items: list[Item], hour: int, day: int) -> Asked:
    possible = [one for one in items if one.state in (State.PLANNED, State.HELD)]
    count = len({one.call.target for one in possible})
    actions = {plan.action, *(one.call.action for one in possible)}
    risks = {ACTIONS[name].risk for name in actions if name in ACTIONS}
    flags = {flag for one in possible for flag in one.flags}
    return Asked(actions=actions, risks=risks, flags=flags, hour=hour + count, day=day + count)


def _title(call: Call) -> str:
    return call.waits_for or (ACTIONS[call.action].title if call.action in ACTIONS else call.action)


def _author(plan: StoredPlan, who: Principal) -> None:
    if plan.by_id != who.id:
        raise Forbidden("Only its author does that with a plan.", code="not-author", remedy="Plan it yourself.")


def _in(plan: StoredPlan, states: tuple[State, ...]) -> None:
    if plan.state not in states:
        raise Conflict(f"The plan is {plan.state}.", code="plan-state", remedy=f"Read /api/v1/plans/{plan.id}.")


def _busy() -> Conflict:
    return Conflict("The plan keeps changing.", code="busy", remedy="Try again in some seconds.")
