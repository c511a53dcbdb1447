"""One round after another: what changes between the slices of a run, what a stopped run leaves behind, what Graph says in
an odd order. What is stored is compared with the tenant each time.
"""

from typing import Any

import pytest

from shared.domain.run import Run
from shared.names import HOLDS
from shared.storage.holds import decide
from tests import expected
from tests.rig import ROLES, TESTER, Rig

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
PEOPLE = 24


def _stored(rig: Rig) -> list[dict[str, Any]]:
    return [row for row in rig.entities("Records") if "|person|" in row["PartitionKey"]]


def _right(rig: Rig, people: list[dict[str, Any]] | None = None) -> None:
    """Records are the tenant, and each is found by its present names alone."""
    rows = _stored(rig)
    assert expected.differences("person", list(rig.objects()) if people is None else people, rows) == []
    found: dict[str, set[str]] = {}
    for card in rig.entities("Lookup"):
        found.setdefault(card["ObjectId"], set()).add(card["DisplayName"])
    assert found == {row["RowKey"].split("|")[0]: {row["DisplayName"]} for row in rows}


def _begun(rig: Rig, connector: str, slices: int, **options: Any) -> str:
    """A run of which so many slices of one page each are done; the next message waits."""
    rig.slice_seconds = 0.0
    run, _ = rig.app().dispatch.run_now(connector, TESTER, **options)
    for _ in range(slices):
        (message,) = rig.messages()
        assert rig.work(message).startswith("slice over"), rig.told
    rig.slice_seconds = 480.0
    return run.id


def _in_domain(rig: Rig, domain: str) -> list[dict[str, Any]]:
    return [person for person in rig.objects() if (person["mail"] or "").endswith(f"@{domain}")]


def _not_excluded(rig: Rig) -> list[dict[str, Any]]:
    """Whoever is in no service-account group, nested ones included."""
    gone = set(rig.ids(list(rig.directory.members(0, nested=True))))
    return [person for person in rig.objects() if person["id"] not in gone]


def test_a_scope_that_changes_between_two_slices_counts_from_the_first_page_on(rig: Rig) -> None:
    connector = rig.configure(removalLimit={"count": 5000, "percent": 100})
    rig.run(connector)
    run = _begun(rig, connector, 2, full=True)
    rig.change("source", "a", domains=["contoso.example"])
    ended = rig.finish(run)
    assert ended.state == "succeeded"
    inside = _in_domain(rig, "contoso.example")
    assert 0 < len(inside) < PEOPLE
    _right(rig, inside)
    assert ended.streams[0].left_scope == PEOPLE - len(inside)
    assert rig.entities("Tombstones") == []


