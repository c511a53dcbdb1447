"""How each action of the catalogue is tried: somebody whom it can be done to, and what it is given. An action that is not named
here fails the suite.
"""

from collections.abc import Callable
from typing import Any

from local.cloud.graph import licences
from tests.acting import Scene

Tried = tuple[str, dict[str, Any]]
SKU = licences.E5


def _seats(scene: Scene) -> None:
    """Enough of them."""
    scene.rig.graph.directory._counted = None


def _licensed(scene: Scene, **more: Any) -> str:
    state = {"skuId": SKU, "assignedByGroup": None, "disabledPlans": [licences.TEAMS], "error": "None", "state": "Active",
             "lastUpdatedDateTime": "2026-01-01T00:00:00Z"}  # fmt: skip
    return scene.person(licenseAssignmentStates=[{**state, **more}], assignedLicenses=licences.held([state]))


def _unlicensed(scene: Scene) -> str:
    return scene.person(licenseAssignmentStates=[], assignedLicenses=[])


def _member(scene: Scene) -> Tried:
    person = scene.person()
    group = scene.rig.directory.index_of("groups", scene.group())
    assert group is not None
    index = scene.rig.directory.index_of("users", person)
    assert index is not None
    scene.rig.directory.set_members(group, [index])
    return person, {"groupId": scene.id_of("group", group)}


def _deleted(scene: Scene) -> Tried:
    person = scene.person()
    index = scene.rig.directory.index_of("users", person)
    assert index is not None
    scene.rig.directory.leave("users", [index])
    return person, {}


def _identities(scene: Scene) -> Tried:
    kept = {"signInType": "userPrincipalName", "issuer": "contoso.example", "issuerAssignedId": "name@contoso.example"}
    added = {"signInType": "emailAddress", "issuer": "contoso.example", "issuerAssignedId": "private@home.example"}
    return scene.person(identities=[kept]), {"identities": [kept, added]}


def _risky(scene: Scene) -> Tried:
    person = scene.person()
    scene.cloud.risks[person] = "atRisk"
    return person, {}


def _no_manager(scene: Scene) -> str:
    return scene.person(_manager=None)


def _concealed(scene: Scene) -> Tried:
    scene.rig.directory.reports.conceal = True
    return "", {}


TRIED: dict[str, Callable[[Scene], Tried]] = {
    "disable-sign-in": lambda scene: (scene.person(), {}),
    "enable-sign-in": lambda scene: (scene.person(accountEnabled=False), {}),
    "revoke-sessions": lambda scene: (scene.person(), {}),
    "reset-password": lambda scene: (scene.person(), {"forceChange": False}),
    "require-mfa-registration": lambda scene: (scene.person(), {}),
    "temporary-access-pass": lambda scene: (scene.person(), {"lifetimeInMinutes": 30}),
    "add-to-group": lambda scene: (scene.person(), {"groupId": scene.group()}),
    "remove-from-group": _member,
    "assign-licences": lambda scene: (
        _unlicensed(scene),
        {"licences": [{"skuId": licences.E3, "disabledPlans": [licences.TEAMS]}]},
    ),
    "remove-licences": lambda scene: (_licensed(scene), {"skuIds": [SKU]}),
    "reprocess-licences": lambda scene: (scene.person(), {}),
    "update-profile": lambda scene: (scene.person(department="Sales"), {"jobTitle": "Boss", "department": None}),
    "change-sign-in-name": lambda scene: (person := scene.person(), {"signInName": f"n{person[:8]}@contoso.example"}),
    "change-identities": _identities,
    "set-manager": lambda scene: (_no_manager(scene), {"managerId": scene.id_of("user", 0)}),
    "remove-manager": lambda scene: (scene.person(_manager=scene.id_of("user", 0)), {}),
    "delete-person": lambda scene: (scene.person(), {}),
    "restore-person": _deleted,
    "confirm-compromised": lambda scene: (scene.person(), {}),
    "dismiss-risk": _risky,
    "invite-guest": lambda _scene: ("", {"mail": "guest@partner.example"}),
    "reveal-report-names": _concealed,
    "disable-device": lambda scene: (scene.device(accountEnabled=True), {}),
    "enable-device": lambda scene: (scene.device(accountEnabled=False), {}),
    "delete-device": lambda scene: (scene.device(accountEnabled=False), {}),
    "sync-device": lambda scene: (scene.device(isManaged=True), {}),
    "lock-device": lambda scene: (scene.device(isManaged=True), {}),
    "retire-device": lambda scene: (scene.device(isManaged=True), {}),
}
ALREADY: dict[str, Callable[[Scene], Tried]] = {
    "disable-sign-in": lambda scene: (scene.person(accountEnabled=False), {}),
    "enable-sign-in": lambda scene: (scene.person(), {}),
    "add-to-group": _member,
    "remove-from-group": lambda scene: (scene.person(), {"groupId": scene.group()}),
    "assign-licences": lambda scene: (_licensed(scene), {"licences": [{"skuId": SKU, "disabledPlans": [licences.TEAMS]}]}),
    "remove-licences": lambda scene: (_unlicensed(scene), {"skuIds": [SKU]}),
    "update-profile": lambda scene: (scene.person(jobTitle="Boss"), {"jobTitle": "Boss"}),
    "set-manager": lambda scene: (scene.person(_manager=scene.id_of("user", 0)), {"managerId": scene.id_of("user", 0)}),
    "remove-manager": lambda scene: (_no_manager(scene), {}),
    "reveal-report-names": lambda _scene: ("", {}),
    "disable-device": lambda scene: (scene.device(accountEnabled=False), {}),
    "enable-device": lambda scene: (scene.device(accountEnabled=True), {}),
}  # fmt: skip
"""What is so already. Any other action has a new effect each time."""
