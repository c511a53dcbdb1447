"""The local host keeps the real host's rules, shown on a sample app."""

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.bootstrap import PYTHON, ROOT
from local.cloud import certificates
from local.processes import Child, clean_environment
from local.stack import Options, Stack
from tests.host.sample_app import HOST, SOURCE


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("sample")
    (folder / "function_app.py").write_text(SOURCE)
    (folder / "host.json").write_text(HOST)
    stack = Stack(Options(people=10)).start(host=False)
    number = stack.port  # held, and its own host is not started
    environment = clean_environment() | certificates.trust(stack.folder)
    environment |= {
        "SampleStorage__queueServiceUri": stack.addresses["queue"], "IDENTITY_ENDPOINT": stack.addresses["identity"],
        "IDENTITY_HEADER": "x", "SAMPLE_QUEUE": "samples", "SAMPLE_EVERY": "*/1 * * * * *",
        "AzureWebJobs.switched_off.Disabled": "true", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    command = [str(PYTHON), "-m", "local.host", "--app", str(folder), "--port", str(number)]
    child = Child("sample", command, folder / "host.log", environment, ROOT)
    child.wait_for(lambda text: "functions on http" in text)
    yield number
    child.stop()
    stack.stop()


def _ask(
    port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read(), {k.lower(): v for k, v in response.getheaders()}
    finally:
        connection.close()


def _seen(port: int, wanted: list[Any]) -> list[Any]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        seen: list[Any] = json.loads(_ask(port, "GET", "/pre/seen")[1])
        if all(entry in seen for entry in wanted):
            return seen
    raise AssertionError(f"{wanted} not in {seen}")


def test_routes_follow_templates_constraints_and_methods(port: int) -> None:
    status, body, headers = _ask(port, "POST", "/pre/things/7?a=1&empty=&b=2", b"hello", {"X-Two": "v"})
    shown = json.loads(body)
    assert (status, shown["id"], shown["body"], shown["header"]) == (201, "7", "hello", "v")
    assert (
        shown["params"] == {"a": "1", "b": "2"} and "empty=" in shown["url"]
    )  # empty values are dropped from params only
    assert headers["x-kept"] == "yes" and headers["content-type"].startswith("application/json")
    assert _ask(port, "GET", "/pre/things/special")[1] == b"special"
    assert _ask(port, "GET", "/pre/things/words")[0] == 404
    assert _ask(port, "DELETE", "/pre/things/7")[0] == 404
    assert _ask(port, "GET", "/things/7")[0] == 404


def test_a_chunked_body_arrives_empty(port: int) -> None:
    _, body, _ = _ask(port, "POST", "/pre/things/7", iter([b"chunked"]))
    assert json.loads(body)["body"] == ""


def test_a_function_that_raises_answers_500_without_a_body(port: int) -> None:
    assert _ask(port, "GET", "/pre/boom")[:2] == (500, b"")


def test_a_disabled_function_is_not_there(port: int) -> None:
    assert _ask(port, "GET", "/pre/off")[0] == 404


def test_queue_messages_come_in_and_bad_ones_go_to_the_poison_queue(port: int) -> None:
    assert _ask(port, "GET", "/pre/send/good")[1] == b"sent"
    assert _ask(port, "GET", "/pre/send/bad")[1] == b"sent"
    _seen(port, [["good", 1], ["bad", 1], ["bad", 2], ["bad", 3], ["poison:bad", 1]])


def test_timers_fire_on_time_and_by_hand(port: int) -> None:
    assert _ask(port, "POST", "/admin/functions/yearly")[0] == 202
    assert _ask(port, "POST", "/admin/functions/nothing")[0] == 404
    _seen(port, [["timer", False], ["often", 0]])


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import nothing_of_that_name", "nothing_of_that_name"),
        (
            "import azure.functions as func\napp = func.FunctionApp()\n@app.timer_trigger(arg_name='m', schedule='0 0 0 1 1 *')\ndef f(m: func.QueueMessage) -> None: ...",
            "m",
        ),
        ("import azure.functions as func\napp = func.FunctionApp()", "no functions"),
    ],
)
def test_an_app_that_can_not_be_loaded_says_why(tmp_path: Path, source: str, complaint: str) -> None:
    import subprocess

    (tmp_path / "function_app.py").write_text(source)
    (tmp_path / "host.json").write_text(HOST)
    command = [str(PYTHON), "-m", "local.host", "--app", str(tmp_path), "--port", "0"]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert complaint in done.stderr
