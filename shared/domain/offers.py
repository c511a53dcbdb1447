"""What can be done to somebody, as the API shows it."""

from shared.domain.base import Model
from shared.domain.plan import Risk, Through
from shared.domain.reason import Reason


class Offer(Model):
    """One action or query."""

    name: str
    """What it is called in the catalogue."""
    title: str
    """In words."""
    available: bool
    """Whether it can be planned, by what is known here."""
    reasons: list[Reason] = []
    """Why not."""
    risk: Risk | None = None
    """Of an action."""


class Available(Model):
    """What can be done to a person or device."""

    through: Through | None
    """The credential that would act; null: people actions are off."""
    actions: list[Offer]
    """What can be done, in the order of names."""
    queries: list[Offer]
    """What can be asked, in the order of names."""


class PermissionVerdict(Model):
    """What a permission is good for here."""

    permission: str
    """Its name."""
    granted: bool
    """Whether the token has it."""
    verdict: str
    """What it gives, and what to do about it."""


class CredentialCheck(Model):
    """The action credential of a tenant."""

    through: Through
    """Which credential, and why it is that one."""
    application_id: str
    """As its token says."""
    permissions: list[str]
    """Application permissions that its token has."""
    directory_roles: list[str]
    """Templates of the Entra roles that its token shows; others may be there."""
    actions: list[Offer]
    """Whether its token has the permission for each."""
    queries: list[Offer]
    """The same of queries."""
    judged: list[PermissionVerdict]
    """The permissions that are often asked for, one by one."""
    warnings: list[Reason]
    """What should be looked at."""
