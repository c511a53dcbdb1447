"""JSON bytes that are kept."""

from typing import Any

import orjson


def kept_json(value: Any) -> bytes:
    """The JSON of a value in as many bytes as it has. orjson leaves its buffer's spare room with the result, several
    kilobytes each: harmless for one answer, a quarter of a gigabyte for the rows that wait for their batch.
    """
    return b"".join((orjson.dumps(value), b""))
