"""Replicas of the directory that do not know somebody yet: absence alone, asked for once, makes no leaver."""

import pytest

from shared.domain.run import Run
from tests.rig import Rig

PEOPLE, DEVICES = 40, 6
HOUR = 3600


TENANT = (PEOPLE, DEVICES, 25)
"""Of the shared rig: people, devices, objects a page."""


def _stored(rig: Rig, stream: str = "users") -> set[str]:
    return {row["RowKey"].partition("|")[0] for row in rig.entities("Records") if row["RowKey"].endswith(stream)}


def _reasons(rig: Rig) -> list[str]:
    return sorted(row["Reason"] for row in rig.entities("Tombstones"))


def _quiet(rig: Rig, run: Run, *, pending: int) -> None:
    assert run.state == "succeeded", (run.state, run.problems)
    assert sum(stream.pending for stream in run.streams) == pending
    assert _reasons(rig) == []


def test_a_hire_that_a_lagging_replica_does_not_know_stays(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    (hired,) = rig.directory.hire(1)
    rig.run(connector)
    assert hired in _stored(rig)
    rig.clock.move(360)
    rig.graph.behind.add(("users", PEOPLE))
    _quiet(rig, rig.run(connector, full=True), pending=1)
    rig.clock.move(2 * HOUR)
    _quiet(rig, rig.run(connector), pending=1)
    _quiet(rig, rig.run(connector, full=True), pending=1)
    assert hired in _stored(rig)
    rig.graph.behind.clear()
    _quiet(rig, rig.run(connector, full=True), pending=0)
    assert hired in _stored(rig) and rig.entities("Holds") == []


@pytest.mark.parametrize("full", [False, True], ids=["round", "list"])
def test_who_was_there_for_long_goes_with_the_second_answer(rig: Rig, full: bool) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.clock.move(25 * HOUR)
    rig.run(connector)
    rig.directory.leave("users", [3], purge=True)
    _quiet(rig, rig.run(connector, full=True), pending=1)
    rig.clock.move(HOUR // 2)
    _quiet(rig, rig.run(connector, full=full), pending=1)  # too soon
    rig.clock.move(HOUR)
    run = rig.run(connector, full=full)
    assert (run.state, run.streams[0].removed, run.streams[0].pending) == ("succeeded", 1, 0)
    assert _reasons(rig) == ["gone"] and rig.entities("Holds") == [] and len(_stored(rig)) == PEOPLE - 1
    assert rig.run(connector).streams[0].removed == 0


def test_a_device_too(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.clock.move(25 * HOUR)
    rig.directory.leave("devices", [2], purge=True)
    _quiet(rig, rig.run(connector, full=True), pending=1)
    rig.clock.move(HOUR)
    assert rig.run(connector).streams[1].removed == 1
    assert len(_stored(rig, "devices")) == DEVICES - 1


def test_who_is_among_the_deleted_goes_at_any_age(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.directory.leave("users", [3])
    run = rig.run(connector, full=True)
    assert (run.streams[0].removed, run.streams[0].pending) == (1, 0) and _reasons(rig) == ["deleted"]


def test_a_report_of_removal_goes_at_any_age_and_ends_the_waiting(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.graph.behind.add(("users", 3))
    _quiet(rig, rig.run(connector, full=True), pending=1)
    rig.directory.leave("users", [3, 4], purge=True)
    run = rig.run(connector)
    assert (run.streams[0].mode, run.streams[0].removed, run.streams[0].pending) == ("delta", 2, 0)
    assert _reasons(rig) == ["gone", "gone"] and rig.entities("Holds") == []


def test_who_came_back_lately_is_as_new_as_a_hire(rig: Rig) -> None:
    connector = rig.configure(source={"domains": ["contoso.example"]})
    rig.run(connector)
    inside = rig.directory.index_of("users", min(_stored(rig)))
    assert inside is not None
    address = str((rig.directory.get("users", inside) or {})["userPrincipalName"])
    rig.directory.change("users", inside, {"userPrincipalName": "x@fabrikam.example", "mail": "x@fabrikam.example"})
    rig.run(connector)
    rig.clock.move(48 * HOUR)
    rig.directory.change("users", inside, {"userPrincipalName": address, "mail": address})
    assert rig.run(connector).streams[0].returned == 1
    rig.graph.behind.add(("users", inside))
    _quiet(rig, rig.run(connector, full=True), pending=1)
    rig.clock.move(3 * HOUR)
    _quiet(rig, rig.run(connector, full=True), pending=1)
    rig.clock.move(22 * HOUR)
    assert rig.run(connector).streams[0].removed == 1


def test_a_change_that_is_told_ends_the_waiting(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.graph.behind.add(("users", 3))
    _quiet(rig, rig.run(connector, full=True), pending=1)
    rig.graph.behind.clear()
    rig.directory.change("users", 3, {"city": "Back"})
    _quiet(rig, rig.run(connector), pending=0)
    assert rig.entities("Holds") == []


def test_many_absences_that_are_confirmed_wait_for_a_person(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.clock.move(25 * HOUR)
    rig.directory.leave("users", list(range(12)), purge=True)
    _quiet(rig, rig.run(connector, full=True), pending=12)
    assert rig.app().removals.holds() == []  # nobody has to decide yet
    rig.clock.move(HOUR)
    run = rig.run(connector)
    assert (run.state, run.streams[0].held, run.streams[0].pending) == ("held", 12, 0)
    (hold,) = rig.app().removals.holds()
    assert (hold.waiting, hold.causes) == (12, {"gone": 12})
    assert _reasons(rig) == []


def test_the_owner_sets_how_long_an_object_is_new(rig: Rig) -> None:
    connector = rig.configure(removalLimit={"graceHours": 0})
    rig.run(connector)
    rig.directory.leave("users", [3], purge=True)
    _quiet(rig, rig.run(connector, full=True), pending=1)
    rig.clock.move(HOUR)
    assert rig.run(connector).streams[0].removed == 1


def test_no_clear_second_answer_goes_on_waiting(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.clock.move(25 * HOUR)
    rig.directory.leave("users", [3], purge=True)
    _quiet(rig, rig.run(connector, full=True), pending=1)
    rig.clock.move(HOUR)
    rig.fault("part-503", match="batch")
    _quiet(rig, rig.run(connector), pending=1)
    rig.faults.clear()
    assert rig.run(connector).streams[0].removed == 1


def test_a_quiet_round_after_it_costs_one_request_again(rig: Rig) -> None:
    connector = rig.configure(options={"collectDevices": False})
    rig.run(connector)
    rig.graph.behind.add(("users", 3))
    rig.run(connector, full=True)
    rig.graph.behind.clear()
    rig.run(connector, full=True)
    before = rig.web.requests
    rig.run(connector)
    assert rig.web.requests - before == 1
