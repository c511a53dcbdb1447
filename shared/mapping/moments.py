"""Times as services write them, in the one form that Table Storage takes."""

from datetime import UTC, datetime

NEVER_YEAR = "0001"  # how some services write "never"; Table Storage has no such year
_USUAL = frozenset(
    (20, 22, 23, 24, 25, 26, 27, 28)
)  # lengths of YYYY-MM-DDTHH:MM:SSZ with up to seven fractional digits


def moment(text: str) -> str:
    """The time in UTC with a Z, as it is written where that is its form already; empty for "never". Without an offset it is
    taken for UTC. Raises ValueError for what is no time, TypeError for what is no text.
    """
    parsed = datetime.fromisoformat(text)
    if text[:4] == NEVER_YEAR:
        return ""
    if len(text) in _USUAL and text[-1] == "Z" and text[4] == "-" and text[10] == "T" and text[13] == ":":
        return text
    whole = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    return whole.isoformat(timespec="microseconds" if whole.microsecond else "seconds").replace("+00:00", "Z")
