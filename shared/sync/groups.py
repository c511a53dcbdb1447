"""The people in the owner's service-account groups, nested groups included; read again when a group changed, and over as
many slices as that takes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.domain.checkpoint import packed, unpacked
from shared.domain.run import Problem
from shared.errors import SourceProblem
from shared.graph.answers import Missing, PageTokenExpired, Postponed, ResyncNeeded
from shared.graph.client import GraphClient
from shared.graph.listing import find_groups, group_changes, members_of
from shared.mapping.compiled import fingerprint
from shared.sync.index import IdSet
from shared.sync.plan import SliceOver

_GUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
_MOST_KEPT = 30_000  # members whose ids fit one row; more are read again in every run
_MOST_SLICES = 3  # that begin anew because there are more


@dataclass(frozen=True)
class Excluded:
    """Object ids of all members, what was odd about the groups, and what to keep for the next run."""

    people: IdSet
    problems: list[Problem]
    keep: dict[str, Any]

    @property
    def mark(self) -> str:
        """Differs when the members do."""
        return str(self.keep.get("mark", ""))


NOBODY = Excluded(IdSet(), [], {})


@dataclass(frozen=True)
class Pause:
    """How reading members ends before its time: `over` says that the slice is, `keep` takes what the next one goes on from."""

    over: Callable[[], bool]
    keep: Callable[[dict[str, Any]], None]


async def excluded_people(
    client: GraphClient,
    names: list[str],
    stream: str,
    permission: str,
    kept: dict[str, Any],
    pause: Pause,
    *,
    anew: bool,
) -> Excluded:
    """The members as kept, if no group changed since; otherwise read. `anew`: read in any case. Raises SliceOver."""
    where = f"{client.base_url}|{client.tenant_id}"
    partial, kept = kept.get("partial"), {name: value for name, value in kept.items() if name != "partial"}
    same = (kept.get("names"), kept.get("where")) == (names, where)  # another tenant's link is no use here
    begun = partial if partial and (partial["names"], partial["where"]) == (names, where) else None
    if begun:
        link = str(begun["link"])  # what changed since then is for the next run to see
    else:
        changed, link = await _changed(client, kept.get("link") if same else None, permission)
        if not changed and same and kept.get("people") is not None and not anew:
            problems = [Problem.model_validate(problem) for problem in kept["problems"]]
            return Excluded(IdSet.of(unpacked(kept["people"])), problems, {**kept, "link": link})
    reading = _Reading(await _groups(client, names, permission), begun)
    try:
        await reading.go_on(client, permission, pause.over)
    except (SliceOver, Postponed):
        pause.keep({**kept, "partial": {"names": names, "where": where, "link": link, **reading.kept()}})
        raise
    problems = _problems(reading, names, stream)
    marks = reading.people.marks()
    keep = {
        "names": names, "where": where, "link": link, "mark": fingerprint(marks),
        "people": packed(marks) if len(marks) <= _MOST_KEPT else None,
        "problems": [problem.model_dump(mode="json") for problem in problems],
    }  # fmt: skip
    return Excluded(reading.people, problems, keep)


async def _changed(client: GraphClient, link: str | None, permission: str) -> tuple[bool, str]:
    """Whether a group may have changed since the link, and the link from here on; none where this tenant has no delta of
    groups (B2C): then members are read every time.
    """
    try:
        return await group_changes(client, link, permission)
    except (ResyncNeeded, PageTokenExpired):
        if not link:
            raise
    except SourceProblem as problem:
        if not isinstance(problem, Missing) and problem.code != "graph-refused":
            raise
        if not link:
            return True, ""
    return True, (await _changed(client, None, permission))[1]


async def _groups(client: GraphClient, names: list[str], permission: str) -> list[list[str]]:
    """Name and object id of every group that is meant."""
    found: list[list[str]] = []
    for name in names:
        ids = [name] if _GUID.match(name) else await find_groups(client, name, permission)
        found += [[name, group] for group in ids]
    return found


class _Reading:
    """Members of one group after the other, from where an earlier slice stopped (`begun`)."""

    def __init__(self, groups: list[list[str]], begun: dict[str, Any] | None) -> None:
        self._groups, self.people = groups, IdSet()
        self._at, self._link, self._slices = 0, "", 0
        self.there: list[str] = []
        """The name of each group that is there."""
        if begun:
            self._slices = int(begun["slices"])
        if begun and begun["groups"] == groups and begun["people"] is not None:
            self.people = IdSet.of(unpacked(begun["people"]))
            self._at, self._link, self.there = begun["at"], begun["page"], begun["there"]

    def kept(self) -> dict[str, Any]:
        """What the next slice needs. Raises SourceProblem for more members than can be kept, time and again."""
        marks, slices = self.people.marks(), self._slices + 1
        if len(marks) > _MOST_KEPT and slices >= _MOST_SLICES:
            raise SourceProblem(
                f"The excluded groups have more than {_MOST_KEPT:,} members, and reading them takes longer than a slice.",
                code="excluded-groups-too-large",
                remedy="Exclude smaller groups, or lengthen the slice (ROLLCALL_SLICE_SECONDS).",
            )
        small = len(marks) <= _MOST_KEPT
        return {
            "groups": self._groups, "at": self._at, "page": self._link, "there": self.there, "slices": slices,
            "people": packed(marks) or "" if small else None,
        }  # fmt: skip

    async def go_on(self, client: GraphClient, permission: str, over: Callable[[], bool]) -> None:
        """Reads to the end of the last group. Raises SliceOver."""
        while self._at < len(self._groups):
            name, group = self._groups[self._at]
            try:
                async for page in members_of(client, group, permission, self._link or None):
                    for member in page.items:
                        self.people.add(member["id"])
                    self._link = page.next_link or ""
                    if self._link and over():
                        raise SliceOver
                self.there.append(name)
            except Missing:
                pass
            except PageTokenExpired:
                if not self._link:
                    raise
                self._link = ""  # from the group's first page: adding somebody twice does no harm
                continue
            self._at, self._link = self._at + 1, ""
            if self._at < len(self._groups) and over():
                raise SliceOver


def _problems(reading: _Reading, names: list[str], stream: str) -> list[Problem]:
    """A display name that several groups have excludes the members of all of them: leaving a service account in is the
    smaller harm only if somebody is told.
    """
    problems = []
    for name in names:
        found = reading.there.count(name)
        if found == 0:
            remedy = "Correct its name on the source, or remove it there."
            problems.append(_odd(stream, name, "excluded-group-unknown", "does not exist", remedy))
        elif found > 1:
            what = f"exists {found} times; the members of all were left out"
            problems.append(_odd(stream, name, "excluded-group-ambiguous", what, "Name the group by its object id."))
    return problems


def _odd(stream: str, name: str, code: str, what: str, remedy: str) -> Problem:
    return Problem(code=code, message=f"The excluded group {name!r} {what}.", remedy=remedy, stream=stream)
