"""The README's first command, as a user types it: with the python3 that is on PATH, whatever its version."""

import os
import re
import subprocess
import sys

import pytest

from local.bootstrap import ROOT
from local.processes import clean_environment


@pytest.mark.slow
def test_the_demo_runs_once_and_ends_well() -> None:
    environment = {**clean_environment(), "ONCE": "1"}
    environment.pop("PYTHON", None)
    done = subprocess.run(
        ["make", "demo"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for phrase in (
        "1,600 read",
        "succeeded",
        "1,000 of 1,000 read",
        "Waiting for the sign-in activity run (10 requests a minute at most) ...",
        "1,000 read in 2 pages",
        "People, as stored:",
        "Account expires           unknown: Microsoft Graph has no such property",
        "Next due (UTC): ",
    ):
        assert phrase in done.stdout
    first = done.stdout.partition("People, as stored:")[2].partition("Not known")[0]
    assert re.search(r"Manager +\S.*<\S+@\S+>", first)
    assert re.search(r"Last logon +\d{4}-\d\d-\d\d \d\d:\d\d UTC, successful", first)


@pytest.mark.slow
def test_the_command_line_tells_what_is_wrong() -> None:
    environment = dict(os.environ)
    for arguments in (["nonsense"], ["up", "--people", "many"], ["tenant", "explode"]):
        command = [sys.executable, "-m", "local", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2 and "usage:" in done.stderr
