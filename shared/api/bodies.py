"""What comes in: query options, JSON and forms, each checked against its model with all errors at once."""

import json
from collections.abc import Iterable
from email.message import Message
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import orjson
from pydantic import BaseModel, ValidationError

from shared.errors import BadRequest, FieldError, Invalid, TooLarge, UnsupportedMedia
from shared.validation import field_errors

MOST_BODY = 1024 * 1024
_DEEPEST = 20
_MOST_FIELDS = 1000
_BOM = b"\xef\xbb\xbf"


def read_query(model: type[BaseModel] | None, given: dict[str, str], url: str = "") -> Any:
    """Raises Invalid, also for options that the address does not know, and for empty ones: the Functions host leaves them
    out of `given`, and a list whose filter got lost would show everything.
    """
    options = url.partition("?")[2].partition("#")[0]
    if empty := [name for name, value in parse_qsl(options, keep_blank_values=True) if not value]:
        fields = tuple(FieldError(name, "empty", "is empty; leave it out, or give a value") for name in empty)
        raise Invalid("Empty query options.", fields=fields)
    if model is None:
        if given:
            unknown = tuple(FieldError(name, "unknown", "is not an option of this address") for name in given)
            raise Invalid("Unknown query options.", fields=unknown)
        return None
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise Invalid("The query is not valid.", fields=field_errors(error)) from error


def read_json(model: type[BaseModel], headers: dict[str, str], raw: bytes, *, merge_patch: bool) -> Any:
    """An instance of the model, or the object itself for a merge patch. Types are those of JSON: "false" is not a
    boolean and "24" is not a number.
    """
    allowed = ("application/json", "application/merge-patch+json") if merge_patch else ("application/json",)
    raw = _checked(headers, raw, allowed).removeprefix(_BOM)
    if not raw:
        raise BadRequest(
            "The body is empty.",
            code="body-missing",
            remedy="Send JSON with a Content-Length header: the Functions host drops chunked bodies.",
        )
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest(
            f"The body is not JSON (line {error.lineno}, column {error.colno}).", code="malformed-json"
        ) from None
    if _depth(data) > _DEEPEST:
        raise BadRequest(f"The body is nested deeper than {_DEEPEST} levels.", code="too-deep")
    if not isinstance(data, dict):
        raise Invalid("The body must be a JSON object.", fields=(FieldError("(body)", "object", "must be an object"),))
    json.loads(raw, object_pairs_hook=_no_doubles)
    if merge_patch:
        return data
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise Invalid("The body is not valid.", fields=field_errors(error)) from None


def read_file(headers: dict[str, str], raw: bytes, allowed: Iterable[str]) -> bytes:
    """A file as it was sent; what is in it is for the handler to see."""
    if len(raw) > MOST_BODY:
        raise TooLarge(f"The file has {len(raw)} bytes.")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in allowed:
        raise UnsupportedMedia(f"The content type is {kind or 'missing'}.", remedy=f"Send {' or '.join(allowed)}.")
    if not raw:
        raise BadRequest(
            "The body is empty.",
            code="body-missing",
            remedy="Send the file with a Content-Length header: the Functions host drops chunked bodies.",
        )
    return raw


def read_form(headers: dict[str, str], raw: bytes) -> dict[str, Any]:
    """A form's fields: text, or a list of texts where a name comes more than once."""
    raw = _checked(headers, raw, ("application/x-www-form-urlencoded",))
    try:
        found = parse_qs(raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise BadRequest("The form can't be read.", code="malformed-form") from error
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def validate_form(model: type[BaseModel], fields: dict[str, Any]) -> Any:
    """Everything in a form is text, so values are converted to the model's types."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise Invalid("The form is not valid.", fields=field_errors(error)) from None


def _checked(headers: dict[str, str], raw: bytes, allowed: Iterable[str]) -> bytes:
    if len(raw) > MOST_BODY:
        raise TooLarge(f"The body has {len(raw)} bytes.")
    message = Message()
    message["content-type"] = headers.get("content-type", "")
    kind = message.get_content_type() if headers.get("content-type") else ""
    if kind not in allowed:
        raise UnsupportedMedia(f"The content type is {kind or 'missing'}.", remedy=f"Send {' or '.join(allowed)}.")
    charset = str(message.get_param("charset", "utf-8")).lower()
    if charset not in ("utf-8", "utf8"):
        raise UnsupportedMedia("The body is in another charset than UTF-8.", remedy="Send UTF-8.")
    return raw


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"The body names {double!r} twice in one object.", code="duplicate-key")
    return found


def _depth(data: Any) -> int:
    """Levels of nesting, counted without recursion."""
    depth, level = 0, [data]
    while level and depth <= _DEEPEST:
        depth += 1
        level = [
            v
            for item in level
            if isinstance(item, dict | list)
            for v in (item.values() if isinstance(item, dict) else item)
        ]
    return depth
