"""Versions of what is stored. Layouts expand, then contract, because workers of two releases run side by side during a
deployment: one release reads the old layout and the new one and writes the old; the next one writes the new one; a later one
forgets the old. Every row carries V, the version of its layout, and one row of the installation names the lowest version that
a worker must be able to read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.errors import Unavailable

Row = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """How rows of one table look in one version: `store` makes the stored row of the row that this release works with,
    `load` the reverse.
    """

    store: Callable[[Row], Row]
    load: Callable[[Row], Row]


@dataclass(frozen=True)
class Layout:
    """`writes`: the version of what is written; `forms`: version to table to form, for every version that is read. A table
    that is not named looks in that version as this release works with it.
    """

    writes: int = 1
    forms: Mapping[int, Mapping[str, Form]] = field(default_factory=lambda: {1: {}})

    @property
    def newest(self) -> int:
        return max(self.forms)

    def reshapes(self, table: str) -> bool:
        """Whether rows of the table may look otherwise than this release works with them: then they are read whole."""
        return any(table in forms for forms in self.forms.values())

    def load(self, table: str, row: Row) -> Row:
        """The row as this release works with it. Raises Unavailable for a version that it does not know."""
        version = row.get("V", 1)
        forms = self.forms.get(version) if isinstance(version, int) else None
        if forms is None:
            raise _unknown(version, self)
        form = forms.get(table)
        return form.load(row) if form else row

    def store(self, table: str, row: Row) -> Row:
        """The row as it is stored."""
        form = self.forms[self.writes].get(table)
        return {"V": self.writes, **(form.store(row) if form else row)}


CURRENT = Layout()
"""What this release reads and writes."""


def _unknown(version: object, layout: Layout) -> Unavailable:
    known = f"{min(layout.forms)} to {layout.newest}" if len(layout.forms) > 1 else str(layout.newest)
    if isinstance(version, int) and version < min(layout.forms):
        return Unavailable(
            f"A stored row has layout version {version}; this version of Rollcall reads {known}.",
            code="schema-too-old",
            remedy="Deploy the release before this one first, and let every connector run once.",
        )
    return Unavailable(
        f"A stored row has layout version {version}; this version of Rollcall reads {known}.",
        code="schema-too-new",
        remedy="Deploy the Rollcall version that wrote it, or a later one.",
    )
