"""`python -m tests.infra.snapshots`: writes which resources each parameter file deploys, one a line, for review, and the picture of them."""

import json
from pathlib import Path

from functions import blueprints
from tests.infra import picture
from tests.infra.bicep.eval import evaluate
from tests.infra.policies import ROOT

FOLDER = Path(__file__).parent / "snapshots"


def listed(file: Path) -> str:
    """Label, type with its version, and name of each."""
    found = evaluate(str(ROOT / "infra" / "main.bicep"), str(file))
    return "".join(f"{one.label} {one.type}@{one.api_version} {one.name}\n" for one in found)


def functions() -> str:
    """The names of all functions, for the guard that asks the host for them after publishing."""
    names = sorted(
        str(builder._function.get_function_name())
        for blueprint in blueprints()
        for builder in blueprint._function_builders
    )
    return json.dumps(names, indent=2) + "\n"


if __name__ == "__main__":
    (ROOT / "infra" / "functions.json").write_text(functions())
    FOLDER.mkdir(exist_ok=True)
    for file in sorted((ROOT / "infra").glob("*.bicepparam")):
        (FOLDER / f"{file.stem}.txt").write_text(listed(file))
    picture.write()
