"""The deployment package: what it holds is enough, it starts quickly, and it runs the main job from its own folder."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local import package
from local.bootstrap import ROOT
from local.stack import Options, Stack
from tests import expected, support
from tests.host.test_conformance import conforms

pytestmark = pytest.mark.slow
MOST_IMPORT_SECONDS = 3.0
"""Of processor time on a busy machine; the app's own budget is in tests/host/test_conformance.py."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("package")
    package.build(made, this_machine=True)
    return made


def test_it_is_small_enough_and_the_same_each_time(folder: Path, tmp_path: Path, say: Callable[[str], None]) -> None:
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    package.pack(folder, first)
    package.pack(folder, second)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < package.MOST_BYTES
    say(f"the package has {first.stat().st_size / 1024 / 1024:.0f} MB zipped")


def test_nothing_of_the_workshop_is_in_it(folder: Path) -> None:
    top = {path.name for path in folder.iterdir()}
    assert top == {*package.PARTS, ".python_packages"}
    named = [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.suffix == ".pyc" or path.name == "local.settings.json"
    ]
    assert [name for name in named if not name.startswith(".python_packages")] == []


def test_it_starts_with_nothing_but_itself_and_knows_every_function(folder: Path, say: Callable[[str], None]) -> None:
    """An interpreter without any packages of its own, as the worker's would be without the package."""
    script = """
import sys, time, json
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.python_packages/lib/site-packages"]
began = time.process_time()
import function_app
taken = time.process_time() - began
names = [one.get_function_name() for one in function_app.app.get_functions()]
print(json.dumps([taken, names]))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(folder)], capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-2000:]
    seconds, names = json.loads(done.stdout.strip().splitlines()[-1])
    assert sorted(names) == json.loads((ROOT / "infra" / "functions.json").read_text())
    assert seconds < MOST_IMPORT_SECONDS
    say(f"the package's app is imported in {seconds:.2f} s of processor time")


def test_microsofts_worker_library_runs_every_function_from_it(folder: Path) -> None:
    conforms(folder)


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    started = Stack(Options(people=40, devices=10, app=folder)).start()
    yield started
    started.stop()


def test_it_runs_the_demo_tenant_from_its_own_folder(stack: Stack, folder: Path) -> None:
    ids = support.configure(stack)
    began = time.monotonic()
    run = support.run_and_wait(stack, ids["connector"])
    assert run["state"] == "succeeded", run
    assert (
        expected.differences(
            "person", list(support.truth(stack, "users")), support.rows(stack, "Records", ids["source"])
        )
        == []
    )
    assert time.monotonic() - began < 60
    modules = Path(f"/proc/{stack.host_pid()}/maps")
    if modules.exists():  # what it runs on is the package's own
        assert str(folder) in modules.read_text()


def test_azd_publishes_what_was_built_before_it_packages() -> None:
    """`azd up` packages first, then provisions: a package built any later would not be in what it publishes."""
    azd = (ROOT / "azure.yaml").read_text()
    hooks = dict(re.findall(r"^  (\w+):(?: #.*)?\n    shell: sh\n    run: (.*)$", azd, re.MULTILINE))
    assert hooks == {
        "prepackage": "python3 -m local package",
        "preprovision": "python3 infra/guards.py before",
        "predeploy": "python3 infra/guards.py publish",
        "postdeploy": "python3 infra/guards.py after",
    }
    assert f"    project: {package.FOLDER.relative_to(ROOT)}\n" in azd
    assert re.search(r"^    remoteBuild: false\b", azd, re.MULTILINE)
    assert re.search(r'^  azd: ">= 1\.24', azd, re.MULTILINE), "older ones ignore remoteBuild"
