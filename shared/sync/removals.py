"""What becomes of the candidates: the decision whether they may go, what people decided about those that had to wait, and
the steps in which it is done.
"""

import itertools
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.clock import iso
from shared.domain.checkpoint import packed, unpacked
from shared.domain.removal import Candidate, Cause, causes_of, empties, is_new, judge
from shared.domain.write import Act, Known, Write
from shared.sync.leavers import CAUSES, Leavers


@dataclass
class Step:
    """Some of the work that was decided: writes, objects to be judged again, and holds that are dealt with then."""

    writes: list[Write] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    drops: list[str] = field(default_factory=list)


class Removals:
    """Decides once, keeps it in the checkpoint, and does it."""

    def __init__(self, leavers: Leavers) -> None:
        self._leavers = leavers
        self._tried: set[str] = set()  # confirmed, and asked for again by this slice

    async def decide(self, records: int) -> list[str]:
        """Settles what becomes of everybody, of a stream with so many records. Gives who goes."""
        leavers = self._leavers
        checkpoint, progress = leavers.checkpoint, leavers.checkpoint.progress
        leavers.spill()
        await leavers.flush()
        known = await leavers.store.find(leavers.candidates, stubs=True)
        leavers.candidates = {key: c for key, c in leavers.candidates.items() if known[key].row or known[key].stub}
        limit = leavers.limit(records)
        await self._ask_about_reported(known, limit)
        pending = {key: c for key, c in leavers.candidates.items() if c.cause is Cause.ABSENT}
        leavers.candidates = {key: c for key, c in leavers.candidates.items() if key not in pending}
        await self._ask_again()
        settled = leavers.released | leavers.approved.keys() | leavers.judged_again
        stored = {key for key, (row, _) in known.items() if row}
        verdict = judge(
            leavers.candidates, stored, {key: row for key, row in leavers.held.items() if key not in pending}, settled,
            lately=leavers.plan.lately, limit=limit,
            emptied=empties(leavers.candidates, stored, leavers.plan.moved, records),
        )  # fmt: skip
        await self._rename(leavers.candidates, verdict.renamed)
        checkpoint.decision = "remove" if verdict.may else "hold"
        waiting = leavers.absent.keys() - leavers.released - leavers.candidates.keys()
        progress.pending = checkpoint.pending = len(waiting | {key for key in pending if known[key].row})
        leavers.candidates = {**verdict.fresh, **pending}
        earlier = [leavers.held[key].cause for key in verdict.waiting if leavers.held[key].run == checkpoint.run_id]
        held = causes_of(verdict.fresh, verdict.held) + earlier
        progress.held = len(held)
        progress.held_causes = {cause.value: held.count(cause) for cause in sorted(set(held))}
        progress.released += leavers.freed
        going = causes_of(verdict.fresh, verdict.going)
        left = sum(cause.of_scope for cause in going)
        progress.counted_removals = len(going)
        progress.left_scope += left
        progress.out_of_scope += left
        progress.removed = len(going) - left + len(leavers.approved)
        self._keep_decided(verdict.waiting, len(verdict.held))
        return [*verdict.going, *leavers.approved]

    async def _ask_about_reported(self, known: dict[str, Known], limit: int) -> None:
        """Microsoft Graph may repeat an old report, or send reports out of order: whoever was reported as removed is asked
        for, and goes only where the answer confirms it. More than may go are held anyway, and asked for when a person has
        confirmed.
        """
        leavers = self._leavers
        reported = [
            key
            for key, c in leavers.candidates.items()
            if key in leavers.was_reported and known[key].row and is_new(key, c.cause, leavers.held)
        ]
        if len(reported) > limit:
            return
        for chunk in self._chunks(reported):
            for key, answer in (await leavers.source.ask(chunk)).items():
                if answer == "there":
                    leavers.checkpoint.progress.drift += 1
                    del leavers.candidates[key]
                    if key in leavers.held or key in leavers.absent:
                        leavers.released.add(key)
                else:
                    leavers.candidates[key] = Candidate(CAUSES.get(answer, Cause.NOT_CONFIRMED))

    def _chunks(self, keys: Iterable[str]) -> Iterator[list[str]]:
        keys = iter(keys)
        while chunk := list(itertools.islice(keys, self._leavers.limits.at_once)):
            yield chunk

    async def _rename(self, candidates: dict[str, Candidate], keys: Iterable[str]) -> None:
        """Holds of which the cause is clear now; they wait since when they did."""
        held = self._leavers.held
        for chunk in self._chunks(sorted(keys)):
            await self._leavers.hold(
                [
                    {"ObjectId": key, "Cause": candidates[key].cause.value, "Since": iso(held[key].since), "Run": held[key].run}
                    for key in chunk
                ]
            )  # fmt: skip

    async def _ask_again(self) -> None:
        """What a person confirmed is asked for once more before it goes."""
        leavers = self._leavers
        confirmed = dict(itertools.islice(self._confirmed(), leavers.limits.confirmed))
        self._tried |= confirmed.keys()
        for chunk in self._chunks(key for key, cause in confirmed.items() if not cause.of_scope):
            for key, answer in (await leavers.source.ask(chunk)).items():
                if answer == "there":
                    leavers.released.add(key)
                elif answer in CAUSES:
                    leavers.approved[key] = CAUSES[answer].value
        leavers.judged_again = {key for key, cause in confirmed.items() if cause.of_scope}

    def _confirmed(self) -> Iterator[tuple[str, Cause]]:
        """What people confirmed and this slice has not asked for yet."""
        for key, row in self._leavers.held.items():
            if row.decision == "confirmed" and key not in self._leavers.released and key not in self._tried:
                yield key, row.cause

    async def go_on(self) -> bool:
        """Once all is settled: takes up more of what people confirmed, as much as a checkpoint has room for. It must be
        durable before it is done. False: there is no more.
        """
        leavers = self._leavers
        if not leavers.rows.maybe:
            return False
        await leavers.look()
        leavers.candidates, leavers.approved, leavers.released, leavers.judged_again = {}, {}, set(), set()
        if next(self._confirmed(), None) is None:
            return False
        await self._ask_again()
        checkpoint, progress = leavers.checkpoint, leavers.checkpoint.progress
        checkpoint.settled = 0
        progress.removed += len(leavers.approved)
        progress.released += len(leavers.released)
        if progress.mode == "full":
            progress.not_seen = max(0, progress.not_seen - len(leavers.approved))
        checkpoint.stale = [key for key in checkpoint.stale if key not in leavers.approved]
        self._keep_decided(
            leavers.held.keys() - leavers.released - leavers.approved.keys() - leavers.judged_again
        )  # fmt: skip
        return True

    def _keep_decided(self, waiting: Collection[str], fresh: int = 0) -> None:
        """`waiting`: held before and still; `fresh`: held from now on."""
        leavers, checkpoint = self._leavers, self._leavers.checkpoint
        checkpoint.held = len(waiting) + fresh + len(leavers.judged_again)
        checkpoint.waiting = sum(leavers.held[key].decision != "rejected" for key in waiting) + fresh
        checkpoint.approved = packed(sorted(leavers.approved.items()))
        checkpoint.judged = packed(sorted(leavers.judged_again))

    async def settle(self) -> AsyncIterator[Step]:
        """Does what was decided, in steps; doing one twice does no harm, and a slice goes on where the last one stopped."""
        leavers = self._leavers
        leavers.judged_again = set(unpacked(leavers.checkpoint.judged))
        work = (
            (self._candidates_step, list(leavers.candidates)),
            (self._approved_step, sorted(leavers.approved)),
            (self._judged_step, sorted(leavers.judged_again)),
            (self._released_step, sorted(leavers.released)),
        )
        parts = [(step, chunk) for step, keys in work for chunk in self._chunks(keys)]
        for number, (step, chunk) in enumerate(parts, 1):
            if number > leavers.checkpoint.settled:
                made = await step(chunk)
                leavers.checkpoint.settled = number
                yield made

    async def drop(self, step: Step) -> None:
        """Forgets the holds that a step has dealt with."""
        await self._leavers.rows.drop(step.drops)

    async def _approved_step(self, chunk: list[str]) -> Step:
        return Step([_removal(key, self._leavers.approved[key]) for key in chunk], drops=chunk)

    async def _judged_step(self, chunk: list[str]) -> Step:
        fetched = await self._leavers.source.fetch(chunk)
        gone = [_removal(key, Cause.GONE) for key, item in fetched.items() if item is None]
        self._leavers.checkpoint.progress.removed += len(gone)
        return Step(gone, [item for item in fetched.values() if item is not None], list(fetched))

    async def _released_step(self, chunk: list[str]) -> Step:
        return Step(drops=chunk)

    async def _candidates_step(self, chunk: list[str]) -> Step:
        leavers = self._leavers
        if leavers.held.keys() & chunk:
            await leavers.look()  # somebody may have decided meanwhile
        candidates = {key: leavers.candidates[key] for key in chunk}
        chosen = {key: c for key, c in candidates.items() if is_new(key, c.cause, leavers.held)}
        known = await leavers.store.find(chosen, stubs=True)
        step, held = Step(), list[dict[str, Any]]()
        for key, candidate in chosen.items():
            row, stub = known[key]
            cause = candidate.cause
            held_now = leavers.checkpoint.decision == "hold" or cause.unproved
            if cause is Cause.ABSENT and key in leavers.absent:
                continue  # since the first answer
            if held_now:
                reported = {"Reported": True} if cause.unproved and key in leavers.was_reported else {}
                held.append({"ObjectId": key, "Cause": cause.value, **reported})
            elif cause.of_scope:
                write = Write(key, Act.LEAVE, {}, b"", candidate.digest, cause.value, changed=candidate.changed)
                write.stored, write.stub, write.had_stub = row, stub, stub is not None
                step.writes.append(write)
            elif row:
                step.writes.append(_removal(key, cause, row))
            if (key in leavers.held or key in leavers.absent) and not held_now:
                step.drops.append(key)
        await leavers.hold(held)
        await leavers.store.drop_stubs(
            [
                key
                for key, c in chosen.items()
                if known[key].stub and not known[key].row and not (c.cause.of_scope or c.cause is Cause.ABSENT)
            ]
        )
        return step

    def kept(self, most: int) -> list[str]:
        """Objects that are stored although they seem to be gone, at most so many."""
        leavers = self._leavers
        waits = [*leavers.held, *(key for key in leavers.absent if key not in leavers.candidates)]
        waiting = [key for key in waits if key not in leavers.released and key not in leavers.approved]
        if leavers.checkpoint.decision == "hold":
            waiting += leavers.candidates
        else:
            waiting += [key for key, c in leavers.candidates.items() if c.cause.unproved]
        return waiting[:most]


def _removal(object_id: str, cause: str, row: dict[str, Any] | None = None) -> Write:
    return Write(object_id, Act.REMOVE, {}, b"", 0, str(cause), stored=row)