def test_a_changed_scope_is_one_entry_however_often_its_run_began(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.change("source", "a", domains=["contoso.example"])
    run = _begun(rig, connector, 2)
    rig.app().dispatch.halt(connector, "test")
    assert rig.finish(run).state == "cancelled"
    rig.roles = []
    assert rig.run(connector).state == "failed"
    rig.roles = list(ROLES)
    run = _begun(rig, connector, 2)
    assert rig.finish(run).state == "succeeded"
    assert rig.run(connector, full=True).state == "succeeded"
    month = f"Changes{rig.clock.now():%Y%m}"
    entries = [row for row in rig.entities(month) if row["Kind"] == "configuration"]
    assert [(row["Stream"], row["Name"]) for row in entries] == [("users", "users: scope")], entries


def test_a_member_who_joins_an_excluded_group_between_two_slices_goes_with_the_next_run(rig: Rig) -> None:
    connector = rig.configure(source={"excludedGroups": ["Service accounts"]})
    rig.directory.set_members(0, [3])
    rig.run(connector)
    run = _begun(rig, connector, 2, full=True)
    rig.directory.set_members(0, [3, 4])
    rig.finish(run)
    following = rig.run(connector)
    _right(rig, _not_excluded(rig))
    assert following.state == "succeeded"


def test_removals_of_a_run_that_was_stopped_count_towards_the_limit(rig: Rig) -> None:
    connector = rig.configure(removalLimit={"count": 3, "percent": 100})
    rig.run(connector)
    rig.directory.leave("users", list(range(2, 10)))
    run = _begun(rig, connector, 0)
    rig.slice_seconds = 0.0
    while not rig.entities("Tombstones"):
        for message in rig.messages():
            assert rig.work(message).startswith("slice over"), rig.told
    rig.slice_seconds = 480.0
    rig.app().dispatch.cancel(run, TESTER)
    assert rig.finish(run).state == "cancelled"
    rig.directory.leave("users", [10, 11, 12])  # eight and three are more than ten, which every owner may lose in a day
    held = rig.run(connector)
    assert held.state == "held" and held.streams[0].removed == 0 and held.streams[0].held == 3
    assert len(_stored(rig)) == PEOPLE - 8


@pytest.mark.parametrize("full", [False, True], ids=["delta", "full"])
def test_look_ups_that_a_stopped_run_left_behind_are_mended_by_the_next_one(rig: Rig, *, full: bool) -> None:
    """Cut between the records and their look-up rows, then cancelled: nobody takes that run up again."""
    connector = rig.configure()
    rig.run(connector)
    rig.directory.change("users", 2, {"displayName": "Another Name"})
    rig.directory.hire(1)
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    (message,) = rig.messages()
    seen: list[str] = []

    def cut_before_look_ups(request: str) -> None:
        seen.append(request)
        records = [r for r in seen if r.startswith("POST") and "$batch" in r]
        rig.cut.dead = rig.cut.dead or (len(records) > 1 and _has_new_records(rig))

    rig.cut.before = cut_before_look_ups
    rig.work_on(message)
    rig.cut.before = lambda _request: None
    rig.cut.heal()
    rows = {row["DisplayName"] for row in _stored(rig)}
    cards = {card["DisplayName"] for card in rig.entities("Lookup")}
    assert "Another Name" in rows and "Another Name" not in cards  # it was cut where it should be
    rig.app().dispatch.cancel(run.id, TESTER)
    assert rig.finish(run.id).state == "cancelled"
    rig.directory.change("users", 2, {"displayName": "A Third Name"})
    assert rig.run(connector, full=full).state == "succeeded"
    _right(rig)


def _has_new_records(rig: Rig) -> bool:
    return any(row.get("DisplayName") == "Another Name" for row in rig.stored.all()["Records"].values())


def test_a_decision_about_all_covers_what_people_saw_and_nothing_later(rig: Rig) -> None:
    connector = rig.configure(removalLimit={"count": 0, "percent": 100})
    rig.run(connector)
    rig.directory.leave("users", [2, 3])
    assert rig.run(connector).state == "held"
    decide(rig.app().tables, connector, "users", "confirmed", TESTER, rig.clock.now(), [])
    rig.directory.leave("users", [4])
    ended = rig.run(connector)
    assert (ended.streams[0].removed, ended.streams[0].held) == (2, 1)
    waiting = {row["RowKey"] for row in rig.entities(HOLDS)} - {"!all"}
    assert waiting == set(rig.ids([4])) <= {row["RowKey"].split("|")[0] for row in _stored(rig)}


def test_a_manager_stays_when_delta_does_not_name_him_and_goes_when_it_says_so(rig: Rig) -> None:
    connector = rig.configure()
    boss, other = rig.ids([20, 21])
    rig.directory.change("users", 2, {"_manager": boss})
    rig.run(connector)
    # In one round: a new manager, and then (which delta tells without naming a manager) another name.
    rig.directory.change("users", 2, {"_manager": other})
    rig.directory.change("users", 2, {"displayName": "Renamed"})
    assert _mode(rig.run(connector)) == "delta"
    _right(rig)
    rig.directory.change("users", 2, {"displayName": "Renamed Again"})
    assert _mode(rig.run(connector)) == "delta"
    (row,) = [row for row in _stored(rig) if row["DisplayName"] == "Renamed Again"]
    assert row["ManagerId"] == other
    rig.directory.change("users", 2, {"_manager": None})
    assert _mode(rig.run(connector)) == "delta"
    _right(rig)


def _mode(run: Run) -> str:
    assert run.state == "succeeded", run.problems
    return run.streams[0].mode


def test_someone_who_comes_back_into_scope_comes_with_the_manager_that_delta_leaves_out(rig: Rig) -> None:
    (boss,) = rig.ids([20])
    rig.directory.change("users", 20, {"mail": "boss@contoso.example", "userPrincipalName": "boss@contoso.example"})
    rig.directory.change("users", 2, {"_manager": boss, "mail": None, "userPrincipalName": "out@elsewhere.example"})
    connector = rig.configure(source={"domains": ["contoso.example"]})
    rig.run(connector)
    rig.directory.change("users", 2, {"mail": "in@contoso.example", "userPrincipalName": "in@contoso.example"})
    assert _mode(rig.run(connector)) == "delta"
    _right(rig, _in_domain(rig, "contoso.example"))


@pytest.mark.parametrize("path", ["/groups/delta", "/users/delta"])
def test_a_delta_link_that_graph_forgot_is_made_anew(rig: Rig, path: str) -> None:
    connector = rig.configure(source={"excludedGroups": ["Service accounts"]})
    rig.directory.set_members(0, [3])
    rig.run(connector)
    rig.directory.set_members(0, [3, 4])
    rig.directory.leave("users", [5])
    rig.fault("delta-410", match=path, most=1)
    ended = rig.run(connector)
    assert ended.state == "succeeded", ended.problems
    rig.faults.clear()
    rig.run(connector)
    _right(rig, _not_excluded(rig))


def test_a_list_that_must_begin_again_counts_nobody_twice(rig: Rig) -> None:
    connector = rig.configure(source={"domains": ["contoso.example"]})
    rig.run(connector)
    rig.directory.leave("users", [5])
    rig.fault("expired-page-token", match="skiptoken", most=1)
    ended = rig.run(connector, full=True)
    progress = ended.streams[0]
    assert ended.state == "succeeded" and progress.restarts == 1
    inside = _in_domain(rig, "contoso.example")
    assert progress.unchanged == len(inside)
    assert progress.ids == PEOPLE - 1
    _right(rig, inside)


@pytest.mark.parametrize(("lie", "reason"), [("short-list", "counts-differ"), ("empty-list", "empty-answer")])
def test_a_list_that_ends_too_early_removes_nobody_and_says_so(rig: Rig, lie: str, reason: str) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.directory.leave("users", [3])
    rig.fault(lie, match=r"GET /v1\.0/users\?")
    run = rig.run(connector, full=True)
    receipt = rig.app().runs.receipt(run)
    assert receipt
    (users,) = receipt.streams
    assert (users.complete, users.incomplete_because, users.removed) == (False, reason, 0)
    assert "read-unproved" in {problem.code for problem in run.problems}
    assert len(_stored(rig)) == PEOPLE and rig.entities("Tombstones") == []
    rig.faults.clear()
    assert rig.run(connector, full=True).streams[0].removed == 1
    _right(rig)


@pytest.mark.parametrize("kind", ["part-503", "part-lost"])
def test_who_could_not_be_asked_for_is_held_as_not_confirmed(rig: Rig, kind: str) -> None:
    """Two are absent from the list, and Graph does not say whether they are there."""
    connector = rig.configure()
    rig.run(connector)
    rig.directory.leave("users", [3, 7])
    rig.fault(kind, match=r"\$batch")
    run = rig.run(connector, full=True)
    assert run.state == "held" and run.streams[0].held_causes == {"not-confirmed": 2}
    assert rig.entities("Tombstones") == [] and len(_stored(rig)) == PEOPLE
    rig.faults.clear()
    assert rig.run(connector, full=True).streams[0].removed == 2
    _right(rig)


def _two_delta_pages(rig: Rig) -> str:
    connector = rig.configure()
    rig.run(connector)
    rig.directory.leave("users", [3, 7])
    for index in range(10, 22):
        rig.directory.change("users", index, {"displayName": f"Renamed {index}"})
    return connector


def test_a_delta_round_whose_last_page_fails_removes_nobody_and_is_read_again(rig: Rig) -> None:
    connector = _two_delta_pages(rig)
    rig.fault("500", match=r"delta\?.*skiptoken")
    run = rig.run(connector)
    assert run.state == "failed" and run.problems[0].remedy
    assert len(_stored(rig)) == PEOPLE and rig.entities("Tombstones") == []
    rig.faults.clear()
    run = rig.run(connector)
    assert (run.streams[0].mode, run.streams[0].removed, run.streams[0].changed) == ("delta", 2, 12)
    _right(rig)


def test_a_delta_page_whose_token_died_leads_to_a_full_read_that_says_so(rig: Rig) -> None:
    connector = _two_delta_pages(rig)
    rig.fault("expired-page-token", match=r"delta\?.*skiptoken", most=1)
    run = rig.run(connector)
    assert (run.state, run.streams[0].mode, run.streams[0].reason) == ("succeeded", "full", "delta-page-token-expired")
    assert run.streams[0].removed == 2
    _right(rig)


def test_a_delta_round_in_slices_of_one_page_goes_on_where_it_was(rig: Rig) -> None:
    connector = _two_delta_pages(rig)
    run = _begun(rig, connector, 1)
    ended = rig.finish(run)
    assert (ended.streams[0].mode, ended.streams[0].pages, ended.streams[0].removed) == ("delta", 2, 2)
    _right(rig)
