"""What a read came to, counted as it goes: each object once, however often it is met."""

from collections.abc import Iterable

from shared.domain.run import StreamProgress

_MOST_NAMED = 20


class Counts:
    """Changes a stream's progress; nobody else counts objects in it."""

    def __init__(self, progress: StreamProgress) -> None:
        self.progress = progress
        self._fields = progress.__dict__
        """For what is counted for each object: assigning to a model's field takes ten times as long."""
        self._odd = set(progress.malformed_objects)

    def page(self, objects: int) -> None:
        self.progress.pages += 1
        self.progress.read += objects

    def told(self, *, present: bool) -> None:
        """Graph reported an object as changed, or as removed."""
        self.progress.reported_present += present
        self.progress.reported_removed += not present

    def known(self, *, changed: bool) -> None:
        """A record that was there before the read."""
        self._fields["changed" if changed else "unchanged"] += 1

    def added(self, *, returned: bool) -> None:
        """A record that was not there before the read."""
        self._fields["returned" if returned else "new"] += 1

    def outside(self, *, left: bool) -> None:
        """An object out of scope; `left`: its record was there before."""
        self._fields["out_of_scope"] += 1
        self._fields["left_scope"] += left

    def malformed(self, object_id: str, names: Iterable[str]) -> None:
        """An object with values that can't be stored as they are: counted once in a slice, however often it is told."""
        named = self.progress.malformed_objects
        if object_id not in self._odd:
            self._odd.add(object_id)
            self.progress.malformed += 1
        elif object_id not in named:
            return
        if object_id in named or len(named) < _MOST_NAMED:
            self.progress.malformed_objects = {**named, object_id: sorted({*named.get(object_id, ()), *names})}

    def nameless(self, objects: int) -> None:
        """Objects without an id that could stand in keys."""
        if objects:
            self.progress.malformed += objects
            self.progress.nameless += objects

    def as_written(self, written_as: str) -> None:
        """An object that this run wrote already, as what it was then."""
        setattr(self.progress, written_as, getattr(self.progress, written_as) + 1)

    def begin_again(self, outside: int) -> None:
        """The list begins anew: what was read does not count; objects out of scope are met once more, but those that left
        in this run keep their mark and their count.
        """
        self.progress.restarts += 1
        self.progress.pages = self.progress.read = 0
        self.progress.out_of_scope -= outside
