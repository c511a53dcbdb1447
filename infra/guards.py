"""Guards before, while and after deploying: what people's deployments fail on, looked for before it costs anything, with its
cause and its remedy. azd runs them as hooks; by hand: python3 infra/guards.py before|publish|deploy|after

They ask through `az`, with the rights of whoever deploys and no more. Plain standard library, for any python3 from 3.9 on.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROVIDERS = (
    "Microsoft.App", "Microsoft.Web", "Microsoft.Storage", "Microsoft.KeyVault", "Microsoft.Insights",
    "Microsoft.OperationalInsights", "Microsoft.ManagedIdentity",
)  # fmt: skip
OWNER, UAA = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
CONTRIBUTOR, RBAC_ADMIN = "b24988ac-6180-42a0-ab88-20f7382dd24c", "f58310d9-a9f6-439a-9e8d-f62e7b41a168"
REGISTERS = {
    "62e90394-69f5-4237-9190-012177145e10", "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3", "158c047a-c907-4556-b7ef-446551a6b5f7",
    "cf1c38e5-3621-4004-a7cb-879624dced7c",
}  # fmt: skip
"""Directory roles that may register applications: global, application, cloud application administrator, application developer."""
NEEDED_ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3", "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "3913510d-42f4-4e42-8a64-420c390055eb",
}  # fmt: skip
VAULT_ROLES = {"b86a8fe4-44ce-4948-aee5-eccb2c155cd7", "4633458b-17de-408a-b874-0445c86b69e6"}
PYTHON_TAG = re.compile(r"\.cpython-(\d+)-")


class AzFailed(Exception):
    """az said no; the text is its own."""


class Az:
    """The command-line tool, asked for JSON."""

    def __call__(self, *args: str) -> Any:
        try:
            done = subprocess.run(["az", *args, "--output", "json"], capture_output=True, text=True, check=False)  # noqa: S603, S607
        except FileNotFoundError:
            raise AzFailed("az: command not found") from None
        if done.returncode:
            raise AzFailed(done.stderr.strip() or done.stdout.strip())
        return json.loads(done.stdout) if done.stdout.strip() else None


@dataclass
class World:
    """What a guard may ask, and what it knows. `env`: what azd knows too; `ask`: status and body of an address."""

    az: Callable[..., Any]
    env: Mapping[str, str]
    ask: Callable[[str], tuple[int, Any]]
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic
    package: Path = ROOT / ".local" / "rollcall.zip"
    say: Callable[[str], None] = print
    learned: dict[str, str] = field(default_factory=dict)
    """Values for azd's environment."""

    @property
    def profile(self) -> str:
        return self.env.get("ROLLCALL_PROFILE", "small")

    @property
    def location(self) -> str:
        return self.env.get("AZURE_LOCATION", "westeurope").lower().replace(" ", "")


@dataclass(frozen=True)
class Refusal(Exception):
    """Why a deployment would fail, and what to do about it."""

    cause: str
    remedy: str


Guard = Callable[[World], None]


def signed_in(world: World) -> None:
    """az is there and knows a subscription."""
    try:
        world.az("account", "show")
    except AzFailed as failed:
        raise Refusal(
            f"az can't be used ({_short(failed)}).",
            "Install the Azure CLI, then: az login; az account set --subscription ID",
        ) from failed


def providers_are_registered(world: World) -> None:
    """MissingSubscriptionRegistration; and a subnet's delegation to Microsoft.App/environments fails without Microsoft.App."""
    wanted = [*PROVIDERS, *(["Microsoft.Network"] if world.profile == "private" else [])]
    wanted += ["Microsoft.Consumption"] if world.profile != "small" else []
    found = {one["namespace"].lower(): one["registrationState"] for one in world.az("provider", "list")}
    missing = [name for name in wanted if found.get(name.lower()) != "Registered"]
    if missing:
        commands = "; ".join(f"az provider register --namespace {name}" for name in missing)
        raise Refusal(
            f"Not registered in this subscription: {', '.join(missing)}.", f"{commands}. It takes some minutes."
        )


