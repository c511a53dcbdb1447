"""One worker's turn at a plan: what is due is read back, the next item is begun, and where nothing is due it says when something is.

Each change is one transaction under the plan's ETag. Of two workers that come to the same request one stores its intent; only
that one sends it. Whoever comes after a crash finds the intent, and reads back: nothing is sent twice.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.actions import proof
from shared.actions.planner import Planner, Tenant
from shared.actions.requests import has_secret
from shared.actions.sending import Secrets, note_answer, refused_before, send
from shared.clock import Clock
from shared.domain.actor import Actor
from shared.domain.plan import OVER, Item, State, Step, StoredPlan
from shared.domain.reason import Reason
from shared.errors import SourceProblem
from shared.graph.answers import Postponed
from shared.graph.waiting import retry_after
from shared.storage.plans import Busy, Commit, Entry, Held, Plans, changed
from shared.storage.tables import RowChanged

BUSY_SECONDS, LATER_SECONDS = 5.0, 60.0
_MOST_TRIES = 20


@dataclass(frozen=True)
class Means:
    """What every turn needs. `planned` finishes a plan once all of its items are planned."""

    plans: Plans
    planner: Planner
    clock: Clock
    planned: Callable[[Held, list[Item]], StoredPlan]


class Turn:
    """One worker's turn at a plan."""

    def __init__(self, means: Means, tenant: Tenant, held: Held, until: float, kept: Secrets) -> None:
        self._means, self._tenant, self._held, self._until, self._secrets = means, tenant, held, until, kept
        self._plans, self._clock = means.plans, means.clock
        self._items: list[Item] = []
        self._later: dict[int, datetime] = {}
        """Items that wait for a target that another plan has, or for Graph."""

    async def work(self) -> float | None:
        await self._load()
        tries = 0
        while True:
            try:
                wait = await self._next()
            except RowChanged:
                tries += 1
                if tries > _MOST_TRIES:
                    return BUSY_SECONDS
                await self._load()
                if not self._held.plan.worked_on:
                    return None
                continue
            if wait is None:
                return None
            if wait <= 0:
                continue
            if self._clock.monotonic() + wait > self._until:
                return wait
            await self._clock.sleep(wait)

    async def _load(self) -> None:
        held = await asyncio.to_thread(self._plans.get, self._held.plan.id)
        assert held
        self._held = held
        self._items = await asyncio.to_thread(self._plans.items, held.plan.id)

    async def _next(self) -> float | None:
        """Does the next thing that is due. Gives the seconds until another is; 0: at once; None: nothing more to do."""
        plan, now = self._held.plan, self._clock.now()
        if plan.state is State.PLANNING:
            return await self._plan_one()
        for item in self._items:
            for step in item.steps:
                if step.state in (State.SENT, State.UNKNOWN) and step.next_look_at and step.next_look_at <= now:
                    await self._look(item, step)
                    return 0.0
        if plan.cancelled and (rest := [one for one in self._items if one.state in (State.PLANNED, State.HELD)]):
            for one in rest[:80]:
                one.state = State.CANCELLED
            await self._commit(rest[:80])
            return 0.0
        if plan.state is not State.PAUSED and (ready := self._to_begin(now)):
            await self._begin(ready)
            return 0.0
        return await self._rest(now)

    async def _rest(self, now: datetime) -> float | None:
        """Nothing is due: when something is, or the end."""
        due = [step.next_look_at for item in self._items for step in item.steps if step.next_look_at]
        due += [at for number, at in self._later.items() if self._items[number - 1].state is State.PLANNED]
        due += [one.call.not_before for one in self._items if one.call.not_before and one.state is State.PLANNED]
        ended = all(one.state in OVER for one in self._items)
        state = self._ended() if ended else self._held.plan.state
        unsettled = {one.state for one in self._items} - OVER
        if self._held.plan.state is State.SENT and unsettled == {State.UNKNOWN}:
            state = State.UNKNOWN
        if state is not self._held.plan.state or (ended and self._held.plan.finished_at is None):
            await self._commit([], state=state, finished=ended)
        if ended:
            await asyncio.to_thread(self._plans.close, self._held.plan.id)
            return None
        ahead = [(at - now).total_seconds() for at in due if at > now]
        if ahead:
            return max(0.05, min(ahead))
        await asyncio.to_thread(self._plans.close, self._held.plan.id)  # a person has to say how it goes on
        return None

    def _ended(self) -> State:
        states = {one.state for one in self._items}
        return states.pop() if len(states) == 1 else State.MIXED

    # Planning

    async def _plan_one(self) -> float | None:
        item = next((one for one in self._items if one.state is State.PLANNING), None)
        if item is None:
            plan = self._means.planned(self._held, self._items)
            self._held = await asyncio.to_thread(self._plans.commit, self._held, plan, Commit())
            return None
        made = await self._means.planner.item(self._tenant, item.number, item.call, self._held.plan.by_id)
        self._items[item.number - 1] = made
        await self._commit([made])
        return 0.0

    # Beginning

    def _to_begin(self, now: datetime) -> Item | None:
        """The item whose next request may be sent."""
        one_by_one = self._held.plan.form in ("composed", "undo")
        for item in self._items:
            ready = item.state is State.PLANNED or (item.state is State.SENT and _unsent(item))
            early = item.call.not_before and item.call.not_before > now
            if ready and not early and self._later.get(item.number, now) <= now and not _in_doubt(item):
                return item
            if one_by_one and not (item.state is State.CONFIRMED or item.acknowledged):
                return None
        return None

    async def _begin(self, item: Item) -> None:
        if self._nobody_to_show(item):
            item.reasons = [_CALLER_GONE]
            await self._settled(item, refused=True)
            return
        if item.call.at_its_turn and not item.steps:
            await self._plan_now(item)
            return
        first = not any(step.sent_at for step in item.steps)
        if first and not await self._as_planned(item):
            return
        step = next(one for one in item.steps if one.state is State.PLANNED)
        await self._send(item, step, first=first)

    def _nobody_to_show(self, item: Item) -> bool:
        """What is made to be shown to a caller is not made once the caller is gone. Many at a time are shown to nobody on purpose."""
        shows = any(step.shows or has_secret(step.request.body) for step in item.steps)
        return shows and self._held.plan.form == "single" and self._secrets.shown is None

    async def _as_planned(self, item: Item) -> bool:
        """Whether the target is still as it was when the plan was made."""
        fresh = await self._looked_at(item)
        if fresh.digest == item.digest and fresh.state is State.PLANNED:
            return True
        why = fresh.reasons[0].message if fresh.reasons else _differing(item, fresh)
        if item.call.not_before:
            fresh.state, fresh.reasons = State.HELD, [_changed_reason(why), *fresh.reasons]
            self._items[item.number - 1] = fresh
            await self._commit([fresh], said=[self._entry("action-held", fresh)])
            return False
        item.reasons = [_changed_reason(why), *fresh.reasons]
        await self._settled(item, refused=True)
        return False

    async def _looked_at(self, item: Item) -> Item:
        return await self._means.planner.item(self._tenant, item.number, item.call, self._held.plan.by_id, now=True)

    async def _plan_now(self, item: Item) -> None:
        """An item whose target was not there when the plan was made. Where there is nothing to do the plan goes on."""
        fresh = await self._looked_at(item)
        fresh.acknowledged = any(one.code == "already-so" for one in fresh.reasons)
        self._items[item.number - 1] = fresh
        said = [] if fresh.state is State.PLANNED else [self._entry(f"action-{fresh.state}", fresh)]
        await self._commit([fresh], said=said)

    async def _send(self, item: Item, step: Step, *, first: bool) -> None:
        now = self._clock.now()
        secret = self._secrets.for_(step)
        step.state, step.sent_at, step.attempts = State.SENT, now, step.attempts + 1
        step.next_look_at = now + timedelta(seconds=proof.next_look(0, 0))
        item.state = State.SENT
        target = item.call.target
        lock = [target] if first and target and not await self._has(target) else []
        try:
            await self._commit([item], lock=lock, said=[self._entry("action-sent", item, step)])
        except Busy as busy:
            await self._load()
            self._later[item.number] = now + timedelta(seconds=BUSY_SECONDS)
            self._items[item.number - 1].reasons = [_busy_reason(busy.plan)]
            return
        again = await self._sent(step, secret)
        if step.state is State.SENT and step.next_look_at:
            step.next_look_at = self._clock.now() + timedelta(seconds=proof.next_look(0, 0))
        await self._answered(item)
        if again:
            await self._send(item, step, first=False)

    async def _sent(self, step: Step, secret: str) -> bool:
        """Sends it, and sorts what comes back. Gives whether it is to be sent with another password."""
        try:
            answer = await send(self._tenant.client, step, secret)
        except SourceProblem as problem:
            refused_before(step, problem, self._clock)
            return False
        if answer is not None and answer.status == 429:
            until = self._clock.now() + timedelta(seconds=retry_after(answer.headers, self._clock) or LATER_SECONDS)
            self._later |= {one.number: until for one in self._items}
        return note_answer(step, answer, self._clock, self._secrets)

    async def _has(self, target: str) -> bool:
        """Whether the plan has the target already: what it did to it before is not known to be done."""
        plan = self._held.plan
        return await asyncio.to_thread(self._plans.holder, plan.source_id, target) == plan.id

    async def _answered(self, item: Item) -> None:
        """What came back has to be written down, whatever others did meanwhile."""
        for _ in range(_MOST_TRIES):
            try:
                await self._settled(item)
            except RowChanged:
                await self._load()
                self._items[item.number - 1] = item
            else:
                return
        raise RowChanged

    # Reading back

    async def _look(self, item: Item, step: Step) -> None:
        assert step.sent_at
        now = self._clock.now()
        age = (now - step.sent_at).total_seconds()
        if not step.proof.readable:  # whoever sent it was cut off before the answer
            step.state, step.reason, step.next_look_at = State.UNKNOWN, step.reason or _UNKNOWN, None
            await self._settled(item)
            return
        try:
            found = await proof.looked(self._tenant.client, step.proof)
        except (SourceProblem, Postponed):
            step.next_look_at = now + timedelta(seconds=max(10.0, proof.next_look(step.looks, age)))
            if age >= proof.WATCHED_SECONDS:
                step.next_look_at = None
            elif age >= step.proof.budget_seconds:
                step.state = State.UNKNOWN
            await self._settled(item)
            return
        step.alike = step.alike + 1 if step.holds is found else 1
        step.holds, step.looks = found, step.looks + 1
        age = (self._clock.now() - step.sent_at).total_seconds()
        step.next_look_at = self._clock.now() + timedelta(seconds=proof.next_look(step.looks, age))
        if step.alike >= proof.NEEDED and found:
            step.state, step.reason = State.CONFIRMED, None
            self._secrets.show(step)
        elif step.alike >= proof.NEEDED and age >= proof.CERTAIN_SECONDS:
            step.state, step.reason = State.CONTRADICTED, _CONTRADICTED if step.answered else _NOT_DONE
        elif age >= proof.WATCHED_SECONDS:
            step.state, step.reason, step.next_look_at = State.UNKNOWN, _UNKNOWN, None
        elif age >= step.proof.budget_seconds and step.state is State.SENT:
            step.state, step.reason = State.UNKNOWN, step.reason or _UNKNOWN
        if step.state in OVER:
            step.settled_at, step.next_look_at = self._clock.now(), None
        await self._settled(item)

    async def _settled(self, item: Item, *, refused: bool = False) -> None:
        """Writes an item whose steps changed; lets go of its target once nothing that the plan did to it is open."""
        before = item.state
        item.state = State.REFUSED if refused else item.of_steps()
        changed_state = item.state is not before and item.state is not State.SENT
        said = [self._entry(f"action-{item.state}", item)] if changed_state else []
        target = item.call.target
        done = item.state in OVER and any(step.sent_at for step in item.steps)
        others = any(one.open and one.call.target == target for one in self._items if one is not item)
        await self._commit([item], unlock=[target] if done and target and not others else [], said=said)

    # Writing

    async def _commit(
        self, items: list[Item], *, state: State | None = None, finished: bool = False, lock: list[str] | None = None,
        unlock: list[str] | None = None, said: list[Entry] | None = None,
    ) -> None:  # fmt: skip
        fields: dict[str, Any] = {"counts": dict(Counter(str(one.state) for one in self._items))}
        if state:
            fields["state"] = state
        if finished:
            fields["finished_at"] = self._clock.now()
        fields |= self._halted(items) or self._freed(items)
        freed = [target for target in unlock or [] if await self._has(target)]
        change = Commit(items=items, lock=lock or [], unlock=freed, said=said or [])
        self._held = await asyncio.to_thread(self._plans.commit, self._held, changed(self._held, **fields), change)

    def _halted(self, items: list[Item]) -> dict[str, Any]:
        """A plan of many steps stops behind one that was not done: a person decides."""
        if self._held.plan.form not in ("composed", "undo") or self._held.plan.state is not State.SENT:
            return {}
        for item in items:
            if item.state in (State.REFUSED, State.CONTRADICTED, State.UNKNOWN) and not item.acknowledged:
                why = f"Item {item.number} ({item.title}) is {item.state}."
                return {"state": State.PAUSED, "paused_because": why, "paused_at": item.number}
        return {}

    def _freed(self, items: list[Item]) -> dict[str, Any]:
        """What it stopped behind is known to be done by now."""
        plan = self._held.plan
        if plan.state is State.PAUSED and any(
            one.number == plan.paused_at and one.state is State.CONFIRMED for one in items
        ):
            return {"state": State.SENT, "paused_because": "", "paused_at": 0}
        return {}

    def _entry(self, what: str, item: Item, step: Step | None = None) -> Entry:
        plan = self._held.plan
        steps = [step] if step else item.steps
        details = {
            "plan": plan.id, "item": item.number, "action": item.call.action, "target": item.call.target,
            "requests": [
                {"method": one.request.method, "path": one.request.path, "status": one.status, "requestIds": one.request_ids,
                 "state": str(one.state)} for one in steps
            ],
        }  # fmt: skip
        if item.reasons:
            details["reason"] = item.reasons[0].code
        return Entry(Actor(plan.by_id, plan.by_name, plan.by_application), what, item.call.target or plan.id, details)


