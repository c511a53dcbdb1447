"""Which object a report or another service means: object ids by what both know, such as a sign-in name, as they are stored."""

from array import array
from bisect import bisect_left
from hashlib import blake2b

from shared.connectors.base import Stream
from shared.domain.write import Home
from shared.sync.contracts import Session
from shared.sync.index import packed

SIGN_IN_NAME = "userPrincipalName"


class ObjectIds:
    """24 bytes an object: a hash of the value, and the id, sorted. A value that two objects have is no object's."""

    def __init__(self) -> None:
        self._hash, self._high, self._low = array("Q"), array("Q"), array("Q")

    def __len__(self) -> int:
        return len(self._hash)

    @classmethod
    async def load(cls, session: Session, home: Home, stream: Stream, source: str) -> "ObjectIds":
        """Of all records of a home by the Graph property: a documented scan, 1,000 a request."""
        made = cls()
        column = stream.column_of(source)
        async for page in session.columns(home, (column,)):
            for object_id, row in page:
                if value := row.get(column):
                    made._hash.append(_hashed(value))
                    high, low = packed(object_id)
                    made._high.append(high)
                    made._low.append(low)
        order = sorted(range(len(made._hash)), key=made._hash.__getitem__)
        for name in ("_hash", "_high", "_low"):
            unsorted = getattr(made, name)
            setattr(made, name, array("Q", (unsorted[i] for i in order)))
        return made

    @property
    def mark(self) -> str:
        """Names exactly these objects with exactly these values."""
        made = blake2b(digest_size=8)
        for part in (self._hash, self._high, self._low):
            made.update(part.tobytes())
        return made.hexdigest()

    def find(self, value: str) -> str | None:
        """The object id; None for an object that is not there."""
        wanted = _hashed(value)
        hashes = self._hash
        place = bisect_left(hashes, wanted)
        if hashes[place : place + 2].count(wanted) != 1:
            return None
        high, low = f"{self._high[place]:016x}", f"{self._low[place]:016x}"
        return f"{high[:8]}-{high[8:12]}-{high[12:]}-{low[:4]}-{low[4:]}"


def _hashed(value: str) -> int:
    return int.from_bytes(blake2b(value.strip().casefold().encode(), digest_size=8).digest())
