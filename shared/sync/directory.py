"""The directory streams of a connector: how each is read by this run, and what is kept of it for the next one."""

import asyncio
from datetime import timedelta
from typing import Any

from shared.clock import iso, parse_iso
from shared.connectors.base import Stream
from shared.domain.checkpoint import Checkpoint, Phase, StreamState, packed, unpacked
from shared.domain.receipt import Receipt, StreamReceipt
from shared.domain.removal import Cause, lately, noted
from shared.domain.run import Problem, StreamCounts, StreamProgress
from shared.domain.write import Intent
from shared.errors import SourceProblem
from shared.graph.answers import Denied, Postponed
from shared.graph.client import GraphClient
from shared.graph.credentials import token_roles
from shared.graph.listing import DirectoryReader, Listing, subscriptions
from shared.mapping.compiled import fingerprint, selected
from shared.storage import journal
from shared.storage.bulk import BulkTables
from shared.storage.holds import HoldStore
from shared.storage.records import Authorship, Home, RecordStore
from shared.storage.runs import put_groups, put_receipt, put_stream
from shared.sync.activity import MOST_AGE, Activity
from shared.sync.engine import MOST_STALE, StreamReader
from shared.sync.groups import NOBODY, Excluded, excluded_people
from shared.sync.plan import Control, Plan, SliceOver, StartOver
from shared.sync.reading import Reading
from shared.sync.scope import Scope
from shared.sync.slice import Cancelled, Slice, problem_of
from shared.sync.tenant import Configured, attribute_marks, configured, not_granted, sign_in

GRACE = timedelta(minutes=30)
NOT_FINISHED = "not-finished"
LINK_DAYS = 6  # Microsoft forgets a delta link after seven
_SKU_PERMISSIONS = frozenset(("Organization.Read.All", "Directory.Read.All", "Organization.ReadWrite.All"))


async def read(work: Slice) -> None:
    """All streams that the connector's options switch on."""
    await Directory(work).read()


def listing_of(stream: Stream) -> Listing:
    return Listing(
        stream.path, selected(stream.attributes), stream.permission.name, stream.expand, stream.follow,
        stream.page_size, stream.delta_links, stream.deleted_items,
    )  # fmt: skip


class Directory:
    """One slice's work on the directory streams."""

    def __init__(self, work: Slice) -> None:
        self._work, self._run = work, work.run
        self._receipt = Receipt(run_id=work.run.id, connector_id=work.run.connector_id)

    async def read(self) -> None:
        work, run = self._work, self._run
        found = await configured(work)
        streams = found.kind.streams_of(found.connector.options)
        if not run.streams:
            run.streams = [StreamProgress(name=stream.name) for stream in streams]
        else:
            found_receipt: Receipt | None = await asyncio.to_thread(work.services.runs.receipt, run)
            self._receipt = found_receipt or self._receipt
        bulk = work.services.bulk()
        bulk.guard = work.lease.guard
        graph = await asyncio.to_thread(sign_in, work, found)
        bulk.way = graph.way
        try:
            roles = token_roles(await graph.token())
            self._receipt.permissions_granted = sorted(roles)
            self._receipt.permissions_needed = _needed(found, streams)
            ahead = {entry.name for entry in run.streams if entry.phase not in ("done", "failed")}
            unfinished = [stream for stream in streams if stream.name in ahead]
            self._receipt.missing_streams |= dict.fromkeys([stream.name for stream in unfinished], NOT_FINISHED)
            for stream in unfinished:
                try:
                    await OneStream(self._work, self._receipt, stream, found, graph, bulk, roles).read()
                except SourceProblem as problem:
                    problem.stream = stream.name
                    self._receipt.missing_streams[stream.name] = problem.code
                    work.phase(stream.name, "failed")
                    work.later(put_receipt(run, self._receipt))
                    raise
                except (Cancelled, SliceOver, Postponed):
                    work.later(put_receipt(run, self._receipt))
                    raise
        finally:
            await graph.close()
            await bulk.close()


def _moved(before: dict[str, Any], now: dict[str, Any]) -> frozenset[Cause]:
    """What can make somebody leave because the owner changed it."""
    parts = {"domains": Cause.DOMAIN, "excludedGroups": Cause.EXCLUDED_GROUP, "thresholdDays": Cause.THRESHOLD}
    return frozenset(cause for part, cause in parts.items() if before and before.get(part) != now[part])


