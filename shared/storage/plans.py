"""The table Plans: plans, their items, who has which target, how many were acted on, and what the audit trail is still to be told.
All of a source lies in one partition, so that what belongs together changes in one transaction.
"""

import contextlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from shared.clock import Clock, counted_down, iso, parse_iso
from shared.domain.actor import Actor
from shared.domain.plan import Item, StoredPlan
from shared.names import PLANS
from shared.storage import keys
from shared.storage.tables import Delete, Insert, Operation, Put, RowChanged, RowExists, Stamped, Tables

_PORTION = 90
_TELLING_SECONDS = 60.0
"""After so long whoever began to tell the trail something is taken for dead."""
_END = "~"


@dataclass(frozen=True)
class Held:
    """A plan as it was read."""

    plan: StoredPlan
    etag: str

    @property
    def key(self) -> str:
        return self.plan.id.partition("~")[2]


@dataclass(frozen=True)
class Entry:
    """What the audit trail is to say."""

    who: Actor
    what: str
    subject: str
    details: dict[str, Any]


@dataclass
class Commit:
    """What changes together with a plan."""

    items: list[Item] = field(default_factory=list)
    lock: list[str] = field(default_factory=list)
    """Targets that the plan takes. Nobody else may have them."""
    unlock: list[str] = field(default_factory=list)
    said: list[Entry] = field(default_factory=list)
    counted: int = 0
    """So many targets more are acted on in this hour."""
    open: bool | None = None
    """Whether anybody has to look after the plan from now on; None: as before."""


class Busy(Exception):
    """Another plan has the target."""

    def __init__(self, plan: str) -> None:
        super().__init__(plan)
        self.plan = plan


