"""One stream of a run: whether all of it or only changes are read, what the read needs, and what is kept for the next one."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.clock import iso, parse_iso
from shared.connectors.base import Denial, DirectoryList, Job, Joined, Kind, Stream
from shared.connectors.catalogue import EXTENSION
from shared.connectors.domains import differing, warning
from shared.domain.checkpoint import Checkpoint, Phase, StreamState, packed, unpacked
from shared.domain.configuration import Connector, SourceIn
from shared.domain.folding import VERSION as FOLDING
from shared.domain.receipt import Receipt
from shared.domain.removal import Cause, lately, noted
from shared.domain.run import Problem, StreamProgress
from shared.domain.state import SaveGroups, SaveReceipt, SaveStream
from shared.domain.write import Authorship, Home, Intent
from shared.errors import SourceProblem
from shared.graph.answers import Denied
from shared.graph.client import GraphClient
from shared.graph.joined import JoinedReader
from shared.graph.listing import no_such_property, without_property
from shared.graph.reports import ReportListing, ReportNotRead, ReportReader, ReportUnchanged, conceals_names
from shared.mapping.compiled import fingerprint, mark, selected
from shared.sync.activity import MOST_AGE, Activity
from shared.sync.contracts import Session, Source, Store
from shared.sync.domains import domain_problems
from shared.sync.engine import StreamReader
from shared.sync.groups import NOBODY, Excluded, Pause, excluded_people
from shared.sync.join import SIGN_IN_NAME, ObjectIds
from shared.sync.plan import Control, Plan, StartOver
from shared.sync.reading import Reading
from shared.sync.receipts import (
    columns_problem,
    malformed_problem,
    note_report,
    note_stream,
    note_subscriptions,
    threshold_problem,
    unproved_problem,
)
from shared.sync.scope import Scope
from shared.sync.slice import Slice, problem_of
from shared.sync.sources import changes_since, listing_of, source_of
from shared.sync.state import Facts, finished, read_again_after, why_full

_ANY = 1_000_000_000  # removals: more than there can be
_REPORT_AGAIN = timedelta(hours=1)
_FAR = datetime.max.replace(tzinfo=UTC)
_REPORT_SETTINGS = frozenset(("ReportSettings.Read.All", "ReportSettings.ReadWrite.All"))
_DENIED_RUNS = 3  # so many runs in a row: then values that were read once count as out of reach


@dataclass(frozen=True)
class Tenant:
    """What a job reads from and into, and as whom."""

    connector: Connector
    source: SourceIn
    kind: Kind
    job: Job
    graph: GraphClient
    session: Session
    roles: frozenset[str]
    mapping: str = ""
    """`{mapping id}.{version}`."""
    ids: dict[tuple[str, str], ObjectIds] = field(default_factory=dict)
    """Object ids by a property, by stream and that property: read once in a slice."""


class OneStream:
    """One stream in one slice."""

    def __init__(self, work: Slice, receipt: Receipt, tenant: Tenant, stream: Stream) -> None:
        self._work, self._run, self._receipt, self._tenant, self._stream = work, work.run, receipt, tenant, stream
        self._listing = listing_of(stream)
        self._excluded: Excluded = NOBODY
        self._state = StreamState()
        self._source: Source | None = None
        self._domains = stream.domains_of(tenant.connector.options, tenant.source)
        self._facts = self._find_facts()

    def _find_facts(self) -> Facts:
        """What a stored state must fit to be of use."""
        stream, source, connector = self._stream, self._tenant.source, self._tenant.connector
        marks = attribute_marks(stream)
        scope = {
            "domains": sorted(self._domains) if stream.address else [],
            "excludedGroups": sorted(source.excluded_groups) if stream.by_group else [],
            "thresholdDays": stream.threshold_days(connector.options),
        }
        graph = self._tenant.graph
        where = (self._listing.first, connector.source_id, graph.tenant_id, graph.base_url)
        delta = self._listing.delta if isinstance(stream.reader, DirectoryList) else ""
        return Facts(
            marks, scope, fingerprint(*where, sorted(marks.items()), scope), delta, 0 if stream.leader else FOLDING
        )

    async def read(self) -> None:
        work, stream = self._work, self._stream
        self._state = await asyncio.to_thread(work.services.runs.stream, self._run.track, stream.name)
        try:
            self._check_permissions()
            await self._check_tenant()
            reader = await self._read_explained()
        except Denied as denied:
            # One listing is closed to us; the others may go on. Nothing of this one is touched.
            await self._denied(denied)
        except ReportUnchanged:
            self._unchanged()
        else:
            await self._finish(reader)

    def _check_permissions(self) -> None:
        for permission in self._stream.permissions:
            if not permission.granted(self._tenant.roles):
                raise not_granted(permission.name, self._stream.name)

    async def _check_tenant(self) -> None:
        """Raises SourceProblem where the source was another tenant before. Compared with its records everybody would be
        a leaver.
        """
        source, state = self._tenant.source, self._state
        if state.tenant == source.directory:
            return
        source_id = self._tenant.connector.source_id
        tenants = self._work.services.tenants
        first = state.tenant or await asyncio.to_thread(tenants.bind, source_id, source.directory)
        if first != source.directory:
            raise SourceProblem(
                f"The source names the tenant {source.directory}; its records were read from {first}. Nobody was compared.",
                code="tenant-changed",
                remedy=f"Set the source's cloud and tenantId back to {first}, and create another source for the other tenant.",
            )
        state.tenant = source.directory

    async def _denied(self, denied: Denied) -> None:
        work, stream, state = self._work, self._stream, self._state
        self._run.problems.append(problem_of(denied, stream.name))
        self._receipt.missing_streams[stream.name] = denied.code
        work.later(SaveReceipt(self._run, self._receipt))
        if stream.denial is Denial.FAILS:
            work.phase(stream.name, "failed")
            await work.commit([])
            return
        self._note_summary()
        if isinstance(denied, ReportNotRead):
            self._run.again_at = min(self._run.again_at or _FAR, work.clock.now() + _REPORT_AGAIN)
        else:
            state.refused += 1
        state.checkpoint = None
        if state.completed_at is None or state.refused >= _DENIED_RUNS:
            state.missing = dict.fromkeys([*(a.name for a in stream.attributes), *state.attributes], denied.reason)
            if state.completed_at is None:
                state.version = self._tenant.mapping
        work.phase(stream.name, "denied")
        work.later(SaveStream(self._run.track, stream.name, state))

    def _unchanged(self) -> None:
        """What is stored of a report is what there is to know of it."""
        work, run, stream, state = self._work, self._run, self._stream, self._state
        assert isinstance(self._source, ReportReader)
        begun = iso(work.clock.now())
        checkpoint = self._plan("same-report", begun).fresh
        checkpoint.held, checkpoint.pending = state.held, state.pending
        checkpoint.progress.phase, checkpoint.progress.unchanged = "done", state.records
        state.completed_at = state.full_at = begun
        state.checkpoint = None
        note_stream(self._receipt, stream.name, checkpoint, state)
        note_report(self._receipt, stream, self._source.summary, same=True)
        work.show(checkpoint.progress)
        work.later(SaveStream(run.track, stream.name, state), SaveReceipt(run, self._receipt))

    async def _read_explained(self) -> StreamReader:
        """Where Graph refuses the list, an extension that the mapping names may be one that the tenant does not have."""
        try:
            return await self._read()
        except SourceProblem as problem:
            stream, graph = self._stream, self._tenant.graph
            names = [name for name in selected(stream.attributes) if EXTENSION.fullmatch(name)]
            if problem.code != "graph-refused" or not names:
                raise
            missing = await without_property(graph, stream.reader.path, names, self._listing.permission)
            if not missing:
                raise
            raise no_such_property(missing) from problem

    async def _read(self) -> StreamReader:
        """Reads by delta if that can be, and whole where it turns out that it can't."""
        resumed = self._state.for_run(self._run.id, self._facts.fingerprint)
        reason = resumed.progress.reason if resumed else self._why_full()
        if reason:
            tenant = self._tenant
            self._note(*await domain_problems(tenant.graph, tenant.roles, self._stream, self._domains))
            self._note(*await asyncio.to_thread(self._other_domains))
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

    def _other_domains(self) -> list[Problem]:
        """Whether other connectors of the tenant choose people otherwise."""
        services, source_id = self._work.services, self._tenant.connector.source_id
        if not self._stream.address:
            return []
        users = {user for kind, _, user in services.config.users_of(f"source.{source_id}") if kind == "connector"}
        users.discard(self._run.connector_id)
        own = services.config.get("connector", self._run.connector_id) if users else None
        if own is None:
            return []
        others = [found for user in sorted(users) if (found := services.config.get("connector", user))]
        said = warning(differing(services.registry, own, self._tenant.source, others))
        if said is None:
            return []
        return [Problem(code=said.code, message=said.message, remedy=said.remedy, stream=self._stream.name)]

    def _why_full(self) -> str:
        return why_full(
            self._state,
            self._facts,
            self._changes_link(),
            self._work.clock.now(),
            every=self._every,
            asked=self._run.full,
        )

    @property
    def _every(self) -> timedelta:
        return self._stream.full_every or timedelta(hours=self._tenant.connector.full_every_hours)

    def _changes_link(self) -> str:
        """Where a round of changes begins; empty where there is none."""
        if isinstance(self._stream.reader, DirectoryList):
            return self._state.delta_link
        completed_at = self._state.completed_at
        return changes_since(self._stream, self._listing, parse_iso(completed_at)) if completed_at else ""

    async def _exclude(self, *, anew: bool) -> None:
        permission, names = self._tenant.kind.group_permission, self._tenant.source.excluded_groups
        if not (names and permission and self._stream.by_group):
            return
        if self._excluded is NOBODY or anew:
            kept = await asyncio.to_thread(self._work.services.runs.groups, self._run.track)
            pause = Pause(
                lambda: self._work.time_left() <= 0, lambda part: self._work.later(SaveGroups(self._run.track, part))
            )
            self._excluded = await excluded_people(
                self._tenant.graph, names, self._stream.name, permission.name, kept, pause, anew=anew
            )
        self._note(*self._excluded.problems)

    def _note(self, *problems: Problem) -> None:
        """Once in a run, however many slices meet it."""
        known = {(problem.code, problem.message) for problem in self._run.problems}
        self._run.problems += [problem for problem in problems if (problem.code, problem.message) not in known]

    async def _reader(self, reason: str) -> StreamReader:
        work, stream, state = self._work, self._stream, self._state
        resumed = state.for_run(self._run.id, self._facts.fingerprint)
        left = state.checkpoint
        if left and not resumed:
            self._note_stopped(left)
        begun = resumed.begun_at if resumed else iso(work.clock.now())
        if self._note_mapping():
            await work.commit([SaveStream(self._run.track, stream.name, state)])
        scope = await self._scope(reason)
        store = self._store(parse_iso(begun))
        if state.intent:
            intent = [(object_id, [(p, k) for p, k in keys]) for object_id, keys in unpacked(state.intent)]
            await store.settle(intent)
            state.intent = ""
        holds = self._tenant.session.holds(self._run.connector_id, stream.name)
        holds.maybe = bool(state.held or state.pending or left)
        control = Control(
            self._save, work.beat, work.time_left, work.clock, self._tenant.graph.way, work.services.limits
        )
        source = await self._source_of(known=reason == "no-delta" and not (resumed or left))
        self._source = source
        reading = Reading(stream, source, store, holds, scope, control, self._plan(reason, begun), resumed)
        return StreamReader(reading, self._leader())

    async def _source_of(self, *, known: bool) -> Source:
        """`known`: nothing but the report itself asks for all of it."""
        stream, graph, listing, state = self._stream, self._tenant.graph, self._listing, self._state
        if isinstance(stream.reader, Joined):
            by = stream.reader
            found = await self._ids_by(by.of)
            return JoinedReader(graph, listing, by.on, by.newest, found.find, page_size=state.page_size)
        if not isinstance(listing, ReportListing):
            return source_of(stream, listing, graph, state.page_size)
        names = await self._ids_by(SIGN_IN_NAME)
        told = await conceals_names(graph) if _REPORT_SETTINGS & self._tenant.roles else None
        known = known and (state.joined_with, state.delta_mark, state.unproved) == (
            names.mark,
            self._facts.delta_mark,
            0,
        )
        return ReportReader(graph, listing, names.find, newest=state.refreshed_on, known=known, concealed=told)

    async def _ids_by(self, name: str) -> ObjectIds:
        """Of the records that this stream's values add to, or are parts of."""
        leader = self._tenant.kind.people_of(self._stream)
        assert leader
        found, key = self._tenant.ids, (leader.name, name)
        if key not in found:
            found[key] = await ObjectIds.load(self._tenant.session, self._home(leader), leader, name)
        return found[key]

    def _note_summary(self) -> None:
        """What a usage report was, and how new."""
        if isinstance(self._source, ReportReader) and self._source.summary.refreshed_on:
            summary = self._source.summary
            note_report(self._receipt, self._stream, summary)
            if summary.lost:
                self._note(columns_problem(self._stream, summary))

    def _note_stopped(self, left: Checkpoint) -> None:
        """An earlier run did not come to its end."""
        state = self._state
        if left.run_id not in (self._run.id, *state.unfinished):
            state.unfinished = [*state.unfinished, left.run_id][-20:]
        if left.phase is Phase.REMOVALS and left.decision == "remove":
            # It was stopped among its removals: they count towards the limit all the same.
            state.removals = noted(state.removals, parse_iso(left.begun_at), left.progress.counted_removals)

    def _plan(self, reason: str, begun: str) -> Plan:
        state, limits = self._state, self._tenant.connector.removal_limit
        progress = StreamProgress(name=self._stream.name, mode="full" if reason else "delta", reason=reason)
        fresh = Checkpoint(
            run_id=self._run.id, fingerprint=self._facts.fingerprint, begun_at=begun, progress=progress,
            excluded=self._excluded.mark,
        )  # fmt: skip
        return Plan(
            fresh=fresh, full=reason, delta_link="" if reason else self._changes_link(), records=state.records,
            stubs=state.outside, limit_count=limits.count if self._stream.limited else _ANY,
            limit_percent=limits.percent if self._stream.limited else _ANY,
            grace=timedelta(hours=limits.grace_hours),
            lately=sum(count for _, count in lately(state.removals, parse_iso(begun))),
            moved=_moved(state.scope, self._facts.scope), unfinished=frozenset(state.unfinished),
            ageing_asks=not self._read_lately(), unseen=tuple(state.unseen), look_ups_anew=state.folding != self._facts.folding,
            remapped=_remapped(state.mapping, self._facts.marks),
        )  # fmt: skip

    async def _save(self, checkpoint: Checkpoint) -> None:
        self._state.checkpoint, self._state.intent = checkpoint, ""
        self._note_mapping()
        self._note_page_size()
        self._work.show(checkpoint.progress)
        if isinstance(self._source, ReportReader):  # whoever goes on after the file's end does not read it again
            self._note_summary()
            self._work.later(SaveReceipt(self._run, self._receipt))
        await self._work.commit([SaveStream(self._run.track, self._stream.name, self._state)])

    def _note_mapping(self) -> bool:
        """From here on rows are of this mapping. What it makes otherwise than the last complete read did is unknown until the end,
        and read anew even if the owner takes the mapping back. Gives whether there is anything new to keep.
        """
        state, marks = self._state, self._facts.marks
        if state.completed_at is None:
            state.version = self._tenant.mapping
            return False
        changed = {name for name in state.mapping.keys() | marks.keys() if state.mapping.get(name) != marks.get(name)}
        if not state.mapping or all(state.mapping.get(name) == "" for name in changed):
            return False
        state.mapping = {**state.mapping, **dict.fromkeys(changed, "")}
        state.attributes = [name for name in state.attributes if name not in changed]
        return True

    def _note_page_size(self) -> None:
        if self._source:
            self._state.page_size = self._source.page_size

    async def _intend(self, intent: Intent) -> None:
        """Whose look-up rows are about to change, with the state that is durable already."""
        self._state.intent = packed(intent)
        await self._work.commit([SaveStream(self._run.track, self._stream.name, self._state)])

    def _home(self, stream: Stream) -> Home:
        return Home(
            self._tenant.connector.source_id, self._run.connector_id, stream.name, stream.record_type,
            stream.partition, lookups=not stream.leader,
        )  # fmt: skip

    def _store(self, at: datetime) -> Store:
        state, stream = self._state, self._stream
        comparable = None
        if state.mapping and state.mapping != self._facts.marks:
            same = {name for name, mark in self._facts.marks.items() if state.mapping.get(name) == mark}
            comparable = frozenset(a.column for a in stream.attributes if a.name in same)
        author = Authorship(
            self._run.id, at, stream.journal and state.completed_at is not None, comparable,
            bool(state.scope) and state.scope != self._facts.scope,
        )  # fmt: skip
        return self._tenant.session.records(self._home(stream), author, self._intend)

    def _leader(self) -> Store | None:
        """The records that this stream's rows add to."""
        leader = self._tenant.kind.stream(self._stream.leader)
        if leader is None:
            return None
        author = Authorship(self._run.id, self._work.clock.now())
        return self._tenant.session.records(self._home(leader), author)

    def _read_lately(self) -> bool:
        """Whether the last complete read is a few days old: then a few more people are past a threshold than were then."""
        read_at = self._state.completed_at
        return read_at is not None and timedelta() <= self._work.clock.now() - parse_iso(read_at) <= MOST_AGE

    async def _scope(self, reason: str) -> Scope:
        stream, scope = self._stream, self._facts.scope
        days, now = scope["thresholdDays"], self._work.clock.now()
        activity = None
        # A delta round ages nobody out, for what is told has changed; but a person may have confirmed who is past it.
        if days and stream.activity and (reason or self._state.held):
            activity = await Activity.load(
                self._work.services.runs, self._tenant.session, self._tenant.connector.source_id,
                self._run.connector_id, self._tenant.kind, stream.activity, now, days,
            )  # fmt: skip
            if not activity.known:
                self._note(threshold_problem(stream, days))
        return Scope(
            stream, frozenset(self._domains), self._excluded.people, tuple(scope["excludedGroups"]), days,
            now, activity.last_seen if activity else None, activity.since if activity else "",
        )  # fmt: skip

    async def _finish(self, reader: StreamReader) -> None:
        work, run, stream, state = self._work, self._run, self._stream, self._state
        checkpoint = reader.checkpoint
        if state.completed_at and stream.journal:
            await self._note_configuration(parse_iso(checkpoint.begun_at))
        if self._source and reader.unproved == "counts-differ":
            self._source.ask_less()
        self._note_page_size()
        self._note_summary()
        if isinstance(self._source, ReportReader):
            noted = self._receipt.reports.get(stream.name)
            state.refreshed_on = noted.refreshed_on if noted else state.refreshed_on
            state.joined_with = (await self._ids_by(SIGN_IN_NAME)).mark
        checkpoint.progress.incomplete_because = reader.unproved
        finished(state, stream, self._facts, checkpoint, records=reader.stored_records, complete=reader.complete)
        if reader.unproved:
            again = parse_iso(checkpoint.begun_at) + read_again_after(state, self._every)
            run.again_at = min(run.again_at or again, again)
            run.problems.append(unproved_problem(stream.name, checkpoint.progress, again))
        if checkpoint.progress.malformed:
            self._note(malformed_problem(stream.name, checkpoint.progress))
        if self._tenant.job.names_subscriptions:
            await note_subscriptions(self._receipt, checkpoint.progress, self._tenant.graph, self._tenant.roles)
        state.version = self._tenant.mapping
        note_stream(self._receipt, stream.name, checkpoint, state)
        work.show(checkpoint.progress)  # the stream counts as done: what it brought goes with the same commit
        if self._excluded.keep:
            work.later(SaveGroups(run.track, self._excluded.keep))
        work.later(SaveStream(run.track, stream.name, state), SaveReceipt(run, self._receipt))

    async def _note_configuration(self, at: datetime) -> None:
        """One entry for a changed mapping or scope, which names both versions."""
        state, facts, stream = self._state, self._facts, self._stream
        fields: dict[str, tuple[Any, Any]] = {}
        words = []
        if state.scope and state.scope != facts.scope:
            words.append("scope")
            fields |= {k: (state.scope.get(k), v) for k, v in facts.scope.items() if state.scope.get(k) != v}
        if state.mapping and state.mapping != facts.marks:
            words.append("mapping")
            before, after = state.version or None, self._tenant.mapping
            names = sorted(
                n for n in state.mapping.keys() | facts.marks.keys() if state.mapping.get(n) != facts.marks.get(n)
            )
            fields |= {"mappingVersion": (before, after), "attributes": (None, names)}
        if fields:
            name = f"{stream.name}: {' and '.join(words)}"
            await self._tenant.session.note(self._home(stream), self._run.id, at, name, fields)


def _remapped(before: dict[str, str], now: dict[str, str]) -> frozenset[str]:
    return frozenset(name for name, mark in now.items() if before and before.get(name) != mark)


def _moved(before: dict[str, Any], now: dict[str, Any]) -> frozenset[Cause]:
    """What can make somebody leave because the owner changed it."""
    parts = {"domains": Cause.DOMAIN, "excludedGroups": Cause.EXCLUDED_GROUP, "thresholdDays": Cause.THRESHOLD}
    return frozenset(cause for part, cause in parts.items() if before and before.get(part) != now[part])


def attribute_marks(stream: Stream) -> dict[str, str]:
    """Attribute to a digest of its definition, for those that there can be values of."""
    return {a.name: mark(a) for a in stream.attributes if a.mapped}


def not_granted(permission: str, stream: str) -> Denied:
    return Denied(
        f"The application permission {permission} is not granted, so {stream} can't be read.",
        code="graph-permission-missing",
        remedy=f"In the app registration add the application permission {permission} of Microsoft Graph, then grant "
        "admin consent.",
        reason="permission",
    )