def _needed(found: Configured, streams: list[Stream]) -> list[str]:
    """The permissions that this configuration takes."""
    groups = found.kind.group_permission if found.source.excluded_groups else None
    return sorted({stream.permission.name for stream in streams} | ({groups.name} if groups else set()))


class OneStream:
    """One stream of one slice."""

    def __init__(
        self, work: Slice, receipt: Receipt, stream: Stream, found: Configured, graph: GraphClient, bulk: BulkTables,
        roles: frozenset[str],
    ) -> None:  # fmt: skip
        self._work, self._run, self._receipt = work, work.run, receipt
        self._stream, self._found, self._graph, self._bulk, self._roles = stream, found, graph, bulk, roles
        self._listing = listing_of(stream)
        self._marks = attribute_marks(stream)
        self._excluded: Excluded = NOBODY
        self._state = StreamState()

    async def read(self) -> None:
        work, run, stream = self._work, self._run, self._stream
        try:
            if not stream.permission.granted(self._roles):
                raise not_granted(stream)
            self._state = await asyncio.to_thread(work.services.runs.stream, run.track, stream.name)
            reader = await self._read()
        except Denied as denied:
            # One listing is closed to us; the others may go on. Nothing of this one is touched.
            run.problems.append(problem_of(denied, stream.name))
            self._receipt.missing_streams[stream.name] = denied.code
            work.phase(stream.name, "failed")
            work.later(put_receipt(run, self._receipt))
            await work.commit([])
            return
        await self._finish(reader)

    async def _read(self) -> StreamReader:
        """Reads by delta if that can be, and whole where it turns out that it can't."""
        resumed = self._state.for_run(self._run.id, self._fingerprint)
        reason = resumed.progress.reason if resumed else self._why_full()
        while True:
            await self._exclude(anew=bool(reason))
            if not (reason or resumed) and self._stream.by_group and self._state.excluded != self._excluded.mark:
                reason = "excluded-groups-changed"
            reader = await self._reader(reason)
            try:
                await reader.read()
            except StartOver as over:
                reason, resumed = over.reason, None
                self._state.checkpoint = None
            else:
                return reader

    @property
    def _fingerprint(self) -> str:
        connector, graph = self._found.connector, self._graph
        where = (self._listing.first, connector.source_id, graph.tenant_id, graph.base_url)
        return fingerprint(*where, sorted(self._marks.items()), self._scope_now)

    @property
    def _scope_now(self) -> dict[str, Any]:
        stream, source, connector = self._stream, self._found.source, self._found.connector
        return {
            "domains": sorted(source.domains) if stream.by_domain else [],
            "excludedGroups": sorted(source.excluded_groups) if stream.by_group else [],
            "thresholdDays": self._found.kind.threshold_of(connector.options, stream.name),
        }

    @property
    def _delta_mark(self) -> str:
        return fingerprint(self._fingerprint, self._listing.delta)

    def _why_full(self) -> str:
        """Why everything has to be read; empty where a delta round does."""
        state, now = self._state, self._work.clock.now()
        if state.completed_at is None or state.full_at is None:
            return "first-read"
        if self._run.full:
            return "asked"
        if state.mapping != self._marks:
            return "mapping-changed"
        if state.scope != self._scope_now:
            return "scope-changed"
        if not state.delta_link:
            return "no-delta"
        if state.delta_mark != self._delta_mark:
            return "source-changed"
        if not timedelta() <= now - parse_iso(state.delta_at) <= timedelta(days=LINK_DAYS):
            return "delta-link-old"
        every = timedelta(hours=self._found.connector.full_every_hours)
        grace = min(every / 10, GRACE)  # a daily run may begin some seconds earlier than yesterday's
        return "full-due" if now - parse_iso(state.full_at) >= every - grace else ""

    async def _exclude(self, *, anew: bool) -> None:
        permission, names = self._found.kind.group_permission, self._found.source.excluded_groups
        if not (names and permission and self._stream.by_group):
            return
        if self._excluded is NOBODY or anew:
            kept = await asyncio.to_thread(self._work.services.runs.groups, self._run.track)
            self._excluded = await excluded_people(self._graph, names, permission.name, kept, anew=anew)
        known = {(problem.code, problem.message) for problem in self._run.problems}
        self._run.problems += [p for p in self._excluded.problems if (p.code, p.message) not in known]

    async def _reader(self, reason: str) -> StreamReader:
        work, run, stream, state = self._work, self._run, self._stream, self._state
        resumed = state.for_run(run.id, self._fingerprint)
        left = state.checkpoint
        if left and not resumed:
            if left.run_id not in (run.id, *state.unfinished):
                state.unfinished = [*state.unfinished, left.run_id][-20:]
            if left.phase is Phase.REMOVALS and left.decision == "remove":
                # It was stopped among its removals: they count towards the limit all the same.
                made = left.progress.counted_removals
                state.removals = noted(state.removals, parse_iso(left.begun_at), made)
        begun = resumed.begun_at if resumed else iso(work.clock.now())
        at = parse_iso(begun)
        scope = await self._scope(reason)
        scope_changed = bool(state.scope) and state.scope != self._scope_now
        home = Home(self._found.connector.source_id, run.connector_id, stream.name, stream.record_type, stream.lookups)
        store = RecordStore(
            self._bulk, home, self._author(at, scope_changed=scope_changed), work.lease.guard, self._intend
        )
        if state.intent:
            intent = [(object_id, [(p, k) for p, k in keys]) for object_id, keys in unpacked(state.intent)]
            await store.settle(intent)
            state.intent = ""
        holds = HoldStore(self._bulk, run.connector_id, stream.name)
        holds.maybe = bool(state.held or left)
        progress = StreamProgress(name=stream.name, mode="full" if reason else "delta", reason=reason)
        limits = self._found.connector.removal_limit
        plan = Plan(
            fresh=Checkpoint(run_id=run.id, fingerprint=self._fingerprint, begun_at=begun, progress=progress, excluded=self._excluded.mark),
            full=reason, delta_link=state.delta_link, records=state.records, stubs=state.outside,
            limit_count=limits.count, limit_percent=limits.percent,
            lately=sum(count for _, count in lately(state.removals, at)),
            moved=_moved(state.scope, self._scope_now), unfinished=frozenset(state.unfinished),
            ageing_asks=not self._read_lately(), unseen=tuple(state.unseen),
        )  # fmt: skip

        async def save(checkpoint: Checkpoint) -> None:
            state.checkpoint, state.intent = checkpoint, ""
            work.show(checkpoint.progress)
            await work.commit([put_stream(run.track, stream.name, state)])

        control = Control(save, work.beat, work.time_left, work.clock, self._graph.way)
        source = DirectoryReader(self._graph, self._listing, ahead=True)
        return StreamReader(Reading(stream, source, store, holds, scope, control, plan, resumed))

    async def _intend(self, intent: Intent) -> None:
        """Whose look-up rows are about to change, with the state that is durable already."""
        self._state.intent = packed(intent)
        await self._work.commit([put_stream(self._run.track, self._stream.name, self._state)])

    def _read_lately(self) -> bool:
        """Whether the last complete read is a few days old: then a few more people are past a threshold than were then."""
        read_at = self._state.completed_at
        return read_at is not None and timedelta() <= self._work.clock.now() - parse_iso(read_at) <= MOST_AGE

    def _author(self, at: Any, *, scope_changed: bool) -> Authorship:
        state, stream = self._state, self._stream
        comparable = None
        if state.mapping and state.mapping != self._marks:
            same = {name for name, mark in self._marks.items() if state.mapping.get(name) == mark}
            comparable = frozenset(a.column for a in stream.attributes if a.name in same)
        return Authorship(self._run.id, at, state.completed_at is not None, comparable, scope_changed)

    async def _scope(self, reason: str) -> Scope:
        stream, source, scope = self._stream, self._found.source, self._scope_now
        days = scope["thresholdDays"]
        activity = None
        # A delta round ages nobody out, for what is told has changed; but a person may have confirmed who is past it.
        if days and stream.activity_stream and (reason or self._state.held):
            activity = await Activity.load(
                self._work.services.runs, self._bulk, self._found.connector.source_id, self._run.connector_id,
                stream.activity_stream, self._work.clock.now(), days,
            )  # fmt: skip
        return Scope(
            stream, frozenset(source.domains), self._excluded.people, tuple(scope["excludedGroups"]), days,
            self._work.clock.now(), activity.last_seen if activity else None, activity.since if activity else "",
        )  # fmt: skip

    async def _note_configuration(self, at: Any, *, scope_changed: bool) -> None:
        """One entry for a changed mapping or scope, which names both versions."""
        state, run, stream = self._state, self._run, self._stream
        fields: dict[str, tuple[Any, Any]] = {}
        if scope_changed:
            fields |= {k: (state.scope.get(k), v) for k, v in self._scope_now.items() if state.scope.get(k) != v}
        if state.mapping and state.mapping != self._marks:
            before, after = fingerprint(sorted(state.mapping.items())), fingerprint(sorted(self._marks.items()))
            names = sorted(
                n for n in state.mapping.keys() | self._marks.keys() if state.mapping.get(n) != self._marks.get(n)
            )
            fields |= {"mappingVersion": (before, after), "attributes": (None, names)}
        if not fields:
            return
        by = journal.Author(
            self._found.connector.source_id, stream.record_type, run.connector_id, stream.name, run.id, at
        )
        name = f"{stream.name}: " + " and ".join(
            word for word, there in (("scope", scope_changed), ("mapping", "mappingVersion" in fields)) if there
        )
        entry = journal.Entry("configuration", "configuration", 0, 0, fields, name)
        _, by_time = journal.rows(by, entry)
        await self._bulk.put(journal.month_table(at), [by_time])

    async def _finish(self, reader: StreamReader) -> None:
        work, run, stream, state = self._work, self._run, self._stream, self._state
        checkpoint = reader.checkpoint
        progress = checkpoint.progress
        at = parse_iso(checkpoint.begun_at)
        if state.completed_at:
            await self._note_configuration(at, scope_changed=bool(state.scope) and state.scope != self._scope_now)
        state.completed_at, state.checkpoint, state.intent = checkpoint.begun_at, None, ""
        state.records = reader.stored_records
        state.delta_link, state.delta_mark = checkpoint.delta_link or "", self._delta_mark
        state.delta_at = checkpoint.begun_at
        state.mapping, state.scope = self._marks, self._scope_now
        state.excluded = checkpoint.excluded  # of the first slice: who was added since is for the next run to see
        state.attributes = [a.name for a in stream.attributes if a.source]
        state.missing = {a.name: a.missing for a in stream.attributes if a.missing}
        state.held = checkpoint.held
        state.removals = noted(state.removals, at, progress.counted_removals)
        unproved = not reader.complete and progress.not_seen > 0
        if progress.mode == "full":
            state.full_at, state.unfinished = state.full_at if unproved else checkpoint.begun_at, []
            state.outside, state.many_unseen = progress.out_of_scope, False
        else:
            state.outside += progress.out_of_scope
        state.unseen = checkpoint.stale
        state.many_unseen = state.many_unseen or len(state.unseen) == MOST_STALE
        if unproved:
            run.problems.append(_unproved(stream, progress))
        await self._write_receipt(reader)
        work.show(progress)  # from here on the stream counts as done: what it brought goes with the same commit
        if self._excluded.keep:
            work.later(put_groups(run.track, self._excluded.keep))
        work.later(put_stream(run.track, stream.name, state), put_receipt(run, self._receipt))

    async def _write_receipt(self, reader: StreamReader) -> None:
        receipt, progress, state = self._receipt, reader.checkpoint.progress, self._state
        if progress.mode == "full" and receipt.subscriptions is None:
            if _SKU_PERMISSIONS & self._roles:
                try:
                    receipt.subscriptions = await subscriptions(self._graph)
                except SourceProblem as problem:
                    receipt.subscriptions_missing = problem.code
                except Postponed:
                    receipt.subscriptions_missing = "throttled"
            else:
                receipt.subscriptions_missing = "permission"
        elif receipt.subscriptions is None:
            receipt.subscriptions_missing = receipt.subscriptions_missing or "not-requested"
        because = ""
        if not reader.complete:
            counts = progress.expected is None or progress.counted_after is None
            because = "empty-answer" if progress.ids == 0 else "no-count" if counts else "counts-differ"
        same = {name: getattr(progress, name) for name in StreamCounts.model_fields}
        made = StreamReceipt(
            stream=self._stream.name, begun_at=parse_iso(reader.checkpoint.begun_at), complete=reader.complete,
            incomplete_because=because, count_before=progress.expected, count_after=progress.counted_after,
            records=state.records, waiting=reader.checkpoint.waiting, missing=state.missing, **same,
        )  # fmt: skip
        receipt.streams = [r for r in receipt.streams if r.stream != made.stream] + [made]
        receipt.missing_streams.pop(made.stream, None)


def _unproved(stream: Stream, progress: StreamProgress) -> Problem:
    return Problem(
        code="read-unproved",
        message=f"The list of {stream.name} brought {progress.ids} different objects, Microsoft Graph counted "
        f"{progress.expected} before and {progress.counted_after} after. {progress.not_seen} stored records were absent; "
        "all of them are kept.",
        remedy="The next full read looks again by itself. If it goes on, compare the receipt's counts.",
        stream=stream.name,
    )
