"""What people decide about a plan: consent, refusal, a pause, what is true of an item."""

from datetime import timedelta
from typing import Any

from shared.actions.desk import Desk, check_state
from shared.domain.plan import Approval, Item, Plan, State, StoredPlan
from shared.errors import Conflict, Forbidden, NotFound
from shared.principal import Principal
from shared.storage.plans import Commit, Held, changed

_EARLY = (State.PLANNING, State.PLANNED, State.WAITING, State.APPROVED)
_ACTING = (State.SENT, State.PAUSED, State.UNKNOWN)


class Deciding(Desk):
    """Each decision is one transaction, and an entry of the audit trail."""

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
            {"state": State.PAUSED, "paused_because": f"{who.name} paused it.", "paused_at": 0},
        )

    def resume(self, plan_id: str, who: Principal) -> Plan:
        """Goes on, also behind items that were not done."""

        def resumed(held: Held) -> tuple[StoredPlan, Commit]:
            plan = held.plan
            check_state(plan, (State.PAUSED,))
            known = [
                one.model_copy(update={"acknowledged": True})
                for one in self._plans.items(plan.id)
                if one.state in (State.REFUSED, State.CONTRADICTED, State.UNKNOWN) and not one.acknowledged
            ]
            new = changed(held, state=State.SENT, paused_because="", paused_at=0)
            return new, Commit(items=known[:80], said=[self._entry("action-resumed", plan, who.actor)], open=True)

        plan = self._change(plan_id, resumed).plan
        self._wake(plan.id)
        return plan

    def cancel(self, plan_id: str, who: Principal) -> Plan:
        """What was not begun is not begun; what was sent is read back."""

        def cancelled(held: Held) -> tuple[StoredPlan, Commit]:
            plan = held.plan
            check_state(plan, (*_EARLY, State.SENT, State.PAUSED))
            said = [self._entry("action-cancelled", plan, who.actor)]
            if plan.state in _EARLY:
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
            if item.state not in (State.UNKNOWN, State.HELD) or plan.state not in _ACTING:
                raise Conflict(
                    f"The item is {item.state}: nothing about it is open.", code="item-state", remedy="Read the plan's items.",
                )  # fmt: skip
            unlock: list[str] = []
            if verdict == "go-on":
                self._gone_on(plan, item, who)
            else:
                if item.state is State.UNKNOWN and self._plans.holder(plan.source_id, item.call.target) == plan.id:
                    unlock = [item.call.target]
                self._said_of(item, State.CONFIRMED if verdict == "done" else State.REFUSED, who)
            entry = self._entry("action-settled", plan, who.actor, item=number, verdict=verdict)
            state = State.SENT if plan.state is State.UNKNOWN else plan.state
            return changed(held, state=state), Commit(items=[item], said=[entry], open=True, unlock=unlock)

        plan = self._change(plan_id, said).plan
        self._wake(plan.id)
        return plan

    def _gone_on(self, plan: StoredPlan, item: Item, who: Principal) -> None:
        """What was planned anew is what is to be done."""
        if plan.approvals_needed and who.id == plan.by_id:
            raise Forbidden(
                "Others agreed to the plan as it was: its author does not decide about the difference.", code="own-plan",
                remedy="Ask a colleague.",
            )  # fmt: skip
        if item.state is not State.HELD or not item.steps:
            raise Conflict("There is nothing to send.", code="item-state", remedy="Say done, or not-done.")
        item.state, item.reasons, item.call.not_before = State.PLANNED, [], None
        item.digest = item.made()

    def _said_of(self, item: Item, verdict: State, who: Principal) -> None:
        for step in item.steps:
            if step.state in (State.UNKNOWN, State.PLANNED):
                step.state, step.settled_at, step.settled_by = verdict, self._clock.now(), who.id
                step.next_look_at = None
        item.state, item.acknowledged = verdict, True