def the_region_offers_it(world: World) -> None:
    """Flex Consumption, Python and, where wanted, zones are not offered in every region."""
    zones = ["--zone-redundant"] if world.profile == "private" else []
    offered = {
        one["name"].lower().replace(" ", "")
        for one in world.az("functionapp", "list-flexconsumption-locations", *zones)
    }
    if world.location not in offered:
        what = "Flex Consumption over availability zones" if zones else "Flex Consumption"
        raise Refusal(
            f"{world.location} does not offer {what}.",
            f"azd env set AZURE_LOCATION one of: {', '.join(sorted(offered)[:20])}",
        )
    runtimes = world.az(
        "functionapp", "list-flexconsumption-runtimes", "--location", world.location, "--runtime", "python"
    )
    if "3.13" not in {one["version"] for one in runtimes}:
        raise Refusal(f"{world.location} does not offer Python 3.13.", "Choose another region.")


def the_deployer_may_give_roles(world: World) -> None:
    """AuthorizationFailed on Microsoft.Authorization/roleAssignments/write, after everything else was made."""
    me = world.az("account", "show")
    who = world.az("ad", "signed-in-user", "show")["id"] if me["user"]["type"] == "user" else me["user"]["name"]
    scope = f"/subscriptions/{me['id']}"
    given = world.az(
        "role", "assignment", "list", "--assignee", who, "--scope", scope, "--include-groups", "--include-inherited"
    )
    roles = {one["roleDefinitionId"].rpartition("/")[2] for one in given}
    if OWNER not in roles and not (CONTRIBUTOR in roles and roles & {UAA, RBAC_ADMIN}):
        raise Refusal(
            "You may make resources or give roles on the subscription, but not both.",
            f"Ask its owner: az role assignment create --assignee {who} --role Contributor --scope {scope}; the same with "
            "--role 'Role Based Access Control Administrator'. Or deploy infra/modules/rollcall.bicep into a group that you own.",
        )


def the_deployer_may_register_the_application(world: World) -> None:
    """Authorization_RequestDenied of Microsoft Graph, unless the registration is there already."""
    if world.env.get("ROLLCALL_AUTH_CLIENT_ID"):
        return
    graph = "https://graph.microsoft.com/v1.0"
    policy = world.az("rest", "--method", "get", "--url", f"{graph}/policies/authorizationPolicy")
    if policy.get("defaultUserRolePermissions", {}).get("allowedToCreateApps"):
        return
    mine = world.az("rest", "--method", "get", "--url", f"{graph}/me/memberOf/microsoft.graph.directoryRole")
    if not {one.get("roleTemplateId") for one in mine["value"]} & REGISTERS:
        raise Refusal(
            "You may not register applications in this tenant.",
            "Ask for the role Application Developer, or have an administrator make the registration (docs/deploy.md) and "
            "azd env set ROLLCALL_AUTH_CLIENT_ID its client id",
        )


def no_name_is_in_the_way(world: World) -> None:
    """VaultAlreadyExists, or a conflict with a deleted vault: purge protection keeps its name for 90 days. And the unique name of a
    deleted app registration stays taken for 30.
    """
    token = world.env.get("ROLLCALL_TOKEN") or _token(world)
    if not token:
        return
    deleted = world.az("keyvault", "list-deleted", "--resource-type", "vault")
    if any(one["name"] == f"kv-{token}" for one in deleted):
        raise Refusal(
            f"A deleted vault still has the name kv-{token}.",
            f"az keyvault recover --name kv-{token} restores it with its secrets; or choose another environment name (azd env new)",
        )
    if world.env.get("ROLLCALL_AUTH_CLIENT_ID"):
        return
    url = f"https://graph.microsoft.com/v1.0/directory/deletedItems/microsoft.graph.application?$filter=uniqueName eq 'rollcall-{token}'"
    gone = world.az("rest", "--method", "get", "--url", url)["value"]
    if gone:
        raise Refusal(
            f"A deleted app registration still has the unique name rollcall-{token}.",
            f"Restore it: az rest --method post --url https://graph.microsoft.com/v1.0/directory/deletedItems/{gone[0]['id']}/restore",
        )


