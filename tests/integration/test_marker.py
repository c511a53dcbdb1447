"""A secret goes through every failure that the simulated cloud can make: see tests/marker.py. In a process of its own, because HTTP
libraries look once for whom to trust, when they are first imported.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
START = """
import os
from local.stack import Options, Stack
stack = Stack(Options(people=30, devices=0, page_cap=8))
(stack.folder / "client-secret").write_text(MARKER)
stack.start(host=False)
try:
    os.environ.update(stack.env)
    from tests.marker import try_everything
    try_everything(stack)
finally:
    stack.stop()
"""
MARKER = 'm4rk~er+/=% "\\ü-5f0c'


@pytest.mark.slow
def test_the_secret_is_found_in_the_vault_and_nowhere_else(say: Callable[[str], None]) -> None:
    script = START.replace("MARKER", repr(MARKER))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-"],
        cwd=ROOT,
        env=environment,
        input=script,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    say(done.stdout.strip().splitlines()[-1])
