"""What others' users met with people actions, told with inputs of our own. The reports are named where each is tried."""

from collections.abc import Iterator
from typing import Any

import pytest

from local.cloud.graph import licences
from shared.domain.plan import State
from tests.acting import ANN, Scene
from tests.rig import Rig

ADD_ON = licences.FLOW


@pytest.fixture
def scene() -> Iterator[Scene]:
    rig = Rig(200, 60)
    made = Scene(rig)
    made.configure()
    yield made
    rig.close()


def _holds(scene: Scene, *skus: str, through: str | None = None, plans: tuple[str, ...] = ()) -> str:
    base = {
        "disabledPlans": [],
        "error": "None",
        "state": "Active",
        "lastUpdatedDateTime": "2026-01-01T00:00:00Z",
    }
    states: list[dict[str, Any]] = [{"skuId": sku, "assignedByGroup": None, **base} for sku in skus]
    states[0]["disabledPlans"] = list(plans)
    if through:
        states.append({"skuId": skus[0], "assignedByGroup": through, **base})
    return scene.person(licenseAssignmentStates=states, assignedLicenses=licences.held(states))


def _direct(scene: Scene, person: str) -> dict[str, list[str]]:
    index = scene.rig.directory.index_of("users", person)
    assert index is not None
    states = (scene.rig.directory.get("users", index) or {})["licenseAssignmentStates"]
    return {one["skuId"]: one["disabledPlans"] for one in states if not one["assignedByGroup"]}


def test_products_that_need_each_other_go_together_and_come_back_together(scene: Scene) -> None:
    """microsoft-365-docs PR 3864: the suite can't go before its add-on. CIPP 6307: which plans were off is known afterwards."""
    scene.cloud.needs = {ADD_ON: licences.E5}
    person = _holds(scene, licences.E5, ADD_ON, plans=(licences.OFFICE,))
    plan, token = scene.plan("leaver", person, steps=[{"step": "disable-sign-in"}, {"step": "remove-licences"}])
    plan = scene.work(plan.id)
    scene.submitted(token)
    assert scene.work(plan.id).state is State.CONFIRMED
    assert _direct(scene, person) == {}
    back, token = scene.actions.undo(plan.id, ANN)
    back = scene.work(back.id)
    scene.submitted(token)
    assert scene.work(back.id).state is State.CONFIRMED, scene.items(back)
    assert _direct(scene, person) == {licences.E5: [licences.OFFICE], ADD_ON: []}


def test_one_of_them_alone_is_refused_in_microsofts_words(scene: Scene) -> None:
    scene.cloud.needs = {ADD_ON: licences.E5}
    plan = scene.do("remove-licences", _holds(scene, licences.E5, ADD_ON), skuIds=[licences.E5])
    (step,) = scene.items(plan)[0].steps
    assert plan.state is State.REFUSED and step.reason and "depends on the service plan" in step.reason.message


def test_a_plan_of_another_product_is_refused_in_the_plan(scene: Scene) -> None:
    """azure-docs 81269: plans that the page lists and the product has not."""
    wanted = [{"skuId": licences.E5, "disabledPlans": ["e7c91390-7625-45be-94e0-e16907e03118"]}]
    plan, _ = scene.plan("assign-licences", _holds(scene, licences.FLOW), licences=wanted)
    assert (plan.state, scene.reason(plan)) == (State.REFUSED, "plan-unknown")


def test_direct_and_through_a_group_the_direct_one_goes(scene: Scene) -> None:
    """azure-docs 30812, msgraph-sdk-powershell 3361: both lists are sent, and one product is a list of one."""
    person = _holds(scene, licences.E3, through=scene.id_of("group", 2))
    plan = scene.do("remove-licences", person, skuIds=[licences.E3])
    (step,) = scene.items(plan)[0].steps
    assert step.request.body == {"addLicenses": [], "removeLicenses": [licences.E3]}
    assert plan.state is State.CONFIRMED
    again, _ = scene.plan("remove-licences", person, skuIds=[licences.E3])
    assert scene.reason(again) == "licence-inherited"
    assert "the group" in scene.items(again)[0].reasons[0].message


