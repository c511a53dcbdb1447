"""What an action is, and the decorators that put one into the catalogue. An action is one function: it looks at its target and
gives the requests that would do it, each with the way to prove it. Nothing is sent by it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from shared.connectors.base import Permission
from shared.domain.base import Model
from shared.domain.plan import Call, Item, Risk, Step
from shared.domain.policy import ActionPolicy
from shared.domain.reason import Reason

if TYPE_CHECKING:
    from shared.actions.subject import Subject

TargetKind = Literal["person", "device", "source"]


class NoParameters(Model):
    """Nothing is given."""


class Cannot(Exception):
    """The action makes no sense, or Microsoft Graph would refuse it. Nothing is sent."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.reason = Reason(code=code, message=message, remedy=remedy)


class AlreadySo(Cannot):
    """There is nothing to do."""

    def __init__(self, message: str) -> None:
        super().__init__("already-so", message, "Nothing needs to be done.")


@dataclass(frozen=True)
class Role:
    """A role of Microsoft Entra, which the application's service principal may have."""

    template: str
    title: str


GLOBAL_ADMINISTRATOR = Role("62e90394-69f5-4237-9190-012177145e10", "Global Administrator")
USER_ADMINISTRATOR = Role("fe930be7-5e62-47db-91af-98c3a49a38b1", "User Administrator")
PRIVILEGED_AUTHENTICATION = Role("7be44c8a-adaf-4e2a-84d6-ab2649e08a13", "Privileged Authentication Administrator")
CLOUD_DEVICE_ADMINISTRATOR = Role("7698a772-787b-4ac8-901f-60d6b08affd2", "Cloud Device Administrator")
INTUNE_ADMINISTRATOR = Role("3a2c62db-5318-420d-8d74-23affee5d9d5", "Intune Administrator")

Steps = Callable[["Subject", Any], Awaitable[list[Step]]]
Calls = Callable[["Subject", Any, "Composing"], Awaitable[list[Call]]]
Answer = Callable[["Subject"], Awaitable[list[dict[str, Any]]]]


@dataclass(frozen=True)
class Composing:
    """What a composed plan is made from, besides its target."""

    policy: ActionPolicy
    reversed: Callable[[str, str], "Reversal"]
    """What takes an earlier plan on the target back: by its id, or, where that is empty, the newest one of an action. Raises Cannot
    where there is none.
    """
    warnings: list[Reason] = field(default_factory=list)
    """What to know about the plan as a whole."""


@dataclass(frozen=True)
class Reversal:
    """What takes a plan back, last first."""

    calls: list[Call]
    warnings: list[Reason]


@dataclass(frozen=True)
class Action:
    """One entry. Its name is part of stored plans and never changes. `permissions`: of each group one has to be granted, as the
    parameters want it; `undo`: what takes a confirmed item back.
    """

    name: str
    title: str
    target: TargetKind
    description: str
    risk: Risk
    permissions: Callable[[Any], tuple[Permission, ...]]
    plan: Steps | None = None
    compose: Calls | None = None
    parameters: type[Model] = NoParameters
    same_again: bool = True
    """Done twice it is as if it was done once."""
    undo: Callable[[Item], Call | list[Call]] | None = None
    reverse: str = ""
    """The action that takes it back, as the catalogue names it."""
    cloud_only: bool = True
    """Not for people whom another directory masters: the next synchronization would set it back."""
    sensitive: bool = False
    """On an administrator it needs a higher role."""
    takes_access: bool = False
    """Whoever does it to the last Global Administrator, or to themselves, locks themselves out."""
    roles: tuple[Role, ...] = ()
    """One of these the application has to have, besides the permission."""
    licence: str = ""
    deleted: bool = False
    """Its target is somebody who was deleted."""
    maybe_deleted: bool = False
    """Its target may be somebody who was deleted."""
    shown_once: bool = False
    """Its outcome is of use to whoever is shown what it made, and to nobody else."""
    note: str = ""

    def given(self, parameters: dict[str, Any]) -> Any:
        """The parameters, checked. Raises pydantic's ValidationError."""
        return self.parameters.model_validate(parameters)


@dataclass(frozen=True)
class Query:
    """Something that is asked live, and stored nowhere."""

    name: str
    title: str
    target: TargetKind
    description: str
    permission: Permission
    ask: Answer
    licence: str = ""


ACTIONS: dict[str, Action] = {}
QUERIES: dict[str, Query] = {}


def action[F: Steps](
    name: str,
    title: str,
    target: TargetKind,
    *,
    risk: Risk,
    permissions: tuple[Permission, ...] | Callable[[Any], tuple[Permission, ...]],
    **more: Any,
) -> Callable[[F], F]:
    """Puts a function into the catalogue. Its docstring is what people read."""

    def declare(plan: F) -> F:
        asked = permissions if callable(permissions) else lambda _given: permissions
        _add(ACTIONS, Action(name, title, target, (plan.__doc__ or "").strip(), risk, asked, plan, **more))
        return plan

    return declare


def composed[F: Calls](name: str, title: str, target: TargetKind, *, risk: Risk, **more: Any) -> Callable[[F], F]:
    """Puts a plan of many actions into the catalogue. Each of them needs what it needs."""

    def declare(compose: F) -> F:
        made = Action(name, title, target, (compose.__doc__ or "").strip(), risk, lambda _: (), None, compose, **more)
        _add(ACTIONS, made)
        return compose

    return declare


def query[F: Answer](
    name: str, title: str, target: TargetKind, permission: Permission, *, licence: str = ""
) -> Callable[[F], F]:
    def declare(ask: F) -> F:
        _add(QUERIES, Query(name, title, target, (ask.__doc__ or "").strip(), permission, ask, licence))
        return ask

    return declare


def _add(book: dict[str, Any], entry: Any) -> None:
    if entry.name in book:
        raise ValueError(f"two entries are named {entry.name}")
    book[entry.name] = entry


@dataclass(frozen=True)
class NotOffered:
    """What people look for and Microsoft Graph has not for an application."""

    title: str
    because: str


NOT_OFFERED = (
    NotOffered("Unlock an account", "Microsoft Graph has no such request. Smart lockout ends by itself; a new password ends it too."),
    NotOffered(
        "Reset a password with write-back to Active Directory",
        "Microsoft Graph lets a signed-in administrator do it, not an application. Reset it in Active Directory.",
    ),
    NotOffered(
        "Force a change of the password without a new password",
        "Microsoft Graph answers that it did it and often changes nothing, so it can't be proved. Reset the password instead.",
    ),
    NotOffered(
        "Give or take a directory role",
        "The permission for it lets an application make itself Global Administrator. Use Privileged Identity Management.",
    ),
    NotOffered("Convert a mailbox, or set its forwarding", "Exchange Online does that, not Microsoft Graph. A leaver's plan waits for it."),
)  # fmt: skip
