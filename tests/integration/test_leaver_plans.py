"""Somebody leaves and comes back: every kind of person, stopped and cut off anywhere, taken back as it was."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from local.cloud.graph import licences
from shared.domain.plan import Plan, State
from shared.errors import Conflict, Unavailable
from tests.acting import ANN, BEN, Scene
from tests.rig import Rig

Say = Callable[[str], None]
AUTOMATIC = ["disable-sign-in", "revoke-sessions", "reset-password", "require-mfa-registration", "remove-from-groups", "remove-licences"]  # fmt: skip
GLOBAL, USER_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10", "fe930be7-5e62-47db-91af-98c3a49a38b1"
PRIVILEGED = "7be44c8a-adaf-4e2a-84d6-ab2649e08a13"


@pytest.fixture
def scene() -> Iterator[Scene]:
    rig = Rig(300, 60)
    made = Scene(rig)
    made.configure()
    yield made
    rig.close()


def _with_everything(scene: Scene, **wanted: Any) -> str:
    """Somebody with groups of every kind, devices, a direct licence, and one through a group."""
    person = scene.person(**wanted)
    index = scene.rig.directory.index_of("users", person)
    assert index is not None
    for change in (
        {},
        {"groupTypes": ["DynamicMembership"]},
        {"onPremisesSyncEnabled": True},
        {"assignedLicenses": [{"skuId": "x"}]},
        {"isAssignableToRole": True},
        {"mailEnabled": True},
    ):
        group = scene.rig.directory.index_of("groups", scene.group())
        assert group is not None
        scene.rig.directory.change("groups", group, change)
        scene.rig.directory.set_members(group, [index])
    base = {"disabledPlans": [], "error": "None", "state": "Active", "lastUpdatedDateTime": "2026-01-01T00:00:00Z"}
    states = [
        {"skuId": licences.E5, "assignedByGroup": None, **base},
        {"skuId": licences.E3, "assignedByGroup": scene.id_of("group", 2), **base},
    ]
    scene.rig.directory.change("users", index, {"licenseAssignmentStates": states})
    return person


def _held_by(scene: Scene, person: str) -> dict[str, Any]:
    index = scene.rig.directory.index_of("users", person)
    assert index is not None
    made = scene.rig.directory.get("users", index)
    assert made
    groups = [g for g in range(scene.rig.directory.size("groups")) if index in scene.rig.directory.direct_members(g)[0]]
    direct = [one["skuId"] for one in made["licenseAssignmentStates"] if not one["assignedByGroup"]]
    return {"enabled": made["accountEnabled"], "groups": groups, "direct": direct}


def _to_its_end(scene: Scene, plan: Plan) -> Plan:
    """People say that what waits is done, and each is another process."""
    for _ in range(60):
        plan = scene.work(plan.id)
        held = [item for item in scene.items(plan) if item.state is State.HELD]
        if plan.finished_at:
            return plan
        scene.restart()
        if plan.state is State.PAUSED:
            scene.actions.resume(plan.id, ANN)
        elif held:
            scene.actions.settle(plan.id, held[0].number, "done", ANN)
    raise AssertionError([(item.title, item.state, item.reasons) for item in scene.items(plan)])


def _submitted(scene: Scene, name: str, person: str, **parameters: Any) -> Plan:
    plan, token = scene.plan(name, person, **parameters)
    plan = scene.work(plan.id)
    assert plan.state is State.PLANNED, [(item.title, item.reasons) for item in scene.items(plan)]
    scene.submitted(token)
    return plan


def _actions(scene: Scene, plan: Plan) -> list[str]:
    return [item.call.action for item in scene.items(plan)]


def test_a_leaver_loses_everything_in_order_waits_where_it_must_and_is_undone(scene: Scene) -> None:
    person = _with_everything(scene)
    before = _held_by(scene, person)
    plan = _submitted(scene, "leaver", person)
    names = _actions(scene, plan)
    assert names[:3] == ["disable-sign-in", "revoke-sessions", "reset-password"]
    assert names.count("remove-from-group") == 2
    named = " ".join(item.call.waits_for for item in scene.items(plan))
    for word in (
        "follows from a rule",
        "synchronized from Active Directory",
        "directory roles",
        "distribution list",
        "mailbox",
    ):
        assert word in named
    assert names[-1] == "remove-licences"
    ended = _to_its_end(scene, plan)
    assert ended.state is State.CONFIRMED, [(item.title, item.state, item.reasons) for item in scene.items(plan)]
    after = _held_by(scene, person)
    assert (after["enabled"], after["direct"]) == (False, [])
    assert len(after["groups"]) == len(before["groups"]) - 2
    back, token = scene.actions.undo(plan.id, ANN)
    back = scene.work(back.id)
    assert any("Reset the password" in w.message for w in back.warnings)
    scene.submitted(token)
    ended = scene.work(back.id)
    assert ended.state is State.CONFIRMED, scene.items(back)
    assert _held_by(scene, person) == before


@pytest.mark.parametrize("deleted", [False, True])
def test_a_return_gives_back_what_a_leavers_plan_took_in_the_owners_order(scene: Scene, *, deleted: bool) -> None:
    person = _with_everything(scene)
    before = _held_by(scene, person)
    steps = [{"step": one} for one in [*AUTOMATIC, *(["delete-person"] if deleted else [])]]
    assert _to_its_end(scene, _submitted(scene, "leaver", person, steps=steps)).state is State.CONFIRMED
    back, token = scene.plan("return", person)
    back = scene.work(back.id)
    order = ["restore-person"] * deleted + ["assign-licences", "add-to-group", "add-to-group", "enable-sign-in"]
    assert _actions(scene, back) == order
    assert [one.code for one in back.warnings] == ["not-reversible"]
    scene.submitted(token)
    ended = _to_its_end(scene, back)
    assert ended.state is State.CONFIRMED, [(item.title, item.state, item.reasons) for item in scene.items(back)]
    assert _held_by(scene, person) == before


def test_the_order_of_a_return_is_the_owners_and_what_it_leaves_out_stays_gone(scene: Scene) -> None:
    scene.rig.change(
        "source", "a", actionPolicy={"rules": [], "returning": ["wait: Sign the contract", "enable-sign-in"]}
    )
    scene.restart()
    person = _with_everything(scene)
    gone = _submitted(scene, "leaver", person, steps=[{"step": "disable-sign-in"}, {"step": "remove-licences"}])
    _to_its_end(scene, gone)
    back = _submitted(scene, "return", person)
    assert [item.title for item in scene.items(back)] == ["Sign the contract", "Enable sign-in"]
    assert _to_its_end(scene, back).state is State.CONFIRMED
    assert _held_by(scene, person)["direct"] == []
    again = _submitted(scene, "return", person, plan=gone.id, steps=["assign-licences"])
    assert _to_its_end(scene, again).state is State.CONFIRMED
    assert _held_by(scene, person)["direct"] == [licences.E5]


@pytest.mark.parametrize(
    ("given", "code"),
    [({}, "no-such-plan"), ({"steps": ["reset-password"]}, "step-unknown"), ({"plan": "another"}, "no-such-plan")],
)
def test_a_return_that_makes_no_sense_is_refused(scene: Scene, given: dict[str, Any], code: str) -> None:
    person, other = scene.person(), scene.person()
    for one in (person, other) if code == "step-unknown" or given else ():
        plan = _submitted(scene, "leaver", one, steps=[{"step": "disable-sign-in"}])
        _to_its_end(scene, plan)
        if "plan" in given:
            given = {"plan": plan.id}
    with pytest.raises(Conflict) as refused:
        scene.plan("return", person, **given)
    assert refused.value.code == code


def test_it_is_stopped_after_every_step_and_goes_on_in_another_process(scene: Scene) -> None:
    person = _with_everything(scene)
    plan = _submitted(scene, "leaver", person, steps=[{"step": one} for one in AUTOMATIC])
    stops = 0
    for _ in range(100):
        if scene.actions.get(plan.id).finished_at:
            break
        sent = len(scene.cloud.asked)
        _turn(scene, plan)
        if len(scene.cloud.asked) == sent:
            scene.rig.clock.move(15)
            waits = next(
                item for item in scene.items(plan) if item.state is not State.CONFIRMED and not item.acknowledged
            )
            if waits.state is State.HELD:
                scene.actions.settle(plan.id, waits.number, "done", ANN)
            continue
        stops += 1
        scene.actions.pause(plan.id, BEN)
        asked = list(scene.cloud.asked)
        scene.restart()
        for _ in range(8):
            scene.rig.clock.move(15)
            _turn(scene, plan)
        assert scene.cloud.asked == asked, "nothing is begun while it is paused"
        scene.restart()
        if not scene.actions.get(plan.id).finished_at:  # the last one may be shown to be done meanwhile
            scene.actions.resume(plan.id, ANN)
    ended = _to_its_end(scene, plan)
    items = scene.items(ended)
    assert ended.state is State.CONFIRMED
    assert stops == len([item for item in items if item.steps])
    assert len(scene.cloud.asked) == sum(len(item.steps) for item in items), "nothing was sent twice"
    after = _held_by(scene, person)
    assert (after["enabled"], after["direct"]) == (False, [])


def _turn(scene: Scene, plan: Plan) -> None:
    asyncio.run(scene.actions.worker.work(plan.id, 0.5))


def _cut_everywhere(every: int) -> str:
    """At each write, not sent or answered no more: another process finds out what is true, and sends nothing twice."""
    rig = Rig(300, 60)
    try:
        scene = Scene(rig)
        scene.configure()
        stored = rig.snapshot()
        rig.cut.arm(0, applied=False)
        _left_in_spite_of_cuts(scene)
        writes = rig.cut.writes
        cuts = [(at, applied) for at in range(1, writes + 1) for applied in (False, True)][::every]
        for at, applied in cuts:
            rig.cut.heal()
            rig.restore(stored)
            scene = Scene(rig)
            scene.cloud.asked.clear()
            rig.cut.arm(at, applied=applied)
            person = _left_in_spite_of_cuts(scene)
            where = f"cut {at} of {writes}, {'applied' if applied else 'not sent'}"
            sent = Counter(scene.cloud.asked)
            assert sent.pop(f"PATCH /users/{person}") == 2, f"{where}: disabled, and a new password"
            assert set(sent.values()) == {1}, where
            after = _held_by(scene, person)
            assert (after["enabled"], after["direct"]) == (False, []), where
        return f"leaver: {len(cuts)} cuts at {writes} writes in two forms, nothing sent twice, everybody left"
    finally:
        rig.close()


def _left_in_spite_of_cuts(scene: Scene) -> str:
    """People go on with what stopped, as they would: what was not sent is planned anew."""
    person, token = _with_everything(scene), ""
    plan: Plan | None = None
    for _ in range(100):
        try:
            if plan is None or plan.finished_at:
                steps = [{"step": one} for one in AUTOMATIC]
                plan, token = scene.plan("leaver", person, steps=steps)
            plan = scene.work(plan.id)
            if plan.state is State.PLANNED:
                scene.actions.submit(token, ANN, "left", "")
            elif plan.state is State.APPROVED:
                scene.actions.perform(plan.id, ANN)
            elif plan.state in (State.PAUSED, State.UNKNOWN):
                scene.actions.resume(plan.id, ANN)
            elif held := [item for item in scene.items(plan) if item.state is State.HELD]:
                scene.actions.settle(plan.id, held[0].number, "done", ANN)
            plan = scene.work(plan.id)
            if plan.finished_at and not _held_by(scene, person)["direct"]:
                return person
        except Unavailable:
            scene.rig.cut.heal()
            scene.restart()
            scene.rig.clock.move(30)
    raise AssertionError(plan)


@pytest.mark.quick
def test_a_leavers_plan_that_is_cut_off_at_any_write_sends_nothing_twice(say: Say) -> None:
    """A sample; all writes: `make prove`."""
    say(_cut_everywhere(61))


@pytest.mark.prove
def test_a_leavers_plan_that_is_cut_off_at_every_write_sends_nothing_twice(say: Say) -> None:
    say(_cut_everywhere(1))


# Who somebody is


def test_an_administrator_needs_consent_and_a_higher_role(scene: Scene) -> None:
    """A rule asks a second person; without the role Microsoft Graph refuses, and the plan stops there for a person."""
    scene.rig.change("source", "a", actionPolicy={"rules": [{"name": "Administrators", "flags": ["administrator"]}]})
    scene.roles = (USER_ADMINISTRATOR,)
    scene.sign_in()
    person = scene.person()
    scene.cloud.roles = {USER_ADMINISTRATOR: {person}}
    plan, token = scene.plan("leaver", person, steps=[{"step": "disable-sign-in"}, {"step": "revoke-sessions"}])
    plan = scene.work(plan.id)
    (first, _) = scene.items(plan)
    assert "administrator" in first.flags
    assert {one.code for one in first.warnings} >= {"administrator", "role-not-shown"}
    scene.actions.submit(token, ANN, "left", "")
    waiting = scene.actions.get(plan.id)
    assert waiting.state is State.WAITING
    assert [one.rule for one in waiting.approvals_needed] == ["Administrators"]
    scene.actions.approve(plan.id, BEN, plan.digest, "ok")
    scene.actions.perform(plan.id, ANN)
    stopped = scene.work(plan.id)
    assert stopped.state is State.PAUSED
    assert scene.items(stopped)[0].state is State.REFUSED
    assert scene.changes() == []
    scene.roles = (USER_ADMINISTRATOR, PRIVILEGED)
    scene.sign_in()
    again, token = scene.plan("leaver", scene.person(), steps=[{"step": "disable-sign-in"}])
    assert scene.work(again.id).state is State.PLANNED


def test_the_last_global_administrator_keeps_signing_in(scene: Scene) -> None:
    person = _with_everything(scene)
    scene.cloud.roles = {GLOBAL: {person}}
    plan, _ = scene.plan("leaver", person)
    plan = scene.work(plan.id)
    refused = {item.call.action: item.reasons[0].code for item in scene.items(plan) if item.state is State.REFUSED}
    assert refused["disable-sign-in"] == "last-administrator"
    assert refused["reset-password"] == "last-administrator"


def test_a_guest_leaves_without_a_password_of_this_tenant(scene: Scene) -> None:
    person = _with_everything(
        scene, userType="Guest", userPrincipalName="ann_partner.example#EXT#@fabrikam.example", externalUserState="Accepted",
        identities=[{"signInType": "federated", "issuer": "ExternalAzureAD", "issuerAssignedId": None}],
    )  # fmt: skip
    plan = _submitted(scene, "leaver", person, steps=[{"step": one} for one in AUTOMATIC])
    refused = {item.call.action: item.reasons[0].code for item in scene.items(plan) if item.state is State.REFUSED}
    assert refused == {"reset-password": "no-password-here"}
    _to_its_end(scene, plan)
    after = _held_by(scene, person)
    assert (after["enabled"], after["direct"]) == (False, [])


def test_somebody_of_active_directory_is_named_and_loses_what_the_cloud_has(scene: Scene) -> None:
    person = _with_everything(scene)
    index = scene.rig.directory.index_of("users", person)
    assert index is not None
    scene.rig.directory.change("users", index, {"onPremisesSyncEnabled": True})
    plan = _submitted(scene, "leaver", person, steps=[{"step": one} for one in AUTOMATIC])
    refused = {item.call.action: item.reasons[0].code for item in scene.items(plan) if item.state is State.REFUSED}
    assert refused == {"disable-sign-in": "on-premises", "reset-password": "on-premises"}
    _to_its_end(scene, plan)
    after = _held_by(scene, person)
    assert (after["enabled"], after["direct"]) == (True, [])


# Dates


def test_a_dated_step_waits_and_a_difference_needs_a_person(scene: Scene) -> None:
    person = scene.person(department="Sales")
    later = scene.rig.clock.now().replace(microsecond=0) + timedelta(days=2)
    steps = [{"step": "disable-sign-in"}, {"step": "revoke-sessions", "notBefore": later.isoformat()}]
    plan = _submitted(scene, "leaver", person, steps=steps)
    index = scene.rig.directory.index_of("users", person)
    assert index is not None
    scene.rig.directory.change("users", index, {"signInSessionsValidFromDateTime": "2026-11-21T00:00:00Z"})
    ended = scene.work(plan.id)
    assert len(scene.cloud.asked) == 1
    item = scene.items(ended)[1]
    assert (item.state, item.reasons[0].code) == (State.HELD, "target-changed")
    scene.actions.settle(plan.id, 2, "go-on", BEN)
    assert scene.work(plan.id).state is State.CONFIRMED
    assert len(scene.cloud.asked) == 2
