"""Plans of many actions on one person: somebody leaves, and comes back, in the owner's order."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from shared.actions.catalogue import Cannot, Composing, composed
from shared.actions.groups import memberships, obstacle
from shared.actions.subject import Subject
from shared.domain.base import Model
from shared.domain.plan import Call, Risk

WAIT = "wait: "
_OWN = ("disable-sign-in", "revoke-sessions", "reset-password", "require-mfa-registration", "delete-person")
_USERS = "User.Read.All"
STEPS = (*_OWN, "disable-devices", "remove-from-groups", "remove-licences")
RETURNING = ("restore-person", "enable-device", "assign-licences", "add-to-group", "enable-sign-in")
"""What takes the steps back, by the names of the actions."""


class DatedStep(Model):
    """A step, and when."""

    step: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """One of the steps, or `wait: ` and what a person does."""
    not_before: datetime | None = None
    """Begun then, UTC. The plan for it is made again and compared; a difference needs a person."""


class LeaverGiven(Model):
    """Empty: the steps of the source's policy, at once."""

    steps: Annotated[list[DatedStep], Field(max_length=50)] = []
    """Other steps, in their order."""


@composed("leaver", "Leaver", "person", risk=Risk.SEVERE, parameters=LeaverGiven, takes_access=True, reverse="return")
async def leaver(on: Subject, given: LeaverGiven, made_from: Composing) -> list[Call]:
    """Takes everything from somebody who leaves, one step after the other: sign-in, sessions, password, devices, authentication
    methods, groups, licences. It waits where something is not Microsoft Graph's to do.
    """
    steps = given.steps or [DatedStep(step=name) for name in made_from.policy.leaver]
    calls: list[Call] = []
    for one in steps:
        calls += [call.model_copy(update={"not_before": one.not_before}) for call in await _calls(on, one.step)]
    names = [call.action for call in calls]
    if "delete-person" in names and "disable-sign-in" not in names[: names.index("delete-person")]:
        raise Cannot(
            "delete-first",
            "Deleting somebody does not replace disabling and revoking.",
            "Put disable-sign-in and revoke-sessions first.",
        )
    return calls


class ReturnGiven(Model):
    """Empty: everything that the newest leaver's plan of the person took, as far as the source's policy gives it back."""

    plan: Annotated[str, StringConstraints(max_length=200)] = ""
    """The leaver's plan that is taken back, by its id."""
    steps: Annotated[list[Annotated[str, StringConstraints(min_length=1, max_length=200)]], Field(max_length=50)] = []
    """Other steps than the policy's, in their order."""


@composed(
    "return", "Return", "person", risk=Risk.DISRUPTIVE, parameters=ReturnGiven, maybe_deleted=True, reverse="leaver"
)
async def come_back(on: Subject, given: ReturnGiven, made_from: Composing) -> list[Call]:
    """Gives somebody who comes back what a leaver's plan took: the account, devices, licences with their plans, groups and sign-in. A
    new password, or a pass to register with, is an action of its own, since it is shown once.
    """
    taken = made_from.reversed(given.plan, "leaver")
    made_from.warnings.extend(taken.warnings)
    calls: list[Call] = []
    for name in given.steps or made_from.policy.returning:
        if name.startswith(WAIT):
            calls.append(Call(action="wait", target=on.id, waits_for=name.removeprefix(WAIT).strip()))
        elif name in RETURNING:
            calls += [one for one in taken.calls if one.action == name]
        else:
            raise _step_unknown(name, RETURNING)
    return calls


async def _calls(on: Subject, name: str) -> list[Call]:
    if name.startswith(WAIT):
        return [Call(action="wait", target=on.id, waits_for=name.removeprefix(WAIT).strip())]
    if name in _OWN:
        return [Call(action=name, target=on.id)]
    if name == "disable-devices":
        found = await on.look.all(f"/users/{on.id}/ownedDevices", _USERS)
        return [_device(on, one) for one in found if one.get("@odata.type") in _DEVICES]
    if name == "remove-licences":
        states = on.peek("licenseAssignmentStates") or []
        held = list(dict.fromkeys(str(one["skuId"]).lower() for one in states if not one.get("assignedByGroup")))
        return [Call(action="remove-licences", target=on.id, parameters={"skuIds": held})] if held else []
    if name == "remove-from-groups":
        return [_group(on, one) for one in sorted(await memberships(on), key=lambda one: str(one.get("displayName")))]
    raise _step_unknown(name, STEPS)


def _step_unknown(name: str, steps: tuple[str, ...]) -> Cannot:
    return Cannot(
        "step-unknown", f"There is no step {name}.", f"There are {', '.join(steps)}, and `wait: ` with a text."
    )


_DEVICES = (None, "#microsoft.graph.device")


def _device(on: Subject, device: dict[str, Any]) -> Call:
    """What Active Directory masters is disabled there."""
    if device.get("onPremisesSyncEnabled"):
        return Call(
            action="wait",
            target=on.id,
            waits_for=f"Disable the device {device.get('displayName')} in Active Directory.",
        )
    return Call(action="disable-device", target=str(device["id"]))


def _group(on: Subject, group: dict[str, Any]) -> Call:
    """A membership that Microsoft Graph can't take away is named, as something that a person does."""
    stands = obstacle(group)
    if stands:
        return Call(action="wait", target=on.id, waits_for=f"{stands.reason.message} {stands.reason.remedy}")
    return Call(action="remove-from-group", target=on.id, parameters={"groupId": str(group["id"])})
