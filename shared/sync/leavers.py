"""Who may have to go: candidates from what Graph reported and from who was absent, and who of those that wait is back."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from shared.clock import iso
from shared.domain.checkpoint import Checkpoint, packed, unpacked
from shared.domain.record_type import RecordType
from shared.domain.removal import Candidate, Cause, Held, limit_of, not_before
from shared.domain.write import Write
from shared.sync.contracts import HeldRows, Source, Store
from shared.sync.plan import Control, Plan

CAUSES = {"deleted": Cause.DELETED, "gone": Cause.GONE}
"""What Graph's answers to asking for an object mean."""


class Leavers:
    """The candidates of one stream in one run, collected while pages are read. `checkpoint` carries what must survive;
    `held` is what waits for a person already, `absent` what waits for a second answer of Graph, `released` those of both who
    are there again, `approved` those whom a person confirmed and
    Graph confirmed again; `judged_again`: a person lets them leave the scope, if they are still outside.
    """

    def __init__(
        self, record_type: RecordType, source: Source, store: Store, rows: HeldRows, plan: Plan, checkpoint: Checkpoint,
        control: Control,
    ) -> None:  # fmt: skip
        self.record_type = record_type
        self.source, self.store, self.rows, self.plan = source, store, rows, plan
        self.limits, self._now = control.limits, control.clock.now
        self.checkpoint = checkpoint
        self.candidates = {
            object_id: Candidate(Cause(cause), digest, changed)
            for object_id, cause, digest, changed in unpacked(checkpoint.candidates)
        }
        self.was_reported = {key for key, c in self.candidates.items() if not c.cause.of_scope and not c.cause.unproved}
        self.released: set[str] = set(unpacked(checkpoint.released))
        self.approved: dict[str, str] = dict(unpacked(checkpoint.approved))
        self.held: dict[str, Held] = {}
        self.absent: dict[str, Held] = {}
        self._spilled: list[dict[str, Any]] = []
        self._freed: list[str] = []
        self.judged_again: set[str] = set()

    async def load(self) -> None:
        if self.rows.maybe:
            await self.look()

    async def look(self) -> None:
        """What waits now: people may have decided meanwhile."""
        rows = await self.rows.all()
        self.absent = {key: row for key, row in rows.items() if row.cause is Cause.ABSENT}
        self.held = {key: row for key, row in rows.items() if row.cause is not Cause.ABSENT}

    # While pages are read

    def reported(self, item: dict[str, Any]) -> None:
        """Graph says @removed."""
        told = item["@removed"]
        for_good = isinstance(told, dict) and told.get("reason") == "deleted"
        cause = Cause.GONE if for_good else Cause.DELETED
        self.candidates[item["id"]] = Candidate(cause)
        self.was_reported.add(item["id"])
        self.released.discard(item["id"])

    def present(self, object_id: str) -> None:
        """It is there and in scope."""
        if self.candidates:
            self.candidates.pop(object_id, None)
        if (self.held and object_id in self.held) or (self.absent and object_id in self.absent):
            self.released.add(object_id)

    def leaves_scope(self, write: Write) -> None:
        assert write.reason
        self.released.discard(write.object_id)
        if write.object_id not in self.held or self.held[write.object_id].decision == "confirmed":
            self.candidates[write.object_id] = Candidate(Cause(write.reason), write.digest, write.changed)

    def waits(self, object_id: str) -> bool:
        """Whether its removal is held and nobody confirmed it."""
        return object_id in self.held and self.held[object_id].decision != "confirmed"

    def approves(self, object_id: str) -> bool:
        """Whether a person agreed that this one leaves."""
        return object_id in self.judged_again

    def most_asked(self, records: int) -> int:
        return max(self.limits.asked, self.limit(records) + 1)

    def limit(self, records: int) -> int:
        """How many may go without a person's word."""
        return limit_of(records, self.plan.limit_count, self.plan.limit_percent)

    async def ask(self, absent: Iterator[str], most: int) -> AsyncIterator[None]:
        """Asks Graph for each absent object, up to so many; gives the loop a turn between the requests."""
        checkpoint, chunk, asked = self.checkpoint, list[str](), 0
        for number, object_id in enumerate(absent):
            if number < checkpoint.asked or object_id in self.candidates:
                continue
            if object_id in self.held and not self.held[object_id].doubtful:
                continue  # waits already; those that a person decided about are asked for later
            asked += 1
            if asked > most:
                self.candidates[object_id] = Candidate(Cause.NOT_ASKED)
                continue
            chunk.append(object_id)
            if len(chunk) == self.limits.at_once:
                await self._ask(chunk)
                chunk = []
                checkpoint.asked = number + 1
                yield
        if chunk:
            await self._ask(chunk)
            yield

    def due(self) -> list[str]:
        """Whom a round of changes asks for: absent ones about which a second answer counts by now, and those about whom
        there was no clear answer.
        """
        begun = self.checkpoint.begun_at
        absent = [key for key, row in self.absent.items() if row.due <= begun]
        unclear = [key for key, row in self.held.items() if row.doubtful and row.cause is Cause.NOT_CONFIRMED]
        return sorted(key for key in (*absent, *unclear) if key not in self.released)

    async def _ask(self, chunk: list[str]) -> None:
        for object_id, answer in (await self.source.ask(chunk)).items():
            if answer == "there":
                self.checkpoint.progress.drift += self.checkpoint.progress.mode == "full"
                if object_id in self.held or object_id in self.absent:
                    self.released.add(object_id)
            elif answer in CAUSES or object_id not in self.absent:  # who waits for a second answer goes on waiting
                self.candidates[object_id] = Candidate(self._cause_of_absence(object_id, answer))
                self.was_reported.discard(object_id)

    def _cause_of_absence(self, object_id: str, answer: str) -> Cause:
        cause = CAUSES.get(answer, Cause.NOT_CONFIRMED)
        if cause is not Cause.GONE:
            return cause  # that an object is among the deleted ones is proof enough
        absent, held = self.absent.get(object_id), self.held.get(object_id)
        proved = bool(held and held.reported) or bool(absent and absent.due <= self.checkpoint.begun_at)
        return Cause.GONE if proved else Cause.ABSENT

    @property
    def freed(self) -> int:
        """Those who waited for a person and are back."""
        return sum(key not in self.absent for key in self.released)

    # Checkpoints

    def note(self) -> None:
        """Puts what must survive into the checkpoint; too many candidates are held there and then."""
        if not self.checkpoint.decision:
            self.spill()
        self.checkpoint.candidates = packed(
            [[key, c.cause.value, c.digest, c.changed] for key, c in self.candidates.items()]
        )
        self.checkpoint.released = packed(sorted(self.released))

    def spill(self) -> None:
        """What a checkpoint has no room for is done without one: more candidates than any owner may allow are held, and
        the holds of those who are there again are forgotten.
        """
        if len(self.candidates) > self.limits.spill:
            self._spilled += [
                {"ObjectId": object_id, "Cause": candidate.cause.value}
                for object_id, candidate in self.candidates.items()
                if object_id not in self.held and not (candidate.cause is Cause.ABSENT and object_id in self.absent)
            ]
            self.candidates.clear()
        if len(self.released) > self.limits.spill:
            self.checkpoint.progress.released += self.freed
            self._freed += sorted(self.released)
            for object_id in self.released:
                self.held.pop(object_id, None)  # a slice that died may have dropped its row
                self.absent.pop(object_id, None)
            self.released.clear()

    @property
    def dirty(self) -> bool:
        return bool(self._spilled or self._freed)

    @property
    def any(self) -> bool:
        """Whether something was decided that is still to be done."""
        return bool(self.candidates or self.approved or self.released or self.judged_again)

    async def flush(self) -> None:
        """Writes the holds that did not fit the checkpoint."""
        freed, self._freed = self._freed, []
        for start in range(0, len(freed), self.limits.at_once):
            await self.rows.drop(freed[start : start + self.limits.at_once])
        spilled, self._spilled = self._spilled, []
        for start in range(0, len(spilled), self.limits.at_once):
            await self.hold(spilled[start : start + self.limits.at_once])
        if spilled:
            self.rows.maybe = True
            await self.look()

    async def hold(self, rows: list[dict[str, Any]]) -> None:
        """Writes holds, each with the card of its record as it is stored."""
        known = await self.store.find([row["ObjectId"] for row in rows], stubs=False)
        ready, now = [], self._now()
        for row in rows:
            stored = known[row["ObjectId"]].row
            if stored:
                card = self.record_type.card_of(stored)
                made = {"Since": self.checkpoint.begun_at, "Run": self.checkpoint.run_id, **row, **card}
                if row["Cause"] == Cause.ABSENT:
                    made["NotBefore"] = iso(not_before(now, stored, self.plan.grace))
                ready.append(made)
        await self.rows.put(ready)
