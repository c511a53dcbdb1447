"""The README's first command, as a user types it."""

import os
import subprocess
import sys

import pytest

from local.bootstrap import ROOT
from local.processes import clean_environment


@pytest.mark.slow
def test_the_demo_runs_once_and_ends_well() -> None:
    environment = {**clean_environment(), "ONCE": "1"}
    command = ["make", "demo", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for phrase in (
        "1,600 read",
        "succeeded",
        "1,000 of 1,000 read",
        "Three people, as stored:",
        "unknown: not-provided",
        "Next due (UTC): ",
    ):
        assert phrase in done.stdout


@pytest.mark.slow
def test_the_command_line_tells_what_is_wrong() -> None:
    environment = dict(os.environ)
    for arguments in (["nonsense"], ["up", "--people", "many"], ["tenant", "explode"]):
        command = [sys.executable, "-m", "local", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2 and "usage:" in done.stderr