def the_budget_keeps_its_start(world: World) -> None:
    """A budget's start can't be changed, and one that begins before this month is refused: an existing one keeps its own."""
    group = world.env.get("AZURE_RESOURCE_GROUP")
    if world.profile == "small" or not group or world.env.get("ROLLCALL_BUDGET_START"):
        return
    try:
        budgets = world.az("consumption", "budget", "list", "--resource-group", group)
    except AzFailed as failed:
        if "not found" in str(failed).lower() or "could not be found" in str(failed).lower():
            return
        raise
    for one in budgets:
        if one["name"] == "rollcall":
            world.learned["ROLLCALL_BUDGET_START"] = one["timePeriod"]["startDate"][:10]


def the_package_is_for_the_python_that_runs_it(world: World) -> None:
    """ModuleNotFoundError at the first start: a remote build took another Python, or wheels of another machine were packed."""
    if not world.package.exists():
        raise Refusal("There is no deployment package.", "python3 -m local package")
    with zipfile.ZipFile(world.package) as archive:
        names = archive.namelist()
    if "function_app.py" not in names or "host.json" not in names:
        raise Refusal("The package lacks function_app.py or host.json.", "python3 -m local package")
    tags = {found[1] for name in names if (found := PYTHON_TAG.search(name))}
    if tags != {"313"}:
        raise Refusal(
            f"The package holds modules for Python {', '.join(sorted(tags)) or 'none'}, not 3.13 alone.",
            "python3 -m local package",
        )
    if foreign := [name for name in names if re.search(r"darwin|win_amd64|\.pyd$|aarch64", name)]:
        raise Refusal(f"The package holds modules of another platform: {foreign[0]}.", "python3 -m local package")


def roles_are_effective(world: World) -> None:
    """403 AuthorizationPermissionMismatch or KeyBasedAuthenticationNotPermitted right after provisioning: a role takes minutes."""
    who = world.env["ROLLCALL_IDENTITY_PRINCIPAL_ID"]
    deadline = world.now() + 600
    while True:
        given = {
            one["roleDefinitionId"].rpartition("/")[2]
            for one in world.az("role", "assignment", "list", "--assignee", who, "--all")
        }
        if given >= NEEDED_ROLES and given & VAULT_ROLES:
            return
        if world.now() > deadline:
            raise Refusal(
                "The app's identity has not got its roles after ten minutes.", "azd provision again; it is harmless"
            )
        world.say("waiting for the roles of the app's identity ...")
        world.sleep(15)


def published(world: World) -> None:
    """Kudu's 502 or 503, and 403 while roles spread: tried again for a quarter of an hour."""
    group, name = world.env["AZURE_RESOURCE_GROUP"], world.env["AZURE_FUNCTION_NAME"]
    command = (
        "functionapp",
        "deployment",
        "source",
        "config-zip",
        "--resource-group",
        group,
        "--name",
        name,
        "--src",
        str(world.package),
    )
    deadline, wait = world.now() + 900, 10.0
    while True:
        try:
            world.az(*command)
        except AzFailed as failed:
            if (
                not re.search(r"\b(403|408|429|50[0234])\b|timed? ?out|Service Unavailable", str(failed))
                or world.now() > deadline
            ):
                raise Refusal(
                    f"The package could not be published ({_short(failed)}).",
                    "With a private network publish from inside it, or open the host account for your address and close it "
                    "again (docs/deploy.md). Otherwise try again; publishing twice is harmless.",
                ) from failed
            world.say(f"not yet ({_short(failed)}), again in {wait:.0f} s ...")
            world.sleep(wait)
            wait = min(wait * 2, 120.0)
        else:
            return


def healthy(world: World) -> None:
    """Asked for half an hour: role assignments may take as long to act."""
    deadline, last = world.now() + 1800, ""
    while world.now() < deadline:
        status, body = world.ask(f"{world.env['ROLLCALL_API_URL']}/health")
        if status == 200:
            return
        checks = body.get("checks", {}) if isinstance(body, dict) else {}
        last = ", ".join(f"{name} {value}" for name, value in checks.items() if value != "ok") or f"status {status}"
        world.say(f"not healthy yet: {last}")
        world.sleep(20)
    raise Refusal(
        f"The app is not healthy after half an hour: {last}.",
        "docs/deploy.md, Troubleshooting, says what each code means",
    )


