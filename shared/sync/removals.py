"""Who has to go: candidates from what Graph reported and from who was absent, the decision whether they may, and what
people decided about those that had to wait.
"""

import itertools
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from shared.clock import iso
from shared.domain.checkpoint import Checkpoint, packed, unpacked
from shared.domain.removal import Candidate, Cause, limit_of
from shared.domain.write import CARD_COLUMNS, Act, Known, Write

_SPILL = 5000  # more candidates than any owner may allow: they are held as they come
_MOST_ASKED = 2000
_ASKED_AT_ONCE = 200
_WRITTEN_AT_ONCE = 200
_MOST_CONFIRMED = 4000  # at a time: what a checkpoint has room for
_CAUSE = {"deleted": Cause.DELETED, "gone": Cause.GONE}


class HeldRow(Protocol):
    """A removal that waits."""

    @property
    def cause(self) -> Cause: ...
    @property
    def since(self) -> datetime: ...
    @property
    def run(self) -> str: ...
    @property
    def decision(self) -> str: ...


class HeldRows(Protocol):
    """The holds of one stream. `maybe`: whether there can be any."""

    maybe: bool

    async def all(self) -> dict[str, Any]: ...
    async def put(self, rows: Iterable[dict[str, Any]]) -> None: ...
    async def drop(self, object_ids: Iterable[str]) -> None: ...


class Asking(Protocol):
    async def ask(self, object_ids: Sequence[str]) -> dict[str, str]: ...
    async def fetch(self, object_ids: Sequence[str]) -> dict[str, dict[str, Any] | None]: ...


class Finding(Protocol):
    async def find(self, object_ids: Iterable[str], *, stubs: bool) -> dict[str, Known]: ...
    async def drop_stubs(self, object_ids: Iterable[str]) -> None: ...


class Limits(Protocol):
    @property
    def limit_count(self) -> int: ...
    @property
    def limit_percent(self) -> int: ...
    @property
    def lately(self) -> int: ...


@dataclass
class Step:
    """Some of the work that was decided: writes, and objects to be judged again."""

    writes: list[Write] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    drops: list[str] = field(default_factory=list)


