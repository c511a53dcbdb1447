"""`python -m local package`: the deployment package, built here and nowhere else, so that what runs is what was tested.

Wheels for the Python and the platform of Flex Consumption are taken whatever this machine is, by the hashes of requirements.txt;
nothing is built from source, neither here nor in Azure (`--no-build`).
"""

import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from local.bootstrap import ROOT, STATE, VENV

FOLDER, ZIP = STATE / "package", STATE / "rollcall.zip"
PLATFORM, PYTHON = "x86_64-manylinux_2_28", "3.13"
PACKAGES = Path(".python_packages", "lib", "site-packages")
PARTS = ("function_app.py", "host.json", "requirements.txt", "functions", "shared", "LICENSE", "THIRD-PARTY.md")
MOST_BYTES = 120 * 1024 * 1024
_SAME_DATE = (2000, 1, 1, 0, 0, 0)


def run() -> int:
    """Builds and says how large it is. 1 where it is too large."""
    began = time.monotonic()
    build(FOLDER)
    pack(FOLDER, ZIP)
    size = ZIP.stat().st_size
    print(
        f"{ZIP.relative_to(ROOT)}: {size / 1024 / 1024:.0f} MB, of {MOST_BYTES // 1024 // 1024} at most, in {time.monotonic() - began:.0f} s"
    )
    if size > MOST_BYTES:
        print("It is too large for a quick cold start: see which package has grown.", file=sys.stderr)
        return 1
    return 0


def build(folder: Path, *, this_machine: bool = False) -> None:
    """Puts the package together. `this_machine`: with wheels that run here, to try it."""
    shutil.rmtree(folder, ignore_errors=True)
    for part in PARTS:
        source, target = ROOT / part, folder / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    where = [] if this_machine else ["--python-platform", PLATFORM, "--python-version", PYTHON]
    command = [str(VENV / "bin" / "uv"), "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--no-build"]
    subprocess.run(
        [*command, *where, "--target", str(folder / PACKAGES), "-r", str(ROOT / "requirements.txt")], check=True
    )


def pack(folder: Path, archive: Path) -> None:
    """The folder as a zip; the same content gives the same bytes."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as made:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                entry = zipfile.ZipInfo(str(path.relative_to(folder)), _SAME_DATE)
                entry.external_attr = 0o644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                made.writestr(entry, path.read_bytes())
