"""People actions in the rig: whoever plans, approves and looks, and the workers between them."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

from local.cloud import tokens
from local.cloud.graph.acting import CLOUD_DEVICES, USERS, Acting
from shared.actions.book import action_named
from shared.actions.service import Actions
from shared.domain.audit import AuditEntry
from shared.domain.plan import Item, Plan, State
from shared.names import PLANS, Role
from shared.principal import Principal
from tests.rig import AUDIENCE, TENANT, Rig

ANN = Principal("aaaaaaaa-0000-4000-8000-000000000001", "Ann", frozenset({Role.ACT.value, Role.READ.value}))
BEN = Principal("bbbbbbbb-0000-4000-8000-000000000002", "Ben", frozenset({Role.ACT.value, Role.READ.value}))
PERMISSIONS = [
    "User.EnableDisableAccount.All", "User.Read.All", "User.RevokeSessions.All", "User-PasswordProfile.ReadWrite.All",
    "UserAuthMethod-TAP.ReadWrite.All", "UserAuthenticationMethod.ReadWrite.All", "GroupMember.ReadWrite.All", "GroupMember.Read.All",
    "LicenseAssignment.ReadWrite.All", "LicenseAssignment.Read.All", "User.DeleteRestore.All", "User-Phone.ReadWrite.All",
    "User-Mail.ReadWrite.All", "User.ReadWrite.All", "User.ManageIdentities.All", "User.Invite.All", "IdentityRiskyUser.ReadWrite.All",
    "Device.ReadWrite.All", "Device.Read.All", "DeviceManagementManagedDevices.PrivilegedOperations.All",
    "DeviceManagementManagedDevices.Read.All", "Directory.Read.All", "RoleManagement.Read.Directory", "ReportSettings.ReadWrite.All",
    "ReportSettings.Read.All", "AuditLog.Read.All",
]  # fmt: skip
NOBODY_ASKED: dict[str, Any] = {"rules": []}


@dataclass
class Scene:
    """A tenant with an action credential, in a rig."""

    rig: Rig
    permissions: list[str] = field(default_factory=lambda: list(PERMISSIONS))
    roles: tuple[str, ...] = (USERS, CLOUD_DEVICES)

    author: Principal = ANN
    _actions: Actions | None = None

    def __post_init__(self) -> None:
        taken = vars(self.rig).setdefault("_taken", (set(), set(), []))  # nobody is tried twice in a rig
        self._people: set[int] = taken[0]
        self._devices: set[int] = taken[1]
        self._groups: list[int] = taken[2]
        self.cloud: Acting = self.rig.graph.acting
        self.cloud.now = lambda: self.rig.clock.now().timestamp()
        self.sign_in()

    def sign_in(self) -> None:
        self.rig.token = tokens.issue(AUDIENCE, TENANT, "actor", self.permissions, wids=self.roles)
        self.restart()

    def configure(self, policy: dict[str, Any] | None = None) -> None:
        """A connector whose source names the credential that acts."""
        self.rig.configure(source={"actionCredentialId": "a", "actionPolicy": policy or NOBODY_ASKED})

    @property
    def actions(self) -> Actions:
        """Of a process that knows nothing but storage, from the first time that it is asked for."""
        if self._actions is None:
            self._actions = self.rig.app().actions
        return self._actions

    def restart(self) -> None:
        """The process is another one."""
        self._actions = None

    def id_of(self, kind: str, index: int) -> str:
        return self.rig.directory.maker.object_id(kind, index)

    def person(self, **wanted: Any) -> str:
        """Somebody mastered in the cloud, with these properties from now on."""
        for index in range(self.rig.directory.size("users")):
            made = self.rig.directory.get("users", index)
            if (
                made
                and index not in self._people
                and not made["onPremisesSyncEnabled"]
                and made["userType"] == "Member"
            ):
                self._people.add(index)
                self.rig.directory.change("users", index, {"accountEnabled": True, "usageLocation": "NL", **wanted})
                return str(made["id"])
        raise AssertionError("nobody left")

    def group(self) -> str:
        """One with nobody in it."""
        index = 4 + len(self._groups) % (self.rig.directory.size("groups") - 4)
        self._groups.append(index)
        self.rig.directory.set_members(index, [])
        return self.id_of("group", index)

    def device(self, **wanted: Any) -> str:
        """One that is mastered in the cloud, with these properties from now on."""
        for index in range(self.rig.directory.size("devices")):
            made = self.rig.directory.get("devices", index)
            if made and index not in self._devices and not made["onPremisesSyncEnabled"]:
                self._devices.add(index)
                self.rig.directory.change("devices", index, wanted)
                return str(made["id"])
        raise AssertionError("no device left")

    def plan(self, name: str, targets: str | list[str], who: Principal = ANN, **parameters: Any) -> tuple[Plan, str]:
        from shared.actions.book import ACTIONS

        many = [targets] if isinstance(targets, str) else targets
        return self.actions.plan("a", action_named(name, ACTIONS[name].target), many, parameters, who)

    def submitted(self, token: str, who: Principal = ANN, password: str = "") -> tuple[Plan, dict[str, str]]:
        """Submitted, and carried out where nobody has to agree."""
        plan = self.actions.submit(token, who, "because", password)
        if plan.state is State.APPROVED:
            return self.actions.perform(plan.id, who, password)
        return plan, {}

    def do(self, name: str, targets: str | list[str], **parameters: Any) -> Plan:
        """Planned, submitted, carried out and worked on until nothing more happens by itself."""
        plan, token = self.plan(name, targets, **parameters)
        plan = self.work(plan.id)
        if plan.state is not State.PLANNED:
            return plan
        self.submitted(token)
        return self.work(plan.id)

    def work(self, plan_id: str, rounds: int = 400) -> Plan:
        """Workers, until nobody is needed any more."""
        for _ in range(rounds):
            wait = asyncio.run(self.actions.worker.work(plan_id, 240.0))
            if wait is None:
                break
            self.rig.clock.move(wait)
        return self.actions.get(plan_id)

    def open_plans(self) -> list[str]:
        """Those that somebody has to look after."""
        keys = [row["RowKey"] for row in self.rig.entities(PLANS)]
        return [f"a~{key.split('|')[1]}" for key in keys if key.startswith("w|")]

    def trail(self) -> list[AuditEntry]:
        """The audit trail, told everything."""
        self.rig.clock.move(61)
        self.actions.look_after()
        return list(self.rig.beside().audit.chain("a"))

    def items(self, plan: Plan) -> list[Item]:
        return self.actions.items(plan.id, 0, 5000)

    def reason(self, plan: Plan) -> str:
        """The code of the first reason of the first item, or of its first request."""
        (item, *_) = self.items(plan)
        reasons = [one.code for one in item.reasons] + [step.reason.code for step in item.steps if step.reason]
        return reasons[0] if reasons else ""

    def changes(self, pattern: str = "") -> list[str]:
        """Changes that were made in the tenant."""
        return [one for one in self.cloud.made if re.search(pattern, one)]
