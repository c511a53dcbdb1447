"""Every fault of the simulated cloud and of storage, one request in ten: the run ends well or says why, nobody is lost."""

import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from local.stack import Options, Stack
from tests import expected, support

SMALL, LARGE = 100, 10_000
QUICK_GRAPH = ("429-date", "503", "reset", "truncate", "expired-page-token", "empty-page", "twice", "foreign-link")
QUICK_STORAGE = ("reset", "answer-lost", "empty-page")
LARGE_GRAPH = ("429", "expired-page-token")  # each kind at each request: test_matrix.py
FATAL = {"foreign-link": "graph-foreign-link"}


def _stack(people: int, page_cap: int = 999) -> Iterator[Stack]:
    started = Stack(Options(people=people, devices=people // 10, page_cap=page_cap)).start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def small() -> Iterator[Stack]:
    yield from _stack(SMALL, 25)


@pytest.fixture(scope="module")
def large() -> Iterator[Stack]:
    yield from _stack(LARGE)


@pytest.fixture(scope="module")
def large_ids(large: Stack) -> dict[str, str]:
    ids = support.configure(large)
    assert support.run_and_wait(large, ids["connector"], 300)["state"] == "succeeded"
    return ids


def _differences(stack: Stack, source: str) -> list[str]:
    rows = support.rows(stack, "Records", source)
    found = expected.differences("person", list(support.truth(stack, "users")), rows)
    return found + expected.differences("device", list(support.truth(stack, "devices")), rows)


def _fault(stack: Stack, target: str, kind: str) -> None:
    once = kind in ("expired-page-token", "delta-410")
    match = {"expired-page-token": "skiptoken", "foreign-link": r"GET /v1.0/users\?"}.get(kind, "")
    every = 1 if once else 2 if kind == "foreign-link" else 10
    body = {"target": target, "kind": kind, "every": every, "most": int(once), "match": match, "seconds": 1}
    answer = stack.admin("POST", "/faults", body)
    assert "error" not in answer, answer


def _graph_fault(stack: Stack, kind: str) -> None:
    ids = support.configure(stack)
    _fault(stack, "graph", kind)
    try:
        run = support.run_and_wait(stack, ids["connector"], 200)
    finally:
        stack.admin("DELETE", "/faults")
    _ended_well_or_explained(stack, run, ids["source"], FATAL.get(kind))
    # With the fault gone the next run makes the copy whole.
    healed = support.run_and_wait(stack, ids["connector"])
    assert healed["state"] == "succeeded", healed
    assert _differences(stack, ids["source"]) == []


def _ended_well_or_explained(stack: Stack, run: dict[str, Any], source: str, code: str | None) -> None:
    if code:
        assert run["state"] == "failed"
        assert [problem["code"] for problem in run["problems"]] == [code]
        assert run["problems"][0]["remedy"]
    else:
        assert run["state"] == "succeeded", run
        assert _differences(stack, source) == []


@pytest.mark.parametrize("kind", QUICK_GRAPH)
def test_a_graph_fault_loses_nobody(small: Stack, kind: str) -> None:
    _graph_fault(small, kind)


@pytest.mark.parametrize("kind", QUICK_STORAGE)
def test_a_storage_fault_loses_nobody(small: Stack, kind: str) -> None:
    _storage_fault(small, kind)


def _storage_fault(stack: Stack, kind: str) -> None:
    ids = support.configure(stack)
    run: dict[str, Any] = {}
    _fault(stack, "storage", kind)
    try:
        status = 0
        while status not in (200, 202):
            status, run = stack.api("POST", f"connectors/{ids['connector']}/runs")
            assert status in (200, 202, 503), run
        run = support.wait(stack, run["id"], 240)
    finally:
        stack.admin("DELETE", "/faults")
    assert run["state"] == "succeeded", run
    assert _differences(stack, ids["source"]) == []


@pytest.mark.parametrize(("target", "kind"), [("token", "503"), ("token", "reset"), ("vault", "429"), ("vault", "503")])
def test_a_fault_of_entra_or_the_vault_loses_nobody(small: Stack, target: str, kind: str) -> None:
    ids = support.configure(small)
    small.admin("POST", "/faults", {"target": target, "kind": kind, "every": 2, "seconds": 1})
    try:
        run = support.run_and_wait(small, ids["connector"])
    finally:
        small.admin("DELETE", "/faults")
    assert run["state"] == "succeeded" or run["problems"][0]["remedy"], run
    assert support.run_and_wait(small, ids["connector"])["state"] == "succeeded"
    assert _differences(small, ids["source"]) == []


@pytest.mark.prove
@pytest.mark.parametrize("kind", LARGE_GRAPH)
def test_a_graph_fault_loses_nobody_at_ten_thousand(large: Stack, large_ids: dict[str, str], kind: str) -> None:
    """The whole tenant is read again, with hires and changes to write, while the fault is on."""
    ids = large_ids
    support.mutate(large, "rename", count=300, salt=zlib.crc32(kind.encode()))
    support.mutate(large, "hire", count=20)
    _fault(large, "graph", kind)
    try:
        run = support.run_and_wait(large, ids["connector"], 300, full="true")
    finally:
        large.admin("DELETE", "/faults")
    _ended_well_or_explained(large, run, ids["source"], FATAL.get(kind))


@pytest.mark.prove
@pytest.mark.parametrize("kind", ["answer-lost"])
def test_a_storage_fault_loses_nobody_at_ten_thousand(large: Stack, kind: str) -> None:
    _storage_fault(large, kind)


@pytest.mark.parametrize(
    "own_stack",
    [{"people": 120, "devices": 10, "page_cap": 40, "settings": {"ROLLCALL_SLICE_SECONDS": "5"}}],
    indirect=True,
)
def test_a_wait_longer_than_the_slice_lets_the_run_wait_in_the_queue(own_stack: Stack) -> None:
    ids = support.configure(own_stack)
    fault = {"target": "graph", "kind": "429", "every": 3, "most": 1, "seconds": 7, "match": r"GET /v1.0/users\?"}
    own_stack.admin("POST", "/faults", fault)
    run = support.run_and_wait(own_stack, ids["connector"])
    assert run["state"] == "succeeded", run
    assert run["slice"] == 2
    assert run["waits"]["throttled"] == 1
    assert _differences(own_stack, ids["source"]) == []
