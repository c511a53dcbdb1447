"""Finds the Python 3.13 that Rollcall runs on, or fetches one. Any Python from 3.9 on can run this module.

Candidates are tried, not believed: a `python3.13` on PATH may be the shim of a version manager that has none selected,
and a Python that a Linux distribution ships may lack `ensurepip`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WANTED = (3, 13)
NAME = "Python 3.13"
_SECONDS = 30
_FETCH_SECONDS = 900
# Python 2 can read it too: `python` may be one. The last line that it prints is the interpreter's own path.
_PROBE = """
import sys
if sys.version_info[:2] != (3, 13):
    sys.exit("it is Python " + sys.version.split()[0])
try:
    import ensurepip, ssl, venv
except ImportError as error:
    sys.exit("it lacks a module: " + str(error))
import sysconfig
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit("it is a free-threaded build")
print(sys.executable)
"""


class Tried(NamedTuple):
    """What came of one candidate: the interpreter's own path, or why it does not serve."""

    command: str
    python: Path | None
    why: str = ""


def probe(command: list[str], seconds: float = _SECONDS) -> Tried:
    """Runs the candidate. `-I` keeps PYTHONPATH and the current folder out of it."""
    shown = " ".join(command)
    try:
        done = subprocess.run(
            [*command, "-I", "-c", _PROBE], capture_output=True, text=True, errors="replace", timeout=seconds,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Tried(shown, None, f"it gave no answer within {seconds} s")
    except OSError as error:
        return Tried(shown, None, error.strerror or str(error))
    if done.returncode:
        said = done.stderr.strip().splitlines()
        known = done.returncode == 1 and said and said[-1].startswith("it ")
        return Tried(shown, None, said[-1] if known else f"it ended with exit code {done.returncode}")
    printed = done.stdout.strip().splitlines()
    return Tried(shown, Path(printed[-1] if printed else command[0]))


def is_wanted(python: Path) -> bool:
    """Whether this one runs and is a 3.13; unlike `probe`, no matter what it could make."""
    command = [str(python), "-I", "-c", f"import sys; sys.exit(sys.version_info[:2] != {WANTED})"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def candidates(environment: Mapping[str, str], running: str) -> Iterator[list[str]]:
    """Commands that may be a Python 3.13, the likeliest first."""
    folders = [folder for folder in environment.get("PATH", "").split(os.pathsep) if folder]
    yield [running]
    yield from _on_path(folders, "python3.13")
    for python in _versions(environment):
        yield [str(python)]
    if os.name == "nt":
        yield ["py", "-3.13"]
    for name in ("python3", "python"):
        yield from _on_path(folders, name)


def _on_path(folders: list[str], name: str) -> Iterator[list[str]]:
    """Each one of that name, not the first alone: a shim that fails may stand before one that works."""
    for folder in folders:
        found = shutil.which(name, path=folder)
        if found:
            yield [found]


def _versions(environment: Mapping[str, str]) -> Iterator[Path]:
    """What version managers keep in their folders, whether or not it is selected there. The newest first."""
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or Path.home())
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    uv = data / "uv" / "python"
    if os.name == "nt":
        uv = Path(environment.get("APPDATA") or home) / "uv" / "python"

    def folder(variable: str, default: Path) -> Path:
        return Path(environment.get(variable) or default)

    roots = (
        folder("PYENV_ROOT", home / ".pyenv") / "versions",
        folder("ASDF_DATA_DIR", home / ".asdf") / "installs" / "python",
        folder("MISE_DATA_DIR", data / "mise") / "installs" / "python",
        folder("UV_PYTHON_INSTALL_DIR", uv),
    )
    for root in roots:
        found = [path for pattern in ("3.13*", "cpython-3.13*") for path in root.glob(pattern)]
        for version in sorted(found, key=_numbers, reverse=True):
            for python in (version / "bin" / "python3.13", version / "python.exe"):
                if python.exists():
                    yield python


def _numbers(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder.name)]


def find(environment: Mapping[str, str], running: str) -> tuple[Path | None, list[Tried]]:
    """The first candidate that works, and those that did not."""
    failed: list[Tried] = []
    seen: set[str] = set()
    for command in candidates(environment, running):
        if command[0] in seen:
            continue
        seen.add(command[0])
        tried = probe(command)
        if tried.python:
            return tried.python, failed
        failed.append(tried)
    return None, failed


def needed(environment: Mapping[str, str], running: str) -> Path:
    """A working Python 3.13: PYTHON's where that is given, else one that is found, else one that is fetched. Without any
    it ends the process with one message that names the command to type.
    """
    given = environment.get("PYTHON", "").strip()
    if given:
        tried = probe([given] if Path(given).exists() else shlex.split(given))
        if tried.python:
            return tried.python
        sys.exit(
            f"setup: PYTHON={given} does not serve: {tried.why}. Rollcall needs {NAME} with venv.\n"
            f"Name another one, or leave PYTHON out: one is then looked for."
        )
    python, failed = find(environment, running)
    for commands in () if python else _fetches(environment):
        if all(_fetch(command, environment) for command in commands):
            python, failed = find(environment, running)
        if python:
            break
    if python is None:
        sys.exit(_message(failed, environment))
    return python


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _fetches(environment: Mapping[str, str]) -> Iterator[list[list[str]]]:
    """The commands that may bring one without a question to the user, by what is on PATH."""
    path = environment.get("PATH", "")
    if shutil.which("uv", path=path):
        yield [["uv", "python", "install", "3.13"]]
    if shutil.which("apt-get", path=path) and _is_root():
        yield [["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", "python3.13", "python3.13-venv"]]
    if shutil.which("brew", path=path) and not _is_root():  # brew refuses to run as root
        yield [["brew", "install", "python@3.13"]]
    if shutil.which("dnf", path=path) and _is_root():
        yield [["dnf", "install", "-y", "python3.13"]]


def _fetch(command: list[str], environment: Mapping[str, str]) -> bool:
    shown = " ".join(command)
    print(f"setup: no {NAME} here yet: {shown}", flush=True)
    found = shutil.which(command[0], path=environment.get("PATH", ""))
    try:
        done = subprocess.run(
            [found or command[0], *command[1:]], env={**environment, "DEBIAN_FRONTEND": "noninteractive"}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
            timeout=_FETCH_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"setup: {error}", flush=True)
        return False
    if done.returncode:
        last = (done.stdout.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        print(f"setup: that did not work: {last}", flush=True)
    return done.returncode == 0


def _message(failed: list[Tried], environment: Mapping[str, str]) -> str:
    tried = "\n".join(f"  {one.command}: {one.why}" for one in failed)
    return (
        f"setup: Rollcall needs {NAME}, and none was found. Tried:\n{tried}\n"
        f"Install one, for example with\n\n    {_advice(environment)}\n\n"
        "and type your command again. PYTHON=/path/to/python3.13 names one that is in an unusual place."
    )


def _advice(environment: Mapping[str, str]) -> str:
    """One command that brings a Python 3.13 on this machine."""
    path = environment.get("PATH", "")
    for tool, command in (
        ("uv", "uv python install 3.13"),
        ("pyenv", "pyenv install 3.13"),
        ("brew", "brew install python@3.13"),
        ("dnf", "sudo dnf install -y python3.13"),
    ):
        if shutil.which(tool, path=path):
            return command
    if os.name == "nt":
        return "winget install --exact --id Python.Python.3.13"
    # Not apt-get: most releases of Debian and Ubuntu have another version, and uv's works on all of them.
    return "curl -LsSf https://astral.sh/uv/install.sh | sh && ~/.local/bin/uv python install 3.13"
