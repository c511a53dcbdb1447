"""Microsoft's own description of Graph, where it is at hand (../shared); tests that need it are skipped, visibly, elsewhere."""

import importlib.util
import io
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SHARED

GRAPH = SHARED / "reference" / "graph"
needs_shared = pytest.mark.skipif(not GRAPH.exists(), reason="Microsoft's description is not beside this checkout")


def load_spec() -> Any:
    """The checker of requests."""
    if not GRAPH.exists():
        pytest.skip("Microsoft's description is not beside this checkout")
    spec = importlib.util.spec_from_file_location("check_request", GRAPH / "check_request.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.open", lambda file: io.StringIO(Path(file).read_text()))  # it leaves its file open
        return module.GraphSpec(GRAPH / "openapi" / "graph-v1.0.trimmed.json")
