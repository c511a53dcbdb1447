"""Whatever hangs behind the app, each request is answered in time, truly, and others are not kept waiting by it."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.stack import Options, Stack
from shared.api.pools import SIZES
from shared.health import FRESH, NO_ANSWER
from tests import support

pytestmark = pytest.mark.slow  # it waits most of a minute
SECONDS = 3.0
HANGS = 5.0


@pytest.fixture(scope="module")
def hanging() -> Iterator[Stack]:
    settings = {"ROLLCALL_REQUEST_SECONDS": f"{SECONDS:g}", "ROLLCALL_TICK": "0 0 0 1 1 *"}
    started = Stack(Options(people=5, devices=0, settings=settings)).start()
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def well(hanging: Stack) -> Iterator[None]:
    yield
    hanging.admin("DELETE", "/faults")
    until = time.monotonic() + 10
    while not _free(hanging):  # a thread goes on until the service it waited for has answered
        assert time.monotonic() < until, "threads that wait for storage do not come back"
        time.sleep(0.1)


def _free(stack: Stack) -> bool:
    """Every thread for storage is."""
    size = SIZES["storage"]
    with ThreadPoolExecutor(size) as callers:
        return all(
            status == 200 for status, _ in callers.map(lambda _: stack.api("GET", "organizations")[:2], range(size))
        )


def _hang(stack: Stack, target: str, match: str = "", seconds: float = HANGS) -> None:
    stack.admin("POST", "/faults", {"target": target, "kind": "delay", "every": 1, "seconds": seconds, "match": match})


def _timed(stack: Stack, method: str, path: str, body: Any = None, **headers: str) -> tuple[float, int, Any]:
    began = time.monotonic()
    status, answer = stack.api(method, path, body, headers)
    return time.monotonic() - began, status, answer


def test_a_read_of_storage_that_hangs_is_given_up_in_time(hanging: Stack) -> None:
    _hang(hanging, "storage")
    took, status, problem = _timed(hanging, "GET", "organizations")
    assert (status, problem["code"]) == (504, "out-of-time") and problem["remedy"]
    assert took < SECONDS + 1


def test_storage_that_hangs_takes_its_own_threads_only(hanging: Stack) -> None:
    _hang(hanging, "storage", seconds=SECONDS + 1)
    with ThreadPoolExecutor(60) as callers:
        asked = [callers.submit(_timed, hanging, "GET", "organizations") for _ in range(40)]
        time.sleep(0.3)
        others = [
            callers.submit(_timed, hanging, "GET", path) for path in ("docs", "openapi.json", "health", "nonsense") * 2
        ]
        for took, status, _ in (other.result() for other in others):
            assert took < 2.2 and status in (200, 503, 404)
        answers = [answer.result() for answer in asked]
    codes = Counter(problem["code"] for _, _, problem in answers)
    assert codes == {"out-of-time": SIZES["storage"], "busy": 40 - SIZES["storage"]}
    assert all(took < 1.5 for took, _, problem in answers if problem["code"] == "busy")
    assert all(took < SECONDS + 1 for took, _, _ in answers)


def test_a_change_that_was_sent_and_not_answered_is_unknown_and_the_answer_says_where_to_look(hanging: Stack) -> None:
    made = support.make(hanging, "organizations", {"name": "Before"})
    _hang(hanging, "storage", r"POST .*\$batch", seconds=SECONDS + 1)
    took, status, problem = _timed(
        hanging, "PATCH", f"organizations/{made['id']}", {"name": "After"}, **{"If-Match": "*"}
    )
    assert (status, problem["code"]) == (504, "outcome-unknown") and took < SECONDS + 1
    assert f"/api/v1/organizations/{made['id']}" in problem["remedy"]
    _, status, problem = _timed(hanging, "POST", "organizations", {"name": "Another"})
    assert (status, problem["code"]) == (504, "outcome-unknown")
    assert "List /api/v1/organizations " in problem["remedy"]
    hanging.admin("DELETE", "/faults")
    time.sleep(1.5)  # what was under way arrives
    names = [one["name"] for one in hanging.api("GET", "organizations")[1]["items"]]
    assert "After" in names and "Another" in names


def test_nothing_is_written_behind_the_deadline(hanging: Stack) -> None:
    """Reading took all the time there was: the write is not begun, and the answer says that nothing was changed."""
    made = support.make(hanging, "organizations", {"name": "Slow to read"})
    _hang(hanging, "storage", "^GET", seconds=SECONDS - 0.4)
    _, status, problem = _timed(hanging, "PATCH", f"organizations/{made['id']}", {"name": "New"}, **{"If-Match": "*"})
    assert (status, problem["code"]) == (504, "out-of-time")
    hanging.admin("DELETE", "/faults")
    time.sleep(1)
    assert hanging.api("GET", f"organizations/{made['id']}")[1]["name"] == "Slow to read"


def test_a_vault_that_hangs_keeps_nobody_from_anything_else(hanging: Stack) -> None:
    _hang(hanging, "vault", seconds=SECONDS + 1)
    body = {"clientId": "c11e0000-0000-4000-8000-000000000001", "clientSecret": "s3cret-value"}
    with ThreadPoolExecutor(20) as callers:
        asked = [callers.submit(_timed, hanging, "POST", "credentials", {"name": f"c{n}", **body}) for n in range(8)]
        time.sleep(0.3)
        took, status, _ = _timed(hanging, "GET", "organizations")
        assert status == 200 and took < 2
        answers = [answer.result() for answer in asked]
    assert Counter(problem["code"] for _, _, problem in answers) == {
        "outcome-unknown": SIZES["vault"],
        "busy": 8 - SIZES["vault"],
    }
    assert all(took < SECONDS + 1 for took, _, _ in answers)
    hanging.admin("DELETE", "/faults")
    assert hanging.api("GET", "credentials")[1]["items"] == []


TABLES, QUEUES, VAULT = ("storage", "Config"), ("storage", "rollcall-cloud"), ("vault", "")


@pytest.mark.parametrize(
    ("what", "check", "kind", "code"),
    [
        (TABLES, "tables", "delay", "storage-unreachable"), (TABLES, "tables", "503", "storage-busy"),
        (QUEUES, "queues", "delay", "storage-unreachable"), (QUEUES, "queues", "503", "storage-busy"),
        (VAULT, "vault", "delay", "vault-unreachable"), (VAULT, "vault", "503", "vault-error"),
        (VAULT, "vault", "reset", "vault-unreachable"),
    ],
)  # fmt: skip
def test_health_is_true_and_in_time(hanging: Stack, what: tuple[str, str], check: str, kind: str, code: str) -> None:
    target, match = what
    fault = {"target": target, "kind": kind, "every": 1, "seconds": HANGS, "match": match}
    hanging.admin("POST", "/faults", fault)
    time.sleep(FRESH)  # what was seen last is told so long
    took, status, health = _timed(hanging, "GET", "health")
    assert took < 2.2
    assert (status, health["status"]) == (503, "degraded")
    wrong = {name: value for name, value in health["checks"].items() if value != "ok"}
    assert wrong.keys() == {check} and wrong[check] in (code, NO_ANSWER)
