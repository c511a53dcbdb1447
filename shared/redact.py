"""The one redactor: whatever is logged by whomever in this process passes here before any handler sees it.

Secrets are not put into messages in the first place; this is for what libraries and tracebacks may carry along.
"""

import logging
import re
import traceback
from typing import Any

_HIDDEN = "[hidden]"
_PATTERNS = (
    re.compile(r"eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"),  # a JWT: every access token and assertion
    re.compile(r"(?i)(?<=bearer )[\w.~+/=-]{16,}"),
    re.compile(r"(?i)(?<=accountkey=)[\w+/=]+"),
    re.compile(r"(?i)(?<=client_secret=)[^&\s'\"]+"),
    re.compile(r"(?i)(?<=sig=)[\w%+/=-]+"),
    re.compile(r"(?s)(?<=-----BEGIN PRIVATE KEY-----).*?(?=-----END PRIVATE KEY-----|$)"),
    re.compile(r"(?i)(?<=\"clientSecret\":)\s*\"(?:[^\"\\]|\\.)*\""),
    re.compile(r"(?i)(?<=\"password\":)\s*\"(?:[^\"\\]|\\.)*\""),
)


def redact(text: str) -> str:
    """The text without anything that looks like a secret."""
    for pattern in _PATTERNS:
        text = pattern.sub(_HIDDEN, text)
    return text


def install() -> None:
    """Makes every log record of this process pass the redactor; a second time changes nothing."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole addresses, those that need no token included
    make = logging.getLogRecordFactory()
    if getattr(make, "redacts", False):
        return

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        try:
            record.msg, record.args = redact(record.getMessage()), ()
        except (TypeError, ValueError):
            return record  # a malformed call: the handler reports it as it always does
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = redact("".join(traceback.format_exception(*record.exc_info))).rstrip("\n")
        return record

    factory.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)
