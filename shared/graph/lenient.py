"""JSON as services send it now and then: with a byte-order mark, with halves of characters, with bytes that are no UTF-8."""

import json
from typing import Any

import orjson

BOM = b"\xef\xbb\xbf"
REPLACED = "\ufffd"
"""Stands where a character was that is none."""


class NotJson(ValueError):
    """The bytes are no JSON, however one reads them."""


def parse(content: bytes) -> tuple[Any, bool]:
    """The value, and whether characters were replaced in it. Raises NotJson."""
    content = content.removeprefix(BOM)
    try:
        return orjson.loads(content), False
    except orjson.JSONDecodeError:
        pass
    try:
        value = json.loads(content.decode("utf-8", "replace"), strict=False, parse_constant=_no_number)
        return _clean(value), True
    except (ValueError, RecursionError) as error:
        raise NotJson from error


def _no_number(_name: str) -> None:
    """NaN and Infinity, which JSON does not have."""


def _clean(value: Any) -> Any:
    """With every half of a character replaced: nothing that stores text takes one."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_clean(entry) for entry in value]
    if isinstance(value, dict):
        return {_clean(name): _clean(entry) for name, entry in value.items()}
    return value


def replaced_in(item: dict[str, Any]) -> list[str]:
    """The properties of an object in which characters were replaced."""
    return [name for name, value in item.items() if REPLACED in json.dumps(value, ensure_ascii=False)]
