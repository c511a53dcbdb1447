"""Organizations are walls, whichever object is edited and whoever else edits at the same moment."""

import contextlib
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.stack import Stack
from shared.domain.document import Document
from shared.errors import Conflict, Invalid, RollcallError
from shared.wiring import App
from tests import support
from tests.rig import TENANT as HERE
from tests.rig import TESTER, Rig

TENANT = (2, 0, 8)
"""Of the shared rig: people, devices, objects a page."""
CLIENT = "c11e0000-0000-4000-8000-00000000000{}"
ANY = {"If-Match": "*"}


class World:
    """Two organizations, A and B, each with group, credential, source and connector; a credential of nobody."""

    def __init__(self, rig: Rig) -> None:
        rig.app().gate.check()
        self.rig, self.app, self.ids = rig, rig.app(), {}
        for number, owner in enumerate("AB"):
            self.make(f"org{owner}", "organization", name=owner)
            self.make(f"group{owner}", "sourceGroup", name=f"g{owner}", organizationId=self.ids[f"org{owner}"])
            self.credential(f"reads{owner}", number, organizationId=self.ids[f"org{owner}"])
            self.credential(f"acts{owner}", number + 2, organizationId=self.ids[f"org{owner}"])
            self.make(
                f"source{owner}", "source", name="s", sourceGroupId=self.ids[f"group{owner}"], tenantId=HERE,
                credentialId=self.ids[f"reads{owner}"],
            )  # fmt: skip
            self.make(
                f"connector{owner}", "connector", name="c", sourceId=self.ids[f"source{owner}"],
                actionCredentialId=self.ids[f"acts{owner}"],
            )  # fmt: skip
        self.credential("shared", 5)
        self.credential("another", 6)

    ids: dict[str, str]

    def make(self, label: str, kind: str, **fields: Any) -> None:
        config = self.app.configuration
        model = config.kinds[kind].model.model_validate(fields)
        self.ids[label] = config.create(config.kinds[kind], model, TESTER).id  # type: ignore[attr-defined]

    def credential(self, label: str, number: int, **fields: Any) -> None:
        self.make(label, "credential", name=label, type="federated", clientId=CLIENT.format(number), **fields)

    def change(self, label: str, app: App | None = None, **fields: Any) -> None:
        """`fields`: values are labels where there is one."""
        config = (app or self.app).configuration
        change = {
            name: self.ids.get(value, value) if isinstance(value, str) else value for name, value in fields.items()
        }
        config.patch(config.kinds[_kind(label)], self.ids[label], change, None, TESTER)

    def stored(self, label: str) -> Document:
        found = self.app.config.get(_kind(label), self.ids[label])
        assert found
        return found


def _kind(label: str) -> str:
    kinds = {"org": "organization", "group": "sourceGroup", "source": "source", "connector": "connector"}
    return next((kind for start, kind in kinds.items() if label.startswith(start)), "credential")


def breaches(app: App) -> list[str]:
    """Everything that is wrong with what is stored, found without the product's own rule."""
    by = {
        kind: {d.id: d.body for d in app.config.all(kind)}
        for kind in ("sourceGroup", "credential", "source", "connector")
    }
    found = []
    for source_id, source in by["source"].items():
        home = by["sourceGroup"][source["sourceGroupId"]]["organizationId"]
        acting = [c for c in by["connector"].values() if c["sourceId"] == source_id and c["actionCredentialId"]]
        for credential in (source["credentialId"], *(c["actionCredentialId"] for c in acting)):
            if by["credential"][credential]["organizationId"] not in (None, home):
                found.append(f"{credential} serves {source_id}")
        found += [
            f"{source_id} is read and acted on with one credential"
            for c in acting
            if c["actionCredentialId"] == source["credentialId"] and not c["readingCredentialActs"]
        ]
    return found


@pytest.fixture
def world(rig: Rig) -> World:
    return World(rig)


@pytest.mark.parametrize(
    ("label", "fields", "field"),
    [
        ("sourceA", {"sourceGroupId": "groupB"}, "credentialId"),
        ("sourceA", {"credentialId": "readsB"}, "credentialId"),
        ("connectorA", {"actionCredentialId": "actsB"}, "actionCredentialId"),
        ("connectorA", {"actionCredentialId": "readsA"}, "actionCredentialId"),
    ],
)
def test_what_an_object_names_itself_is_refused_at_its_field(
    world: World, label: str, fields: dict[str, Any], field: str
) -> None:
    before = world.stored(label)
    with pytest.raises(Invalid) as refused:
        world.change(label, **fields)
    assert field in {error.field for error in refused.value.fields}
    assert world.stored(label) == before and breaches(world.app) == []


