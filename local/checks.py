"""`test`, `check`, `prove`, `bench` and `compile`: each prints what it runs; the first failure ends it."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from local import licences
from local.bootstrap import PYTHON, ROOT, VENV

DEV = ROOT / "local" / "requirements-dev.txt"
APP = ROOT / "requirements.txt"
LICENCES = ROOT / "THIRD-PARTY.md"
_UV = [str(VENV / "bin" / "uv"), "pip", "compile", "--quiet", "--python-version", "3.13", "--no-header", "--no-annotate",
       "--no-emit-index-url", "--no-emit-find-links"]  # fmt: skip


def _step(name: str, *command: str, environment: dict[str, str] | None = None) -> bool:
    print(f"== {name}", flush=True)
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, check=False, env=environment)
    print(f"== {name}: {'ok' if done.returncode == 0 else 'FAILED'} ({time.monotonic() - began:.0f} s)", flush=True)
    return done.returncode == 0


def run(command: str, rest: list[str]) -> int:
    if command == "test":
        return 0 if _tests("tests", rest or ["-m", "not slow and not quick and not prove"]) else 1
    if command == "bench":
        return subprocess.run([str(PYTHON), "-m", "tests.bench", *rest], cwd=ROOT, check=False).returncode
    if command == "compile":
        compile_requirements(APP, DEV)
        LICENCES.write_text(licences.listed(APP))
        return 0
    tool = VENV / "bin"
    steps = (
        ("ruff", str(tool / "ruff"), "check", "."),
        ("format", str(tool / "ruff"), "format", "--check", "."),
        ("types", str(tool / "mypy")),
        ("architecture", str(tool / "lint-imports"), "--no-cache"),
    )
    good = [_step(*step) for step in steps] == [True] * len(steps)  # all of them run, so that all failures show
    good = _in_step() and good
    if command == "check":
        return 0 if _tests("tests", rest or ["-m", "not prove"]) and good else 1
    return 0 if _proofs() and good else 1


def _proofs() -> bool:
    """Every test with its whole matrix, then what only a large tenant shows, then the figures."""
    many = {**os.environ, "ROLLCALL_TEST_PEOPLE": "100000"}
    good = _tests("all tests", ["-m", "not quick"])
    hundred = [str(PYTHON), "-m", "pytest", "-q", "tests/integration/test_removals.py", "-k", "hundred"]
    good = _step("100,000 people", *hundred, environment=many) and good
    return _step("bench", str(PYTHON), "-m", "tests.bench") and good


def _tests(name: str, options: list[str]) -> bool:
    """The tests in three processes: they wait a third of their time. Tests that share a stack share a process."""
    pytest = [str(PYTHON), "-m", "pytest", "-q", "-n", "3", "--dist", "loadgroup", "--no-loadscope-reorder"]
    return _step(name, *pytest, *options)


def compile_requirements(app: Path, dev: Path) -> None:
    """Writes both files; versions that are pinned there already stay. What is deployed carries hashes: a package that was changed
    at its source is refused.
    """
    for target, options in (
        (app, ["pyproject.toml", "--generate-hashes"]),
        (dev, ["pyproject.toml", "--group", "pyproject.toml:dev", "-c", str(app)]),
    ):
        subprocess.run([*_UV, *options, "-o", str(target)], cwd=ROOT, check=True)


def _in_step() -> bool:
    """Whether the committed requirements are what pyproject.toml compiles to."""
    print("== requirements", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        app, dev = Path(folder) / "app.txt", Path(folder) / "dev.txt"
        app.write_text(APP.read_text())
        dev.write_text(DEV.read_text())
        compile_requirements(app, dev)
        # A version may get more files later on, and with them hashes: what is pinned is what has to be the same.
        same = licences.pinned(app) == licences.pinned(APP) and dev.read_text() == DEV.read_text()
        same = same and LICENCES.read_text() == licences.listed(APP)
    print(f"== requirements: {'ok' if same else 'FAILED: run python3 -m local compile'}", flush=True)
    return same


if __name__ == "__main__":
    sys.exit(run("check", []))
