"""From what a handler gives back to an HTTP response; every error becomes an answer with a stable code and a remedy."""

import csv
import io
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import azure.functions as func
import orjson
from pydantic import BaseModel

from shared.errors import RollcallError
from shared.redact import redact

_log = logging.getLogger("rollcall.api")
_COMMON = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Reply:
    """`body` is a model, JSON data, or text or bytes with a content type of their own. `once`: fields of the body that no repetition
    of the request is told, and that nothing remembers.
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    once: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def file(cls, content: bytes, name: str, content_type: str) -> "Reply":
        """A file to download. The name may hold any character (RFC 6266)."""
        plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
        disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
        return cls(content, headers={"Content-Disposition": disposition}, content_type=content_type)


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A table as CSV (RFC 4180), with a byte-order mark so that Excel reads it as UTF-8. An apostrophe is put before
    text that a spreadsheet would run as a formula.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in row])
    return b"\xef\xbb\xbf" + text.getvalue().encode()


async def respond(
    work: Callable[[], Awaitable[Reply]],
    show: Callable[[RollcallError, str], func.HttpResponse],
    headers: dict[str, str],
) -> func.HttpResponse:
    """Runs the work; `show` turns an error into an answer. Unknown errors are logged, and their text is not shown."""
    request_id = uuid.uuid4().hex
    try:
        return _response(await work(), headers, request_id)
    except RollcallError as error:
        if error.status >= 500:
            _log.warning("request %s: %s %s", request_id, error.code, error.detail)
        return show(error, request_id)
    except Exception:  # noqa: BLE001 - the edge: whatever it was, the caller gets an answer and the log the rest
        _log.exception("request %s failed", request_id)
        return show(RollcallError("The request failed because of a defect in Rollcall."), request_id)


def without_body(response: func.HttpResponse) -> func.HttpResponse:
    """The answer to HEAD: the same status and headers."""
    return func.HttpResponse(
        status_code=response.status_code, headers=dict(response.headers), mimetype=response.mimetype, charset="utf-8"
    )


def json_of(data: Any) -> bytes:
    """A model, or JSON data that may hold models."""
    if isinstance(data, BaseModel):
        return data.model_dump_json(by_alias=True).encode()
    return orjson.dumps(data, default=lambda value: value.model_dump(mode="json", by_alias=True))


def _response(reply: Reply, extra: dict[str, str], request_id: str) -> func.HttpResponse:
    headers = {**_COMMON, "X-Request-Id": request_id, **extra, **reply.headers}
    if reply.status == 204:
        return func.HttpResponse(status_code=204, headers=headers)
    body = reply.body if isinstance(reply.body, str | bytes) else json_of(reply.body)
    if reply.once and isinstance(body, bytes):
        body = orjson.dumps({**orjson.loads(body), **reply.once})
    return func.HttpResponse(
        body=body,
        status_code=reply.status,
        headers=headers,
        mimetype=reply.content_type.partition(";")[0],
        charset="utf-8",
    )


def problem(error: RollcallError, request_id: str) -> func.HttpResponse:
    """RFC 9457, with `code`, `remedy` and the bad fields."""
    body: dict[str, Any] = {
        "type": f"urn:rollcall:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": redact(error.detail),
        "code": error.code,
        "remedy": error.remedy,
        "requestId": request_id,
    }
    if error.fields:
        body["errors"] = [{"field": f.field, "code": f.code, "message": f.message} for f in error.fields]
    headers = {**_COMMON, "X-Request-Id": request_id, **error.headers}
    return func.HttpResponse(
        body=orjson.dumps(body), status_code=error.status, headers=headers, mimetype="application/problem+json"
    )
