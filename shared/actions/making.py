"""Making of plans: of an action on one target or many, of many actions on one, and of the reverse of an earlier plan."""

import hashlib
import secrets
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from shared.actions.book import ACTIONS, Action
from shared.actions.catalogue import Cannot, Composing, Reversal
from shared.actions.credential import Acting
from shared.actions.desk import Desk, asked_of
from shared.actions.planner import checked, signed_in
from shared.actions.subject import Look
from shared.domain.plan import MOST_TARGETS, Call, Item, Plan, State, StoredPlan
from shared.domain.policy import risk_of
from shared.domain.reason import Reason
from shared.errors import Conflict, FieldError, Invalid
from shared.principal import Principal
from shared.storage.plans import Held
from shared.validation import field_errors

SUBMIT_WITHIN = timedelta(minutes=15)
_LOOK_SECONDS = 5.0
_RECENT = 100
"""Plans of a target among which an earlier one is looked for."""


class Making(Desk):
    """Plans, and the tokens that submit them."""

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
        if len(calls) > 1 and (action.compose or action.shown_once or parameters.get("given")):
            wrong = FieldError("ids", "one-only", "must name one: what is shown or given once is one person's")
            raise Invalid("This is planned for one person at a time.", fields=(wrong,))
        acting = self.credentials.acting(source)
        form = "composed" if action.compose else "bulk" if len(calls) > 1 else "single"
        warnings: list[Reason] = []
        if action.compose:
            calls = _at_their_turn(self.in_time(self._expanded(acting, action, calls[0], who, warnings)))
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
            item = self.in_time(self._one(acting, calls[0], who))
            plan = self._ready(plan, [item], acting)
            return self._plans.create(plan, [item]).plan
        items = [Item(number=number, call=call, title=_title(call)) for number, call in enumerate(calls, 1)]
        plan = plan.model_copy(update={"counts": {"planning": len(items)}})
        held = self._plans.create(plan, items)
        self._wake(plan.id)
        return held.plan

    async def _one(self, acting: Acting, call: Call, who: Principal) -> Item:
        async with signed_in(self._graph, acting, lambda: _LOOK_SECONDS) as tenant:
            return await self._planner.item(tenant, 1, call, who.id)

    async def _expanded(
        self, acting: Acting, action: Action, call: Call, who: Principal, warnings: list[Reason]
    ) -> list[Call]:
        """The actions that a composed one is made of."""
        assert action.compose

        def reverse(plan_id: str, name: str) -> Reversal:
            return self._reversed(self._earlier(acting.source.id, call.target, plan_id, name))

        made_from = Composing(acting.settings.action_policy, reverse, warnings)
        async with signed_in(self._graph, acting, lambda: _LOOK_SECONDS) as tenant:
            try:
                if action.takes_access and call.target == who.id:
                    raise Cannot("self", "You would lock yourself out.", "Ask a colleague to do it.")
                look = Look(tenant.client)
                subject = await self._planner.subject(look, action.target, call.target, or_deleted=action.maybe_deleted)
                calls = await action.compose(subject, checked(action, call.parameters), made_from)
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
        asked = asked_of(plan, items, hour, day)
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

    def undo(self, plan_id: str, who: Principal) -> tuple[Plan, str]:
        """A plan for the reverse of what an earlier one did, last first."""
        before = self._held(plan_id).plan
        acting = self.credentials.acting(before.source_id)
        taken = self._reversed(before)
        if not taken.calls:
            raise Conflict(
                "Nothing of this plan can be taken back.",
                code="not-reversible",
                remedy="Read its items: each says whether it can.",
            )
        calls = _at_their_turn(taken.calls)
        title = f"Undo: {before.title}"
        plan, token = self._new(
            acting, before.action, title, "single" if len(calls) == 1 else "undo", who, taken.warnings
        )
        plan = plan.model_copy(update={"undo_of": before.id})
        return self._made(acting, plan, calls, who), token

    def _earlier(self, source: str, target: str, plan_id: str, action: str) -> StoredPlan:
        """The plan with the id, or the newest of the action, of which something was done to the target. Raises Cannot."""
        plans = [self._held(plan_id).plan] if plan_id else self._plans.newest(source, "", _RECENT, target)
        for plan in plans:
            if plan.source_id == source and plan.action == action and plan.form == "composed":
                items = self._plans.items(plan.id)
                if any(one.call.target == target and one.state is State.CONFIRMED for one in items):
                    return plan
        raise Cannot(
            "no-such-plan", f"There is no plan of the action {action} on this person that anything was done of.",
            "Name the plan by its id, or plan the single actions.",
        )  # fmt: skip

    def _reversed(self, before: StoredPlan) -> Reversal:
        """What takes back what was done of a plan, last first."""
        calls: list[Call] = []
        lost: list[str] = []
        for item in reversed(self._plans.items(before.id)):
            action = ACTIONS.get(item.call.action)
            if item.state is not State.CONFIRMED or action is None or not any(step.sent_at for step in item.steps):
                continue
            if action.undo:
                back = action.undo(item)
                calls += back if isinstance(back, list) else [back]
            else:
                lost.append(f"{item.number} ({item.title})")
        if not lost:
            return Reversal(calls, [])
        said = f"This can't be taken back: item {', '.join(lost)}."
        return Reversal(calls, [Reason(code="not-reversible", message=said, remedy="Make it good by hand.")])


def _at_their_turn(calls: Sequence[Call]) -> list[Call]:
    """Whoever has to be restored is not there before: what is done to them then is planned then."""
    restored: set[str] = set()
    found = []
    for call in calls:
        found.append(
            call.model_copy(update={"at_its_turn": True}) if call.target in restored and not call.waits_for else call
        )
        if call.action == "restore-person":
            restored.add(call.target)
    return found


def _check(action: Action, parameters: dict[str, Any]) -> None:
    """Raises Invalid with every field that is wrong."""
    try:
        action.given(parameters)
    except ValidationError as error:
        fields = tuple(FieldError(f"parameters.{one.field}", one.code, one.message) for one in field_errors(error))
        raise Invalid("The parameters are not valid.", fields=fields) from error


def _title(call: Call) -> str:
    return call.waits_for or (ACTIONS[call.action].title if call.action in ACTIONS else call.action)
