"""Two releases on one storage account: the made-up next layout is read before it is written, and an older reader is refused."""

from typing import Any

import pytest

from shared.errors import Unavailable
from shared.storage.layout import Form, Layout
from tests.rig import TESTER, Rig

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


def _renamed(**columns: str) -> Form:
    """A form in which columns have other names."""

    def rename(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
        return {
            names[head] + name[len(head) :] if (head := name.partition("@")[0]) in names else name: value
            for name, value in row.items()
        }

    back = {new: old for old, new in columns.items()}
    return Form(lambda row: rename(row, columns), lambda row: rename(row, back))


# As the release of tomorrow sees it: in version 1 some columns had the names of today.
TODAY = {
    "Records": _renamed(Digest="OldDigest", City="Town"),
    "Config": _renamed(Body="Text"),
    "State": _renamed(Body="Json"),
}
OLD = Layout(1, {1: TODAY})
BOTH = Layout(1, {1: TODAY, 2: {}})
NEW = Layout(2, {1: TODAY, 2: {}})


def _versions(rig: Rig) -> set[int]:
    return {row["V"] for rows in rig.snapshot().values() for row in rows.values()}


def test_workers_of_two_releases_take_turns_on_one_storage_account(rig: Rig) -> None:
    rig.layout = OLD
    connector = rig.configure()
    assert rig.run(connector).streams[0].new == 24
    assert all("OldDigest" in row and "Digest" not in row for row in rig.entities("Records"))
    for layout, index in ((BOTH, 2), (OLD, 3), (BOTH, 4)):
        rig.layout = layout
        rig.directory.change("users", index, {"city": f"City {index}"})
        run = rig.run(connector, full=index == 3)
        assert (run.state, run.streams[0].changed) == ("succeeded", 1)
        assert _versions(rig) == {1}, "the release that reads both writes the old one"
    for layout, index in ((NEW, 5), (BOTH, 6), (NEW, 7)):
        rig.layout = layout
        rig.directory.change("users", index, {"city": f"City {index}"})
        run = rig.run(connector, full=index == 7)
        assert (run.state, run.streams[0].changed, run.streams[0].new) == ("succeeded", 1, 0)
    assert _versions(rig) == {1, 2}
    found = {row["RowKey"].split("|")[0]: row.get("City") or row.get("Town") for row in rig.entities("Records")}
    for index in range(2, 8):
        assert found[rig.ids([index])[0]] == f"City {index}"
    rig.directory.leave("users", [8], purge=True)
    assert rig.run(connector).streams[0].removed == 1


def test_a_release_that_can_not_read_what_others_write_is_refused_and_changes_nothing(rig: Rig) -> None:
    rig.layout = NEW
    connector = rig.configure()
    rig.app().tick.run()
    assert rig.run(connector).state == "succeeded"
    before = rig.snapshot()
    rig.layout = OLD
    with pytest.raises(Unavailable) as refused:
        rig.app().tick.run()
    assert refused.value.code == "release-too-old" and "Deploy the newest release" in refused.value.remedy
    with pytest.raises(Unavailable) as unread:
        rig.app().dispatch.run_now(connector, TESTER)
    assert unread.value.code == "schema-too-new"
    assert rig.snapshot() == before
    rig.layout = BOTH
    rig.app().tick.run()
    assert rig.run(connector).state == "succeeded"


@pytest.mark.parametrize(
    ("first", "second"),
    [(OLD, BOTH), (BOTH, OLD), (BOTH, NEW), (NEW, BOTH)],
    ids=["up", "back", "up-again", "back-again"],
)
def test_a_run_under_way_survives_an_upgrade_and_a_rollback_by_one_release(
    rig: Rig, first: Layout, second: Layout
) -> None:
    """One release begins it, is stopped in the middle by the deployment, and the other one ends it; its queued message is still there."""
    rig.layout = first
    connector = rig.configure()
    rig.slice_seconds = 0.0  # a slice for each page
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    for _ in range(2):
        (message,) = [message for message in rig.messages() if not message.get("guard")]
        rig.work(message)
    begun = rig.app().runs.get(run.id)
    assert begun and not begun.state.closed and begun.slice > 1
    rig.layout = second
    ended = rig.finish(run.id)
    assert ended.state == "succeeded" and ended.streams[0].new == 24
    assert len([row for row in rig.entities("Records") if "|users" in row["RowKey"]]) == 24
    rig.layout = first
    rig.directory.change("users", 3, {"city": "After the rollback"})
    assert rig.run(connector).streams[0].changed == 1


def test_a_rollback_by_more_than_one_release_is_refused_with_what_to_do(rig: Rig) -> None:
    rig.layout = NEW
    connector = rig.configure()
    rig.app().tick.run()
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    rig.layout = OLD
    with pytest.raises(Unavailable) as refused:
        rig.app().tick.run()
    assert refused.value.code == "release-too-old" and "Nothing was changed" in refused.value.remedy
    rig.layout = NEW
    assert rig.finish(run.id).state == "succeeded"


def test_tables_made_from_scratch_equal_those_that_were_carried_forward(rig: Rig) -> None:
    def people(layouts: tuple[Layout, ...]) -> list[dict[str, Any]]:
        rig.reset()
        for layout in layouts:
            rig.layout = layout
            connector = rig.configure() if layout is layouts[0] else "ca"
            rig.run(connector, full=True)
            rig.directory.change("users", 1, {"city": f"By {layouts.index(layout)}"})
        rig.directory.change("users", 1, {"city": "At last"})
        rig.run("ca", full=True)
        rows = [row for row in rig.entities("Records") if "|users" in row["RowKey"]]
        own = ("ChangedAt", "FirstSeenAt", "ChangedBy", "V", "OldDigest", "Town", "Digest")
        return [
            {name: value for name, value in row.items() if name not in own}
            | {"City": row.get("City") or row.get("Town")}
            for row in rows
        ]

    assert people((NEW,)) == people((OLD, BOTH, NEW))