@pytest.mark.parametrize("default", ["phone", "microsoftAuthenticator"])
def test_the_default_method_goes_last(scene: Scene, default: str) -> None:
    """microsoft-graph-docs 14470, 18091, 20895: the default can't go before the others, and it is not always the same kind."""
    person = scene.person()
    scene.cloud.default_method[person] = default
    plan = scene.do("require-mfa-registration", person)
    steps = scene.items(plan)[0].steps
    assert plan.state is State.CONFIRMED
    assert f"/{default}Methods/" in steps[-1].request.path


def test_without_the_report_the_likeliest_default_goes_last_and_each_method_says_what_became_of_it(
    scene: Scene,
) -> None:
    scene.permissions = [one for one in scene.permissions if one != "AuditLog.Read.All"]
    scene.sign_in()
    person = scene.person()
    scene.cloud.default_method[person] = "phone"
    plan = scene.do("require-mfa-registration", person)
    assert plan.state is State.REFUSED
    assert [step.state for step in scene.items(plan)[0].steps] == [State.REFUSED, State.CONFIRMED]
    assert scene.do("require-mfa-registration", person).state is State.CONFIRMED  # planned anew, the rest goes


def test_a_pass_outside_of_the_tenants_policy_says_the_range(scene: Scene) -> None:
    """microsoft-graph-docs PR 12187: the page allows 10 minutes, the tenant 60."""
    scene.cloud.pass_minutes = (60, 480)
    plan = scene.do("temporary-access-pass", scene.person(), lifetimeInMinutes=30)
    (step,) = scene.items(plan)[0].steps
    assert plan.state is State.REFUSED and step.reason and "between 60 and 480" in step.reason.message


def test_intune_that_answers_with_all_devices_gets_none_of_them_done(scene: Scene) -> None:
    """graph-explorer 3125, microsoft-graph-docs 19890 and 20196: a filter that is ignored brings every device. memdocs 3019: an id of
    zeros is nobody's.
    """
    scene.cloud.ignores_filters = True
    device = scene.device(isManaged=True)
    plan = scene.do("sync-device", device)
    index = scene.rig.directory.index_of("devices", device)
    assert index is not None
    wanted = scene.rig.directory.maker.object_id("managed", index)
    assert plan.state is State.CONFIRMED
    assert scene.cloud.asked == [f"POST /deviceManagement/managedDevices/{wanted}/syncDevice"]
    other, _ = scene.plan("sync-device", scene.device(isManaged=False))
    assert scene.reason(other) == "not-managed"
    zero, _ = scene.plan("retire-device", scene.device(isManaged=True, deviceId="00000000-0000-0000-0000-000000000000"))
    assert scene.reason(zero) == "not-managed"


def test_leaving_a_group_deletes_nobody(scene: Scene) -> None:
    """msgraph-sdk-dotnet 1106, msgraph-sdk-powershell 452: the same address without its end deletes the person."""
    person, group = scene.person(), scene.group()
    number, index = scene.rig.directory.index_of("groups", group), scene.rig.directory.index_of("users", person)
    assert number is not None and index is not None
    scene.rig.directory.set_members(number, [index])
    assert scene.do("remove-from-group", person, groupId=group).state is State.CONFIRMED
    assert scene.cloud.asked == [f"DELETE /groups/{group}/members/{person}/$ref"]
    assert scene.rig.directory.get("users", index)


