"""The list of what is deployed with the app, by whom it is licensed: made from what the packages say of themselves."""

import re
from importlib import metadata
from pathlib import Path

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
_HEAD = """# Third-party packages

What `requirements.txt` puts beside Rollcall into a deployment. Made by `make compile` from the packages' own metadata; `make check`
compares it. Rollcall's own licence is in `LICENSE`.

| package | version | licence |
|---|---|---|
"""


def pinned(requirements: Path) -> list[tuple[str, str]]:
    """Packages and versions."""
    return _PINNED.findall(requirements.read_text())


def listed(requirements: Path) -> str:
    """The whole file."""
    rows = [f"| {name} | {version} | {_licence(name)} |" for name, version in pinned(requirements)]
    return _HEAD + "\n".join(rows) + "\n"


def _licence(name: str) -> str:
    """As an SPDX expression where the package has one, else its classifiers, else the first line of its own words."""
    about = metadata.metadata(name)
    if expression := about.get("License-Expression"):
        return str(expression)
    classifiers = [
        line.rpartition(" :: ")[2] for line in about.get_all("Classifier") or [] if line.startswith("License ::")
    ]
    classifiers = [line for line in classifiers if line != "OSI Approved"]
    if classifiers:
        return ", ".join(classifiers)
    return str(about.get("License") or "not stated").strip().splitlines()[0][:60]