def _unsent(item: Item) -> bool:
    return any(step.state is State.PLANNED for step in item.steps)


def _in_doubt(item: Item) -> bool:
    """A request of it is unanswered: nothing further is sent before it is known what came of it."""
    return any(step.state is State.UNKNOWN or (step.state is State.SENT and not step.answered) for step in item.steps)


def _differing(item: Item, fresh: Item) -> str:
    names = [name for name in {**item.before, **fresh.before} if item.before.get(name) != fresh.before.get(name)]
    return f"It differs in {', '.join(names)}." if names else "The requests would be others."


def _changed_reason(why: str) -> Reason:
    return Reason(
        code="target-changed", message=f"The target is not any more as it was when this was planned. {why}",
        remedy="Plan it again, and look at the difference.",
    )  # fmt: skip


def _busy_reason(plan: str) -> Reason:
    return Reason(
        code="target-busy", message=f"The plan {plan} is acting on the target.", remedy="This one goes on after it."
    )


_CALLER_GONE = Reason(
    code="caller-gone", message="Whoever was to be shown what this makes was not there any more when it could be done.",
    remedy="Plan it again.",
)  # fmt: skip
_UNKNOWN = Reason(
    code="not-shown", message="It could not be shown in time whether it was done.",
    remedy="It is looked at for 24 hours, and not sent again. After that a person says what is true.",
)  # fmt: skip
_CONTRADICTED = Reason(
    code="contradicted", message="Microsoft Graph said that it was done, and for an hour the object shows that it is not so.",
    remedy="Something may set it back. Look at the object's audit in Microsoft Entra.",
)  # fmt: skip
_NOT_DONE = Reason(
    code="not-done", message="The answer was lost, and for an hour the object shows that it was not done.", remedy="Plan it again.",
)  # fmt: skip
