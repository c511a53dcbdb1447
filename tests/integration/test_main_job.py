"""The main job on the wire: a tenant arrives in Table Storage, whole and right."""

import pytest

from local.stack import Stack
from shared.connectors.entra_id import DEVICES, PEOPLE
from tests import expected, support


def test_the_expectations_cover_every_mapped_attribute() -> None:
    for attributes, columns in ((PEOPLE, expected.PEOPLE), (DEVICES, expected.DEVICES)):
        assert {attribute.column for attribute in attributes if attribute.source} == set(columns)


def _compare(stack: Stack) -> list[str]:
    rows = support.rows(stack, "Records")
    found = expected.differences("person", list(support.truth(stack, "users")), rows)
    return found + expected.differences("device", list(support.truth(stack, "devices")), rows)


@pytest.mark.parametrize("own_stack", [{"people": 2500, "devices": 1500}], indirect=True)
def test_every_person_and_device_is_stored_once_with_every_attribute(own_stack: Stack) -> None:
    ids = support.configure(own_stack)
    first = support.run_and_wait(own_stack, ids["connector"])
    assert first["state"] == "succeeded", first
    assert {s["name"]: (s["read"], s["new"], s["expected"]) for s in first["streams"]} == {
        "users": (2500, 2500, 2500),
        "devices": (1500, 1500, 1500),
    }
    assert _compare(own_stack) == []

    before = {(row["PartitionKey"], row["RowKey"]): row for row in support.rows(own_stack, "Records")}
    second = support.run_and_wait(own_stack, ids["connector"])
    assert {s["name"]: (s["new"], s["changed"], s["unchanged"]) for s in second["streams"]} == {
        "users": (0, 0, 2500),
        "devices": (0, 0, 1500),
    }
    assert before == {(row["PartitionKey"], row["RowKey"]): row for row in support.rows(own_stack, "Records")}

    renamed = support.mutate(own_stack, "rename", count=20, salt=5)
    hired = support.mutate(own_stack, "hire", count=7)
    third = support.run_and_wait(own_stack, ids["connector"])
    users = next(s for s in third["streams"] if s["name"] == "users")
    assert (users["new"], users["changed"], users["unchanged"]) == (len(hired), len(renamed), 2480)
    assert _compare(own_stack) == []
    _search_follows_a_rename(own_stack, renamed)


def _search_follows_a_rename(stack: Stack, renamed: list[str]) -> None:
    _, found = stack.api("GET", "people/search?text=renamed%205&limit=100")
    assert {item["id"].split("~")[1] for item in found["items"]} == set(renamed)
    lookups = support.rows(stack, "Lookup")
    people = {u["id"]: u for u in support.truth(stack, "users")}
    for row in lookups:
        if row["PartitionKey"].startswith("name|"):
            assert row["DisplayName"] == people[row["ObjectId"]]["displayName"]
    assert sum(row["PartitionKey"].startswith("name|") for row in lookups) == len(people)


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


def test_an_object_that_leaves_is_kept_and_counted_until_its_absence_is_proved(stack: Stack) -> None:
    """Absence from one read is no proof: nobody is removed by it."""
    ids = support.configure(stack)
    support.run_and_wait(stack, ids["connector"])
    gone = support.mutate(stack, "leave", count=3, salt=11)
    try:
        run = support.run_and_wait(stack, ids["connector"])
        assert run["state"] == "succeeded"
        assert next(s for s in run["streams"] if s["name"] == "users")["notSeen"] == 3
        stored = {
            row["RowKey"].split("|")[0]
            for row in support.rows(stack, "Records")
            if ids["source"] in row["PartitionKey"]
        }
        assert set(gone) <= stored
    finally:
        support.mutate(stack, "restore", ids=gone)