def triggers_are_known(world: World) -> None:
    """The scaling of Flex Consumption has its own list of triggers. Timers of an app that is not on it never fire."""
    site = ("--resource-group", world.env["AZURE_RESOURCE_GROUP"], "--name", world.env["AZURE_FUNCTION_NAME"])
    last = ""
    for _ in range(10):  # a host that is starting answers ServiceUnavailable for some minutes
        try:
            world.az(
                "resource", "invoke-action", "--action", "syncfunctiontriggers", "--resource-type", "Microsoft.Web/sites", *site
            )  # fmt: skip
        except AzFailed as failed:
            last = _short(failed)
            world.say(f"the triggers are not taken yet: {last}")
            world.sleep(30)
        else:
            return
    raise Refusal(
        f"Azure did not take the list of triggers within five minutes ({last}).",
        "Run python3 infra/guards.py after again; until then the timer may not fire.",
    )


def every_function_is_there(world: World) -> None:
    """The host lists 0 functions, without an error: the host could not index the app."""
    group, name = world.env["AZURE_RESOURCE_GROUP"], world.env["AZURE_FUNCTION_NAME"]
    listed = {
        one["name"].rpartition("/")[2]
        for one in world.az("functionapp", "function", "list", "--resource-group", group, "--name", name)
    }
    wanted = set(json.loads((ROOT / "infra" / "functions.json").read_text()))
    if missing := sorted(wanted - listed):
        raise Refusal(
            f"The host knows {len(listed)} of {len(wanted)} functions; {', '.join(missing[:5])} are missing.",
            "Look at the log stream for an error at the start: az webapp log tail. Then publish again.",
        )


STAGES: dict[str, tuple[Guard, ...]] = {
    "before": (
        signed_in, providers_are_registered, the_region_offers_it, the_deployer_may_give_roles,
        the_deployer_may_register_the_application, no_name_is_in_the_way, the_budget_keeps_its_start,
    ),
    "publish": (the_package_is_for_the_python_that_runs_it, roles_are_effective),
    "deploy": (the_package_is_for_the_python_that_runs_it, roles_are_effective, published),
    "after": (healthy, triggers_are_known, every_function_is_there),
}  # fmt: skip


def run(world: World, guards: Iterable[Guard]) -> int:
    """Runs all of them, so that everything that is wrong shows at once. 1 where something is."""
    bad = 0
    for guard in guards:
        what = guard.__name__.replace("_", " ")
        try:
            guard(world)
        except Refusal as refusal:
            bad += 1
            world.say(f"FAILED  {what}\n        {refusal.cause}\n        {refusal.remedy}")
            if guard is signed_in:
                break
        except AzFailed as failed:
            world.say(f"UNKNOWN {what}: az said {_short(failed)}")
        else:
            world.say(f"ok      {what}")
    for name, value in world.learned.items():
        subprocess.run(["azd", "env", "set", name, value], check=False)  # noqa: S603, S607
    return 1 if bad else 0


def _token(world: World) -> str:
    """The 13 characters in all names, from what was deployed before."""
    return world.env.get("AZURE_FUNCTION_NAME", "").rpartition("-")[2]


def _short(error: object) -> str:
    return " ".join(str(error).split())[:200]


def _ask(url: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - the deployment's own address
            status, content = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, content = error.code, error.read()
    except OSError as error:
        return 0, str(error)
    try:
        return status, json.loads(content)
    except ValueError:
        return status, content.decode(errors="replace")


def main(arguments: list[str]) -> int:
    stage = arguments[0] if arguments else "before"
    if stage not in STAGES:
        sys.stderr.write(f"One of {', '.join(STAGES)}.\n")
        return 2
    return run(World(Az(), os.environ, _ask), STAGES[stage])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
