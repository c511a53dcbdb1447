"""What everything that changes a plan has in common: it is read with its time looked at, changed under its ETag, and what the audit
trail is to be told goes along.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from shared.actions.book import ACTIONS
from shared.actions.credential import Acting, Credentials
from shared.actions.planner import Clients, Planner
from shared.actions.turn import Means
from shared.actions.worker import Worker
from shared.clock import Clock
from shared.domain.actor import SYSTEM, Actor
from shared.domain.plan import Item, Plan, State, StoredPlan
from shared.domain.policy import Asked
from shared.errors import Conflict, Forbidden, NotFound, SourceProblem, Unavailable
from shared.graph.answers import Postponed
from shared.names import ACTION_QUEUE
from shared.principal import Principal
from shared.storage.plans import Commit, Entry, Held, Plans, changed
from shared.storage.queues import Queues
from shared.storage.tables import RowChanged

TRIES = 8
WORKER_SECONDS = 240.0
_FORGOTTEN_AFTER = timedelta(days=1)
"""A plan that nobody submitted."""
_LATE = (State.WAITING, State.APPROVED)


class Desk(ABC):
    """`note` writes an entry of the audit trail; `planned` finishes a plan all of whose items were looked at."""

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
        self.worker = Worker(Means(plans, planner, clock, self._planned), credentials, graph)

    @abstractmethod
    def _planned(self, held: Held, items: list[Item]) -> StoredPlan:
        """A plan whose items were all looked at."""

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

    def look_after(self) -> None:
        """Wakes plans that nobody works on, ends those whose time is over, and tells the audit trail. One query where there are
        none, however many sources there are.
        """
        for source, etag in self._plans.marked():
            for plan_id in self._plans.open(source):
                self._look_after(plan_id)
            self.flush(source)
            self._plans.unmark(source, etag)

    def _look_after(self, plan_id: str) -> None:
        held = self._plans.get(plan_id)
        if held is None:
            self._plans.close(plan_id)
            return
        plan = self._late(held, write=True).plan
        if plan.submitted_at is None and self._clock.now() > plan.created_at + _FORGOTTEN_AFTER:
            self._plans.forget(held)
        elif plan.finished_at or plan.worked_on:
            self._wake(plan_id)

    def flush(self, source: str) -> None:
        """Tells the audit trail what it is to be told. Cut off in between, one may be there twice, with the same event."""
        for key, entry in self._plans.untold(source):
            self._note(source, entry.who, entry.what, entry.subject, entry.details)
            self._plans.told(source, key)

    # Changing

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
        for _ in range(TRIES):
            held = self._held(plan_id)
            new, change = make(held)
            try:
                committed = self._plans.commit(held, new, change)
            except RowChanged:
                continue
            self.flush(new.source_id)
            return committed
        raise busy()

    def _committed(self, held: Held, new: StoredPlan, change: Commit) -> Plan:
        made = self._plans.commit(held, new, change).plan
        self.flush(new.source_id)
        return made

    def _steered(
        self, plan_id: str, who: Principal, states: tuple[State, ...], what: str, fields: dict[str, Any]
    ) -> Plan:
        def steered(held: Held) -> tuple[StoredPlan, Commit]:
            check_state(held.plan, states)
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
    def in_time[T](work: Coroutine[Any, Any, T]) -> T:
        """A live look, with Graph's troubles as errors of the API."""
        try:
            return asyncio.run(work)
        except Postponed as problem:
            raise Unavailable(
                "Microsoft Graph is throttling.", code="graph-throttled", remedy="Try again in a minute."
            ) from problem
        except SourceProblem as problem:
            raise Unavailable(problem.detail, code=problem.code, remedy=problem.remedy) from problem


def asked_of(plan: StoredPlan, items: list[Item], hour: int, day: int) -> Asked:
    possible = [one for one in items if one.state in (State.PLANNED, State.HELD)]
    count = len({one.call.target for one in possible})
    actions = {plan.action, *(one.call.action for one in possible)}
    risks = {ACTIONS[name].risk for name in actions if name in ACTIONS}
    flags = {flag for one in possible for flag in one.flags}
    return Asked(actions=actions, risks=risks, flags=flags, hour=hour + count, day=day + count)


def check_author(plan: StoredPlan, who: Principal) -> None:
    if plan.by_id != who.id:
        raise Forbidden("Only its author does that with a plan.", code="not-author", remedy="Plan it yourself.")


def check_state(plan: StoredPlan, states: tuple[State, ...]) -> None:
    if plan.state not in states:
        raise Conflict(f"The plan is {plan.state}.", code="plan-state", remedy=f"Read /api/v1/plans/{plan.id}.")


def busy() -> Conflict:
    return Conflict("The plan keeps changing.", code="busy", remedy="Try again in some seconds.")
