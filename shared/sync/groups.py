"""The people in the owner's service-account groups, nested groups included."""

import re

from shared.domain.run import Problem
from shared.graph.client import GraphClient
from shared.graph.listing import find_groups, members_of
from shared.sync.index import IdSet

_GUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)


async def excluded_people(client: GraphClient, names: list[str], permission: str) -> tuple[IdSet, list[Problem]]:
    """Object ids of all members, and what was odd about the groups. A display name that several groups have excludes
    the members of all of them: leaving a service account in is the smaller harm only if somebody is told.
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
                    name,
                    "excluded-group-unknown",
                    "does not exist",
                    "Correct its name on the source, or remove it there.",
                )
            )
        elif found > 1:
            problems.append(
                _odd(
                    name,
                    "excluded-group-ambiguous",
                    f"exists {found} times; the members of all were left out",
                    "Name the group by its object id.",
                )
            )
    return people, problems


def _odd(name: str, code: str, what: str, remedy: str) -> Problem:
    return Problem(code=code, message=f"The excluded group {name!r} {what}.", remedy=remedy, stream="users")
