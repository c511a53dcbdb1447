"""How long to wait before a request is sent again."""

import math
import random
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from shared.clock import Clock

ATTEMPTS = 8
LONGEST_WAIT = 3600.0
STILL_THROTTLED_WAIT = 120.0
_NO_HEADER_WAIT = 5.0


def retry_after(headers: Mapping[str, str], clock: Clock) -> float | None:
    """Seconds; the header (lower-case name) may hold seconds, a date, or be missing or unreadable: None."""
    text = (headers.get("retry-after") or "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        return max(0.0, (parsedate_to_datetime(text) - clock.now()).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def throttled_wait(attempt: int) -> float:
    """Before another attempt where Graph throttles and names no time."""
    return min(120.0, float(_NO_HEADER_WAIT * 2**attempt)) * (0.8 + 0.4 * random.random())  # noqa: S311 - jitter


def backoff(attempt: int) -> float:
    """Before another attempt after an error or a lost connection."""
    return min(60.0, float(0.5 * 2**attempt)) * (0.5 + random.random())  # noqa: S311 - jitter
