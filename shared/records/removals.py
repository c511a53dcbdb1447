"""Tombstones, and removals that wait for a person: listed, explained, confirmed or rejected."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from shared.clock import Clock, parse_iso
from shared.connectors.registry import Registry
from shared.domain.actor import Actor
from shared.domain.records import Hold, HoldItem, Tombstone
from shared.domain.removal import Cause, Held
from shared.domain.run import RunRow, track_of
from shared.errors import Changed, Conflict, FieldError, Invalid, NotFound, Unavailable
from shared.names import HOLDS, TOMBSTONES
from shared.records.cursors import decode, encode
from shared.scheduling.dispatch import Dispatch
from shared.storage import holds, keys
from shared.storage.config import ConfigStore
from shared.storage.layout import Row
from shared.storage.runs import Runs
from shared.storage.schedules import Schedules
from shared.storage.tables import RowChanged, Tables

_MOST_NAMED = 20
EXPLANATIONS = {
    Cause.DELETED: "deleted in Entra, restorable there for 30 days",
    Cause.GONE: "gone at the source for good",
    Cause.DOMAIN: "the primary mail address is in none of the source's domains any more",
    Cause.EXCLUDED_GROUP: "became a member of an excluded group",
    Cause.THRESHOLD: "past the threshold in days",
    Cause.ABSENT: "absent from the list and not found once, waiting for a second answer of Microsoft Graph",
    Cause.NOT_CONFIRMED: "absent from the list, but Microsoft Graph gave no clear answer when asked",
    Cause.NOT_ASKED: "absent from the list, one of too many to ask for each",
}


class Removals:
    def __init__(
        self,
        tables: Tables,
        config: ConfigStore,
        runs: Runs,
        schedules: Schedules,
        dispatch: Dispatch,
        clock: Clock,
        registry: Registry,
        audit: Callable[[str, Actor, str, str, dict[str, Any]], object],
    ) -> None:
        """`audit` notes who did what: source, who, what, to what, details."""
        self._registry, self._audit = registry, audit
        self._tables, self._config, self._runs = tables, config, runs
        self._schedules, self._dispatch, self._clock = schedules, dispatch, clock

    def holds(self) -> list[Hold]:
        """One for each stream in which removals wait."""
        found = []
        for document in self._config.all("connector"):
            kind = self._registry.known_kind_of(document)
            for job in kind.jobs if kind else ():
                for stream, state in self._runs.streams(track_of(document.id, job.name)).items():
                    hold = self._summary(document.id, stream) if state.held else None
                    found += [hold] if hold else []
        return sorted(found, key=lambda hold: hold.id)

    def hold(self, hold_id: str) -> Hold:
        connector, stream = self._split(hold_id)
        hold = self._summary(connector, stream)
        if hold is None:
            raise NotFound(f"Nothing waits under the id {hold_id}.")
        return hold

    def items(self, hold_id: str, *, after: str | None, limit: int) -> tuple[list[HoldItem], str | None]:
        """What waits, in id order."""
        connector, stream = self._split(hold_id)
        start, end = ("", "~") if not after else (decode(after)[1] + "\x7f", "~")
        partition = keys.holds(connector, stream)
        general = self._tables.get(HOLDS, partition, holds.ALL)
        rows = [r.row for r in self._tables.query(HOLDS, partition, (start, end), limit=limit + 2)]
        rows = [row for row in rows if row["RowKey"] != holds.ALL]
        more, rows = len(rows) > limit, rows[:limit]
        source = self._source(connector)
        found = holds.decided(([general.row] if general else []) + rows)
        items = [_item(source, held) for held in found if held.cause is not Cause.ABSENT]
        return items, encode("", rows[-1]["RowKey"]) if more else None

    def decide(self, hold_id: str, decision: str, who: Actor, ids: list[str]) -> RunRow | None:
        """Confirm or reject all that waits, or some of it by record id. Confirming starts a run, which asks Microsoft
        Graph once more for each before it removes anything. Raises Conflict while a run goes on.
        """
        connector, stream = self._split(hold_id)
        found = self._held(connector, stream)
        if not found:
            raise NotFound(f"Nothing waits under the id {hold_id}.")
        job = self._job(connector, stream)
        row = self._schedules.get(track_of(connector, job))
        if row and row.run:
            run = self._runs.get(row.run)
            if run and not run.state.closed:
                raise Conflict(
                    f"The run {run.id} of this connector is going on; what waits may change.",
                    code="run-going-on",
                    remedy="Wait until it has ended, look at the list again, then decide.",
                )
        objects = [record_id.partition("~")[2] for record_id in ids]
        known, source = {held.object_id for held in found}, self._source(connector)
        unknown = [one for one in ids if not (one.startswith(f"{source}~") and one.partition("~")[2] in known)]
        if unknown:
            raise Invalid(
                "Some of these do not wait here; nothing was decided.",
                remedy="Take the ids from this hold's items.",
                fields=tuple(
                    FieldError("ids", "unknown", f"{one} does not wait here") for one in unknown[:_MOST_NAMED]
                ),
            )
        if not ids and all(held.decision for held in found):
            raise Conflict(
                "Everything here was decided already.",
                code="nothing-waits",
                remedy="To change a decision name the objects in ids.",
            )
        if decision == "confirmed":
            document = self._config.get("connector", connector)
            assert document is not None
            self._dispatch.refuse(document, self._dispatch.job_named(document, job))
        self._audit(
            source, who, f"hold-{decision}", hold_id, {"ids": ids[:_MOST_NAMED], "count": len(ids) or len(found)}
        )
        try:
            holds.decide(self._tables, connector, stream, decision, who, self._clock.now(), objects)
        except RowChanged as error:
            raise Changed("Somebody else decided about one of these at the same moment.") from error
        if decision != "confirmed":
            return None
        try:
            return self._dispatch.run_now(connector, who, job=job)[0]
        except Unavailable:
            return None  # the decision is saved: the next run on the schedule carries it out

    def tombstones(
        self, now: datetime, *, source: str | None, since: datetime, after: str | None, limit: int
    ) -> tuple[list[Tombstone], str | None]:
        """Objects that are gone, by source and day."""
        sources = [source] if source else [document.id for document in self._config.all("source")]
        cursor = decode(after) if after else None
        found: list[Row] = []
        for candidate in sources:
            days = keys.tombstone_days(candidate, f"{since:%Y%m%d}", f"{now:%Y%m%d}")
            if cursor and cursor[0] >= days[1]:
                continue
            here = cursor if cursor and cursor[0] >= days[0] else None
            rows = self._tables.scan(TOMBSTONES, days, after=here, limit=limit + 1 - len(found))
            found += [stamped.row for stamped in rows]
            if len(found) > limit:
                break
        more, found = len(found) > limit, found[:limit]
        following = encode(found[-1]["PartitionKey"], found[-1]["RowKey"]) if more else None
        return [_tombstone(row) for row in found], following

    def _summary(self, connector: str, stream: str) -> Hold | None:
        found = self._held(connector, stream)
        if not found:
            return None
        waiting = [held for held in found if not held.decision]
        causes = Counter(held.cause for held in waiting)
        explanation = "; ".join(f"{count} {EXPLANATIONS[cause]}" for cause, count in causes.most_common())
        return Hold(
            id=f"{connector}~{stream}", connector_id=connector, source_id=self._source(connector), stream=stream,
            waiting=len(waiting), confirmed=sum(held.decision == "confirmed" for held in found),
            rejected=sum(held.decision == "rejected" for held in found),
            since=min(held.since for held in found), causes={cause.value: count for cause, count in causes.items()},
            explanation=explanation or "everything here was decided", run_ids=sorted({held.run for held in found}),
        )  # fmt: skip

    def _held(self, connector: str, stream: str) -> list[Held]:
        rows = self._tables.query(HOLDS, keys.holds(connector, stream), ("", "~"))
        found = holds.decided(stamped.row for stamped in rows)
        return [held for held in found if held.cause is not Cause.ABSENT]

    def _split(self, hold_id: str) -> tuple[str, str]:
        connector, _, stream = hold_id.partition("~")
        document = self._config.get("connector", connector) if connector.isalnum() else None
        if document is None or self._registry.kind_of(document).stream(stream) is None:
            raise NotFound(f"Nothing waits under the id {hold_id}.")
        return connector, stream

    def _job(self, connector: str, stream: str) -> str:
        """The job that reads the stream."""
        document = self._config.get("connector", connector)
        assert document is not None
        return self._registry.kind_of(document).job_of(stream).name

    def _source(self, connector: str) -> str:
        document = self._config.get("connector", connector)
        return document.source_id if document else ""


def _item(source: str, held: Held) -> HoldItem:
    row = held.row
    return HoldItem(
        id=f"{source}~{held.object_id}", display_name=row.get("DisplayName"), sign_in_name=row.get("SignInName"),
        mail=row.get("Mail"), cause=held.cause.value, explanation=EXPLANATIONS[held.cause], since=held.since,
        run_id=held.run, decision=held.decision or None, decided_by=held.decided_by or None,
        decided_by_id=held.decided_by_id or None,
    )  # fmt: skip


def _tombstone(row: dict[str, Any]) -> Tombstone:
    def time(name: str) -> datetime:
        value = row[name]
        return value if isinstance(value, datetime) else parse_iso(str(value))

    source = row["PartitionKey"].partition("|")[0]
    return Tombstone(
        id=f"{source}~{row['ObjectId']}", record_type=row["RecordType"], display_name=row.get("DisplayName"),
        sign_in_name=row.get("SignInName"), mail=row.get("Mail"), employee_id=row.get("EmployeeId"), reason=row["Reason"],
        removed_at=time("At"), first_seen_at=time("FirstSeenAt"), run_id=row["Run"], connector_id=row["Connector"],
    )  # fmt: skip
