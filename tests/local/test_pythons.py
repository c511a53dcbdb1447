"""The search for a Python 3.13, on made-up machines: small scripts stand for interpreters, shims and package managers."""

import ast
import os
import sys
from pathlib import Path

import pytest

from local import pythons
from local.bootstrap import ROOT

STARTS_ANYWHERE = ("__init__.py", "__main__.py", "bootstrap.py", "pythons.py")


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def good(path: Path) -> Path:
    return script(path, f"echo {path}")


def older(path: Path) -> Path:
    return script(path, "echo 'it is Python 3.11.7' >&2; exit 1")


def machine(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a machine that has nothing but a home and `bin`."""
    return {"HOME": str(folder / "home"), "PATH": str(folder / "bin"), **more}


def test_the_running_python_is_taken_without_a_search_if_it_serves(tmp_path: Path) -> None:
    good(tmp_path / "bin" / "python3.13")
    assert pythons.find(machine(tmp_path), sys.executable) == (Path(sys.executable), [])


def test_a_shim_that_fails_is_passed_over_for_one_that_works_behind_it(tmp_path: Path) -> None:
    shim = script(tmp_path / "shims" / "python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    works = good(tmp_path / "bin" / "python3.13")
    running = older(tmp_path / "bin" / "python3")
    path = f"{shim.parent}{os.pathsep}{works.parent}"
    found, failed = pythons.find(machine(tmp_path, PATH=path), str(running))
    assert found == works
    assert [(one.command, one.why) for one in failed] == [
        (str(running), "it is Python 3.11.7"),
        (str(shim), "it ended with exit code 127"),
    ]


@pytest.mark.parametrize(
    ("variable", "folder", "version"),
    [
        ("PYENV_ROOT", ".pyenv/versions", "3.13.0"),
        ("ASDF_DATA_DIR", ".asdf/installs/python", "3.13.1"),
        ("MISE_DATA_DIR", ".local/share/mise/installs/python", "3.13.2"),
        ("UV_PYTHON_INSTALL_DIR", ".local/share/uv/python", "cpython-3.13.3-linux-x86_64-gnu"),
    ],
)
def test_the_folders_of_version_managers_are_looked_through(
    tmp_path: Path, variable: str, folder: str, version: str
) -> None:
    running = str(older(tmp_path / "bin" / "python3"))
    at_home = good(tmp_path / "home" / folder / version / "bin" / "python3.13")
    assert pythons.find(machine(tmp_path), running)[0] == at_home
    below = {"PYENV_ROOT": "versions", "UV_PYTHON_INSTALL_DIR": ""}.get(variable, "installs/python")
    elsewhere = good(tmp_path / "elsewhere" / below / version / "bin" / "python3.13")
    assert pythons.find(machine(tmp_path, **{variable: str(tmp_path / "elsewhere")}), running)[0] == elsewhere


def test_the_newest_version_of_a_folder_comes_first_and_other_ones_never(tmp_path: Path) -> None:
    versions = tmp_path / "home" / ".pyenv" / "versions"
    for version in ("3.12.1", "3.13.2", "3.13.10"):
        good(versions / version / "bin" / "python3.13")
    running = str(older(tmp_path / "bin" / "python3"))
    assert pythons.find(machine(tmp_path), running)[0] == versions / "3.13.10" / "bin" / "python3.13"


def test_a_candidate_that_is_no_program_is_passed_over(tmp_path: Path) -> None:
    broken = tmp_path / "home" / ".pyenv" / "versions" / "3.13.1" / "bin" / "python3.13"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"\x7fELF of another machine")
    broken.chmod(0o755)
    works = good(tmp_path / "home" / ".asdf" / "installs" / "python" / "3.13.0" / "bin" / "python3.13")
    found, failed = pythons.find(machine(tmp_path), str(older(tmp_path / "bin" / "python3")))
    assert found == works
    assert failed[1].command == str(broken) and failed[1].why


def test_a_candidate_that_hangs_is_given_up(tmp_path: Path) -> None:
    tried = pythons.probe([str(script(tmp_path / "python3.13", "exec /bin/sleep 60"))], seconds=0.2)
    assert tried.python is None and "no answer" in tried.why


def test_python_as_given_decides(tmp_path: Path) -> None:
    mine = good(tmp_path / "mine" / "python")
    good(tmp_path / "bin" / "python3.13")
    assert pythons.needed(machine(tmp_path, PYTHON=str(mine)), sys.executable) == mine


def test_python_as_given_that_does_not_serve_is_refused_and_nothing_else_is_tried(tmp_path: Path) -> None:
    good(tmp_path / "bin" / "python3.13")
    for given, why in (
        (str(older(tmp_path / "mine" / "python")), "it is Python 3.11.7"),
        (str(tmp_path / "nowhere"), "No such file"),
    ):
        with pytest.raises(SystemExit) as refused:
            pythons.needed(machine(tmp_path, PYTHON=given), sys.executable)
        assert f"PYTHON={given} does not serve: {why}" in str(refused.value)


def test_uv_fetches_one_where_none_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetched = tmp_path / "home" / ".local" / "share" / "uv" / "python" / "cpython-3.13.9-any" / "bin" / "python3.13"
    made = (
        f"/bin/mkdir -p {fetched.parent}; printf '#!/bin/sh\\necho {fetched}\\n' > {fetched}; /bin/chmod +x {fetched}"
    )
    script(tmp_path / "bin" / "uv", f'[ "$*" = "python install 3.13" ] || exit 9\n{made}')
    assert pythons.needed(machine(tmp_path), str(older(tmp_path / "bin" / "python3"))) == fetched
    assert "uv python install 3.13" in capsys.readouterr().out


def test_a_fetch_that_fails_ends_in_the_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script(tmp_path / "bin" / "uv", "echo 'no network' >&2; exit 2")
    with pytest.raises(SystemExit) as ended:
        pythons.needed(machine(tmp_path), str(older(tmp_path / "bin" / "python3")))
    assert "that did not work: no network" in capsys.readouterr().out
    assert "    uv python install 3.13\n" in str(ended.value)


def test_what_the_probe_asks_is_true_of_this_python_and_not_of_one_without_venv(tmp_path: Path) -> None:
    assert pythons.probe([sys.executable]).python == Path(sys.executable)
    # Debian ships a Python without ensurepip unless python3.13-venv is installed.
    without = f'exec {sys.executable} -I -c "import sys; sys.modules[\'ensurepip\'] = None; exec(sys.argv[1])" "$3"'
    tried = pythons.probe([str(script(tmp_path / "python3.13", without))])
    assert tried.python is None and "lacks a module" in tried.why and "ensurepip" in tried.why


def test_a_venv_whose_python_is_gone_is_not_taken_for_one_that_works(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(tmp_path / "uninstalled")
    assert not pythons.is_wanted(tmp_path / "python")
    assert not pythons.is_wanted(older(tmp_path / "older"))
    assert pythons.is_wanted(Path(sys.executable))


@pytest.mark.parametrize("name", STARTS_ANYWHERE)
def test_set_up_needs_no_newer_python_than_3_9(name: str) -> None:
    """Syntax, and what is imported before .venv is entered; tests/local/test_setup.py runs it where there is an older one."""
    tree = ast.parse((ROOT / "local" / name).read_text(), feature_version=(3, 9))
    imported: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= (
                {f"local.{alias.name}" for alias in node.names} if node.module == "local" else {str(node.module)}
            )
    ours = {f"local.{file.removesuffix('.py')}" for file in STARTS_ANYWHERE}
    known = {
        "__future__",
        "argparse",
        "hashlib",
        "os",
        "pathlib",
        "re",
        "shlex",
        "shutil",
        "subprocess",
        "sys",
        "time",
        "typing",
    }
    assert imported <= known | ours
    assert name == "__init__.py" or "__future__" in imported
