"""Which releases may work on an installation: one row names the lowest layout that a worker must be able to read."""

from shared.errors import Unavailable
from shared.names import CONFIG
from shared.storage.layout import Layout
from shared.storage.tables import Tables


class Gate:
    """The installation's row. Its own V stays 1: every release can read why it may not run."""

    def __init__(self, tables: Tables, layout: Layout) -> None:
        self._tables, self._layout = tables, layout

    def check(self) -> None:
        """Raises Unavailable where this release can't read what others write by now. Notes what this one writes."""
        found = self._tables.raw(CONFIG, "installation", "layout")
        lowest = int(found.row["LowestReader"]) if found else 0
        if lowest > self._layout.newest:
            raise Unavailable(
                f"This installation stores layout version {lowest}; this version of Rollcall reads up to "
                f"{self._layout.newest}.",
                code="release-too-old",
                remedy="Deploy the newest release to every instance. Nothing was changed by this one.",
            )
        if lowest < self._layout.writes:
            row = {"PartitionKey": "installation", "RowKey": "layout", "V": 1, "LowestReader": self._layout.writes}
            self._tables.put_raw(CONFIG, row, found.etag if found else None)
