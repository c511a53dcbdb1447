"""The life of a plan: approved by somebody else, sent once, read back through late replicas, cut off anywhere, taken back."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.domain.audit import check_chain
from shared.domain.plan import State
from shared.errors import Conflict, Forbidden, NotFound, RollcallError, Unavailable
from shared.names import Role
from shared.principal import Principal
from tests.acting import ANN, BEN, Scene
from tests.contract.actions import TRIED
from tests.rig import Rig

Say = Callable[[str], None]
CARL = Principal("cccccccc-0000-4000-8000-000000000003", "Carl", frozenset({Role.ACT.value, "Security.Approver"}))
SEVERAL = {"rules": [{"name": "Several", "overPerHour": 3}]}


@pytest.fixture
def scene() -> Iterator[Scene]:
    rig = Rig(300, 60)
    made = Scene(rig)
    made.configure()
    yield made
    rig.close()


def _policy(scene: Scene, **policy: Any) -> None:
    scene.rig.change("source", "a", actionPolicy=policy)
    scene.restart()


# Cut off


def _cut_everywhere(name: str, every: int) -> str:
    """At each write, not sent or answered no more: what another process makes of it is true, and nothing was sent twice."""
    rig = Rig(300, 400)  # nobody and nothing is tried twice
    try:
        scene = Scene(rig)
        scene.configure()
        target, parameters = TRIED[name](scene)
        plan, token = scene.plan(name, target, **parameters)
        rig.cut.arm(0, applied=False)
        stored = rig.snapshot()
        scene.submitted(token)
        scene.work(plan.id)
        writes = rig.cut.writes
        outcomes: dict[str, int] = {}
        cuts = [(at, applied) for at in range(1, writes + 1) for applied in (False, True)][::every]
        for at, applied in cuts:
            scene = _anew(rig, stored)
            target, parameters = TRIED[name](scene)
            plan, token = scene.plan(name, target, **parameters)
            rig.cut.arm(at, applied=applied)
            scene.cloud.asked.clear()
            ended = None
            while ended is None:
                try:
                    if scene.actions.get(plan.id).state is State.PLANNED:
                        scene.submitted(token)
                    elif scene.actions.get(plan.id).state is State.APPROVED:
                        scene.actions.perform(plan.id, ANN)
                    found = scene.work(plan.id)
                    rig.clock.move(61)  # whoever began to tell the trail is dead
                    scene.actions.look_after()
                    ended = found if found.finished_at or found.state is State.UNKNOWN else None
                except Unavailable:
                    rig.cut.heal()
                    scene.restart()
                    rig.clock.move(30)
            rig.cut.heal()
            where = f"{name}: cut {at} of {writes}, {'applied' if applied else 'not sent'}: {ended.state}"
            assert len(scene.cloud.asked) == len(set(scene.cloud.asked)), where
            item = scene.items(ended)[0]
            if len(scene.cloud.asked) == len(item.steps):
                assert ended.state in (State.CONFIRMED, State.UNKNOWN), (where, item)
            else:
                assert ended.state in (State.CONTRADICTED, State.UNKNOWN, State.REFUSED), (where, item)
            assert check_chain("a", rig.app().audit.chain("a")).broken == []
            outcomes[str(ended.state)] = outcomes.get(str(ended.state), 0) + 1
        return f"{name}: {len(cuts)} cuts at {writes} writes in two forms ended {outcomes}, nothing sent twice"
    finally:
        rig.close()


def _anew(rig: Rig, stored: dict[str, Any]) -> Scene:
    rig.cut.heal()
    rig.restore(stored)
    made = Scene(rig)
    made.restart()
    return made


@pytest.mark.quick
@pytest.mark.parametrize("name", ["disable-sign-in", "reset-password", "require-mfa-registration"])
def test_an_action_that_is_cut_off_at_any_write_is_sent_once(name: str, say: Say) -> None:
    """A sample; all writes of all actions: `make prove`."""
    say(_cut_everywhere(name, 9))


@pytest.mark.prove
@pytest.mark.parametrize("name", sorted(TRIED))
def test_an_action_that_is_cut_off_at_every_write_is_sent_once(name: str, say: Say) -> None:
    say(_cut_everywhere(name, 1))


# Late replicas


@pytest.mark.parametrize("lag", [0, 20, 200])
@pytest.mark.parametrize("name", ["disable-sign-in", "add-to-group", "assign-licences", "delete-person"])
def test_a_late_replica_contradicts_nothing(scene: Scene, name: str, lag: int) -> None:
    target, parameters = TRIED[name](scene)
    scene.cloud.lag = lag
    if name == "assign-licences":
        scene.rig.graph.directory._counted = None
    plan = scene.do(name, target, **parameters)
    assert plan.state is State.CONFIRMED, scene.items(plan)
    assert len(scene.cloud.asked) == 1


def test_a_lone_stale_read_is_no_contradiction(scene: Scene) -> None:
    scene.cloud.lag, scene.cloud.flapping = 300, True
    assert scene.do("disable-sign-in", scene.person()).state is State.CONFIRMED


def test_what_something_sets_back_is_contradicted_only_after_an_hour(scene: Scene) -> None:
    person = scene.person()
    index = scene.rig.directory.index_of("users", person)
    assert index is not None
    plan, token = scene.plan("disable-sign-in", person)
    scene.rig.web.rewrite = lambda asked, reply: _set_back(scene, index, reply) if asked.method == "PATCH" else reply
    scene.submitted(token)
    assert scene.actions.get(plan.id).state is State.SENT
    began = scene.rig.clock.now()
    ended = scene.work(plan.id)
    assert (ended.state, scene.reason(ended)) == (State.CONTRADICTED, "contradicted")
    assert (scene.rig.clock.now() - began).total_seconds() >= 3500


def _set_back(scene: Scene, index: int, reply: Any) -> Any:
    scene.rig.directory.change("users", index, {"accountEnabled": True})
    return reply


# Passwords and passes


def test_a_password_is_shown_once_and_stands_nowhere(scene: Scene) -> None:
    shown: list[str] = []
    for name in ("reset-password", "temporary-access-pass"):
        _, token = scene.plan(name, scene.person())
        plan, once = scene.submitted(token)
        assert plan.state is State.CONFIRMED
        shown += once.values()
    given = "Given-by-the-caller-4711"
    _, token = scene.plan("reset-password", scene.person(), given=True)
    _, once = scene.submitted(token, password=given)
    assert once == {}  # whoever gave it knows it
    assert len(shown) == 2
    scene.actions.flush("a")
    everything = json.dumps(
        {t: [dict(row) for row in rows.values()] for t, rows in scene.rig.snapshot().items()}, default=str
    )
    assert all(one not in everything for one in [*shown, given])
    assert "{password}" in everything


def test_a_password_that_is_found_too_weak_is_made_anew_once(scene: Scene) -> None:
    scene.cloud.refuse_passwords = 1
    _, token = scene.plan("reset-password", scene.person())
    plan, once = scene.submitted(token)
    (step,) = scene.items(plan)[0].steps
    assert (plan.state, step.attempts, len(step.request_ids)) == (State.CONFIRMED, 2, 2)
    assert len(once["password"]) == 20
    scene.cloud.refuse_passwords = 2
    _, token = scene.plan("reset-password", scene.person())
    plan, once = scene.submitted(token)
    assert (plan.state, once) == (State.REFUSED, {})


# Approval


def test_only_somebody_else_with_the_role_approves(scene: Scene) -> None:
    _policy(scene, rules=[{"name": "Both", "roles": [Role.ACT.value, "Security.Approver"]}])
    plan, token = scene.plan("disable-sign-in", scene.person())
    waiting, _ = scene.submitted(token)
    assert waiting.state is State.WAITING
    assert [one.role for one in waiting.approvals_needed] == [Role.ACT.value, "Security.Approver"]
    actions = scene.actions
    for refused, error in ((lambda: actions.approve(plan.id, ANN, plan.digest, ""), Forbidden),
                           (lambda: actions.approve(plan.id, BEN, "0" * 64, ""), Conflict),
                           (lambda: actions.perform(plan.id, ANN), Conflict)):  # fmt: skip
        with pytest.raises(error):
            refused()
    assert actions.approve(plan.id, BEN, plan.digest, "fine").state is State.WAITING
    with pytest.raises(Conflict):
        actions.approve(plan.id, BEN, plan.digest, "again")
    assert actions.approve(plan.id, CARL, plan.digest, "").state is State.APPROVED
    with pytest.raises(Forbidden):
        actions.perform(plan.id, BEN)
    assert scene.cloud.asked == []
    assert actions.perform(plan.id, ANN)[0].state is State.CONFIRMED


def test_time_never_consents(scene: Scene) -> None:
    _policy(scene, rules=[{"name": "Always"}], approvalHours=1)
    plan, token = scene.plan("disable-sign-in", scene.person())
    scene.submitted(token)
    scene.rig.clock.move(3601)
    assert scene.actions.get(plan.id).state is State.EXPIRED
    with pytest.raises(Conflict):
        scene.actions.approve(plan.id, BEN, plan.digest, "")
    late, token = scene.plan("disable-sign-in", scene.person())
    scene.submitted(token)
    scene.actions.approve(late.id, BEN, late.digest, "")
    scene.rig.clock.move(3601)
    with pytest.raises(Conflict):
        scene.actions.perform(late.id, ANN)
    said = [entry.what for entry in scene.rig.app().audit.chain("a")]
    assert said.count("action-expired") == 2
    assert scene.cloud.asked == []


def test_a_token_submits_its_plan_for_its_author_for_a_quarter_of_an_hour(scene: Scene) -> None:
    _, token = scene.plan("disable-sign-in", scene.person())
    with pytest.raises(Forbidden):
        scene.actions.submit(token, BEN, "")
    with pytest.raises(NotFound):
        scene.actions.submit(token[:-2] + "xx", ANN, "")
    scene.rig.clock.move(901)
    with pytest.raises(Conflict):
        scene.actions.submit(token, ANN, "")


def test_denied_is_over(scene: Scene) -> None:
    _policy(scene, rules=[{"name": "Always"}])
    plan, token = scene.plan("delete-person", scene.person())
    scene.submitted(token)
    assert scene.actions.deny(plan.id, BEN, "no").state is State.DENIED
    with pytest.raises(Conflict):
        scene.actions.perform(plan.id, ANN)


def test_a_target_that_changed_meanwhile_is_refused(scene: Scene) -> None:
    person = scene.person(department="Sales")
    index = scene.rig.directory.index_of("users", person)
    assert index is not None
    plan, token = scene.plan("update-profile", person, department="IT")
    scene.rig.directory.change("users", index, {"department": "Legal"})
    ended, _ = scene.submitted(token)
    assert (ended.state, scene.reason(plan)) == (State.REFUSED, "target-changed")
    assert scene.cloud.asked == []


# Many


@pytest.mark.parametrize("many", [40])
def test_many_are_planned_approved_run_paused_cancelled_and_undone(scene: Scene, many: int) -> None:
    _many(scene, many)


@pytest.mark.prove
def test_five_hundred_are_planned_approved_run_paused_cancelled_and_undone() -> None:
    rig = Rig(1500, 10)
    try:
        scene = Scene(rig)
        scene.configure()
        _many(scene, 500)
    finally:
        rig.close()


def _many(scene: Scene, many: int) -> None:
    _policy(scene, **SEVERAL)
    people = [scene.person() for _ in range(many)]
    plan, token = scene.plan("disable-sign-in", people)
    assert plan.state is State.PLANNING
    plan = scene.work(plan.id)
    assert (plan.state, plan.counts, plan.items) == (State.PLANNED, {"planned": many}, many)
    waiting, _ = scene.submitted(token)
    assert waiting.state is State.WAITING
    scene.actions.approve(plan.id, BEN, plan.digest, "")
    scene.actions.perform(plan.id, ANN)
    scene.actions.pause(plan.id, ANN)
    paused = scene.work(plan.id)
    assert (paused.state, scene.cloud.asked) == (State.PAUSED, [])
    scene.actions.resume(plan.id, ANN)
    ended = scene.work(plan.id)
    assert (ended.state, ended.counts) == (State.CONFIRMED, {"confirmed": many})
    assert len(scene.cloud.asked) == len(set(scene.cloud.asked)) == many
    reverse, token = scene.actions.undo(plan.id, ANN)
    reverse = scene.work(reverse.id)
    assert (reverse.state, reverse.undo_of) == (State.PLANNED, plan.id)
    scene.actions.submit(token, ANN, "")
    scene.actions.approve(reverse.id, BEN, reverse.digest, "")
    scene.actions.perform(reverse.id, ANN)
    scene.actions.cancel(reverse.id, ANN)
    cancelled = scene.work(reverse.id)
    assert (cancelled.state, cancelled.counts) == (State.CANCELLED, {"cancelled": many})


def test_two_plans_on_one_target_go_one_after_the_other(scene: Scene) -> None:
    """The second waits while the first is not known to be done."""
    person = scene.person()
    first, one = scene.plan("disable-sign-in", person)
    second, other = scene.plan("revoke-sessions", person)
    scene.rig.faults.add({"target": "graph", "kind": "504-done", "every": 1, "match": "^PATCH "})
    scene.cloud.lag = 60
    scene.submitted(one)
    assert scene.actions.get(first.id).state is State.SENT
    scene.submitted(other)
    assert scene.actions.get(second.id).state is State.SENT
    assert scene.cloud.asked == [f"PATCH /users/{person}"]
    assert scene.items(second)[0].reasons == []
    assert scene.work(first.id).state is State.CONFIRMED
    assert scene.work(second.id).state is State.CONFIRMED


# Unknown outcomes


def test_a_person_settles_what_nothing_can_show(scene: Scene) -> None:
    scene.rig.faults.add({"target": "graph", "kind": "504-done", "every": 1, "match": "^POST "})
    plan = scene.do("reprocess-licences", scene.person())
    assert plan.state is State.UNKNOWN
    with pytest.raises(NotFound):
        scene.actions.settle(plan.id, 7, "done", BEN)
    scene.actions.settle(plan.id, 1, "done", BEN)
    ended = scene.work(plan.id)
    (step,) = scene.items(ended)[0].steps
    assert (ended.state, step.settled_by, step.attempts) == (State.CONFIRMED, BEN.id, 1)


def test_what_is_not_known_for_hours_is_said_once(scene: Scene) -> None:
    """The trail holds one entry for it, however often it is looked at; the plan says unknown meanwhile."""
    scene.cloud.lag = 3000
    plan, token = scene.plan("disable-sign-in", scene.person())
    scene.submitted(token)
    for _ in range(12):
        scene.rig.clock.move(20)
        wait = asyncio.run(scene.actions.worker.work(plan.id, 1.0))
        assert wait is not None
    assert scene.actions.get(plan.id).state is State.UNKNOWN
    assert scene.work(plan.id).state is State.CONFIRMED
    scene.actions.look_after()
    said = [entry.what for entry in scene.rig.app().audit.chain("a")]
    assert said.count("action-unknown") == said.count("action-confirmed") == 1


def test_a_plan_goes_on_behind_what_is_not_known(scene: Scene) -> None:
    """Somebody says so: the target stays the plan's."""
    steps = [{"step": "revoke-sessions"}, {"step": "disable-sign-in"}]
    person = scene.person()
    plan, token = scene.plan("leaver", person, steps=steps)
    plan = scene.work(plan.id)
    scene.cloud.lag = 100_000
    scene.submitted(token)
    for _ in range(30):
        scene.rig.clock.move(20)
        asyncio.run(scene.actions.worker.work(plan.id, 1.0))
    assert scene.actions.get(plan.id).state is State.PAUSED
    scene.actions.resume(plan.id, ANN)
    asyncio.run(scene.actions.worker.work(plan.id, 1.0))
    assert scene.cloud.asked == [f"POST /users/{person}/revokeSignInSessions", f"PATCH /users/{person}"]


