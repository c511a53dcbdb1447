"""Every action of the catalogue, through the real builders of msgraph-sdk, against the simulated cloud: what it sends is what
Microsoft describes, it is proved, and every way in which it fails ends as what it is. Nothing is sent twice.
"""

import json
import os
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from local.cloud.graph.facts import facts
from shared.actions.book import ACTIONS
from shared.domain.plan import Item, Plan, State
from tests.acting import PERMISSIONS, Scene
from tests.contract.actions import ALREADY, TRIED
from tests.rig import Rig

SINGLE = sorted(name for name, action in ACTIONS.items() if action.plan)
CLOUD_ONLY = sorted(name for name in SINGLE if ACTIONS[name].cloud_only and ACTIONS[name].target != "source")
SENSITIVE = sorted(name for name in SINGLE if ACTIONS[name].sensitive)
ROLED = sorted(name for name in SINGLE if ACTIONS[name].roles)
UNDONE = sorted(name for name in SINGLE if ACTIONS[name].undo)
PROVABLE = sorted(set(SINGLE) - {"reprocess-licences"})
_SEEN: dict[str, Any] = {}


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    made = Rig(1500, 300)
    yield made
    made.close()


@pytest.fixture
def scene(rig: Rig) -> Scene:
    if "Config" not in rig.snapshot():
        Scene(rig).configure()
    rig.faults.clear()
    rig.directory.premium = True
    made = Scene(rig)
    made.cloud.lag, made.cloud.refuse_passwords, made.cloud.flapping = 0.0, 0, False
    rig.directory.reports.conceal = False
    made.cloud.asked.clear()
    made.cloud.made.clear()
    return made


def _tried(scene: Scene, name: str, book: Any = TRIED) -> Plan:
    target, parameters = book[name](scene)
    return scene.do(name, target, **parameters)


def _only(scene: Scene, plan: Plan) -> Item:
    (item,) = scene.items(plan)
    return item


def _once(scene: Scene) -> None:
    """No change was asked for twice."""
    assert len(scene.cloud.asked) == len(set(scene.cloud.asked))


def test_every_action_is_tried() -> None:
    assert sorted(TRIED) == SINGLE


@pytest.mark.parametrize("name", SINGLE)
def test_it_is_done_and_proved(scene: Scene, name: str) -> None:
    plan = _tried(scene, name)
    item = _only(scene, plan)
    assert (plan.state, item.state) == (State.CONFIRMED, State.CONFIRMED), item
    assert len(scene.changes()) == len(item.steps) > 0
    assert all(step.request_ids and step.sent_at and step.settled_at for step in item.steps)
    assert all(step.looks >= 3 for step in item.steps if step.proof.path)
    _once(scene)


@pytest.mark.parametrize("name", SINGLE)
def test_what_it_sends_is_what_microsoft_describes(scene: Scene, name: str) -> None:
    """By the project's own facts; by the whole description, bodies too, where that is at hand."""
    target, parameters = TRIED[name](scene)
    plan, _ = scene.plan(name, target, **parameters)
    reference = os.environ.get("ROLLCALL_GRAPH_REFERENCE")
    for step in _only(scene, plan).steps:
        asked = step.request
        url = f"/v1.0{asked.path}"
        content = b"" if asked.body is None else json.dumps(asked.body).encode()
        assert facts().problems_with(asked.method, url, {}, content) == []
        assert facts().application_permissions(asked.method, asked.path)
        if reference:
            body = json.loads(json.dumps(asked.body).replace(scene.rig.graph_url, "https://graph.microsoft.com"))
            assert _described(Path(reference), asked.method, url, body) == []


def _described(folder: Path, method: str, url: str, body: Any) -> list[str]:
    import importlib.util

    spec = importlib.util.spec_from_file_location("check_request", folder / "check_request.py")
    assert spec and spec.loader
    if "spec" not in _SEEN:
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.open = _opened  # it leaves its file open
        _SEEN["spec"] = module.GraphSpec(str(folder / "openapi" / "graph-v1.0.trimmed.json"))
    found: list[str] = _SEEN["spec"].problems(
        method, f"https://graph.microsoft.com{url}", {"Content-Type": "application/json"}, body
    )
    return found


def _opened(path: str) -> StringIO:
    return StringIO(Path(path).read_text())


@pytest.mark.parametrize("name", SINGLE)
def test_without_its_permission_nothing_is_sent(scene: Scene, name: str) -> None:
    """And each permission that it names is one that Microsoft names for its requests."""
    target, parameters = TRIED[name](scene)
    needed = ACTIONS[name].permissions(ACTIONS[name].given(parameters))
    for permission in needed:
        scene.permissions = [one for one in PERMISSIONS if one not in (permission.name, *permission.wider)]
        scene.sign_in()
        plan, _ = scene.plan(name, target, **parameters)
        assert (plan.state, scene.reason(plan)) == (State.REFUSED, "permission-missing")
        assert permission.name in _only(scene, plan).reasons[0].message
    assert scene.cloud.asked == []


@pytest.mark.parametrize("name", SINGLE)
def test_a_permission_that_is_taken_away_meanwhile_is_a_refusal(scene: Scene, name: str) -> None:
    """Planned with it, sent without: Graph denies it, and that is definite."""
    scene.rig.faults.add({"target": "graph", "kind": "403", "every": 1, "match": "^(POST|PATCH|PUT|DELETE) "})
    plan = _tried(scene, name)
    assert (plan.state, scene.reason(plan)) == (State.REFUSED, "role-missing")
    assert scene.changes() == []


