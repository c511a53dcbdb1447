"""When somebody else has to agree to an action, and who: the owner's rules, as data on the source."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.domain.base import Model, Name
from shared.domain.plan import ApprovalNeeded, Risk
from shared.names import Role

AppRole = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,120}$")]


class ApprovalRule(Model):
    """A rule holds where everything holds that it names. Each of its roles then needs one person's consent."""

    name: Name
    """What it is called; shown to whoever is asked."""
    actions: Annotated[list[Annotated[str, StringConstraints(max_length=60)]], Field(max_length=100)] = []
    """Only these actions. Empty: all."""
    risks: Annotated[list[Risk], Field(max_length=3)] = []
    """Only actions of these classes: low, disruptive, severe. Empty: all."""
    flags: Annotated[list[Literal["administrator", "service-account"]], Field(max_length=2)] = []
    """Only where one of the targets is an administrator, or a service account. Empty: any target."""
    over_per_hour: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Only where the plan would make it more targets than this within the hour."""
    over_per_day: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Only where the plan would make it more targets than this within the day, UTC."""
    roles: Annotated[list[AppRole], Field(min_length=1, max_length=5)] = [Role.ACT.value]
    """App roles. Two roles want two people, neither of them the author, and both with Rollcall.Act."""

    def holds(self, asked: "Asked") -> bool:
        """Whether it asks for consent."""
        if self.actions and not set(self.actions) & asked.actions:
            return False
        if self.risks and not set(self.risks) & asked.risks:
            return False
        if self.flags and not set(self.flags) & asked.flags:
            return False
        if self.over_per_hour is None and self.over_per_day is None:
            return True
        hour = self.over_per_hour is not None and asked.hour > self.over_per_hour
        return hour or (self.over_per_day is not None and asked.day > self.over_per_day)


class Asked(Model):
    """What a plan is about, as rules look at it."""

    actions: set[str]
    risks: set[Risk]
    flags: set[str]
    hour: int
    """Targets within this hour, with those of the plan."""
    day: int
    """Targets within this day, with those of the plan."""


DEFAULT_RULES = [
    ApprovalRule(name="What can't be undone", risks=[Risk.SEVERE]),
    ApprovalRule(name="Administrators and service accounts", flags=["administrator", "service-account"]),
    ApprovalRule(name="Many at a time", over_per_hour=20, over_per_day=100),
]
RETURN = ["restore-person", "enable-device", "assign-licences", "add-to-group", "enable-sign-in"]
LEAVER = [
    "disable-sign-in", "revoke-sessions", "reset-password", "disable-devices", "require-mfa-registration", "remove-from-groups",
    "wait: Convert the mailbox to a shared one before its licence goes", "remove-licences",
]  # fmt: skip


class ActionPolicy(Model):
    """How people actions are controlled in one source."""

    rules: Annotated[list[ApprovalRule], Field(max_length=50)] = DEFAULT_RULES
    """Each rule that holds asks for its consents. None: nobody is asked."""
    approval_hours: Annotated[int, Field(ge=1, le=720)] = 72
    """How long a plan waits for consent, and after it for being carried out. Then it expires: time never consents."""
    leaver: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=200)]], Field(min_length=1, max_length=50)
    ] = LEAVER
    """The steps of a leaver's plan, in order: disable-sign-in, revoke-sessions, reset-password, disable-devices,
    require-mfa-registration, remove-from-groups, remove-licences, delete-person, or `wait: ` and what a person does."""
    returning: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=200)]], Field(min_length=1, max_length=50)
    ] = RETURN
    """What a return gives back of what the leaver's plan took, in order: restore-person, enable-device, assign-licences,
    add-to-group, enable-sign-in, or `wait: ` and what a person does. What is not named is not given back."""

    def needed(self, asked: Asked) -> list[ApprovalNeeded]:
        """The consents that a plan needs, each role of each rule."""
        found: dict[str, str] = {}
        for rule in self.rules:
            if rule.holds(asked):
                for role in rule.roles:
                    found.setdefault(role, rule.name)
        return [ApprovalNeeded(rule=rule, role=role) for role, rule in found.items()]


def risk_of(risks: Iterable[Risk]) -> Risk:
    """The highest of them."""
    order = list(Risk)
    return max(risks, key=order.index, default=Risk.LOW)