@pytest.mark.parametrize(
    ("label", "fields", "in_the_way"),
    [
        ("groupA", {"organizationId": "orgB"}, ["sourceA", "connectorA"]),
        ("readsA", {"organizationId": "orgB"}, ["sourceA"]),
        ("actsA", {"organizationId": "orgB"}, ["connectorA"]),
        ("sourceA", {"credentialId": "actsA"}, ["connectorA"]),
    ],
)
def test_what_would_break_others_is_refused_and_they_are_named(
    world: World, label: str, fields: dict[str, Any], in_the_way: list[str]
) -> None:
    before = world.stored(label)
    with pytest.raises(Conflict) as refused:
        world.change(label, **fields)
    assert refused.value.code == "organization-wall" and refused.value.remedy
    assert all(world.ids[other] in refused.value.detail for other in in_the_way)
    assert world.stored(label) == before and breaches(world.app) == []


def test_a_new_object_is_held_to_the_same_rule(world: World) -> None:
    ids = world.ids
    for kind, fields in (
        ("source", {"sourceGroupId": ids["groupA"], "credentialId": ids["readsB"], "tenantId": HERE}),
        ("connector", {"sourceId": ids["sourceA"], "actionCredentialId": ids["actsB"]}),
        ("connector", {"sourceId": ids["sourceA"], "actionCredentialId": ids["readsA"]}),
    ):
        with pytest.raises(Invalid):
            world.make("x", kind, name="new", **fields)
    assert [d.name for d in world.app.config.all("source")] == ["s", "s"] and breaches(world.app) == []


def test_moving_things_over_in_a_good_order_goes_through(world: World) -> None:
    world.change("sourceA", credentialId="shared")
    world.change("connectorA", actionCredentialId=None)
    world.change("groupA", organizationId="orgB")
    world.change("sourceA", credentialId="readsB")
    world.change("connectorA", actionCredentialId="actsB")
    world.change("readsA", organizationId="orgB")
    world.change("readsB", organizationId=None)  # everybody's: that opens, and breaks nothing
    assert breaches(world.app) == []


def test_the_reading_credential_acts_where_the_owner_allows_it(world: World) -> None:
    world.change("connectorA", actionCredentialId="readsA", readingCredentialActs=True)
    with pytest.raises(Invalid):
        world.change("connectorA", readingCredentialActs=False)
    world.change("connectorA", actionCredentialId=None, readingCredentialActs=False)


def test_what_an_earlier_release_let_through_can_be_switched_off_and_mended(world: World) -> None:
    store = world.app.config
    for label, field, to in (("sourceA", "credentialId", "readsB"), ("connectorA", "actionCredentialId", "readsB")):
        before = world.stored(label)
        body = {**before.body, field: world.ids[to]}
        uses = tuple(sorted({*before.uses, f"credential.{world.ids[to]}"} - {f"credential.{before.body[field]}"}))
        store.replace(Document(before.kind, before.id, before.revision + 1, before.created_at, before.updated_at,
                               before.name, before.scope, uses, body), before)  # fmt: skip
    assert breaches(world.app)
    world.change("sourceA", crawl=False)
    world.change("connectorA", active=False)
    world.change("sourceA", name="renamed", domains=["contoso.example"])
    world.change("connectorA", actionCredentialId=None)
    world.change("sourceA", credentialId="readsA")
    assert breaches(world.app) == []


def test_however_many_are_in_the_way_each_is_looked_at(world: World) -> None:
    """The last one of more than a page of users is the only one in the way; then all of them are."""
    like, store = world.stored("sourceA"), world.app.config
    for number in range(205):
        store.create(replace(like, id=f"0{number:019}", name=f"s{number}", revision=1))
    world.change("connectorA", actionCredentialId=None)
    before = world.rig.storage_requests().total()
    with pytest.raises(Conflict) as refused:
        world.change("groupA", organizationId="orgB")
    assert "186 more" in refused.value.detail
    assert world.rig.storage_requests().total() - before < 20
    world.make("groupC", "sourceGroup", name="c", organizationId=world.ids["orgA"])
    world.change("sourceA", sourceGroupId="groupC")
    world.change("readsA", organizationId=None)
    world.change("groupA", organizationId="orgB")  # nobody's credential serves them all
    with pytest.raises(Conflict) as refused:
        world.change("readsA", organizationId="orgB")
    assert refused.value.detail.count("source '") == 1 and world.ids["sourceA"] in refused.value.detail
    assert breaches(world.app) == []


