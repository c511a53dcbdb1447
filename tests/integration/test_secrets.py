"""No secret without an owner: whatever a change of a credential is cut off at, or refused with, in the end the vault holds enabled
what a credential pins, and nothing else.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from azure.keyvault.secrets import SecretClient

from local.stack import Stack
from shared.configuration.kinds import ConfigKind, config_kinds
from shared.domain.configuration import CredentialIn
from shared.errors import Conflict, Unavailable
from shared.storage import keys
from shared.wiring import App
from tests import support
from tests.rig import TESTER, Rig

CLIENT = "c11e0000-0000-4000-8000-000000000001"
SECRETS = itertools.count(1)


class Bench:
    """A rig whose vault is the simulated one, behind TLS."""

    def __init__(self, rig: Rig, stack: Stack) -> None:
        self.rig, self.stack = rig, stack
        options = {"verify_challenge_resource": False, "connection_verify": str(stack.folder / "bundle.pem")}
        self.client = SecretClient(stack.addresses["vault"], support.IdentityToken(stack), **options)

    def app(self) -> App:
        return self.rig.app()

    @property
    def kind(self) -> ConfigKind:
        return config_kinds(self.rig.registry)["credential"]

    def enabled(self) -> set[str]:
        return {str(one.name) for one in self.client.list_properties_of_secrets() if one.enabled}

    def pinned(self) -> set[str]:
        pins = (document.system.get("pin") for document in self.rig.beside().config.all("credential"))
        return {str(pin["name"]) for pin in pins if pin}

    def create(self, name: str = "Reader", **fields: Any) -> str:
        model = CredentialIn.model_validate(
            {"name": name, "clientId": CLIENT, "clientSecret": f"s3cret-{next(SECRETS)}", **fields}
        )
        return str(self.app().configuration.create(self.kind, model, TESTER).id)  # type: ignore[attr-defined]

    def patch(self, credential: str, **change: Any) -> Any:
        return self.app().configuration.patch(self.kind, credential, change, None, TESTER)

    def fault(self, kind: str, **options: Any) -> None:
        self.stack.admin("POST", "/faults", {"target": "vault", "kind": kind, "every": 1, "seconds": 0, **options})

    def well(self) -> None:
        self.rig.cut.heal()
        self.rig.faults.clear()
        self.stack.admin("DELETE", "/faults")

    def timer(self, after: timedelta = timedelta(hours=2)) -> None:
        """What the timer does some time later."""
        self.well()
        self.rig.clock.move(after.total_seconds())
        self.rig.app().tick.run()

    def right(self) -> None:
        assert self.enabled() == self.pinned()
        assert self.rig.beside().config.secrets.left() == []


@pytest.fixture
def bench(rig: Rig, signed_in_cloud: Stack) -> Iterator[Bench]:
    rig.vault = signed_in_cloud.addresses["vault"]
    made = Bench(rig, signed_in_cloud)
    for name in made.enabled():
        made.client.begin_delete_secret(name)
    yield made
    made.well()
    made.client.close()
    rig.vault = None


def test_each_value_has_a_name_of_its_own_which_goes_with_it(bench: Bench) -> None:
    credential = bench.create()
    (first,) = bench.enabled()
    assert first.startswith(f"credential-{credential}-")
    bench.patch(credential, clientSecret="another-one")
    (second,) = bench.enabled()
    assert second != first
    assert bench.client.get_deleted_secret(first).name == first  # nothing is purged
    bench.patch(credential, name="Renamed")
    assert bench.enabled() == {second}
    bench.patch(credential, type="federated")
    assert bench.enabled() == set()
    bench.patch(credential, type="client-secret", clientSecret="a-third-one")
    bench.right()
    assert bench.app().configuration.delete(bench.kind, credential, None, TESTER) == []
    assert bench.enabled() == set()
    bench.right()


def test_a_name_that_is_taken_writes_nothing_into_the_vault(bench: Bench) -> None:
    bench.create("Reader")
    for _ in range(5):
        with pytest.raises(Conflict):
            bench.create("READER")
    assert len(list(bench.client.list_properties_of_secrets())) == 1
    bench.right()


CHANGES: dict[str, Callable[[Bench, str], Any]] = {
    "create": lambda bench, _: bench.create("New"),
    "replace-secret": lambda bench, old: bench.patch(old, clientSecret=f"next-{next(SECRETS)}"),
    "drop-secret": lambda bench, old: bench.patch(old, type="federated"),
    "rename": lambda bench, old: bench.patch(old, name="Other", clientSecret=f"next-{next(SECRETS)}"),
    "delete": lambda bench, old: bench.app().configuration.delete(bench.kind, old, None, TESTER),
}
QUICK = ("create", "delete")


@pytest.mark.parametrize("applied", [False, True], ids=["not-sent", "answer-lost"])
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CHANGES]
)
def test_a_change_that_is_cut_off_at_any_step_leaves_no_secret_without_an_owner(
    bench: Bench, name: str, applied: bool
) -> None:
    """The process dies at each of its writes to storage in turn; two hours later the timer has seen to it."""
    at = 0
    while True:
        at += 1
        bench.rig.reset()
        bench.rig.vault = bench.stack.addresses["vault"]
        for secret in bench.enabled():
            bench.client.begin_delete_secret(secret)
        old = bench.create("Old")
        bench.rig.cut.arm(at, applied=applied)
        with contextlib.suppress(Unavailable, Conflict):
            CHANGES[name](bench, old)
        done = not bench.rig.cut.dead
        bench.timer()
        bench.right()
        if name == "create" and not done:  # the name is free, or belongs to what was made
            with contextlib.suppress(Conflict):
                bench.create("New")
            assert len([one for one in bench.rig.beside().config.all("credential") if one.name == "New"]) == 1
            bench.right()
        if done:
            break
    assert at >= 3


@pytest.mark.parametrize(
    "kind", ["answer-lost", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("503", "reset", "echo"))]
)
@pytest.mark.parametrize("name", CHANGES)
def test_whatever_the_vault_does_no_secret_is_left_without_an_owner(bench: Bench, name: str, kind: str) -> None:
    old = bench.create("Old")
    bench.fault(kind)
    if name in ("create", "replace-secret", "rename"):
        with pytest.raises(Unavailable) as failed:
            CHANGES[name](bench, old)
        said = f"{failed.value.detail} {failed.value.remedy}"
        assert failed.value.remedy and "s3cret" not in said and "next-" not in said
    else:
        CHANGES[name](bench, old)
    if name == "create":
        bench.well()
        bench.create("New")  # its name is free again at once
    bench.timer()
    bench.right()


def test_what_the_vault_can_not_do_now_the_answer_says_and_the_timer_does(bench: Bench) -> None:
    credential = bench.create()
    (old,) = bench.enabled()
    bench.fault("503", match="^DELETE")
    changed = bench.patch(credential, clientSecret="the-next-one")
    assert [one.code for one in changed.pending] == ["old-secret"]
    assert old in bench.enabled() and len(bench.enabled()) == 2
    (left,) = bench.app().configuration.delete(bench.kind, credential, None, TESTER)
    assert left.code == "old-secret" and len(bench.enabled()) == 2
    bench.timer(timedelta(minutes=5))
    assert bench.enabled() == set()
    bench.right()


def test_a_vault_that_stays_away_keeps_the_timer_from_nothing_else(bench: Bench) -> None:
    credential = bench.create()
    bench.fault("503", match="^DELETE")
    bench.app().configuration.delete(bench.kind, credential, None, TESTER)
    connector = bench.rig.configure("a")
    bench.rig.app().tick.run()
    assert bench.rig.app().schedules.of(connector)
    assert len(bench.enabled()) == 1
    bench.timer(timedelta(minutes=5))
    bench.right()


def test_the_name_of_a_creation_that_died_is_free_again_after_minutes(bench: Bench) -> None:
    bench.create("Another")
    bench.rig.cut.arm(2, applied=False)  # the intention is written, the credential is not
    with pytest.raises(Unavailable):
        bench.create("Reader")
    bench.well()
    with pytest.raises(Conflict):
        bench.create("Reader")
    bench.rig.clock.move(400)
    bench.create("Reader")
    bench.timer()
    bench.right()


def test_an_intention_is_kept_while_its_change_may_go_on(bench: Bench) -> None:
    bench.create("Another")
    bench.rig.cut.arm(2, applied=False)
    with pytest.raises(Unavailable):
        bench.create("Reader")
    (row,) = bench.rig.beside().config.secrets.left()
    assert row["RowKey"].startswith(keys.intention(""))
    bench.timer(timedelta(minutes=30))
    assert len(bench.enabled()) == 2
    bench.timer(timedelta(minutes=40))
    bench.right()
