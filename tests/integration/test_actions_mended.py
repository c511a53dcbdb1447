"""What plans do where something goes wrong beside them: answers that repeat what they were sent, callers who are gone, storage that
fails for a moment, a sign-in that is refused, text that would be an address.
"""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from local.cloud.graph import licences
from shared.domain.plan import State
from shared.domain.retention import Retention
from shared.errors import Invalid, Unavailable
from shared.names import PLANS
from tests.acting import ANN, Scene
from tests.rig import Rig

_CHANGES = "^(POST|PATCH|PUT|DELETE) "


@pytest.fixture
def scene() -> Iterator[Scene]:
    rig = Rig(120, 40)
    made = Scene(rig)
    made.configure()
    yield made
    rig.close()


def _stored(scene: Scene) -> str:
    rows = {table: list(found.values()) for table, found in scene.rig.snapshot().items()}
    return json.dumps(rows, default=str, ensure_ascii=False)


@pytest.mark.parametrize("kind", ["echo", "echo-body"])
def test_a_refusal_that_repeats_the_request_leaks_neither_token_nor_password(scene: Scene, kind: str) -> None:
    given = "Given-by-the-caller-4711"
    plan, token = scene.plan("reset-password", scene.person(), given=True)
    scene.rig.faults.add({"target": "graph", "kind": kind, "every": 1, "match": _CHANGES})
    ended, shown = scene.submitted(token, password=given)
    assert (ended.state, scene.reason(plan), shown) == (State.REFUSED, "refused", {})
    assert given not in _stored(scene)
    assert scene.rig.token not in _stored(scene)
    assert given not in ended.model_dump_json() + scene.items(plan)[0].model_dump_json()


@pytest.mark.parametrize("name", ["reset-password", "temporary-access-pass"])
def test_what_is_shown_once_is_not_made_once_its_caller_is_gone(scene: Scene, name: str) -> None:
    """The target was another plan's while the caller waited; a worker later has nobody to show it to."""
    person = scene.person()
    first, one = scene.plan("disable-sign-in", person)
    scene.rig.faults.add({"target": "graph", "kind": "504-done", "every": 1, "match": "^PATCH "})
    scene.cloud.lag = 60
    scene.submitted(one)
    plan, token = scene.plan(name, person)
    ended, shown = scene.submitted(token)
    assert (ended.state, shown) == (State.SENT, {})
    scene.rig.faults.clear()
    assert scene.work(first.id).state is State.CONFIRMED
    ended = scene.work(plan.id)
    assert (ended.state, scene.reason(ended)) == (State.REFUSED, "caller-gone")
    assert scene.cloud.asked == [f"PATCH /users/{person}"]


def test_passes_are_given_one_at_a_time(scene: Scene) -> None:
    with pytest.raises(Invalid):
        scene.plan("temporary-access-pass", [scene.person(), scene.person()])


def test_many_new_passwords_are_shown_to_nobody(scene: Scene) -> None:
    ended = scene.do("reset-password", [scene.person(), scene.person()])
    assert ended.state is State.CONFIRMED
    with pytest.raises(Invalid):
        scene.plan("reset-password", [scene.person(), scene.person()], given=True)


def test_a_password_is_asked_for_before_anything_is_submitted(scene: Scene) -> None:
    plan, token = scene.plan("reset-password", scene.person(), given=True)
    with pytest.raises(Invalid):
        scene.actions.submit(token, ANN, "")
    assert scene.actions.get(plan.id).state is State.PLANNED
    other, unasked = scene.plan("reset-password", scene.person())
    with pytest.raises(Invalid):
        scene.actions.submit(unasked, ANN, "", "Unasked-for-4711")
    assert scene.actions.get(other.id).state is State.PLANNED


def test_storage_that_fails_for_a_moment_stops_no_plan(scene: Scene) -> None:
    plan, token = scene.plan("disable-sign-in", [scene.person(), scene.person()])
    scene.work(plan.id)
    scene.submitted(token)
    scene.rig.faults.add(
        {"target": "storage", "kind": "503", "every": 1, "match": "Plans|batch", "after": 3, "most": 12}
    )
    for _ in range(20):
        try:
            ended = scene.work(plan.id)
        except Unavailable:
            continue
        if ended.state is State.CONFIRMED:
            break
    assert ended.state is State.CONFIRMED
    assert len(scene.cloud.asked) == len(set(scene.cloud.asked)) == 2


def test_a_credential_that_is_gone_pauses_and_what_was_sent_is_looked_at_later(scene: Scene) -> None:
    scene.cloud.lag = 40
    plan, token = scene.plan("disable-sign-in", scene.person())
    scene.submitted(token)
    scene.rig.change("source", "a", actionCredentialId=None)
    scene.restart()
    for _ in range(3):
        scene.rig.clock.move(60)
        asyncio.run(scene.actions.worker.work(plan.id, 1.0))
    paused = scene.actions.get(plan.id)
    assert (paused.state, [one.code for one in paused.warnings]) == (State.PAUSED, ["actions-off"])
    scene.rig.change("source", "a", actionCredentialId="a")
    scene.restart()
    assert scene.actions.get(plan.id).id in scene.open_plans()
    assert scene.work(plan.id).state is State.CONFIRMED
    said = [entry.what for entry in scene.trail()]
    assert said.count("action-stopped") == 1


