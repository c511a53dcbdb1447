"""What is stored already, in 24 bytes a record: sorted ids, digests, and a bitmap of what this run has seen."""

import hashlib
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

_TWO_NUMBERS = struct.Struct(">QQ")
_EMPTY = 0
_PARTS = 64


def _guid(object_id: str) -> tuple[int, int] | None:
    """A GUID as two 64-bit numbers that sort as its text does; None for any other id."""
    digits = object_id.replace("-", "")
    if len(digits) != 32 or len(object_id) != 36:
        return None
    try:
        number = int(digits, 16)
    except ValueError:
        return None
    return number >> 64, number & 0xFFFF_FFFF_FFFF_FFFF


def packed(object_id: str) -> tuple[int, int]:
    """An id as two 64-bit numbers: a GUID itself, any other id by its hash."""
    return _guid(object_id) or _hashed(object_id)


def _hashed(object_id: str) -> tuple[int, int]:
    found: tuple[int, int] = _TWO_NUMBERS.unpack_from(hashlib.sha256(object_id.encode()).digest())
    return found


def mark_of(key: tuple[int, int]) -> int:
    return (key[0] ^ key[1]) or 1


class IdSet:
    """A set of object ids in 11 to 16 bytes each, where Python's own takes over 100. Kept in parts, so that it grows by a
    small step at a time: one table of a million would need room for two and a half while it grows.
    """

    def __init__(self) -> None:
        self._parts = [array("Q", bytes(8 * 16)) for _ in range(_PARTS)]
        self._counts = [0] * _PARTS
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def marks(self) -> list[int]:
        """What it holds, for keeping; sorted, so that equal sets are kept alike."""
        return sorted(mark for slots in self._parts for mark in slots if mark != _EMPTY)

    @classmethod
    def of(cls, marks: Iterable[int]) -> "IdSet":
        """The reverse of marks()."""
        made = cls()
        for mark in marks:
            made._add(mark)
        return made

    def add(self, object_id: str) -> bool:
        """Whether it was new."""
        return self._add(mark_of(packed(object_id)))

    def add_packed(self, key: tuple[int, int]) -> bool:
        return self._add(mark_of(key))

    def _add(self, mark: int) -> bool:
        part = mark % _PARTS
        slots = self._parts[part]
        size = len(slots)
        place = mark // _PARTS % size  # as _place() does; a call for each object would cost as much again
        while found := slots[place]:
            if found == mark:
                return False
            place = place + 1 if place + 1 < size else 0
        slots[place] = mark
        self._count += 1
        count = self._counts[part] = self._counts[part] + 1
        if count * 4 > size * 3:
            self._grow(part, size * 3 // 2)
        return True

    def _grow(self, part: int, size: int) -> None:
        grown = array("Q", bytes(8 * size))
        for mark in self._parts[part]:
            if mark != _EMPTY:
                grown[_place(grown, mark)] = mark
        self._parts[part] = grown

    def __contains__(self, object_id: object) -> bool:
        return self._count > 0 and self.has_packed(packed(str(object_id)))

    def has_packed(self, key: tuple[int, int]) -> bool:
        if not self._count:
            return False
        mark = mark_of(key)
        slots = self._parts[mark % _PARTS]
        return slots[_place(slots, mark)] == mark


def _place(slots: "array[int]", mark: int) -> int:
    """Where it is, or where it would be put."""
    size = len(slots)
    place = mark // _PARTS % size
    while (found := slots[place]) != _EMPTY and found != mark:
        place = place + 1 if place + 1 < size else 0
    return place


class Index:
    """Records that were there before this run, in id order. `seen` bits survive in the checkpoint."""

    def __init__(self) -> None:
        self._high = array("Q")
        self._low = array("Q")
        self._digest = array("Q")
        self._changed_day = array("I")
        self._names: dict[tuple[int, int], str] = {}  # of ids that are no GUIDs: their numbers do not tell them
        self.seen = bytearray()
        self.seen_count = 0

    def __len__(self) -> int:
        return len(self._high)

    def load(self, rows: Iterable[tuple[str, int, int]]) -> None:
        """Rows in id order: object id, digest, day of the last change (days since 1970)."""
        for object_id, digest, day in rows:
            key = _guid(object_id)
            if key is None:
                key = _hashed(object_id)
                self._names[key] = object_id
            high, low = key
            self._high.append(high)
            self._low.append(low)
            self._digest.append(digest)
            self._changed_day.append(day)

    def start(self, seen: bytes | None = None) -> None:
        """Call once everything is loaded. `seen`: the bitmap of an earlier slice of the same run."""
        if any(self._high[i] > self._high[i + 1] for i in range(len(self._high) - 1)):
            order = sorted(range(len(self._high)), key=lambda i: (self._high[i], self._low[i]))
            for name in ("_high", "_low", "_digest", "_changed_day"):
                column = getattr(self, name)
                setattr(self, name, array(column.typecode, (column[i] for i in order)))
        size = (len(self) + 7) // 8
        self.seen = bytearray(seen if seen is not None and len(seen) == size else bytes(size))
        self.seen_count = sum(byte.bit_count() for byte in self.seen)

    def find(self, object_id: str) -> int:
        """The record's place, or -1."""
        return self.find_packed(packed(object_id))

    def find_packed(self, key: tuple[int, int]) -> int:
        if not self._high:
            return -1
        high, low = key
        place = bisect_left(self._high, high)
        while place < len(self._high) and self._high[place] == high:
            if self._low[place] == low:
                return place
            place += 1
        return -1

    def unseen(self) -> Iterator[str]:
        """Ids of records that this run has not seen, in order."""
        for place in range(len(self)):
            if not self.seen[place >> 3] & 1 << (place & 7):
                yield self._id(place)

    def _id(self, place: int) -> str:
        key = self._high[place], self._low[place]
        if self._names and (name := self._names.get(key)):
            return name
        digits = f"{key[0]:016x}{key[1]:016x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def is_unseen(self, object_id: str) -> bool:
        """Whether the record is there and this run has not seen it."""
        place = self.find(object_id)
        return place >= 0 and not self.seen[place >> 3] & 1 << (place & 7)

    def digest(self, place: int) -> int:
        return self._digest[place]

    def changed_day(self, place: int) -> int:
        return self._changed_day[place]

    def mark(self, place: int) -> bool:
        """Notes that this run has seen the record; whether it was the first time."""
        byte, bit = place >> 3, 1 << (place & 7)
        if self.seen[byte] & bit:
            return False
        self.seen[byte] |= bit
        self.seen_count += 1
        return True
