"""Carries plans out: signs in with the credential that acts, and takes a turn. What keeps a plan from going on is said on it."""

import asyncio

from shared.actions.credential import Credentials
from shared.actions.planner import Clients, signed_in
from shared.actions.sending import Secrets
from shared.actions.turn import LATER_SECONDS, Means, Turn
from shared.domain.actor import SYSTEM
from shared.domain.plan import State
from shared.domain.reason import Reason
from shared.errors import Conflict, NotFound, SourceProblem
from shared.graph.answers import Postponed
from shared.storage.plans import Commit, Entry, Held, changed


class Worker:
    def __init__(self, means: Means, credentials: Credentials, graph: Clients) -> None:
        self._means, self._credentials, self._graph = means, credentials, graph

    async def work(self, plan_id: str, seconds: float, held_secrets: Secrets | None = None) -> float | None:
        """Works on a plan for so long. Gives after how many seconds it needs somebody again; None: not any more. Raises Unavailable
        where storage fails: whoever comes next goes on.
        """
        plans, clock = self._means.plans, self._means.clock
        held = await asyncio.to_thread(plans.get, plan_id)
        if held is None or not held.plan.worked_on:
            if held is None or held.plan.finished_at:
                await asyncio.to_thread(plans.close, plan_id)
            return None
        until = clock.monotonic() + seconds
        try:
            acting = await asyncio.to_thread(self._credentials.acting, held.plan.source_id)
            if held.plan.through and held.plan.through.credential_id != acting.credential.id:
                return await self._stopped(held, _OTHER_CREDENTIAL)
            async with signed_in(self._graph, acting, lambda: max(2.0, until - clock.monotonic())) as tenant:
                return await Turn(self._means, tenant, held, until, held_secrets or Secrets()).work()
        except Postponed:
            return LATER_SECONDS
        except SourceProblem as problem:
            return LATER_SECONDS if problem.transient else await self._stopped(held, Reason.of(problem))
        except (Conflict, NotFound) as problem:
            return await self._stopped(held, Reason.of(problem))

    async def _stopped(self, held: Held, why: Reason) -> float | None:
        """Nothing further is begun before a person has mended it. The timer goes on trying to read back what was sent."""
        plans = self._means.plans
        fresh = await asyncio.to_thread(plans.get, held.plan.id)
        if fresh is None or not fresh.plan.worked_on or why in fresh.plan.warnings:
            return None
        state = State.REFUSED if fresh.plan.state is State.PLANNING else State.PAUSED
        plan = changed(
            fresh, state=state, paused_because=why.message, paused_at=0, warnings=[*fresh.plan.warnings, why]
        )
        entry = Entry(SYSTEM, "action-stopped", plan.id, {"plan": plan.id, "action": plan.action, "reason": why.code})
        await asyncio.to_thread(plans.commit, fresh, plan, Commit(said=[entry]))
        return None


_OTHER_CREDENTIAL = Reason(
    code="credential-changed", message="Another credential acts in the tenant than when this was planned.", remedy="Plan it again.",
)  # fmt: skip
