"""Why something is as it is."""

from shared.domain.base import Model


class Reason(Model):
    """Why something is as it is, and what to do about it."""

    code: str
    """Stable."""
    message: str
    """The same in words."""
    remedy: str
    """What to do about it."""
