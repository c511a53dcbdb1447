"""What is still to come of something that was saved."""

from shared.domain.base import Model


class Pending(Model):
    """Could not be done at once, because a service did not answer. The timer does it; nobody has to do anything."""

    code: str
    """Stable: schedule, stop-runs, run-message, old-secret or deletion-run."""
    message: str
    """The same in words."""


class Underway(Model):
    """It is saved; the rest is still to come."""

    pending: list[Pending]
    """What that is."""