def test_a_number_that_may_not_be_changed_is_refused_and_nothing_else_is(scene: Scene) -> None:
    """microsoft-graph-docs 3216, msgraph-sdk-powershell 965, 1051: an application that may change profiles may not change numbers."""
    person = scene.person()
    scene.cloud.roles = {"62e90394-69f5-4237-9190-012177145e10": {person, scene.person()}}
    plan = scene.do("update-profile", person, businessPhones=["+31 20 555 0000"])
    assert (plan.state, scene.reason(plan)) == (State.REFUSED, "role-missing")
    assert scene.do("update-profile", person, jobTitle="Boss").state is State.CONFIRMED


def test_a_success_that_changed_nothing_is_not_believed(scene: Scene) -> None:
    """microsoft-graph-docs 4267, msgraph-beta-sdk-dotnet 957: answered with success, and nothing is different."""
    person = scene.person()
    before = scene.rig.directory.change
    scene.rig.directory.change = lambda *_given: None  # type: ignore[method-assign]
    plan = scene.do("revoke-sessions", person)
    scene.rig.directory.change = before  # type: ignore[method-assign]
    assert (plan.state, scene.reason(plan)) == (State.CONTRADICTED, "contradicted")


def test_twenty_five_are_added_each_for_itself(scene: Scene) -> None:
    """microsoft-graph-docs 10079, 11514: one who is there already, or is named twice, fails nobody else; two groups in a row."""
    people = [scene.person() for _ in range(25)]
    for _ in range(2):
        group = scene.group()
        number, third = scene.rig.directory.index_of("groups", group), scene.rig.directory.index_of("users", people[2])
        assert number is not None and third is not None
        scene.rig.directory.set_members(number, [third])
        plan, token = scene.plan("add-to-group", [*people, people[6]], groupId=group)
        plan = scene.work(plan.id)
        assert (plan.items, plan.counts) == (25, {"planned": 24, "refused": 1})
        scene.submitted(token)
        ended = scene.work(plan.id)
        assert ended.counts == {"confirmed": 24, "refused": 1}
        assert len(scene.rig.directory.direct_members(number)[0]) == 25


def test_a_name_that_somebody_took_keeps_a_person_deleted(scene: Scene) -> None:
    """entra-powershell 1484: whoever has the name is said before anything is sent, and is untouched."""
    gone, taker = scene.person(), scene.person()
    index, other = scene.rig.directory.index_of("users", gone), scene.rig.directory.index_of("users", taker)
    assert index is not None and other is not None
    name = (scene.rig.directory.get("users", index) or {})["userPrincipalName"]
    deleted = scene.do("delete-person", gone)
    scene.rig.directory.change("users", other, {"userPrincipalName": name})
    back, _ = scene.actions.undo(deleted.id, ANN)
    assert (back.state, scene.reason(back)) == (State.REFUSED, "name-taken")
    assert taker in scene.items(back)[0].reasons[0].message
    scene.rig.directory.change("users", other, {"userPrincipalName": f"x{name}"})
    back, token = scene.actions.undo(deleted.id, ANN)
    scene.submitted(token)
    assert scene.work(back.id).state is State.CONFIRMED


def test_once_synchronized_is_warned_of_and_a_refusal_is_one(scene: Scene) -> None:
    """microsoft-graph-docs 12584, 14210: mastered elsewhere although nothing says so."""
    person = scene.person(onPremisesLastSyncDateTime="2026-01-01T00:00:00Z", mastered=["jobTitle"])
    plan = scene.do("update-profile", person, jobTitle="Boss")
    assert (plan.state, scene.reason(plan)) == (State.REFUSED, "refused")
    assert [one.code for one in scene.items(plan)[0].warnings] == ["once-synced"]


def test_two_weak_passwords_in_ten_are_made_anew(scene: Scene) -> None:
    """azure-docs 40326: one digit decides; each gets one more attempt."""
    people = [scene.person() for _ in range(10)]
    scene.cloud.weak = set(people[3:5])
    plan = scene.do("reset-password", people)
    attempts = sorted(item.steps[0].attempts for item in scene.items(plan))
    assert (plan.state, sum(attempts)) == (State.CONFIRMED, 12)
