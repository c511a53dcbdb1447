"""Each check finds what it is for: the Bicep is altered in one place at a time (a switch flipped, a text or number changed, a property
left out, an argument of a guid dropped), and some check or the linter has to say so.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.infra.bicep.functions import EvalError
from tests.infra.bicep.lint import Lint
from tests.infra.policies import CHECKS, ROOT, SETS, Deployed, profiles_are_those_of_the_docs
from tests.infra.test_policies import TYPES

INFRA = ROOT / "infra"
PROSE = re.compile(
    r"^\s*(//|@|type |output |import |targetScope|extension|module |resource )|^\s*(text|description|displayName|adminConsentD\w+|notes|groupShortName|operator): "
)
MEANINGLESS = {
    # A deployment's own name, and what only people read: nothing that is deployed depends on it.
    "name of a module": re.compile(r"^\s*name: '(rollcall(-\w+)?)'$|params: \{ name: '"),
    "the group's own location, which is the default": re.compile(r"^    location: location$"),
    "local name inside its resource": re.compile(
        r"name: ('(mail-|flex|Http5xx'|Availability')|endpoint\.)|\{ name: '(host|data)-\w+',|\{ name: 'vault',"
    ),
    "default that rollcall.bicep always gives": re.compile(
        r"^param (location|tags|audiences|options|displayName|thisMonth)\b"
    ),
}
FEWEST = 150


@dataclass(frozen=True)
class Mutation:
    file: str
    line: int
    how: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.how}: {self.text.strip()}"


def _altered(line: str) -> Iterator[tuple[str, str]]:
    """Each way to alter a line, with its name."""
    for found in re.finditer(r"\b(true|false)\b", line):
        flipped = "false" if found[0] == "true" else "true"
        yield "flipped", line[: found.start()] + flipped + line[found.end() :]
    for found in re.finditer(r"'((?:[^'\\]|\\.)+)'", line):
        yield "other text", f"{line[: found.start(1)]}{found[1]}x{line[found.end(1) :]}"
    for found in re.finditer(r"(?<=[ (])\d+(?=[ ,)}\]]|$)", line):
        yield "other number", f"{line[: found.start()]}{int(found[0]) + 1}{line[found.end() :]}"
    if guid := re.search(r"guid\(([^)]*)\)", line):
        arguments = guid[1].split(", ")
        for number in range(len(arguments)):
            left = ", ".join(arguments[:number] + arguments[number + 1 :])
            yield f"guid without {arguments[number]}", line.replace(guid[0], f"guid({left})")
    if (
        re.fullmatch(r"\s+[\w']+: [^{\[]*[^{\[,]", line.split(" //", maxsplit=1)[0].rstrip())
        and "=" not in line.split(":", maxsplit=1)[0]
    ):
        yield "left out", ""


def _mutations() -> list[Mutation]:
    found: list[Mutation] = []
    for path in sorted(INFRA.rglob("*.bicep")):
        if path.name == "options.bicep":
            continue  # types of parameters: what they refuse is the compiler's matter
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if PROSE.search(line) or any(rule.search(line) for rule in MEANINGLESS.values()):
                continue
            for how, text in _altered(line):
                # A longer name that still holds the token is as good; what only people read may say anything.
                read = "${token}x'" in text or re.search(r"(text|notes): '[^']*x'", text)
                if text != line and not (how == "other text" and read):
                    found.append(Mutation(str(path.relative_to(INFRA)), number, how, text))
    return found


def _caught(folder: Path) -> str:
    """Which check says so; empty where none does."""
    lint = Lint(TYPES)
    for name in ("main.bicep", "modules/profiles.bicep", "modules/connector-identity.bicep"):
        lint.load(str(folder / name))
    if lint.out:
        return "linter"
    for parameters in SETS.values():
        if found := _caught_with(folder, parameters):
            return found
    try:
        profiles_are_those_of_the_docs(folder)
    except Exception:  # noqa: BLE001 - whatever it stumbles over, it has found something
        return profiles_are_those_of_the_docs.__name__
    return ""


def _caught_with(folder: Path, parameters: Any) -> str:
    try:
        deployed = Deployed(folder, parameters)
    except EvalError:
        return "evaluation"
    for check in CHECKS:
        try:
            check(deployed)
        except Exception:  # noqa: BLE001 - whatever it stumbles over, it has found something
            return check.__name__
    return ""


@pytest.mark.quick
def test_alterations_are_caught_by_some_check(tmp_path: Path, say: Callable[[str], None]) -> None:
    """One in five. All of them: `make prove`."""
    _tried(tmp_path, _mutations()[::5], say)


@pytest.mark.prove
def test_every_alteration_is_caught_by_some_check(tmp_path: Path, say: Callable[[str], None]) -> None:
    _tried(tmp_path, _mutations(), say)


def _tried(tmp_path: Path, mutations: list[Mutation], say: Callable[[str], None]) -> None:
    survivors: list[str] = []
    by: dict[str, int] = {}
    folder = tmp_path / "infra"
    shutil.copytree(INFRA, folder)
    for mutation in mutations:
        file = folder / mutation.file
        before = file.read_text()
        lines = before.splitlines()
        lines[mutation.line - 1] = mutation.text
        file.write_text("\n".join(lines) + "\n")
        found = _caught(folder)
        by[found] = by.get(found, 0) + 1
        if not found:
            survivors.append(str(mutation))
        file.write_text(before)
    assert _caught(folder) == ""  # as it is, nothing is found
    assert survivors == []
    assert len(_mutations()) >= FEWEST
    say(
        f"{len(mutations)} alterations of the Bicep, each caught: {', '.join(f'{name} {count}' for name, count in sorted(by.items()))}"
    )
