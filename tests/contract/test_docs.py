"""What the README says is so."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from local import person_text
from local.__main__ import _parser
from local.bootstrap import ROOT
from local.docs import pages
from local.licences import listed
from shared.settings import SETTINGS

README = (ROOT / "README.md").read_text()


def test_the_table_of_settings_is_the_settings() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", README, re.MULTILINE))
    assert rows == SETTINGS


def test_every_command_that_is_shown_exists() -> None:
    commands = set(re.findall(r"python3 -m local ([a-z-]+)", README + (ROOT / "CONTRIBUTING.md").read_text()))
    choices = next(action.choices for action in _parser()._actions if action.choices)
    assert commands and commands <= set(choices)
    targets = set(re.findall(r"(?:^|`)(?:ONCE=1 )?make (\w+)", README, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^[\w ]*\b{target}\b[\w ]*:", makefile, re.MULTILINE) for target in targets)
    for arguments in (
        ["up", "--people", "5000", "--persist", "x", "--plain"],
        ["fault", "graph", "429", "--every", "5"],
        ["tenant", "leave", "--count", "3"],
    ):
        _parser().parse_args(arguments)


def test_the_transcript_is_what_the_demo_prints() -> None:
    source = (ROOT / "local" / "demo.py").read_text()
    transcript = re.search(r"```text\n(.*?)```", README, re.DOTALL)
    assert transcript
    for line in transcript.group(1).splitlines():
        if line.startswith("  POST"):
            assert line.split(None, 2)[2].split(", tenant")[0] in source
    for phrase in (
        "Starting the local stack with",
        "Configuring, through the HTTP API:",
        "Waiting for the timer to start ...",
        "Reading people and devices",
        "Waiting for the sign-in activity run (10 requests a minute at most) ...",
        "People, as stored:",
        "Next due (UTC): ",
    ):
        assert phrase in source and phrase in transcript.group(1)
    for group, rows in person_text.GROUPS.items():
        for shown in (f"    {group}", *(f"      {label:<26}" for label, *_ in rows)):
            assert any(line.startswith(shown) for line in transcript.group(1).splitlines()), shown


def _told(*command: str) -> str:
    """What a command of this machine prints; nothing where there is no such command."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


def _registries() -> set[str]:
    """Hosts that this machine takes packages from, as it is configured."""
    told = _told(sys.executable, "-m", "pip", "config", "list") + _told("npm", "config", "get", "registry")
    index = re.search(r"default\s+(https?://\S+)", _told(sys.executable, "-m", "pip", "download", "--help"))
    told += index.group(1) if index else ""
    told += " ".join(value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "NPM_CONFIG_")))
    sources = [*Path("/etc/apt").glob("sources.list"), *Path("/etc/apt").glob("sources.list.d/*")]
    told += " ".join(source.read_text() for source in sources)
    # A mirror on this machine has an address that the local stack's files name as well.
    return {host for host in re.findall(r"https?://([^/\s'\"]+)", told) if "." in host and not host.startswith("127.")}


def test_no_file_names_a_registry_or_this_machine() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = {f"{folder}/" for folder in (ROOT.parent, Path.home()) if len(folder.parts) > 1}
    words = [re.escape(word) for word in sorted(_registries() | folders)]
    assert words, "this machine has a home"
    # A word in the middle of a longer path is another path's.
    forbidden = re.compile(rf"(?<![\w.-])(?:{'|'.join(words)})")
    named = {f: found.group() for f in files if (found := forbidden.search((ROOT / f).read_text(errors="replace")))}
    assert named == {}


def test_the_deployed_app_holds_what_it_needs_and_no_more() -> None:
    app = (ROOT / "requirements.txt").read_text()
    for line in re.sub(r"\\\n|--hash=\S+", "", app).split():
        assert re.fullmatch(r"[\w.\[\]-]+==[\w.]+", line), line
    for package in ("azure-functions", "azure-identity", "msgraph-sdk", "azure-data-tables", "azure-keyvault-secrets"):
        assert f"{package}==" in app
    for package in ("pytest", "ruff", "croniter", "azure-functions-runtime", "trustme"):
        assert f"{package}==" not in app
    assert json.loads((ROOT / "local/azurite/package.json").read_text())["dependencies"] == {"azurite": "3.36.0"}


def test_pages_that_are_made_from_the_code_are_up_to_date() -> None:
    """Changed on purpose? Run `python3 -m local docs`."""
    for path, text in pages().items():
        assert path.read_text() == text, path


def test_the_security_page_names_tests_that_are_there() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", (ROOT / "SECURITY.md").read_text()))
    assert len(named) > 10 and [name for name in named if not (ROOT / name).is_file()] == []


def test_what_is_deployed_is_pinned_with_hashes_and_its_licences_are_listed() -> None:
    requirements = (ROOT / "requirements.txt").read_text()
    pinned = re.findall(
        r"^[A-Za-z0-9._-]+==\S+ \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", requirements, re.MULTILINE
    )
    assert "".join(pinned) == requirements
    assert (ROOT / "THIRD-PARTY.md").read_text() == listed(ROOT / "requirements.txt")
