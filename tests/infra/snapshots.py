"""`python -m tests.infra.snapshots`: writes which resources each parameter file deploys, one a line, for review."""

from pathlib import Path

from tests.infra.bicep.eval import evaluate
from tests.infra.policies import ROOT

FOLDER = Path(__file__).parent / "snapshots"


def listed(file: Path) -> str:
    """Label, type with its version, and name of each."""
    found = evaluate(str(ROOT / "infra" / "main.bicep"), str(file))
    return "".join(f"{one.label} {one.type}@{one.api_version} {one.name}\n" for one in found)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file in sorted((ROOT / "infra").glob("*.bicepparam")):
        (FOLDER / f"{file.stem}.txt").write_text(listed(file))
