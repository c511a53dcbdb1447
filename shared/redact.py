"""The one redactor: whatever is logged by whomever in this process passes here before any handler sees it: messages,
exceptions with all that caused them, and what a record carries besides.

Secrets are not put into messages in the first place; this is for what libraries, tracebacks and other services' answers
may carry along.
"""

import base64
import json
import logging
import re
import traceback
from collections import OrderedDict
from threading import Lock
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "[hidden]"
_VALUE = r"""(?:b?"(?:[^"\\]|\\.)*"?|b?'(?:[^'\\]|\\.)*'?|[^\s&,;)}\]"']+)"""
_NAMES = (
    r"client_?secret|secret_?value|client_assertion|assertion|password|passwd|private_?key|account_?key|shared_?access_?key|"
    r"refresh_token|access_token|id_token|x-identity-header|identity_header|secret|certificate"
)
_PATTERNS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL), HIDDEN),
    (re.compile(r"eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"), HIDDEN),  # a JWT: every access token and assertion
    (re.compile(rf"(?i)\b({_NAMES})([\"']?\s*[:=,]\s*)(?:SecretStr\()?{_VALUE}"), rf"\1\2{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic|sharedkeylite|sharedkey|negotiate)(\s+)[\w.~+/=:-]{8,}"), rf"\1\2{HIDDEN}"),
    (re.compile(r"(?i)([?&;\"'\s]|^)(sig=)[^&\s\"']+"), rf"\1\2{HIDDEN}"),
    (re.compile(r"(?i)((?:\$|%24)(?:delta|skip)token(?:=|%3d))[^&\s\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)(AppServiceAuthSession=)[^;\s\"']+"), rf"\1{HIDDEN}"),
)
_OF_VAULT = re.compile(r"""(["']value["']\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)""")
_LEAST, _MOST = 8, 1024

_known: OrderedDict[str, None] = OrderedDict()
_lock = Lock()


def known_secret(value: str) -> None:
    """From here on this very value is hidden wherever it shows up, in each form in which services write it back."""
    lines = [line for line in value.splitlines() if len(line) >= 4 * _LEAST] if "PRIVATE KEY" in value else [value]
    forms = {
        form
        for line in lines
        for form in (
            line, quote(line, safe=""), quote_plus(line), json.dumps(line)[1:-1], json.dumps(line, ensure_ascii=False)[1:-1],
            repr(line)[1:-1], base64.b64encode(line.encode()).decode(),
        )
        if len(form) >= _LEAST
    }  # fmt: skip
    with _lock:
        for form in forms:
            _known[form] = None
            _known.move_to_end(form)
        while len(_known) > _MOST:
            _known.popitem(last=False)


def redact(text: str) -> str:
    """The text without anything that is a secret, or looks like one."""
    with _lock:
        known = tuple(_known)
    for form in known:
        if form in text:
            text = text.replace(form, HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    if "/secrets/" in text or "recoveryLevel" in text:  # an answer of Key Vault
        text = _OF_VAULT.sub(rf"\1{HIDDEN}", text)
    return text


def install() -> None:
    """Makes every log record of this process pass the redactor; a second time changes nothing."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs the address of every request
    make = logging.Logger.makeRecord
    if getattr(make, "redacts", False):
        return

    def redacting(
        self: logging.Logger,
        name: str,
        level: int,
        fn: str,
        lno: int,
        msg: object,
        args: Any,
        exc_info: Any,
        func: str | None = None,
        extra: Any = None,
        sinfo: str | None = None,
    ) -> logging.LogRecord:
        record = make(self, name, level, fn, lno, msg, args, exc_info, func, _clean(extra) if extra else None, sinfo)
        try:
            record.msg, record.args = redact(record.getMessage()), ()
        except (TypeError, ValueError):
            record.msg, record.args = redact(f"{msg!r} {args!r}"), ()  # a malformed call
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_info = clean(record.exc_info[1])
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return record

    redacting.redacts = True  # type: ignore[attr-defined]
    logging.Logger.makeRecord = redacting  # type: ignore[method-assign]


def _clean(value: Any) -> Any:
    """What a record carries besides its message."""
    match value:
        case str():
            return redact(value)
        case bytes():
            return redact(value.decode(errors="replace"))
        case dict():
            # A secret may be known by its name only.
            return {key: _named(key, part) for key, part in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(part) for part in value]
        case None | bool() | int() | float():
            return value
        case BaseException():
            return redact(repr(value))
        case _:
            return redact(repr(value))


def _named(key: Any, value: Any) -> Any:
    if isinstance(value, str | bytes) and re.fullmatch(rf"(?i){_NAMES}", str(key)):
        return HIDDEN
    return _clean(value)


def clean(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """The exception as telemetry may have it: the same names and lines, texts that passed the redactor, and no values of
    local variables.
    """
    copy = _copied(error, set())
    return type(copy), copy, copy.__traceback__


def _copied(error: BaseException, seen: set[int]) -> BaseException:
    seen.add(id(error))
    kind = type(error)
    named = type(kind.__name__, (Exception,), {"__module__": kind.__module__, "__qualname__": kind.__qualname__})
    copy: BaseException = named(redact(str(error)))
    if error.__traceback__:
        traceback.clear_frames(error.__traceback__)
        copy = copy.with_traceback(error.__traceback__)
    for attribute in ("__cause__", "__context__"):
        other = getattr(error, attribute)
        if other is not None and id(other) not in seen:
            setattr(copy, attribute, _copied(other, seen))
    copy.__suppress_context__ = error.__suppress_context__
    if isinstance(error, BaseExceptionGroup):
        copy.add_note("; ".join(redact(repr(one)) for one in error.exceptions))
    for note in getattr(error, "__notes__", ()):
        copy.add_note(redact(str(note)))
    return copy
