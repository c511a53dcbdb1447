"""Each guard refuses its failure and passes a healthy set-up. What az and the app answer was written for these tests, in the shapes that
az prints.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from infra import guards
from infra.guards import STAGES, AzFailed, Guard, Refusal, World
from tests.infra.snapshots import functions

SUBSCRIPTION, ME = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
ENV = {
    "AZURE_ENV_NAME": "test", "AZURE_LOCATION": "West Europe", "AZURE_RESOURCE_GROUP": "rg-rollcall-abcdefghijklm",
    "AZURE_FUNCTION_NAME": "func-rollcall-abcdefghijklm", "ROLLCALL_API_URL": "https://func.example/api/v1",
    "ROLLCALL_IDENTITY_PRINCIPAL_ID": "00000000-0000-0000-0000-00000000000c", "ROLLCALL_PROFILE": "standard",
}  # fmt: skip


def _roles(*ids: str) -> list[dict[str, str]]:
    return [
        {"roleDefinitionId": f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{one}"}
        for one in ids
    ]


HEALTHY: dict[str, Any] = {
    "account show": {"id": SUBSCRIPTION, "user": {"name": "ada@contoso.example", "type": "user"}},
    "ad signed-in-user show": {"id": ME},
    "provider list": [
        {"namespace": name, "registrationState": "Registered"}
        for name in (*guards.PROVIDERS, "Microsoft.Network", "microsoft.consumption")
    ],
    "functionapp list-flexconsumption-locations": [{"name": "West Europe"}, {"name": "North Europe"}],
    "functionapp list-flexconsumption-runtimes": [{"version": "3.12"}, {"version": "3.13"}],
    "role assignment list --assignee " + ME: _roles(guards.CONTRIBUTOR, guards.RBAC_ADMIN),
    "role assignment list --assignee " + ENV["ROLLCALL_IDENTITY_PRINCIPAL_ID"]: _roles(*guards.NEEDED_ROLES, *list(guards.VAULT_ROLES)[:1]),
    "authorizationPolicy": {"defaultUserRolePermissions": {"allowedToCreateApps": True}},
    "directoryRole": {"value": []}, "keyvault list-deleted": [{"name": "kv-somebodyelses"}], "deletedItems": {"value": []},
    "consumption budget list": [], "functionapp deployment source config-zip": None,
    "resource invoke-action": None,
    "functionapp function list": [{"name": f"func-rollcall/{name}"} for name in json.loads(functions())],
}  # fmt: skip


class Recorded:
    """az, as it answered. A list of answers is given one after the other."""

    def __init__(self, **changes: Any) -> None:
        self.answers = {**HEALTHY, **{name.replace("__", " "): value for name, value in changes.items()}}
        self.asked: list[str] = []

    def __call__(self, *args: str) -> Any:
        asked = " ".join(args)
        self.asked.append(asked)
        known = max((name for name in self.answers if name in asked), key=len, default="")
        assert known, f"nothing recorded for az {asked}"
        answer = self.answers[known]
        if isinstance(answer, tuple):
            answer, self.answers[known] = answer[0], answer[1:] if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def _package(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name in names or ("function_app.py", "host.json", "x/_rust.cpython-313-x86_64-linux-gnu.so"):
            made.writestr(name, "")
    return path


def _world(
    tmp_path: Path, az: Any = None, *, env: dict[str, str] | None = None, health: Any = (200, {}), **more: Any
) -> World:
    clock = {"now": 0.0}
    answers = list(health) if isinstance(health, list) else [health]

    def sleep(seconds: float) -> None:
        clock["now"] += seconds

    def ask(_url: str) -> tuple[int, Any]:
        found: tuple[int, Any] = answers.pop(0) if len(answers) > 1 else answers[0]
        return found

    package = more.pop("package", None) or _package(tmp_path / "rollcall.zip")
    return World(
        az or Recorded(),
        {**ENV, **(env or {})},
        ask,
        sleep,
        lambda: clock["now"],
        package,
        more.pop("say", lambda _text: None),
    )


GUARDS: list[Guard] = list(dict.fromkeys(guard for stage in STAGES.values() for guard in stage))


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("profile", ["small", "standard", "private"])
def test_a_healthy_set_up_passes(tmp_path: Path, guard: Guard, profile: str) -> None:
    guard(_world(tmp_path, env={"ROLLCALL_PROFILE": profile}))


def test_all_stages_pass_and_say_so(tmp_path: Path) -> None:
    for stage in STAGES.values():
        said: list[str] = []
        assert guards.run(_world(tmp_path, say=said.append), stage) == 0
        assert len(said) == len(stage) and all(line.startswith("ok ") for line in said)


GONE = [{"name": "kv-abcdefghijklm"}]
REFUSED: dict[str, tuple[Guard, dict[str, Any], dict[str, str], str]] = {
    "no az": (guards.signed_in, {"account show": AzFailed("az: command not found")}, {}, "az login"),
    "not signed in": (guards.signed_in, {"account show": AzFailed("Please run 'az login' to setup account.")}, {}, "az login"),
    "provider": (
        guards.providers_are_registered,
        {"provider list": [{"namespace": "Microsoft.App", "registrationState": "NotRegistered"}, *HEALTHY["provider list"][1:]]}, {},
        "az provider register --namespace Microsoft.App",
    ),
    "region": (guards.the_region_offers_it, {"functionapp list-flexconsumption-locations": [{"name": "East US"}]}, {}, "eastus"),
    "zones": (
        guards.the_region_offers_it, {"functionapp list-flexconsumption-locations --zone-redundant": [{"name": "East US"}]},
        {"ROLLCALL_PROFILE": "private"}, "eastus",
    ),
    "python": (guards.the_region_offers_it, {"functionapp list-flexconsumption-runtimes": [{"version": "3.12"}]}, {}, "another region"),
    "no roles to give": (
        guards.the_deployer_may_give_roles, {f"role assignment list --assignee {ME}": _roles(guards.CONTRIBUTOR)}, {},
        "Role Based Access Control Administrator",
    ),
    "no resources to make": (
        guards.the_deployer_may_give_roles, {f"role assignment list --assignee {ME}": _roles(guards.UAA)}, {}, "Contributor",
    ),
    "no registrations": (
        guards.the_deployer_may_register_the_application,
        {"authorizationPolicy": {"defaultUserRolePermissions": {"allowedToCreateApps": False}}}, {}, "ROLLCALL_AUTH_CLIENT_ID",
    ),
    "deleted vault": (guards.no_name_is_in_the_way, {"keyvault list-deleted": GONE}, {}, "az keyvault recover --name kv-abcdefghijklm"),
    "deleted registration": (guards.no_name_is_in_the_way, {"deletedItems": {"value": [{"id": "x1"}]}}, {}, "x1/restore"),
    "roles never come": (
        guards.roles_are_effective, {f"role assignment list --assignee {ENV['ROLLCALL_IDENTITY_PRINCIPAL_ID']}": _roles()}, {}, "azd provision",
    ),
    "publishing refused": (
        guards.published, {"functionapp deployment source config-zip": AzFailed("ERROR: Operation returned an invalid status 'Bad Request'")},
        {}, "docs/deploy.md",
    ),
    "triggers": (
        guards.triggers_are_known, {"resource invoke-action": AzFailed("(BadRequest) Encountered an error (ServiceUnavailable) from host")},
        {}, "infra/guards.py after",
    ),
    "0 functions": (guards.every_function_is_there, {"functionapp function list": []}, {}, "az webapp log tail"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_each_guard_refuses_its_failure_with_cause_and_remedy(tmp_path: Path, name: str) -> None:
    guard, changes, env, remedy = REFUSED[name]
    az = Recorded()
    az.answers |= changes
    with pytest.raises(Refusal) as refused:
        guard(_world(tmp_path, az, env=env))
    assert refused.value.cause and remedy in refused.value.remedy


def test_an_existing_registration_needs_no_right_to_make_one(tmp_path: Path) -> None:
    az = Recorded()
    az.answers |= {"authorizationPolicy": AzFailed("Forbidden"), "deletedItems": AzFailed("Forbidden")}
    world = _world(tmp_path, az, env={"ROLLCALL_AUTH_CLIENT_ID": "x"})
    guards.the_deployer_may_register_the_application(world)
    guards.no_name_is_in_the_way(world)


def test_a_pipeline_that_deploys_is_no_user(tmp_path: Path) -> None:
    az = Recorded()
    az.answers["account show"] = {"id": SUBSCRIPTION, "user": {"name": "app-id", "type": "servicePrincipal"}}
    az.answers["role assignment list --assignee app-id"] = _roles(guards.OWNER)
    guards.the_deployer_may_give_roles(_world(tmp_path, az))
    assert not any("signed-in-user" in asked for asked in az.asked)


@pytest.mark.parametrize(
    "names",
    [
        ("function_app.py", "host.json", "x.cpython-311-x86_64-linux-gnu.so"), ("function_app.py", "x.cpython-313-x.so"),
        ("function_app.py", "host.json"), ("function_app.py", "host.json", "x.cpython-313-darwin.so"),
        ("function_app.py", "host.json", "a.cpython-313-x.so", "b.cpython-312-x.so"),
    ],
)  # fmt: skip
def test_a_package_for_another_python_or_platform_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(Refusal):
        guards.the_package_is_for_the_python_that_runs_it(
            _world(tmp_path, package=_package(tmp_path / "bad.zip", *names))
        )
    with pytest.raises(Refusal):
        guards.the_package_is_for_the_python_that_runs_it(_world(tmp_path, package=tmp_path / "none.zip"))


def test_roles_and_publishing_are_waited_for(tmp_path: Path) -> None:
    az, key = Recorded(), f"role assignment list --assignee {ENV['ROLLCALL_IDENTITY_PRINCIPAL_ID']}"
    az.answers[key] = (_roles(), _roles(), HEALTHY[key])
    busy = AzFailed("ERROR: An error occurred during deployment. Status Code: 503, Details: Service Unavailable")
    az.answers["functionapp deployment source config-zip"] = (busy, AzFailed("Status Code: 403"), None)
    world = _world(tmp_path, az)
    guards.roles_are_effective(world)
    guards.published(world)
    assert sum("config-zip" in asked for asked in az.asked) == 3


@pytest.mark.parametrize("after", [1, 10, 80])
def test_health_is_asked_for_half_an_hour(tmp_path: Path, after: int) -> None:
    not_yet = (503, {"status": "degraded", "checks": {"vault": "vault-denied", "tables": "ok"}})
    guards.healthy(_world(tmp_path, health=[not_yet] * after + [(200, {})]))
    said: list[str] = []
    with pytest.raises(Refusal) as refused:
        guards.healthy(_world(tmp_path, health=not_yet, say=said.append))
    assert "vault vault-denied" in refused.value.cause and len(said) == 90


@pytest.mark.parametrize(
    ("budgets", "learned"),
    [
        ([], {}),
        (
            [{"name": "rollcall", "timePeriod": {"startDate": "2026-08-01T00:00:00Z"}}],
            {"ROLLCALL_BUDGET_START": "2026-08-01"},
        ),
    ],
)
def test_an_existing_budget_keeps_its_start(tmp_path: Path, budgets: Any, learned: dict[str, str]) -> None:
    az = Recorded()
    az.answers["consumption budget list"] = budgets
    world = _world(tmp_path, az)
    guards.the_budget_keeps_its_start(world)
    assert world.learned == learned
    az.answers["consumption budget list"] = AzFailed("Resource group 'x' could not be found.")
    guards.the_budget_keeps_its_start(_world(tmp_path, az))


def test_what_az_will_not_tell_stops_nothing(tmp_path: Path) -> None:
    """A right that deploying does not need may be missing: the guard says that it does not know."""
    said: list[str] = []
    az = Recorded()
    az.answers["keyvault list-deleted"] = AzFailed("AuthorizationFailed")
    assert guards.run(_world(tmp_path, az, say=said.append), STAGES["before"]) == 0
    assert any(line.startswith("UNKNOWN no name is in the way") for line in said)


def test_triggers_are_offered_again_while_the_host_starts(tmp_path: Path) -> None:
    az = Recorded()
    az.answers["resource invoke-action"] = (AzFailed("(BadRequest) Encountered an error (ServiceUnavailable)"),) * 3 + (
        None,
    )
    guards.triggers_are_known(_world(tmp_path, az))
    assert len(az.asked) == 4


def test_guards_change_nothing(tmp_path: Path) -> None:
    """Every question but publishing, with what belongs to it, only reads."""
    az = Recorded()
    for stage in STAGES.values():
        guards.run(_world(tmp_path, az), stage)
    reads = ("list", "show", "--method get", "config-zip", "syncfunctiontriggers")
    assert [asked for asked in az.asked if not any(word in asked for word in reads)] == []


def test_the_list_of_functions_is_the_codes() -> None:
    assert (Path(guards.ROOT) / "infra" / "functions.json").read_text() == functions()


@pytest.mark.parametrize("stage", STAGES)
def test_every_guard_says_which_error_it_is_for(stage: str) -> None:
    assert all(guard.__doc__ for guard in STAGES[stage])
