"""Tables that Table Storage is still deleting: for a minute or so their names can't be used again."""

from shared.errors import Unavailable

BEING_DELETED = "TableBeingDeleted"
WAIT, LOOKS = 10.0, 30
"""Seconds between two attempts to make such a table again, and how many."""


def still_deleting(table: str) -> Unavailable:
    return Unavailable(
        f"Table Storage is still deleting the old table {table}.",
        code="table-being-deleted",
        remedy="It takes some minutes at most; then try again. A run goes on by itself.",
    )