@pytest.mark.parametrize("name", ROLED)
def test_without_its_role_it_is_warned_of_and_refused(scene: Scene, name: str) -> None:
    scene.roles = ()
    scene.sign_in()
    plan = _tried(scene, name)
    assert (plan.state, scene.reason(plan)) == (State.REFUSED, "role-missing")
    assert "role-not-shown" in [one.code for one in _only(scene, plan).warnings]
    assert scene.changes() == []


@pytest.mark.parametrize("name", CLOUD_ONLY)
def test_what_active_directory_masters_is_refused_in_the_plan(scene: Scene, name: str) -> None:
    target, parameters = TRIED[name](scene)
    kind = "devices" if ACTIONS[name].target == "device" else "users"
    index = scene.rig.directory.index_of(kind, target)
    assert index is not None
    scene.rig.directory.change(kind, index, {"onPremisesSyncEnabled": True})
    plan, _ = scene.plan(name, target, **parameters)
    assert (plan.state, scene.reason(plan)) == (State.REFUSED, "on-premises")
    assert scene.cloud.asked == []


@pytest.mark.parametrize("name", SENSITIVE)
def test_an_administrator_is_named_and_protected(scene: Scene, name: str) -> None:
    """Without the higher role Microsoft refuses, and it is said before."""
    target, parameters = TRIED[name](scene)
    if name == "update-profile":
        parameters = {"mobilePhone": "+31 6 0000 0000"}
    scene.cloud.roles = {"fe930be7-5e62-47db-91af-98c3a49a38b1": {target}}
    try:
        plan = scene.do(name, target, **parameters)
        item = _only(scene, plan)
        assert {"administrator", "role-not-shown"} <= {one.code for one in item.warnings}
        assert "administrator" in item.flags
        assert plan.state is State.REFUSED
        assert scene.changes() == []
    finally:
        scene.cloud.roles = {}


@pytest.mark.parametrize("name", sorted(ALREADY))
def test_what_is_so_already_is_not_asked_for(scene: Scene, name: str) -> None:
    target, parameters = ALREADY[name](scene)
    plan, _ = scene.plan(name, target, **parameters)
    assert (plan.state, scene.reason(plan)) == (State.REFUSED, "already-so")
    assert scene.cloud.asked == []


@pytest.mark.parametrize("kind", ["504-done", "reset-done"])
@pytest.mark.parametrize("name", PROVABLE)
def test_a_lost_answer_after_the_change_is_confirmed_by_reading_back(scene: Scene, name: str, kind: str) -> None:
    scene.rig.faults.add({"target": "graph", "kind": kind, "every": 1, "match": "^(POST|PATCH|PUT|DELETE) "})
    plan = _tried(scene, name)
    wanted = State.UNKNOWN if name == "invite-guest" else State.CONFIRMED  # nobody knows the new guest's id
    assert plan.state is wanted, _only(scene, plan)
    _once(scene)


@pytest.mark.parametrize("kind", ["504", "reset"])
@pytest.mark.parametrize("name", SINGLE)
def test_a_lost_answer_without_the_change_is_never_called_done(scene: Scene, name: str, kind: str) -> None:
    scene.rig.faults.add({"target": "graph", "kind": kind, "every": 1, "match": "^(POST|PATCH|PUT|DELETE) "})
    plan = _tried(scene, name)
    unprovable = name in ("reprocess-licences", "invite-guest")
    assert plan.state is (State.UNKNOWN if unprovable else State.CONTRADICTED), _only(scene, plan)
    assert scene.changes() == []
    sent = [step for step in _only(scene, plan).steps if step.sent_at]
    assert all(step.attempts == 1 for step in sent)


@pytest.mark.parametrize("kind", ["429", "429-bare"])
@pytest.mark.parametrize("name", SINGLE)
def test_throttled_is_refused_and_not_repeated(scene: Scene, name: str, kind: str) -> None:
    scene.rig.faults.add({"target": "graph", "kind": kind, "every": 1, "match": "^(POST|PATCH|PUT|DELETE) "})
    plan = _tried(scene, name)
    assert (plan.state, scene.reason(plan)) == (State.REFUSED, "throttled")
    assert all(step.attempts == 1 for step in _only(scene, plan).steps)
    assert scene.changes() == []


@pytest.mark.parametrize("name", UNDONE)
def test_it_is_taken_back_from_the_state_before(scene: Scene, name: str) -> None:
    target, parameters = TRIED[name](scene)
    before = _facts(scene, target)
    plan = scene.do(name, target, **parameters)
    assert plan.state is State.CONFIRMED
    reverse, token = scene.actions.undo(plan.id, scene.author)
    assert reverse.state is State.PLANNED, scene.items(reverse)
    scene.submitted(token)
    assert scene.work(reverse.id).state is State.CONFIRMED
    if name != "confirm-compromised":
        assert _facts(scene, target) == before


def _facts(scene: Scene, target: str) -> dict[str, Any]:
    """What undoing has to bring back."""
    names = "accountEnabled jobTitle department userPrincipalName identities".split()
    for kind in ("users", "devices"):
        index = scene.rig.directory.index_of(kind, target)
        if index is not None:
            made = scene.rig.directory.get(kind, index) or {}
            held = [(one["skuId"], one["disabledPlans"]) for one in made.get("licenseAssignmentStates", ())]
            groups = [
                g
                for g in range(scene.rig.directory.size("groups"))
                if kind == "users" and index in scene.rig.directory.direct_members(g)[0]
            ]
            manager = scene.rig.directory.manager_of(index) if kind == "users" else None
            return {name: made.get(name) for name in names} | {"licences": held, "groups": groups, "manager": manager}
    return {}
