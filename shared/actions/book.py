"""The catalogue, whole: importing it declares every action and query."""

from shared.actions import access, devices, groups, leaver, licences, people, queries, tenant  # noqa: F401 - they declare
from shared.actions.catalogue import ACTIONS, NOT_OFFERED, QUERIES, Action, Query
from shared.errors import NotFound

__all__ = ["ACTIONS", "NOT_OFFERED", "QUERIES", "Action", "Query", "action_named", "query_named"]


def action_named(name: str, target: str) -> Action:
    """Raises NotFound."""
    found = ACTIONS.get(name)
    if found is None or found.target != target:
        names = ", ".join(one.name for one in ACTIONS.values() if one.target == target)
        raise NotFound(f"There is no action {name} for a {target}.", remedy=f"There are {names}.")
    return found


def query_named(name: str, target: str) -> Query:
    """Raises NotFound."""
    found = QUERIES.get(name)
    if found is None or found.target != target:
        names = ", ".join(one.name for one in QUERIES.values() if one.target == target)
        raise NotFound(f"There is no query {name} for a {target}.", remedy=f"There are {names}.")
    return found
