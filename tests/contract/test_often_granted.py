"""With exactly the permissions that guides of other products ask for: which actions and queries work, and what the others need. Each is
really done in the simulated tenant, which has Microsoft's rules, and the page of the docs says the same.
"""

from collections.abc import Iterator

import pytest

from local.docs import OFTEN_GRANTED, lacking
from shared.actions.book import ACTIONS, QUERIES, query_named
from shared.domain.plan import State
from shared.errors import RollcallError
from tests.acting import ANN, Scene
from tests.contract.actions import TRIED
from tests.rig import Rig

NEEDS = {
    "reset-password": ["User-PasswordProfile.ReadWrite.All"],
    "require-mfa-registration": ["UserAuthenticationMethod.ReadWrite.All"],
    "temporary-access-pass": ["UserAuthMethod-TAP.ReadWrite.All"],
    "confirm-compromised": ["IdentityRiskyUser.ReadWrite.All"],
    "dismiss-risk": ["IdentityRiskyUser.ReadWrite.All"],
    "reveal-report-names": ["ReportSettings.ReadWrite.All"],
    "delete-device": ["Device.ReadWrite.All"],
    "sync-device": ["DeviceManagementManagedDevices.PrivilegedOperations.All"],
    "lock-device": ["DeviceManagementManagedDevices.PrivilegedOperations.All"],
    "retire-device": ["DeviceManagementManagedDevices.PrivilegedOperations.All"],
}
"""Everything else works."""
QUERIES_NEED = {
    "authentication-methods": "UserAuthenticationMethod.Read.All", "recent-sign-ins": "AuditLog.Read.All",
    "management": "DeviceManagementManagedDevices.Read.All",
}  # fmt: skip


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    made = Rig(600, 150)
    yield made
    made.close()


@pytest.fixture
def scene(rig: Rig) -> Scene:
    if "Config" not in rig.snapshot():
        Scene(rig).configure()
    rig.directory.reports.conceal = False
    made = Scene(rig, permissions=list(OFTEN_GRANTED))
    made.cloud.asked.clear()
    return made


@pytest.mark.parametrize("name", sorted(TRIED))
def test_an_action_works_or_names_what_it_needs(scene: Scene, name: str) -> None:
    target, parameters = TRIED[name](scene)
    plan = scene.do(name, target, **parameters)
    (item,), reason = scene.items(plan), scene.reason(plan)
    offered = {one.name: one for one in scene.rig.app().availability.check("a").actions}[name]
    assert lacking(ACTIONS[name]) == NEEDS.get(name, [])
    if name in NEEDS:
        assert (plan.state, reason) == (State.REFUSED, "permission-missing")
        assert all(one in item.reasons[0].message for one in NEEDS[name])
        assert scene.cloud.asked == []
        assert offered.reasons[0].code == "permission-missing"
    else:
        assert plan.state is State.CONFIRMED, item
        assert offered.available


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_a_query_works_or_names_what_it_needs(scene: Scene, name: str) -> None:
    offered = {one.name: one for one in scene.rig.app().availability.check("a").queries}[name]
    kind = QUERIES[name].target
    target = scene.person() if kind == "person" else scene.device()
    if name in QUERIES_NEED:
        with pytest.raises(RollcallError) as refused:
            scene.actions.ask("a", query_named(name, kind), target, ANN)
        assert QUERIES_NEED[name] in refused.value.detail
        assert not offered.available
    else:
        assert isinstance(scene.actions.ask("a", query_named(name, kind), target, ANN), list)
        assert offered.available
