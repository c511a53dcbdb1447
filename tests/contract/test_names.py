"""Nothing outside of a kind's own module spells a kind's name, its streams' or its jobs'; names of a deployment stand once."""

import ast
from pathlib import Path

from local.bootstrap import ROOT
from shared import names
from shared.connectors import REGISTRY
from shared.connectors.entra_id import ENTRA_ID
from tests.rig import Rig


def _constants(file: Path) -> set[str]:
    """The text constants of a module, docstrings apart."""
    tree = ast.parse(file.read_text())
    told = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
    }


def _modules(*folders: str) -> list[Path]:
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


def test_no_module_but_a_kinds_own_spells_its_names() -> None:
    own = {ROOT / "shared" / "connectors" / f"{name.replace('-', '_')}.py" for name in REGISTRY.kinds}
    assert all(file.exists() for file in own)
    spelt = {
        name
        for kind in REGISTRY.kinds.values()
        for name in (kind.name, *(job.name for job in kind.jobs), *(stream.name for stream in kind.streams))
    }
    # Words that are also something else: the collection of devices is an address, and a type of record.
    spelt -= {record_type.plural for record_type in REGISTRY.record_types.values()}
    found = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in _modules("functions", "shared")
        if file not in own
        for name in _constants(file) & spelt
    }
    assert found == set()


def test_queues_are_spelt_once() -> None:
    found = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in _modules("functions", "shared")
        if file.name != "names.py"
        for name in _constants(file) & set(names.QUEUES)
    }
    assert found == set()


def test_every_table_that_is_written_is_named(rig: Rig) -> None:
    connector = rig.configure()
    rig.app().tick.run()
    for job in ENTRA_ID.jobs:
        rig.run(connector, job=job.name)
    rig.directory.leave("users", [3])
    rig.directory.change("users", 4, {"city": "Elsewhere"})
    rig.run(connector)
    months = {table for table in rig.snapshot() if table.removeprefix(names.CHANGES).isdecimal()}
    assert set(rig.snapshot()) - months <= set(names.TABLES)
    assert len(months) == 1
