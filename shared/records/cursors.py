"""Cursors of lists: two texts that a client gives back as they are."""

import base64
import binascii

import orjson

from shared.errors import foreign_cursor


def encode(first: str, second: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([first, second])).decode().rstrip("=")


def decode(cursor: str) -> tuple[str, str]:
    """Raises Invalid for a text that is not such a cursor."""
    try:
        first, second = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return str(first), str(second)
    except (ValueError, TypeError, binascii.Error) as error:
        raise foreign_cursor() from error