# Guards


def test_nobody_locks_themselves_or_the_last_administrator_out(scene: Scene) -> None:
    person = scene.person()
    author = Principal(person, "Self", frozenset({Role.ACT.value}))
    plan, _ = scene.plan("disable-sign-in", person, who=author)
    assert (plan.state, scene.reason(plan)) == (State.REFUSED, "self")
    last, other = scene.person(), scene.person()
    template = "62e90394-69f5-4237-9190-012177145e10"
    scene.cloud.roles = {template: {last}}
    plan, _ = scene.plan("disable-sign-in", last)
    assert (plan.state, scene.reason(plan)) == (State.REFUSED, "last-administrator")
    scene.cloud.roles = {template: {last, other}}
    plan, _ = scene.plan("disable-sign-in", last)
    assert plan.state is State.PLANNED
    assert "administrator" in scene.items(plan)[0].flags


def test_without_a_credential_nothing_can_be_planned(scene: Scene) -> None:
    scene.rig.change("source", "a", actionCredentialId=None)
    scene.restart()
    with pytest.raises(Conflict) as refused:
        scene.plan("disable-sign-in", scene.person())
    assert refused.value.code == "actions-off"
    offered = scene.rig.app().availability.of("a", "person", scene.person())
    assert all(not one.available and one.reasons[0].code == "actions-off" for one in offered.actions)


