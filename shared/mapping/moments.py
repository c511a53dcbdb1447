"""Times as services write them, in the one form that Table Storage takes."""

from datetime import UTC, datetime

_NEVER = 1  # the year that some services write for "never"; Table Storage has no such year
_WHOLE = 20  # characters of YYYY-MM-DDTHH:MM:SSZ
_LONGEST = 28  # with seven fractional digits
_DAY = 10  # characters of YYYY-MM-DD


def moment(text: str) -> str:
    """The time in UTC with a Z, as it is written where that is its form already; empty for "never". Without an offset it is
    taken for UTC. Raises ValueError for what is no time, TypeError for what is no text.
    """
    parsed = datetime.fromisoformat(text)
    if parsed.year == _NEVER:
        return ""
    if text[4:17:3] == "--T::" and text[-1] == "Z":
        length = len(text)
        if length == _WHOLE or (length <= _LONGEST and text[19] == "."):
            return text
    if len(text) == _DAY and text[4] == text[7] == "-":
        return f"{text}T00:00:00Z"
    whole = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    return whole.isoformat(timespec="microseconds" if whole.microsecond else "seconds").replace("+00:00", "Z")
