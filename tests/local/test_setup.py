"""Both commands of the README, typed on a machine whose `python3` is older and whose `python3.13` is a shim that fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.bootstrap import ROOT
from local.processes import clean_environment
from tests.local.test_pythons import script

REAL = Path(getattr(sys, "_base_executable", sys.executable))
OLDER = ("python3.9", "python3.10", "python3.11", "python3.12", "python3")
# Calls itself 3.9 to the code under test, and fails where it is asked for a version in another process.
PRETENDS = """[ "$1" = -m ] || { echo 'it is Python 3.9.0' >&2; exit 1; }
shift 2
exec %(real)s -c '
import runpy, sys
sys.version_info, sys.executable = (3, 9, 0, "final", 0), "%(self)s"
runpy.run_module("local", run_name="__main__", alter_sys=True)' "$@\""""


def older_python() -> Path | None:
    """A Python from 3.9 to 3.12 of this machine: on PATH or in pyenv's folder; None where it has none."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    folders = [*os.environ["PATH"].split(os.pathsep), "/usr/bin", *(str(path / "bin") for path in versions.glob("3.*"))]
    asks = "import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 13))"
    for name in OLDER:
        for folder in folders:
            found = shutil.which(name, path=folder)
            if found and not subprocess.run([found, "-I", "-c", asks], capture_output=True, check=False).returncode:
                return Path(found)
    return None


class Machine:
    """A fresh copy of the project and an environment in which PATH has no more than the scripts of one folder."""

    def __init__(self, folder: Path, python3: Path | None) -> None:
        self.project, self.bin, self.home = folder / "project", folder / "bin", folder / "home"
        self.home.mkdir(parents=True)
        caches = shutil.ignore_patterns(
            ".venv", ".local", ".git", ".*_cache", "__pycache__", ".hypothesis", "node_modules"
        )
        shutil.copytree(ROOT, self.project, ignore=caches)
        stub = self.bin / "python3"
        script(stub, f'exec {python3} "$@"' if python3 else PRETENDS % {"real": REAL, "self": stub})
        script(self.bin / "python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
        self.environment = {"PATH": str(self.bin), "HOME": str(self.home)}

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.project, env=self.environment | more, capture_output=True, text=True, timeout=600,
            check=False,
        )  # fmt: skip

    def make(self, target: str, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
        found = shutil.which("make")
        assert found
        return self.run(found, target, *options, **more)


@pytest.fixture(params=["older", "pretended"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    """With a real older Python where there is one, and with this one made to pass for 3.9, which every machine can do."""
    return Machine(tmp_path, older_python() if request.param == "older" else None)


@pytest.mark.parametrize("target", ["demo", "test"])
def test_without_any_3_13_both_commands_end_in_one_message_that_names_a_command(machine: Machine, target: str) -> None:
    done = machine.make(target)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.count("Rollcall needs Python 3.13, and none was found.") == 1
    assert "uv python install 3.13" in done.stderr
    assert f"{machine.bin}/python3.13: it ended with exit code 127" in done.stderr
    assert not (machine.project / ".venv").exists()


def test_a_python_as_given_that_does_not_serve_stops_both_commands(machine: Machine) -> None:
    for target in ("demo", "test"):
        done = machine.make(target, f"PYTHON={machine.bin}/python3")
        assert done.returncode != 0 and "Traceback" not in done.stderr
        assert f"PYTHON={machine.bin}/python3 does not serve: it is Python 3." in done.stderr


def test_a_virtual_environment_that_works_is_used_without_a_search(machine: Machine) -> None:
    (machine.project / ".venv").symlink_to(ROOT / ".venv")
    (machine.project / ".local").mkdir()
    (machine.project / ".local" / "azurite").symlink_to(ROOT / ".local" / "azurite")
    done = machine.run(str(machine.bin / "python3"), "-m", "local", "setup")
    assert (done.returncode, done.stdout, done.stderr) == (0, "setup: everything is there\n", "")


@pytest.mark.slow
def test_in_a_fresh_clone_both_commands_set_themselves_up_and_run(tmp_path: Path) -> None:
    """The Python 3.13 is in a version manager's folder and nowhere else. Caches of pip and npm are the machine's own."""
    machine = Machine(tmp_path, older_python())
    for tool in ("node", "npm"):
        if found := shutil.which(tool):
            script(machine.bin / tool, f'exec {found} "$@"')
    versions = tmp_path / "pyenv" / "versions"
    script(versions / "3.13.0" / "bin" / "python3.13", f'exec {REAL} "$@"')
    own = {
        name: value for name, value in clean_environment().items() if name != "PYTHON" and not name.startswith("MAKE")
    }
    machine.environment = own | {"PATH": str(machine.bin), "PYENV_ROOT": str(versions.parent)}

    demo = machine.make("demo", ONCE="1")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "setup: virtual environment in .venv" in demo.stdout
    assert "People, as stored:" in demo.stdout

    test = machine.make("test", PYTEST_ADDOPTS="--collect-only")  # what they say is not for a test among them
    assert test.returncode == 0, test.stdout + test.stderr
    assert "setup:" not in test.stdout
    assert "== tests: ok" in test.stdout and "tests collected" in test.stdout
