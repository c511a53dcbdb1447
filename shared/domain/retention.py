"""How long things are kept."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Retention:
    """In days."""

    runs_days: int = 90
    tombstones_days: int = 365
    holds_days: int = 90
    journal_days: int = 400
    audit_days: int = 400
