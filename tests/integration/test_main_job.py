"""The main job on the wire: a tenant arrives in Table Storage, whole and right."""

import pytest

from local.stack import Stack
from shared.connectors import REGISTRY
from tests import expected, support


def test_the_expectations_cover_every_mapped_attribute() -> None:
    for stream in (stream for kind in REGISTRY.kinds.values() for stream in kind.streams if not stream.leader):
        if stream.record_type.name not in expected.COLUMNS:
            continue  # what the tenant has bought: test_licences compares it
        mapped = {attribute.column for attribute in stream.attributes if attribute.source}
        assert mapped == set(expected.COLUMNS[stream.record_type.name]), "see tests/expected.py"


def _compare(stack: Stack) -> list[str]:
    rows = support.rows(stack, "Records")
    found = expected.differences("person", list(support.truth(stack, "users")), rows)
    return found + expected.differences("device", list(support.truth(stack, "devices")), rows)


@pytest.mark.parametrize("own_stack", [{"people": 1200, "devices": 700}], indirect=True)
def test_every_person_and_device_is_stored_once_with_every_attribute(own_stack: Stack) -> None:
    ids = support.configure(own_stack)
    first = support.run_and_wait(own_stack, ids["connector"])
    assert first["state"] == "succeeded", first
    assert {s["name"]: (s["read"], s["new"], s["expected"]) for s in first["streams"]} == {
        "users": (1200, 1200, 1200),
        "devices": (700, 700, 700),
    }
    assert _compare(own_stack) == []

    before = {(row["PartitionKey"], row["RowKey"]): row for row in support.rows(own_stack, "Records")}
    options: dict[str, str]
    for options, mode, unchanged in (({}, "delta", (0, 0)), ({"full": "true"}, "full", (1200, 700))):
        again = support.run_and_wait(own_stack, ids["connector"], 120, **options)
        assert {s["name"]: (s["mode"], s["new"], s["changed"], s["unchanged"]) for s in again["streams"]} == {
            "users": (mode, 0, 0, unchanged[0]),
            "devices": (mode, 0, 0, unchanged[1]),
        }
        assert before == {(row["PartitionKey"], row["RowKey"]): row for row in support.rows(own_stack, "Records")}

    for number, (options, mode) in enumerate((({}, "delta"), ({"full": "true"}, "full"))):
        renamed = support.mutate(own_stack, "rename", count=20, salt=5 + number)
        hired = support.mutate(own_stack, "hire", count=7)
        left = support.mutate(own_stack, "leave", count=5, salt=50 + number)
        third = support.run_and_wait(own_stack, ids["connector"], 120, **options)
        users = support.stream(third)
        assert (users["mode"], users["new"], users["removed"]) == (mode, len(set(hired) - set(left)), 5)
        assert users["changed"] == len(set(renamed) - set(left))
        assert _compare(own_stack) == []
        _search_follows_a_rename(own_stack, 5 + number, set(renamed) - set(left))


def _search_follows_a_rename(stack: Stack, salt: int, renamed: set[str]) -> None:
    _, found = stack.api("GET", f"people/search?text=renamed%20{salt}&limit=100")
    assert {item["id"].split("~")[1] for item in found["items"]} == renamed
    lookups = support.rows(stack, "Lookup")
    people = {u["id"]: u for u in support.truth(stack, "users")}
    for row in lookups:
        if row["PartitionKey"].startswith("name."):
            assert row["DisplayName"] == people[row["ObjectId"]]["displayName"]
    assert sum(row["PartitionKey"].startswith("name.") for row in lookups) == len(people)


@pytest.mark.slow
@pytest.mark.parametrize("own_stack", [{"people": 10000, "devices": 6000}], indirect=True)
def test_ten_thousand_people_need_at_most_250_megabytes(own_stack: Stack) -> None:
    import psutil

    ids = support.configure(own_stack)
    process = psutil.Process(own_stack.host_pid())
    run, peak = support.run_now(own_stack, ids["connector"]), 0
    while True:
        peak = max(peak, process.memory_info().rss)
        _, now = own_stack.api("GET", f"runs/{run['id']}")
        if now["finishedAt"]:
            break
    assert now["state"] == "succeeded"
    print(f"\npeak memory of the worker at 10,000 people: {peak / 2**20:.0f} MB")
    assert peak <= 250 * 2**20
    assert _compare(own_stack) == []
