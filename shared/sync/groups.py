"""The people in the owner's service-account groups, nested groups included; read again when a group changed."""

import re
from dataclasses import dataclass
from typing import Any

from shared.domain.checkpoint import packed, unpacked
from shared.domain.run import Problem
from shared.errors import SourceProblem
from shared.graph.answers import Missing, PageTokenExpired, ResyncNeeded
from shared.graph.client import GraphClient
from shared.graph.listing import find_groups, group_changes, members_of
from shared.mapping.compiled import fingerprint
from shared.sync.index import IdSet

_GUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
_MOST_KEPT = 30_000  # members whose ids fit one row; more are read again in every run


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


async def excluded_people(
    client: GraphClient, names: list[str], stream: str, permission: str, kept: dict[str, Any], *, anew: bool
) -> Excluded:
    """The members as kept, if no group changed since; otherwise read. `anew`: read in any case."""
    where = f"{client.base_url}|{client.tenant_id}"
    same = (kept.get("names"), kept.get("where")) == (names, where)  # another tenant's link is no use here
    changed, link = await _changed(client, kept.get("link") if same else None, permission)
    unchanged = not changed and same and kept.get("people") is not None
    if unchanged and not anew:
        problems = [Problem.model_validate(problem) for problem in kept["problems"]]
        return Excluded(IdSet.of(unpacked(kept["people"])), problems, {**kept, "link": link})
    people, problems = await _read(client, names, stream, permission)
    marks = people.marks()
    keep = {
        "names": names, "where": where, "link": link, "mark": fingerprint(marks),
        "people": packed(marks) if len(marks) <= _MOST_KEPT else None,
        "problems": [problem.model_dump(mode="json") for problem in problems],
    }  # fmt: skip
    return Excluded(people, problems, keep)


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


async def _read(client: GraphClient, names: list[str], stream: str, permission: str) -> tuple[IdSet, list[Problem]]:
    """A display name that several groups have excludes the members of all of them: leaving a service account in is the
    smaller harm only if somebody is told.
    """
    people = IdSet()
    problems: list[Problem] = []
    for name in names:
        ids = [name] if _GUID.match(name) else await find_groups(client, name, permission)
        found = 0
        for group in ids:
            members = await members_of(client, group, permission)
            if members is None:
                continue
            found += 1
            for member in members:
                people.add(member)
        if found == 0:
            problems.append(
                _odd(
                    stream,
                    name,
                    "excluded-group-unknown",
                    "does not exist",
                    "Correct its name on the source, or remove it there.",
                )
            )
        elif found > 1:
            problems.append(
                _odd(
                    stream,
                    name,
                    "excluded-group-ambiguous",
                    f"exists {found} times; the members of all were left out",
                    "Name the group by its object id.",
                )
            )
    return people, problems


def _odd(stream: str, name: str, code: str, what: str, remedy: str) -> Problem:
    return Problem(code=code, message=f"The excluded group {name!r} {what}.", remedy=remedy, stream=stream)
