"""Child processes that end with their parent, write to log files, and are waited for until they are ready."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_PDEATHSIG = 1


def _end_with_parent() -> None:
    """Linux: a killed parent takes its children along."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGTERM)


class Child:
    """One process; `log` holds all that it prints."""

    def __init__(self, name: str, command: list[str], log: Path, environment: dict[str, str], cwd: Path) -> None:
        self.name, self.log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._file = log.open("wb")
        self.process = subprocess.Popen(
            command, stdout=self._file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment, cwd=cwd,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - prctl alone, before exec
        )  # fmt: skip

    def wait_for(self, ready: Callable[[str], object], seconds: float = 30) -> str:
        """The log once `ready` holds for it. Raises RuntimeError with the log's end when the process dies or takes too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            text = self.log.read_text(errors="replace")
            if ready(text):
                return text
            if self.process.poll() is not None:
                break
            time.sleep(0.03)
        raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-3000:]}")

    def stop(self, *, kill: bool = False) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._file.close()


def clean_environment() -> dict[str, str]:
    """This process' environment without anything that would reach a real cloud."""
    kept = dict(os.environ)
    for name in list(kept):
        if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "WEBSITE_", "ROLLCALL_", "RollcallStorage")):
            del kept[name]
    return kept
