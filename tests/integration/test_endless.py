"""Pages that never end: every loop over pages stops by itself within its slice, and says why."""

import pytest

from tests.rig import Rig

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
ENDLESS = pytest.mark.parametrize("kind", ["first-again", "same-again", "empty-page"])


TENANT = (60, 0, 10)
"""Of the shared rig: people, devices, objects a page."""


def _ends(rig: Rig, connector: str, *, full: bool = False) -> None:
    before = rig.web.requests
    run = rig.run(connector, full=full)
    assert (run.state, [problem.code for problem in run.problems]) == ("failed", ["graph-page-loop"]), run.problems
    assert run.slice == 1 and rig.web.requests - before < 500
    assert rig.entities("Tombstones") == [] and rig.entities("Holds") == []
    rig.faults.clear()
    assert rig.run(connector, full=full).state == "succeeded"


@ENDLESS
@pytest.mark.parametrize("full", [False, True], ids=["first", "again"])
def test_a_list_that_never_ends_fails_within_its_slice(rig: Rig, kind: str, full: bool) -> None:
    connector = rig.configure()
    if full:
        rig.run(connector)
    rig.fault(kind, match=r"/users\?")
    _ends(rig, connector, full=full)


@pytest.mark.parametrize("kind", ["first-again", "same-again"])
@pytest.mark.parametrize("full", [False, True], ids=["round", "after a list"])
def test_changes_that_never_end_fail_within_their_slice(rig: Rig, kind: str, full: bool) -> None:
    connector = rig.configure()
    rig.run(connector)
    for index in range(30):
        rig.directory.change("users", index, {"city": "Elsewhere"})
    rig.fault(kind, match="/users/delta.*deltatoken=(?!latest)")
    if full:  # what changes while the list is read is told by more than one page
        rig.graph.thin = lambda way, item: _changing(rig, item) if way == "list" else item
    _ends(rig, connector, full=full)


def _changing(rig: Rig, item: dict[str, object]) -> dict[str, object]:
    index = rig.directory.index_of("users", str(item["id"]))
    if index is not None and index < 30:
        rig.directory.change("users", index, {"state": "Elsewhere"})
    return item


@ENDLESS
def test_members_that_never_end_fail_the_run_within_its_slice(rig: Rig, kind: str) -> None:
    connector = rig.configure(source={"excludedGroups": ["Service accounts"]})
    rig.directory.set_members(0, list(range(30)))
    rig.fault(kind, match="transitiveMembers")
    _ends(rig, connector)


def test_many_small_pages_and_some_empty_ones_are_no_loop(rig: Rig) -> None:
    connector = rig.configure()
    rig.fault("empty-page", every=2)
    run = rig.run(connector)
    assert (run.state, run.streams[0].new) == ("succeeded", 60)


def test_members_are_read_over_as_many_slices_as_it_takes(rig: Rig) -> None:
    connector = rig.configure(source={"excludedGroups": ["Service accounts"]})
    rig.directory.set_members(0, list(range(35)))
    rig.slice_seconds = 0.0
    before = rig.web.requests
    run = rig.run(connector)
    assert run.state == "succeeded" and run.slice > 4 and run.streams[0].out_of_scope >= 35
    assert rig.web.requests - before < 60
    assert len(rig.entities("Records")) == 60 - run.streams[0].out_of_scope
    rig.slice_seconds = 480.0
    assert rig.run(connector).streams[0].mode == "delta"  # what was kept on the way is of use


def test_members_that_are_throttled_are_read_on_where_they_stopped(rig: Rig) -> None:
    connector = rig.configure(source={"excludedGroups": ["Service accounts"]})
    rig.directory.set_members(0, list(range(35)))
    rig.fault("429", match="transitiveMembers.*skiptoken", seconds=400, most=1)
    run = rig.run(connector)
    assert run.state == "succeeded" and run.slice == 2 and run.streams[0].out_of_scope >= 35


def test_a_change_between_two_slices_of_members_is_seen_by_the_next_run(rig: Rig) -> None:
    connector = rig.configure(source={"excludedGroups": ["Service accounts"]})
    rig.directory.set_members(0, list(range(35)))
    rig.fault("429", match="transitiveMembers.*skiptoken", seconds=400, most=1)
    change = [*range(1, 35), 50]
    sleep = rig.clock.move

    def move(seconds: float) -> None:
        if seconds > 100:
            rig.directory.set_members(0, change)
        sleep(seconds)

    rig.clock.move = move  # type: ignore[method-assign]
    rig.run(connector)
    rig.clock.move = sleep  # type: ignore[method-assign]
    rig.run(connector)
    stored = {row["RowKey"].partition("|")[0] for row in rig.entities("Records")}
    assert rig.directory.maker.object_id("user", 0) in stored
    assert rig.directory.maker.object_id("user", 50) not in stored