class Leavers:
    """The candidates of one stream in one run. `checkpoint` carries what must survive."""

    def __init__(self, source: Asking, store: Finding, held: HeldRows, limits: Limits, checkpoint: Checkpoint) -> None:
        self._source, self._store, self._rows, self._limits = source, store, held, limits
        self.checkpoint = checkpoint
        self._candidates = {
            object_id: Candidate(Cause(cause), digest, changed)
            for object_id, cause, digest, changed in unpacked(checkpoint.candidates)
        }
        self._reported = {key for key, c in self._candidates.items() if not c.cause.of_scope and not c.cause.unproved}
        self._released: set[str] = set(unpacked(checkpoint.released))
        self._approved: dict[str, str] = dict(unpacked(checkpoint.approved))
        self._held: dict[str, HeldRow] = {}
        self._spilled: list[dict[str, Any]] = []
        self._freed: list[str] = []
        self.judged_again: set[str] = set()
        self._tried: set[str] = set()  # confirmed, and asked for again by this slice

    async def load(self) -> None:
        if self._rows.maybe:
            self._held = await self._rows.all()

    # While pages are read

    def reported(self, item: dict[str, Any]) -> None:
        """Graph says @removed."""
        cause = Cause.GONE if item["@removed"].get("reason") == "deleted" else Cause.DELETED
        self._candidates[item["id"]] = Candidate(cause)
        self._reported.add(item["id"])
        self._released.discard(item["id"])

    def present(self, object_id: str) -> None:
        """It is there and in scope."""
        if self._candidates:
            self._candidates.pop(object_id, None)
        if self._held and object_id in self._held:
            self._released.add(object_id)

    def leaves_scope(self, write: Write) -> None:
        assert write.reason
        self._released.discard(write.object_id)
        if write.object_id not in self._held or self._held[write.object_id].decision == "confirmed":
            self._candidates[write.object_id] = Candidate(Cause(write.reason), write.digest, write.changed)

    def _doubtful(self, object_id: str) -> bool:
        """Held only because Graph gave no clear answer, and nobody has decided: a clear answer settles it."""
        held = self._held[object_id]
        return held.cause.unproved and not held.decision

    def _new(self, object_id: str, cause: Cause) -> bool:
        """Whether the candidate is not held yet, or held for a doubt that is gone now."""
        return object_id not in self._held or (self._doubtful(object_id) and not cause.unproved)

    def waits(self, object_id: str) -> bool:
        """Whether its removal is held and nobody confirmed it."""
        return object_id in self._held and self._held[object_id].decision != "confirmed"

    def approves(self, object_id: str) -> bool:
        """Whether a person agreed that this one leaves."""
        return object_id in self.judged_again

    def most_asked(self, records: int) -> int:
        return max(_MOST_ASKED, self._limit(records) + 1)

    def _limit(self, records: int) -> int:
        return limit_of(records, self._limits.limit_count, self._limits.limit_percent)

    async def ask(self, absent: Iterator[str], most: int) -> AsyncIterator[None]:
        """Asks Graph for each absent object, up to so many; gives the loop a turn between the requests."""
        checkpoint, chunk, asked = self.checkpoint, list[str](), 0
        for number, object_id in enumerate(absent):
            if number < checkpoint.asked or object_id in self._candidates:
                continue
            if object_id in self._held and not self._doubtful(object_id):
                continue  # waits already; those that a person decided about are asked for later
            asked += 1
            if asked > most:
                self._candidates[object_id] = Candidate(Cause.NOT_ASKED)
                continue
            chunk.append(object_id)
            if len(chunk) == _ASKED_AT_ONCE:
                await self._ask(chunk)
                chunk = []
                checkpoint.asked = number + 1
                yield
        if chunk:
            await self._ask(chunk)
            yield

    async def _ask(self, chunk: list[str]) -> None:
        for object_id, answer in (await self._source.ask(chunk)).items():
            if answer == "there":
                self.checkpoint.progress.drift += 1
                if object_id in self._held:
                    self._released.add(object_id)
            else:
                self._candidates[object_id] = Candidate(_CAUSE.get(answer, Cause.NOT_CONFIRMED))
                self._reported.discard(object_id)

    # Checkpoints

    def note(self) -> None:
        """Puts what must survive into the checkpoint; too many candidates are held there and then."""
        if not self.checkpoint.decision:
            self._spill()
        self.checkpoint.candidates = packed(
            [[key, c.cause.value, c.digest, c.changed] for key, c in self._candidates.items()]
        )
        self.checkpoint.released = packed(sorted(self._released))

    def _spill(self) -> None:
        """What a checkpoint has no room for is done without one: more candidates than any owner may allow are held, and
        the holds of those who are there again are forgotten.
        """
        if len(self._candidates) > _SPILL:
            self._spilled += [
                {"ObjectId": object_id, "Cause": candidate.cause.value}
                for object_id, candidate in self._candidates.items()
                if object_id not in self._held
            ]
            self._candidates.clear()
        if len(self._released) > _SPILL:
            self.checkpoint.progress.released += len(self._released)
            self._freed += sorted(self._released)
            for object_id in self._released:
                self._held.pop(object_id, None)  # a slice that died may have dropped its row
            self._released.clear()

    @property
    def dirty(self) -> bool:
        return bool(self._spilled or self._freed)

    @property
    def any(self) -> bool:
        """Whether something was decided that is still to be done."""
        return bool(self._candidates or self._approved or self._released or self.judged_again)

    async def flush(self) -> None:
        """Writes the holds that did not fit the checkpoint."""
        freed, self._freed = self._freed, []
        for start in range(0, len(freed), _WRITTEN_AT_ONCE):
            await self._rows.drop(freed[start : start + _WRITTEN_AT_ONCE])
        spilled, self._spilled = self._spilled, []
        for start in range(0, len(spilled), _WRITTEN_AT_ONCE):
            await self._hold(spilled[start : start + _WRITTEN_AT_ONCE])
        if spilled:
            self._rows.maybe = True
            self._held = await self._rows.all()

    async def _hold(self, rows: list[dict[str, Any]]) -> None:
        known = await self._store.find([row["ObjectId"] for row in rows], stubs=False)
        ready = []
        for row in rows:
            stored = known[row["ObjectId"]].row
            if stored:
                card = {name: stored[name] for name in CARD_COLUMNS if name in stored}
                ready.append({"Since": self.checkpoint.begun_at, "Run": self.checkpoint.run_id, **row, **card})
        await self._rows.put(ready)

    # The decision

    async def decide(self, records: int) -> list[str]:
        """Settles what becomes of everybody: kept in the checkpoint, so that it is decided once. Gives who goes."""
        self._spill()
        await self.flush()
        progress = self.checkpoint.progress
        known = await self._store.find(self._candidates, stubs=True)
        self._candidates = {key: c for key, c in self._candidates.items() if known[key].row or known[key].stub}
        await self._ask_about_reported(known, self._limit(records))
        await self._ask_again()
        fresh = {key: c for key, c in self._candidates.items() if self._new(key, c.cause)}
        waiting = self._held.keys() - self._released - self._approved.keys() - self.judged_again - fresh.keys()
        proved = [key for key, c in fresh.items() if not c.cause.unproved and known[key].row]
        if waited := self._held.keys() & fresh.keys():
            # Part of what a person was told about: it goes by itself only where all that waits might have.
            undecided = sum(not self._held[key].decision for key in waiting)
            if self._limits.lately + len(proved) + undecided > self._limit(records):
                await self._rename(fresh, waited)
                waiting |= waited
                fresh = {key: c for key, c in fresh.items() if key not in waited}
                proved = [key for key in proved if key not in waited]
        may = self._limits.lately + len(proved) <= self._limit(records)
        self.checkpoint.decision = "remove" if may else "hold"
        self._candidates = fresh
        held = [key for key, c in fresh.items() if known[key].row and (c.cause.unproved or not may)]
        earlier = [self._held[key].cause for key in waiting if self._held[key].run == self.checkpoint.run_id]
        causes = [fresh[key].cause for key in held] + earlier
        progress.held = len(causes)
        progress.held_causes = {cause.value: causes.count(cause) for cause in sorted(set(causes))}
        progress.released += len(self._released)
        going = [fresh[key].cause for key in proved] if may else []
        left = sum(cause.of_scope for cause in going)
        progress.counted_removals = len(going)
        progress.left_scope += left
        progress.out_of_scope += left
        progress.removed = len(going) - left + len(self._approved)
        self._keep_decided(waiting, len(held))
        return [*(proved if may else []), *self._approved]

    async def _ask_about_reported(self, known: dict[str, Known], limit: int) -> None:
        """Microsoft Graph may repeat an old report, or send reports out of order: whoever was reported as removed is asked
        for before they go. More than may go are held anyway, and asked for when a person has confirmed.
        """
        reported = [
            key
            for key, c in self._candidates.items()
            if key in self._reported and known[key].row and self._new(key, c.cause)
        ]
        if len(reported) > limit:
            return
        for start in range(0, len(reported), _ASKED_AT_ONCE):
            chunk = reported[start : start + _ASKED_AT_ONCE]
            for key, answer in (await self._source.ask(chunk)).items():
                if answer == "there":
                    self.checkpoint.progress.drift += 1
                    del self._candidates[key]
                    if key in self._held:
                        self._released.add(key)
                elif answer in _CAUSE:
                    self._candidates[key] = Candidate(_CAUSE[answer])

    async def _rename(self, candidates: dict[str, Candidate], keys: Iterable[str]) -> None:
        """Holds of which the cause is clear now; they wait since when they did."""
        rows = [
            {"ObjectId": key, "Cause": candidates[key].cause.value, "Since": iso(self._held[key].since), "Run": self._held[key].run}
            for key in sorted(keys)
        ]  # fmt: skip
        for start in range(0, len(rows), _WRITTEN_AT_ONCE):
            await self._hold(rows[start : start + _WRITTEN_AT_ONCE])

    async def _ask_again(self) -> None:
        """What a person confirmed is asked for once more before it goes."""
        confirmed = dict(itertools.islice(self._confirmed(), _MOST_CONFIRMED))
        self._tried |= confirmed.keys()
        gone = [key for key, cause in confirmed.items() if not cause.of_scope]
        for start in range(0, len(gone), _ASKED_AT_ONCE):
            for key, answer in (await self._source.ask(gone[start : start + _ASKED_AT_ONCE])).items():
                if answer == "there":
                    self._released.add(key)
                elif answer in _CAUSE:
                    self._approved[key] = _CAUSE[answer].value
        self.judged_again = {key for key, cause in confirmed.items() if cause.of_scope}

    def _confirmed(self) -> Iterator[tuple[str, Cause]]:
        """What people confirmed and this slice has not asked for yet."""
        for key, row in self._held.items():
            if row.decision == "confirmed" and key not in self._released and key not in self._tried:
                yield key, row.cause

    async def go_on(self) -> bool:
        """Once all is settled: takes up more of what people confirmed, as much as a checkpoint has room for. It must be
        durable before it is done. False: there is no more.
        """
        if not self._rows.maybe:
            return False
        self._held = await self._rows.all()
        self._candidates, self._approved, self._released, self.judged_again = {}, {}, set(), set()
        if next(self._confirmed(), None) is None:
            return False
        await self._ask_again()
        checkpoint, progress = self.checkpoint, self.checkpoint.progress
        checkpoint.settled = 0
        progress.removed += len(self._approved)
        progress.released += len(self._released)
        if progress.mode == "full":
            progress.not_seen = max(0, progress.not_seen - len(self._approved))
        checkpoint.stale = [key for key in checkpoint.stale if key not in self._approved]
        waiting = self._held.keys() - self._released - self._approved.keys() - self.judged_again
        self._keep_decided(waiting)
        return True

    def _keep_decided(self, waiting: Collection[str], fresh: int = 0) -> None:
        """`waiting`: held before and still; `fresh`: held from now on."""
        self.checkpoint.held = len(waiting) + fresh + len(self.judged_again)
        self.checkpoint.waiting = sum(self._held[key].decision != "rejected" for key in waiting) + fresh
        self.checkpoint.approved = packed(sorted(self._approved.items()))
        self.checkpoint.judged = packed(sorted(self.judged_again))

    async def settle(self) -> AsyncIterator[Step]:
        """Does what was decided, in steps; doing one twice does no harm, and a slice goes on where the last one stopped."""
        self.judged_again = set(unpacked(self.checkpoint.judged))
        keys = list(self._candidates), sorted(self._approved), sorted(self.judged_again), sorted(self._released)
        make = self._candidates_step, self._approved_step, self._judged_step, self._released_step
        parts = [
            (step, chosen[start : start + _WRITTEN_AT_ONCE])
            for step, chosen in zip(make, keys, strict=True)
            for start in range(0, len(chosen), _WRITTEN_AT_ONCE)
        ]
        for number, (step, chunk) in enumerate(parts, 1):
            if number > self.checkpoint.settled:
                made = await step(chunk)
                self.checkpoint.settled = number
                yield made

    async def drop(self, step: Step) -> None:
        """Forgets the holds that a step has dealt with."""
        await self._rows.drop(step.drops)

    async def _approved_step(self, chunk: list[str]) -> Step:
        return Step([_removal(key, self._approved[key]) for key in chunk], drops=chunk)

    async def _judged_step(self, chunk: list[str]) -> Step:
        fetched = await self._source.fetch(chunk)
        gone = [_removal(key, Cause.GONE) for key, item in fetched.items() if item is None]
        self.checkpoint.progress.removed += len(gone)
        return Step(gone, [item for item in fetched.values() if item is not None], list(fetched))

    async def _released_step(self, chunk: list[str]) -> Step:
        return Step(drops=chunk)

    async def _candidates_step(self, chunk: list[str]) -> Step:
        if self._held.keys() & chunk:
            self._held = await self._rows.all()  # somebody may have decided meanwhile
        chosen = {key: self._candidates[key] for key in chunk if self._new(key, self._candidates[key].cause)}
        known = await self._store.find(chosen, stubs=True)
        step, held = Step(), list[dict[str, Any]]()
        for key, candidate in chosen.items():
            row, stub = known[key]
            cause = candidate.cause
            if held_now := self.checkpoint.decision == "hold" or cause.unproved:
                held.append({"ObjectId": key, "Cause": cause.value})
            elif cause.of_scope:
                write = Write(key, Act.LEAVE, {}, b"", candidate.digest, cause.value, changed=candidate.changed)
                write.stored, write.stub, write.had_stub = row, stub, stub is not None
                step.writes.append(write)
            elif row:
                step.writes.append(_removal(key, cause, row))
            if key in self._held and not held_now:
                step.drops.append(key)
        await self._hold(held)
        await self._store.drop_stubs(
            [key for key, c in chosen.items() if known[key].stub and not known[key].row and not c.cause.of_scope]
        )
        return step

    def kept(self, most: int) -> list[str]:
        """Objects that are stored although they seem to be gone, at most so many."""
        waiting = [key for key in self._held if key not in self._released and key not in self._approved]
        if self.checkpoint.decision == "hold":
            waiting += self._candidates
        else:
            waiting += [key for key, c in self._candidates.items() if c.cause.unproved]
        return waiting[:most]


def _removal(object_id: str, cause: str, row: dict[str, Any] | None = None) -> Write:
    return Write(object_id, Act.REMOVE, {}, b"", 0, str(cause), stored=row)
