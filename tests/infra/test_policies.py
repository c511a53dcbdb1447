"""The Bicep, without Azure and without the compiler: the linter finds nothing, and each policy holds for each parameter file and for
each option in both positions.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.infra import picture
from tests.infra.bicep.eval import evaluate
from tests.infra.bicep.lint import Lint
from tests.infra.policies import (
    CHECKS,
    EVERYTHING,
    OPTIONS,
    ROOT,
    SETS,
    Check,
    Deployed,
    profiles_are_those_of_the_docs,
)

INFRA = ROOT / "infra"
FILES = sorted(INFRA.glob("*.bicepparam"))
ENTRIES = [
    INFRA / "main.bicep",
    *(INFRA / "modules" / f"{name}.bicep" for name in ("rollcall", "options", "profiles", "connector-identity")),
]
SNAPSHOTS = Path(__file__).parent / "snapshots"
TYPES = str(Path(__file__).parent / "bicep" / "types.json")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda path: path.name)
def test_the_linter_finds_nothing(entry: Path) -> None:
    lint = Lint(TYPES)
    lint.load(str(entry))
    assert lint.out == []


def test_the_linter_has_seen_every_file() -> None:
    lint = Lint(TYPES)
    for entry in ENTRIES:
        lint.load(str(entry))
    assert {Path(path).name for path in lint.files} == {path.name for path in INFRA.rglob("*.bicep")}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_each_policy_holds_for_each_parameter_file(check: Check, file: Path) -> None:
    check(Deployed(INFRA, file))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SETS)
def test_each_policy_holds_for_defaults_and_for_everything_chosen(check: Check, name: str) -> None:
    check(Deployed(INFRA, SETS[name]))


def test_each_profile_is_what_the_docs_say() -> None:
    profiles_are_those_of_the_docs(INFRA)


@pytest.mark.parametrize("option", EVERYTHING)
def test_each_option_alone_changes_what_it_should_and_breaks_no_policy(option: str) -> None:
    needs = {
        "operatorPrincipalType": ["operatorPrincipalId"],
        "budgetStart": ["monthlyBudget"],
        "addressPrefix": ["privateNetwork"],
    }
    others = {name: EVERYTHING[name] for name in needs.get(option, [])}
    before, after = (
        Deployed(INFRA, {**OPTIONS, "options": {**others, **one}}) for one in ({}, {option: EVERYTHING[option]})
    )
    for check in CHECKS:
        check(after)
    assert _bodies(before) != _bodies(after), "nothing changes"


def _bodies(deployed: Deployed) -> Any:
    return [(one.label, one.scope, json.dumps(one.body, sort_keys=True, default=str)) for one in deployed.all]


@pytest.mark.parametrize("name", ["x", "Very Long_Name.with-everything in it " * 1, "ünïcode", "a" * 64, "-", "123"])
def test_names_are_valid_whatever_the_environment_is_called(name: str) -> None:
    deployed = Deployed(INFRA, {**OPTIONS, "environmentName": name})
    for check in CHECKS:
        check(deployed)


def test_two_environments_share_no_name() -> None:
    one, other = (Deployed(INFRA, {**OPTIONS, "environmentName": name}) for name in ("a", "b"))
    globally = (
        "Microsoft.Storage/storageAccounts",
        "Microsoft.KeyVault/vaults",
        "Microsoft.Web/sites",
        "Microsoft.Graph/applications",
    )
    names = [{resource.name for kind in globally for resource in deployed.of(kind)} for deployed in (one, other)]
    assert not names[0] & names[1]


def test_a_budget_keeps_the_date_that_it_began_with() -> None:
    """Its start can't be changed, and the month goes on."""
    given = {**OPTIONS, "options": {"monthlyBudget": 5, "budgetStart": "2026-08-01"}}
    september, october = (
        evaluate(str(INFRA / "main.bicep"), given, now=f"2026-{month}-05T00:00:00Z") for month in ("09", "10")
    )
    dates = [
        next(r for r in d if r.type == "Microsoft.Consumption/budgets").get("properties.timePeriod.startDate")
        for d in (september, october)
    ]
    assert dates == ["2026-08-01", "2026-08-01"]


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_the_resources_of_each_parameter_file_are_the_reviewed_ones(file: Path) -> None:
    """Changed on purpose? Run `python -m tests.infra.snapshots`, and review the difference."""
    from tests.infra.snapshots import listed

    assert listed(file) == (SNAPSHOTS / f"{file.stem}.txt").read_text()


def test_the_picture_in_the_docs_is_of_what_is_deployed() -> None:
    """Changed on purpose? Run `python -m tests.infra.snapshots`."""
    assert picture.FILE.read_text() == picture.page()


@pytest.mark.skipif(
    shutil.which("bicep") is None,
    reason="Microsoft's compiler is not on this machine; the workflow runs it on every push",
)
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda path: path.name)
def test_microsofts_compiler_finds_nothing_either(entry: Path, tmp_path: Path) -> None:
    built = tmp_path / "main.json"
    done = subprocess.run(
        ["bicep", "build", str(entry), "--outfile", str(built)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    linted = subprocess.run(["bicep", "lint", str(entry)], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, "")
    assert "resources" in json.loads(built.read_text())
