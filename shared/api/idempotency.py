"""A POST with an Idempotency-Key is done once, however often it is sent: whoever lost the answer sends it again."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel

from shared.api.answering import Reply, json_of
from shared.api.calls import Call
from shared.errors import BadRequest, Conflict, FieldError, Invalid, RollcallError, Unavailable

if TYPE_CHECKING:
    from shared.storage.once import Asked, Once

HEADER = "idempotency-key"
_FORM = re.compile(r"[\x21-\x7e]{1,200}")


def carry_out(
    call: Call, address: str, handler: Callable[[Call], Reply], once: "Once | None", busy_for: float
) -> Reply:
    """The handler's answer, or the one that it gave before. `busy_for`: so many seconds after a request it may still be going on."""
    key = call.headers.get(HEADER)
    if key is None or once is None:
        return handler(call)
    if not _FORM.fullmatch(key):
        raise BadRequest(
            "The Idempotency-Key is not usable.",
            code="idempotency-key-malformed",
            remedy="Send 1 to 200 visible ASCII characters, such as a new GUID for each request.",
        )
    mark = hashlib.sha256(f"{call.principal.id} {key}".encode()).hexdigest()
    asked, first = once.begin(mark, _fingerprint(call, address))
    if not first:
        if asked.fingerprint != _fingerprint(call, address):
            raise Invalid(
                "The Idempotency-Key was used for another request.",
                code="idempotency-key-reused",
                remedy="Send a new key with each new request.",
                fields=(FieldError("Idempotency-Key", "reused", "belongs to another request"),),
            )
        if asked.answer is not None:
            return _replayed(asked.answer)
        _wait_for(asked, once, busy_for)
    return _remembered(replace(call, once=asked.id), handler, once, asked)


def _wait_for(asked: "Asked", once: "Once", busy_for: float) -> None:
    """Two at a time would be done twice, or refuse each other."""
    age = (once.now() - asked.at).total_seconds()
    if 0 <= age < busy_for:
        raise Conflict(
            "The same request is being worked on.",
            code="in-progress",
            remedy="Send it again in some seconds.",
            headers={"Retry-After": str(max(1, round(busy_for - age)))},
        )
    once.again(asked)


def _remembered(call: Call, handler: Callable[[Call], Reply], once: "Once", asked: "Asked") -> Reply:
    try:
        reply = handler(call)
    except RollcallError as error:
        if error.status < 500:
            _quietly(lambda: once.forget(asked))
        raise
    answer = {"status": reply.status, "headers": reply.headers, "body": orjson.loads(json_of(reply.body))}
    _quietly(lambda: once.end(asked, answer))
    return reply


def _quietly(call: Callable[[], object]) -> None:
    """What it is about is done: that this could not be noted costs a repetition no more than another look."""
    try:
        call()
    except Unavailable:
        return


def _replayed(answer: dict[str, Any]) -> Reply:
    return Reply(answer["body"], answer["status"], {**answer["headers"], "Idempotency-Replayed": "true"})


def _fingerprint(call: Call, address: str) -> str:
    """Of everything but the secrets: their values are hidden in what is hashed."""
    shown = [_shown(call.query), _shown(call.body)]
    return hashlib.sha256(json.dumps([address, *shown]).encode()).hexdigest()


def _shown(sent: object) -> object:
    return sent.model_dump(mode="json", by_alias=True) if isinstance(sent, BaseModel) else sent
