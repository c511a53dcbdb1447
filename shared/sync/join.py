"""Who somebody is that a report names: object ids by sign-in name, as they are stored."""

from array import array
from bisect import bisect_left
from hashlib import blake2b

from shared.connectors.base import Stream
from shared.domain.write import Home
from shared.sync.contracts import Session
from shared.sync.index import packed


class SignInNames:
    """24 bytes a person: a hash of the name, and the id, sorted. A name that two people have is nobody's."""

    def __init__(self) -> None:
        self._hash, self._high, self._low = array("Q"), array("Q"), array("Q")

    def __len__(self) -> int:
        return len(self._hash)

    @classmethod
    async def load(cls, session: Session, home: Home, stream: Stream) -> "SignInNames":
        """Of all records of a home: a documented scan, 1,000 a request."""
        made = cls()
        column = stream.column_of("userPrincipalName")
        async for page in session.columns(home, (column,)):
            for object_id, row in page:
                if name := row.get(column):
                    made._hash.append(_hashed(name))
                    high, low = packed(object_id)
                    made._high.append(high)
                    made._low.append(low)
        order = sorted(range(len(made._hash)), key=made._hash.__getitem__)
        for name in ("_hash", "_high", "_low"):
            column_of = getattr(made, name)
            setattr(made, name, array("Q", (column_of[i] for i in order)))
        return made

    @property
    def mark(self) -> str:
        """Names exactly these people with exactly these names."""
        made = blake2b(digest_size=8)
        for part in (self._hash, self._high, self._low):
            made.update(part.tobytes())
        return made.hexdigest()

    def find(self, name: str) -> str | None:
        """The object id; None for somebody who is not there."""
        wanted = _hashed(name)
        hashes = self._hash
        place = bisect_left(hashes, wanted)
        if hashes[place : place + 2].count(wanted) != 1:
            return None
        high, low = f"{self._high[place]:016x}", f"{self._low[place]:016x}"
        return f"{high[:8]}-{high[8:12]}-{high[12:]}-{low[:4]}-{low[4:]}"


def _hashed(name: str) -> int:
    return int.from_bytes(blake2b(name.strip().casefold().encode(), digest_size=8).digest())