class Plans:
    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables, self._clock = tables, clock

    def new_id(self, source: str) -> str:
        """Newer ids sort first."""
        return f"{source}~{counted_down(self._clock.now())}{secrets.token_hex(5)}"

    def create(self, plan: StoredPlan, items: Sequence[Item]) -> Held:
        """The items, then the plan itself: one that was cut off is not there."""
        source, key = plan.id.split("~")
        self._mark(source)
        for start in range(0, len(items), _PORTION // 2):
            rows: list[Operation] = []
            for item in items[start : start + _PORTION // 2]:
                rows.append(Insert(_item_row(source, key, item)))
                if item.call.target:
                    place = keys.plan_of_target(item.call.target, key, item.number)
                    rows.append(Insert({"PartitionKey": source, "RowKey": place}))
            self._tables.transaction(PLANS, rows)
        head = _head_row(plan)
        operations: list[Operation] = [Insert(head), Insert({"PartitionKey": source, "RowKey": keys.open_plan(key)})]
        return Held(plan, self._tables.transaction(PLANS, operations)[0] or "")

    def get(self, plan_id: str) -> Held | None:
        source, mark, key = plan_id.partition("~")
        if not (mark and source.isalnum() and key.isalnum()):
            return None
        found = self._tables.get(PLANS, source, keys.plan(key))
        return _held(found) if found else None

    def newest(self, source: str, after: str, limit: int, target: str = "") -> list[StoredPlan]:
        """Plans of a source, or of one target in it, newest first, behind the key."""
        if not target:
            span = (keys.plan(f"{after}!" if after else ""), keys.plan(_END))
            return [_held(one).plan for one in self._tables.query(PLANS, source, span, limit=limit)]
        begin = keys.plan_of_target(target, "", 0).rpartition("|")[0]
        span = (f"{begin}{after}{'~' if after else ''}", f"{begin}{_END}")
        found: dict[str, None] = {}
        for one in self._tables.query(PLANS, source, span, limit=limit * 4):
            found[one.row["RowKey"].split("|")[2]] = None
        held = (self.get(f"{source}~{key}") for key in list(found)[:limit])
        return [one.plan for one in held if one]

    def items(self, plan_id: str, after: int = 0, limit: int | None = None) -> list[Item]:
        """In order, behind that number."""
        source, _, key = plan_id.partition("~")
        span = keys.plan_item(key, after + 1), keys.plan_item(key, 99_999) + _END
        return [_item(one) for one in self._tables.query(PLANS, source, span, limit=limit)]

    def item(self, plan_id: str, number: int) -> Item | None:
        source, _, key = plan_id.partition("~")
        found = self._tables.get(PLANS, source, keys.plan_item(key, number))
        return _item(found) if found else None

    def holder(self, source: str, target: str) -> str:
        """The plan that has a target; empty: none."""
        found = self._tables.get(PLANS, source, keys.target_lock(target))
        return str(found.row["Plan"]) if found else ""

    def acted(self, source: str, at: datetime) -> tuple[int, int]:
        """How many targets were acted on in this hour and on this day, UTC."""
        found = self._tables.get(PLANS, source, keys.acted_on(at))
        hours: dict[str, int] = orjson.loads(found.row["Hours"]) if found else {}
        return hours.get(f"{at:%H}", 0), sum(hours.values())

    def open(self, source: str) -> list[str]:
        """Plans that somebody has to look after: they are planned, wait, or are carried out."""
        span = (keys.open_plan(""), keys.open_plan(_END))
        return [f"{source}~{one.row['RowKey'].split('|')[1]}" for one in self._tables.query(PLANS, source, span)]

    def commit(self, held: Held, plan: StoredPlan, change: Commit) -> Held:
        """Everything or nothing. Raises RowChanged where somebody changed the plan meanwhile, Busy where another plan has a
        target.
        """
        source, key = held.plan.id.split("~")
        if change.open:
            self._mark(source)
        operations: list[Operation] = [Put(_head_row(plan), held.etag)]
        operations += [Put(_item_row(source, key, item)) for item in change.items]
        operations += [
            Insert({"PartitionKey": source, "RowKey": keys.target_lock(target), "Plan": plan.id})
            for target in change.lock
        ]
        operations += [Delete(source, keys.target_lock(target)) for target in change.unlock]
        operations += self._outbox(source, change.said)
        if change.counted:
            operations.append(self._counted(source, change.counted))
        if change.open:
            operations.append(Put({"PartitionKey": source, "RowKey": keys.open_plan(key)}))
        try:
            etag = self._tables.transaction(PLANS, operations)[0] or ""
        except RowExists as error:
            for target in change.lock:
                if (other := self.holder(source, target)) and other != plan.id:
                    raise Busy(other) from error
            raise RowChanged from error
        if change.open is False:  # cut off before it, a worker finds nothing to do
            self.close(plan.id)
        return Held(plan, etag)

    def _mark(self, source: str) -> None:
        """The source has something to look after, from before that is there."""
        self._tables.put(PLANS, {"PartitionKey": keys.SOURCES_WITH_PLANS, "RowKey": source})

    def marked(self) -> list[tuple[str, str]]:
        """Sources that may have something to look after, with the ETags of their marks."""
        rows = self._tables.query(PLANS, keys.SOURCES_WITH_PLANS, ("", _END))
        return [(str(one.row["RowKey"]), one.etag) for one in rows]

    def unmark(self, source: str, etag: str) -> None:
        """Takes the mark away where nothing is left, and nothing came since it was read."""
        for begin in (keys.open_plan(""), keys.to_be_told("")):
            if self._tables.query(PLANS, source, (begin, begin + _END), limit=1):
                return
        with contextlib.suppress(RowChanged):
            self._tables.transaction(PLANS, [Delete(keys.SOURCES_WITH_PLANS, source, etag)])

    def close(self, plan_id: str) -> None:
        """Workers need not look at it any more."""
        source, _, key = plan_id.partition("~")
        self._tables.delete(PLANS, source, keys.open_plan(key))

    def _counted(self, source: str, more: int) -> Operation:
        now = self._clock.now()
        found = self._tables.get(PLANS, source, keys.acted_on(now))
        hours: dict[str, int] = orjson.loads(found.row["Hours"]) if found else {}
        hours[f"{now:%H}"] = hours.get(f"{now:%H}", 0) + more
        row = {"PartitionKey": source, "RowKey": keys.acted_on(now), "Hours": orjson.dumps(hours).decode()}
        return Put(row, found.etag) if found else Insert(row)

    # What the audit trail is still to be told

    def _outbox(self, source: str, said: Iterable[Entry]) -> list[Operation]:
        at = self._clock.now()
        rows: list[Operation] = []
        for number, entry in enumerate(said):
            event = f"{int(at.timestamp() * 1000):013d}{number:03d}{secrets.token_hex(4)}"
            body = {
                "what": entry.what, "subject": entry.subject, "details": {**entry.details, "event": event},
                "who": [entry.who.id, entry.who.name, entry.who.application], "at": iso(at),
            }  # fmt: skip
            rows.append(
                Insert({"PartitionKey": source, "RowKey": keys.to_be_told(event), "Body": orjson.dumps(body).decode()})
            )
        return rows

    def say(self, source: str, entry: Entry) -> None:
        """Something that changes no plan."""
        self._tables.transaction(PLANS, self._outbox(source, [entry]))

    def untold(self, source: str) -> Iterator[tuple[str, Entry]]:
        """Keys and entries, oldest first, each for this caller alone: it ends where somebody else tells them just now."""
        now = self._clock.now()
        for one in self._tables.query(PLANS, source, (keys.to_be_told(""), keys.to_be_told(_END))):
            taken = one.row.get("Taken")
            if taken and 0 <= (now - parse_iso(str(taken))).total_seconds() < _TELLING_SECONDS:
                return
            try:
                self._tables.transaction(PLANS, [Put({**one.row, "Taken": iso(now)}, one.etag)])
            except RowChanged:
                return
            body = orjson.loads(one.row["Body"])
            entry = Entry(Actor(*body["who"]), body["what"], body["subject"], {**body["details"], "at": body["at"]})
            yield str(one.row["RowKey"]), entry

    def told(self, source: str, key: str) -> None:
        self._tables.delete(PLANS, source, key)

    def forget(self, held: Held) -> None:
        """A plan that nobody submitted in time."""
        source = held.plan.source_id
        for item in self.items(held.plan.id):
            if item.call.target:
                self._tables.delete(PLANS, source, keys.plan_of_target(item.call.target, held.key, item.number))
            self._tables.delete(PLANS, source, keys.plan_item(held.key, item.number))
        self._tables.delete(PLANS, source, keys.plan(held.key))
        self.close(held.plan.id)


def _head_row(plan: StoredPlan) -> dict[str, Any]:
    source, key = plan.id.split("~")
    return {
        "PartitionKey": source, "RowKey": keys.plan(key), "State": plan.state.value,
        "Body": plan.model_dump_json(by_alias=True),
    }  # fmt: skip


def _item_row(source: str, key: str, item: Item) -> dict[str, Any]:
    return {
        "PartitionKey": source, "RowKey": keys.plan_item(key, item.number), "State": item.state.value,
        "Body": item.model_dump_json(by_alias=True),
    }  # fmt: skip


def _held(found: Stamped) -> Held:
    return Held(StoredPlan.model_validate_json(found.row["Body"]), found.etag)


def _item(found: Stamped) -> Item:
    return Item.model_validate_json(found.row["Body"])


def changed(held: Held, **fields: Any) -> StoredPlan:
    """The plan with other values."""
    return held.plan.model_copy(update=fields)