def test_group_licence_and_other_obstacles_are_named(scene: Scene) -> None:
    group = scene.group()
    number = scene.rig.directory.index_of("groups", group)
    assert number is not None
    obstacles: list[tuple[dict[str, Any], str]] = [
        ({"groupTypes": ["DynamicMembership"]}, "group-dynamic"), ({"groupTypes": [], "onPremisesSyncEnabled": True}, "group-synced"),
        ({"onPremisesSyncEnabled": None, "mailEnabled": True}, "group-mail-enabled"),
        ({"mailEnabled": False, "isAssignableToRole": True}, "group-assignable-to-role"),
    ]  # fmt: skip
    for change, code in obstacles:
        scene.rig.directory.change("groups", number, change)
        plan, _ = scene.plan("add-to-group", scene.person(), groupId=group)
        assert (plan.state, scene.reason(plan)) == (State.REFUSED, code)
    plan, _ = scene.plan(
        "assign-licences",
        scene.person(usageLocation=None),
        licences=[{"skuId": "c7df2760-2c81-4ef7-b578-5b5392b571df"}],
    )
    assert scene.reason(plan) == "usage-location-missing"


# The trail


def test_the_trail_says_who_did_what_and_with_which_requests(scene: Scene) -> None:
    _policy(scene, rules=[{"name": "Always"}])
    person = scene.person()
    plan, token = scene.plan("disable-sign-in", person)
    scene.actions.submit(token, ANN, "left the company")
    scene.actions.approve(plan.id, BEN, plan.digest, "ok")
    scene.actions.perform(plan.id, ANN)
    scene.actions.look_after()
    entries = list(scene.rig.app().audit.chain("a"))
    said = [(entry.what, entry.by_name) for entry in entries]
    assert said == [
        ("action-submitted", "Ann"), ("action-approved", "Ben"), ("action-started", "Ann"), ("action-sent", "Ann"), ("action-confirmed", "Ann"),
    ]  # fmt: skip
    assert entries[0].details["justification"] == "left the company"
    (request,) = entries[-1].details["requests"]
    assert (request["method"], request["path"], request["status"]) == ("PATCH", f"/users/{person}", 204)
    assert len(request["requestIds"]) == 1
    assert check_chain("a", scene.rig.app().audit.chain("a")).whole


