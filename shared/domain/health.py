"""What the health address says."""

from shared.domain.base import Model


class Health(Model):
    """`checks`: settings, authentication, tables, queues and vault, each ok or the stable code of what is wrong; no-answer: it
    hangs.
    """

    status: str
    """ok or degraded."""
    checks: dict[str, str]
    """By what was checked."""