def _meanwhile(rig: Rig, change: Callable[[], None]) -> list[str]:
    """Once, just before the next transaction reaches storage, somebody else changes something."""
    told: list[str] = []

    def before(request: str) -> None:
        if request.startswith("POST") and "$batch" in request and not told:
            told.append("changed")
            try:
                change()
            except RollcallError as error:
                told.append(error.code)

    rig.cut.before = before
    return told


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("sourceA", {"credentialId": "shared"}), ("shared", {"organizationId": "orgB"})),
        (("shared", {"organizationId": "orgB"}), ("sourceA", {"credentialId": "shared"})),
        (("connectorA", {"actionCredentialId": "shared"}), ("shared", {"organizationId": "orgB"})),
        (("connectorA", {"actionCredentialId": "shared"}), ("sourceA", {"credentialId": "shared"})),
        (("sourceB", {"credentialId": "shared"}), ("groupB", {"organizationId": "orgA"})),
    ],
)
def test_two_changes_that_are_right_alone_never_pass_each_other(
    rig: Rig, world: World, first: Any, second: Any
) -> None:
    if first[0] == "sourceB":
        world.change("connectorB", actionCredentialId=None)
        world.change("sourceB", credentialId="another")
        world.change("shared", organizationId="orgB")
    beside = rig.beside()
    beside.gate.check()
    told = _meanwhile(rig, lambda: world.change(second[0], beside, **second[1]))
    with pytest.raises((Conflict, Invalid)):
        world.change(first[0], **first[1])
    assert told == ["changed"]
    assert breaches(world.app) == []


LABELS = (
    "groupA",
    "groupB",
    "readsA",
    "readsB",
    "actsA",
    "actsB",
    "shared",
    "sourceA",
    "sourceB",
    "connectorA",
    "connectorB",
)


def _random_change(rnd: random.Random) -> tuple[str, dict[str, Any]]:
    label = rnd.choice(LABELS)
    credentials = ("readsA", "readsB", "actsA", "actsB", "shared", "another")
    match _kind(label):
        case "sourceGroup":
            return label, {"organizationId": rnd.choice(("orgA", "orgB"))}
        case "credential":
            return label, {"organizationId": rnd.choice(("orgA", "orgB", None))}
        case "source":
            fields = {"sourceGroupId": rnd.choice(("groupA", "groupB")), "credentialId": rnd.choice(credentials)}
            return label, {"name": f"s{rnd.random()}", **dict(rnd.sample(sorted(fields.items()), rnd.randint(1, 2)))}
        case _:
            acting: dict[str, Any] = {
                "actionCredentialId": rnd.choice((*credentials, None)), "readingCredentialActs": rnd.random() < 0.3,
            }  # fmt: skip
            return label, dict(rnd.sample(sorted(acting.items()), rnd.randint(1, 2)))


def _two_administrators(rig: Rig, seed: int, edits: int) -> int:
    """Random edits, half of which find that somebody else was faster; gives how many were saved."""
    rig.reset()
    world, rnd, done = World(rig), random.Random(seed), 0
    beside = rig.beside()
    beside.gate.check()
    for _ in range(edits):
        other = _random_change(rnd)
        if rnd.random() < 0.5:
            _meanwhile(rig, lambda other=other: world.change(other[0], beside, **other[1]))  # type: ignore[misc]
        label, fields = _random_change(rnd)
        with contextlib.suppress(RollcallError):
            world.change(label, **fields)
            done += 1
        rig.cut.before = lambda _request: None
        assert breaches(world.app) == [], (seed, label, fields, other)
    return done


@settings(max_examples=3, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_random_edits_of_two_administrators_breach_nothing(shared_rig: Rig, seed: int) -> None:
    assert _two_administrators(shared_rig, seed, 12)


@pytest.mark.prove
@settings(max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_many_random_edits_of_two_administrators_breach_nothing(shared_rig: Rig, seed: int) -> None:
    assert _two_administrators(shared_rig, seed, 25)


def test_the_api_says_who_is_in_the_way(stack: Stack) -> None:
    ids = support.configure(stack)
    other = support.make(stack, "organizations", {"name": f"Other than {ids['organization']}"})["id"]
    change = {"organizationId": ids["organization"]}
    assert stack.api("PATCH", f"credentials/{ids['credential']}", change, ANY)[0] == 200
    status, problem = stack.api("PATCH", f"source-groups/{ids['sourceGroup']}", {"organizationId": other}, ANY)
    assert (status, problem["code"]) == (409, "organization-wall") and ids["source"] in problem["detail"]
    assert stack.api("PATCH", f"sources/{ids['source']}", {"crawl": False}, ANY)[0] == 200
