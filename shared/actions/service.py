"""What the API does with plans. Claims follow facts: whatever is answered is stored first."""

import asyncio
import hashlib
import hmac
from datetime import timedelta
from typing import Any

from shared import deadline
from shared.actions.book import Query
from shared.actions.catalogue import Cannot
from shared.actions.credential import Acting
from shared.actions.deciding import Deciding
from shared.actions.desk import TRIES, asked_of, busy, check_author
from shared.actions.making import Making
from shared.actions.planner import signed_in
from shared.actions.sending import Secrets
from shared.actions.subject import Look
from shared.domain.plan import Item, Plan, State, StoredPlan
from shared.errors import Conflict, FieldError, Invalid, NotFound
from shared.principal import Principal
from shared.storage.plans import Commit, Held, changed
from shared.storage.tables import RowChanged

INLINE_SECONDS = 10.5
_FOR_THE_ANSWER = 5.0
"""Seconds of the request's own that are left when the worker stops."""


class Actions(Making, Deciding):
    """Submits plans and carries them out; making them and deciding about them are its bases'."""

    def submit(self, token: str, who: Principal, justification: str, password: str = "") -> Plan:
        """The plan, which waits for somebody's consent or may be carried out. Raises NotFound, Conflict, Forbidden."""
        plan_id = token.partition(".")[0]
        for _ in range(TRIES):
            held = self._held(plan_id)
            plan = held.plan
            if not hmac.compare_digest(plan.token_hash, hashlib.sha256(token.encode()).hexdigest()):
                raise NotFound("There is no plan with this token.", remedy="Plan it again.")
            check_author(plan, who)
            if plan.state is not State.PLANNED:
                raise Conflict(f"The plan is {plan.state}.", code="plan-state", remedy=f"Read /api/v1/plans/{plan.id}.")
            if plan.submit_until and self._clock.now() > plan.submit_until:
                raise Conflict("The plan is older than 15 minutes.", code="plan-expired", remedy="Plan it again.")
            items = self._plans.items(plan.id)
            acting = self.credentials.acting(plan.source_id)
            self._same_credential(plan, acting)
            hour, day = self._plans.acted(plan.source_id, self._clock.now())
            needed = acting.settings.action_policy.needed(asked_of(plan, items, hour, day))
            _check_password(plan, items, password, wanted=not needed)
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
        raise busy()

    def perform(self, plan_id: str, who: Principal, password: str = "") -> tuple[Plan, dict[str, str]]:
        """Carries out an approved plan. Gives the state that was reached, and what is shown once."""
        held = self._change(plan_id, lambda held: self._begun(held, who, password))
        return self._driven(held.plan, password)

    def _begun(self, held: Held, who: Principal, password: str) -> tuple[StoredPlan, Commit]:
        plan = held.plan
        check_author(plan, who)
        if plan.state is not State.APPROVED:
            raise Conflict(
                f"The plan is {plan.state}, not approved.", code="plan-state", remedy=f"Read /api/v1/plans/{plan.id}."
            )
        self._same_credential(plan, self.credentials.acting(plan.source_id))
        _check_password(plan, self._plans.items(plan.id), password)
        started = self._entry("action-started", plan, who.actor)
        return changed(held, state=State.SENT), Commit(said=[started], open=True)

    def _driven(self, plan: StoredPlan, password: str) -> tuple[Plan, dict[str, str]]:
        if plan.form != "single":
            self._wake(plan.id)
            return plan, {}
        shown: dict[str, str] = {}
        kept = Secrets(given=password, shown=shown)
        waiting = deadline.current()
        left = waiting.left() - _FOR_THE_ANSWER if waiting else INLINE_SECONDS
        wait = asyncio.run(self.worker.work(plan.id, min(INLINE_SECONDS, left), kept))
        if wait is not None:
            self._wake(plan.id, wait)
        self.flush(plan.source_id)
        return self._held(plan.id).plan, shown

    # Asking

    def ask(self, source: str, query: Query, target: str, who: Principal) -> list[dict[str, Any]]:
        """A query's answer, live. That it was asked is in the audit trail before it is answered."""
        acting = self.credentials.acting(source)
        self._note(source, who.actor, "query-asked", target, {"query": query.name})
        return self.in_time(self._answer(acting, query, target))

    async def _answer(self, acting: Acting, query: Query, target: str) -> list[dict[str, Any]]:
        async with signed_in(self._graph, acting, lambda: 8.0) as tenant:
            try:
                if not query.permission.granted(tenant.claims.roles):
                    raise Cannot(
                        "permission-missing", f"The action credential has not the application permission {query.permission.name}.",
                        "Add it to the app registration of the action credential and grant admin consent.",
                    )  # fmt: skip
                subject = await self._planner.subject(Look(tenant.client), query.target, target)
                return await query.ask(subject)
            except Cannot as stands:
                raise Conflict(stands.reason.message, code=stands.reason.code, remedy=stands.reason.remedy) from stands


def _check_password(plan: StoredPlan, items: list[Item], password: str, *, wanted: bool = True) -> None:
    """Raises Invalid where a password is missing, or nobody asked for it. `wanted`: the plan is carried out now."""
    asked = wanted and plan.form == "single" and bool(items[0].call.parameters.get("given"))
    if asked == bool(password):
        return
    why = "is needed: the plan says that you give it" if asked else "is not asked for now"
    wrong = FieldError("password", "missing" if asked else "not-here", why)
    raise Invalid("The password does not fit the plan.", fields=(wrong,))