def test_two_who_tell_the_trail_at_once_tell_it_once(scene: Scene) -> None:
    plan, token = scene.plan("disable-sign-in", scene.person())
    other: Any = scene.actions
    flush, other.flush = other.flush, lambda _source: None
    scene.submitted(token)
    one, other.flush = scene.rig.beside().actions, flush
    first = one._plans.untold("a")
    next(first)
    other.flush("a")
    assert list(scene.rig.app().audit.chain("a")) == []
    scene.restart()
    scene.rig.clock.move(61)  # whoever began it is dead
    scene.actions.look_after()
    assert [entry.what for entry in scene.rig.app().audit.chain("a")].count("action-confirmed") == 1
    assert plan.state is State.PLANNED


def test_queries_are_answered_live_audited_and_stored_nowhere(scene: Scene) -> None:
    from shared.actions.book import QUERIES

    targets = {"person": scene.person(), "device": scene.device(isManaged=True)}
    for query in QUERIES.values():
        rows = scene.actions.ask("a", query, targets[query.target], ANN)
        assert isinstance(rows, list)
        assert rows or query.target == "person"
    said = [entry.details["query"] for entry in scene.rig.app().audit.chain("a")]
    assert said == list(QUERIES)
    stored = json.dumps([list(rows.values()) for rows in scene.rig.snapshot().values()], default=str)
    assert "AuthenticationMethod" not in stored
    scene.permissions = []
    scene.sign_in()
    for query in QUERIES.values():
        with pytest.raises(RollcallError) as refused:
            scene.actions.ask("a", query, targets[query.target], ANN)
        assert refused.value.code == "permission-missing"


def test_only_unsubmitted_plans_are_forgotten(scene: Scene) -> None:
    kept = scene.do("disable-sign-in", scene.person())
    plan, _ = scene.plan("revoke-sessions", scene.person())
    scene.rig.clock.move(2 * 86_400)
    scene.actions.look_after()
    assert [one.id for one in scene.actions.newest("a", "", 10)] == [kept.id]
    with pytest.raises(NotFound):
        scene.actions.get(plan.id)
