"""Runs that take several slices: the time is up again and again, or a page never comes. One that waits in the queue of a
host of its own is in test_faults.
"""

from local.cloud.graph.people import SECOND_DOMAIN
from tests import expected
from tests.rig import Rig

TENANT = (60, 6, 8)


def _right(rig: Rig) -> None:
    for record_type, collection in (("person", "users"), ("device", "devices")):
        rows = [row for row in rig.entities("Records") if f"|{record_type}|" in row["PartitionKey"]]
        assert expected.differences(record_type, list(rig.objects(collection)), rows) == []


def test_a_page_token_that_never_lives_fails_the_run_and_removes_nobody(rig: Rig) -> None:
    connector = rig.configure()
    rig.fault("expired-page-token", match="skiptoken")
    run = rig.run(connector)
    assert run.state == "failed"
    assert [problem.code for problem in run.problems if problem.stream == "users"] == ["graph-page-token-expired"]
    rig.faults.clear()
    assert rig.run(connector).state == "succeeded"
    _right(rig)


def test_a_failed_last_page_removes_nobody(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    stored = {row["RowKey"] for row in rig.entities("Records")}
    rig.directory.leave("users", [51, 53, 55, 57, 59], purge=True)
    rig.fault("expired-page-token", match="skiptoken")
    assert rig.run(connector, full=True).state == "failed"
    assert {row["RowKey"] for row in rig.entities("Records")} == stored and rig.entities("Tombstones") == []
    rig.faults.clear()
    assert rig.run(connector).streams[0].removed == 5
    _right(rig)


def test_a_run_goes_on_over_many_slices(rig: Rig) -> None:
    connector = rig.configure()
    rig.slice_seconds = 0.0
    run = rig.run(connector)
    assert run.state == "succeeded", run
    assert run.slice >= 8  # a page each
    _right(rig)


def test_slices_that_are_nearly_all_waiting_still_get_on(rig: Rig) -> None:
    """Every third request for people is throttled for longer than a slice: what was read before the wait must be durable."""
    connector = rig.configure()
    rig.slice_seconds = 3.0
    rig.fault("429", every=3, seconds=4, match=r"GET /v1.0/users\?")
    run = rig.run(connector)
    assert run.state == "succeeded", run
    assert run.slice >= 3
    assert run.streams[0].pages == 8
    _right(rig)


def test_objects_that_leave_the_scope_do_not_confuse_a_run_of_many_slices(rig: Rig) -> None:
    connector = rig.configure(removalLimit={"count": 5000, "percent": 100})
    rig.run(connector)
    rig.directory.leave("users", [3, 9, 21, 40])
    rig.change("source", "a", domains=[SECOND_DOMAIN])
    rig.slice_seconds = 0.0
    run = rig.run(connector)
    users = run.streams[0]
    wanted = {person["id"] for person in rig.objects() if (person["mail"] or "").endswith(f"@{SECOND_DOMAIN}")}
    stored = {row["RowKey"].split("|")[0] for row in rig.entities("Records") if "|person|" in row["PartitionKey"]}
    assert run.slice >= 2 and wanted
    assert stored == wanted
    assert (users.removed, users.reason) == (4, "scope-changed")
    assert users.out_of_scope + users.unchanged == 56