def test_a_sign_in_that_is_refused_before_anything_left_is_a_refusal(scene: Scene) -> None:
    plan, token = scene.plan("disable-sign-in", scene.person())
    calls = 0

    def refuse(_service: str) -> None:
        nonlocal calls
        calls += 1
        if scene.actions.get(plan.id).counts.get("sent"):
            raise ValueError("AADSTS7000222: expired")

    scene.rig.before_sign_in = refuse
    ended, _ = scene.submitted(token)
    assert calls
    assert (ended.state, scene.reason(ended)) == (State.REFUSED, "secret-expired")
    assert scene.cloud.asked == []


def test_a_leavers_plan_goes_on_by_itself_once_what_stopped_it_is_known_to_be_done(scene: Scene) -> None:
    steps = [{"step": "disable-sign-in"}, {"step": "revoke-sessions"}]
    plan, token = scene.plan("leaver", scene.person(), steps=steps)
    scene.work(plan.id)
    scene.cloud.lag = 300
    scene.submitted(token)
    for _ in range(6):
        scene.rig.clock.move(20)
        asyncio.run(scene.actions.worker.work(plan.id, 1.0))
    assert scene.actions.get(plan.id).state is State.PAUSED
    scene.cloud.lag = 0
    assert scene.work(plan.id).state is State.CONFIRMED


def _direct(scene: Scene, *plans: str) -> str:
    state = {"skuId": licences.E5, "assignedByGroup": None, "disabledPlans": list(plans), "error": "None", "state": "Active",
             "lastUpdatedDateTime": "2026-01-01T00:00:00Z"}  # fmt: skip
    return scene.person(licenseAssignmentStates=[state], assignedLicenses=licences.held([state]))


def test_other_plans_of_a_licence_are_proved_and_come_back(scene: Scene) -> None:
    """That somebody holds the product says nothing of its plans."""
    person = _direct(scene, licences.TEAMS)
    scene.cloud.lag = 100
    wanted = [{"skuId": licences.E5, "disabledPlans": [licences.EXCHANGE.upper()]}]
    plan, token = scene.plan("assign-licences", person, licences=wanted)
    scene.submitted(token)
    assert scene.actions.get(plan.id).state is State.SENT  # nothing shows it yet
    assert scene.work(plan.id).state is State.CONFIRMED
    scene.cloud.lag = 0
    back, token = scene.actions.undo(plan.id, ANN)
    scene.submitted(token)
    assert scene.work(back.id).state is State.CONFIRMED
    index = scene.rig.directory.index_of("users", person)
    assert index is not None
    (held,) = (scene.rig.directory.get("users", index) or {})["licenseAssignmentStates"]
    assert held["disabledPlans"] == [licences.TEAMS]


def test_a_name_is_a_name_and_no_address(scene: Scene) -> None:
    for name in ("a#b@contoso.example", "o'neill@contoso.example", "a^b~c@contoso.example"):
        plan, _ = scene.plan("change-sign-in-name", scene.person(), signInName=name)
        assert plan.state is State.PLANNED, scene.items(plan)
    for name in ("a?b@contoso.example", "a%2fb@contoso.example", "../groups/x@contoso.example"):
        with pytest.raises(Invalid):
            scene.plan("change-sign-in-name", scene.person(), signInName=name)
    assert scene.rig.web.undescribed == []


def test_thirty_days_go_by_the_clock_of_the_product(scene: Scene) -> None:
    person = scene.person()
    index = scene.rig.directory.index_of("users", person)
    assert index is not None
    scene.rig.directory.leave("users", [index])
    gone = scene.rig.clock.now()
    scene.rig.directory._gone["users"][index] = gone.isoformat()  # by this clock
    plan, _ = scene.plan("restore-person", person)
    assert plan.state is State.PLANNED
    scene.rig.clock.move(timedelta(days=31).total_seconds())
    plan, _ = scene.plan("restore-person", person)
    assert (plan.state, scene.reason(plan)) == (State.REFUSED, "too-late")


def test_sources_without_plans_cost_the_timer_nothing(scene: Scene) -> None:
    """However many there are: one query says which have something to look after."""
    asked: list[str] = []
    scene.rig.cut.before = lambda request: asked.append(request) if PLANS in request else None
    scene.actions.look_after()
    assert len(asked) == 1
    scene.do("disable-sign-in", scene.person())
    scene.actions.look_after()
    asked.clear()
    scene.actions.look_after()
    assert len(asked) == 1


def test_plans_are_kept_as_long_as_the_trail(scene: Scene) -> None:
    old = scene.do("disable-sign-in", scene.person())
    scene.rig.clock.move(timedelta(days=40).total_seconds())
    new = scene.do("disable-sign-in", scene.person())
    scene.rig.keep = Retention(audit_days=30)
    scene.restart()
    started = scene.rig.app().tick.run()
    scene.rig.clock.move(25 * 3600)
    purge = next(run for run in (*started, *scene.rig.app().tick.run()) if run.startswith("installation"))
    assert scene.rig.finish(purge).state == "succeeded"
    scene.restart()
    assert [one.id for one in scene.actions.newest("a", "", 10)] == [new.id]
    keys = [row["RowKey"] for row in scene.rig.entities(PLANS)]
    assert not [key for key in keys if old.id.partition("~")[2] in key]
