"""Who has to go, and who only seems to: holds, limits, thresholds and clocks, with what Graph does not tell or tells wrong."""

from datetime import timedelta
from typing import Any

import pytest

from shared.domain.checkpoint import unpacked
from shared.domain.run import track_of
from shared.names import HOLDS
from shared.storage.holds import decide
from shared.sync.limits import Limits
from tests import expected
from tests.rig import TESTER, Rig

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
PEOPLE = 24


def _stored(rig: Rig, kind: str = "person") -> set[str]:
    return {row["RowKey"].split("|")[0] for row in rig.entities("Records") if f"|{kind}|" in row["PartitionKey"]}


def _causes(rig: Rig) -> dict[str, str]:
    return {row["RowKey"]: row["Cause"] for row in rig.entities(HOLDS) if row["RowKey"] != "!all"}


def _right(rig: Rig) -> None:
    rows = [row for row in rig.entities("Records") if "|person|" in row["PartitionKey"]]
    assert expected.differences("person", list(rig.objects()), rows) == []


def test_the_rest_of_a_mass_removal_is_not_carried_out_by_a_clear_answer(rig: Rig) -> None:
    """Eight wait because Graph gave no answer about them. With five more they are over the limit of ten: they go on
    waiting, with the cause that is clear now.
    """
    connector = rig.configure(removalLimit={"count": 10, "percent": 100})
    rig.run(connector)
    rig.directory.leave("users", list(range(8)))
    rig.fault("part-lost", match=r"\$batch")
    assert rig.run(connector, full=True).streams[0].held_causes == {"not-confirmed": 8}
    since = {row["RowKey"]: (row["Since"], row["Run"]) for row in rig.entities(HOLDS)}
    rig.faults.clear()
    rig.directory.leave("users", list(range(10, 15)))
    run = rig.run(connector, full=True)
    assert (run.streams[0].removed, len(_stored(rig))) == (5, PEOPLE - 5)
    assert _causes(rig) == dict.fromkeys(rig.ids(list(range(8))), "deleted")
    assert {row["RowKey"]: (row["Since"], row["Run"]) for row in rig.entities(HOLDS)} == since
    assert rig.run(connector, full=True).streams[0].removed == 0
    decide(rig.app().tables, connector, "users", "confirmed", TESTER, rig.clock.now(), [])
    assert rig.run(connector).streams[0].removed == 8
    _right(rig)


def test_a_decision_about_all_is_about_what_waited_then(rig: Rig) -> None:
    connector = rig.configure(removalLimit={"count": 0, "percent": 0})
    rig.run(connector)
    for indexes, decision in (([1, 2], "rejected"), ([3, 4, 5], "confirmed")):
        rig.directory.leave("users", indexes)
        assert rig.run(connector).streams[0].held == len(indexes)
        decide(rig.app().tables, connector, "users", decision, TESTER, rig.clock.now(), [])
    assert rig.run(connector).streams[0].removed == 3
    assert set(rig.ids([1, 2])) <= _stored(rig) and len(_stored(rig)) == PEOPLE - 3


def test_more_held_than_a_checkpoint_has_room_for(rig: Rig) -> None:
    rig.limits = Limits(spill=3, confirmed=4)
    connector = rig.configure(removalLimit={"count": 0, "percent": 0})
    rig.run(connector)
    rig.directory.leave("users", list(range(12)))
    run = rig.run(connector, full=True)
    assert (run.state, run.streams[0].held_causes) == ("held", {"deleted": 12})
    assert set(_causes(rig)) == set(rig.ids(list(range(12)))) and len(_stored(rig)) == PEOPLE
    decide(rig.app().tables, connector, "users", "confirmed", TESTER, rig.clock.now(), [])
    run = rig.run(connector)
    assert (run.state, run.streams[0].removed, run.streams[0].held) == ("succeeded", 12, 0)
    assert rig.entities(HOLDS) == [] or set(_causes(rig)) == set()
    assert _state(rig, connector).held == 0
    assert rig.run(connector).streams[0].removed == 0
    _right(rig)


def test_what_was_confirmed_and_has_no_clear_answer_ends_no_run_in_a_circle(rig: Rig) -> None:
    rig.limits = Limits(confirmed=4)
    connector = rig.configure(removalLimit={"count": 0, "percent": 0})
    rig.run(connector)
    rig.directory.leave("users", list(range(12)))
    rig.run(connector, full=True)
    decide(rig.app().tables, connector, "users", "confirmed", TESTER, rig.clock.now(), [])
    rig.fault("part-503")
    run = rig.run(connector)
    assert 0 < len(_causes(rig)) == 12 - run.streams[0].removed
    rig.faults.clear()
    rig.slice_seconds = 0.0
    try:
        run = rig.run(connector, full=True)
    finally:
        rig.slice_seconds = 480.0
    assert (run.state, run.streams[0].not_seen, set(_causes(rig))) == ("succeeded", 0, set())
    _right(rig)


def test_an_old_report_of_a_removal_removes_nobody_who_is_there(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.directory.change("users", 5, {"displayName": "Somebody Else"})
    rig.directory.leave("users", [7])
    rig.fault("old-report")
    run = rig.run(connector)
    assert (run.streams[0].mode, run.streams[0].removed, run.streams[0].drift) == ("delta", 1, 1)
    _right(rig)


def test_who_was_absent_from_an_unproved_list_stays_marked_through_delta_rounds(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.clock.move(23.9 * 3600)
    rig.fault("short-list", match=r"GET /v1\.0/users\?")
    assert rig.run(connector).streams[0].reason == "full-due"
    rig.faults.clear()
    absent = set(_state(rig, connector).unseen)
    assert len(absent) == PEOPLE - 8
    assert rig.run(connector).streams[0].mode == "delta"
    assert set(_state(rig, connector).unseen) == absent
    rig.clock.move(3600)
    again = rig.run(connector)
    assert (again.streams[0].mode, again.streams[0].reason) == ("full", "unproved")
    assert _state(rig, connector).unseen == []


def _state(rig: Rig, connector: str, stream: str = "users", job: str = "directory") -> Any:
    return rig.app().runs.stream(track_of(connector, job), stream)


def test_subscriptions_that_are_throttled_for_long_lose_no_result(rig: Rig) -> None:
    connector = rig.configure()
    rig.fault("429", match="subscribedSkus", seconds=900)
    run = rig.run(connector)
    receipt = rig.app().runs.receipt(run)
    assert run.state == "succeeded" and receipt and receipt.subscriptions_missing == "throttled"
    assert [stream.complete for stream in receipt.streams] == [True]
    assert rig.run(connector).streams[0].mode == "delta"


def test_a_daily_run_reads_everything_though_it_begins_a_little_early(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.clock.move(24 * 3600 - 90)
    assert rig.run(connector).streams[0].reason == "full-due"


# Thresholds in days


def _threshold(rig: Rig, days: int) -> str:
    connector = rig.configure(removalLimit={"count": 5000, "percent": 100})
    rig.run(connector, job="sign-ins", full=True)
    rig.run(connector)
    rig.change("connector", connector, options={"collectDevices": False, "userThresholdDays": days})
    return connector


def test_a_threshold_leaves_out_whoever_is_old_and_nobody_else(rig: Rig) -> None:
    connector = _threshold(rig, 60)
    assert rig.run(connector).state == "succeeded"
    old = set(rig.ids(list(range(PEOPLE)))) - _stored(rig)
    assert 0 < len(old) < PEOPLE


def test_sign_ins_that_are_not_known_any_more_age_nobody_out(rig: Rig) -> None:
    """The passes stopped, for want of a licence or a permission: nobody is known to have stayed away since."""
    connector = _threshold(rig, 60)
    rig.run(connector)
    stored = _stored(rig)
    for _ in range(8):
        rig.clock.move(25 * 86400)
        run = rig.run(connector, full=True)
        assert (run.state, run.streams[0].left_scope) == ("succeeded", 0)
    assert _stored(rig) >= stored


@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_jumps_ages_nobody_out(days: int) -> None:
    """Devices tell their last sign-in themselves: past the threshold by the wrong clock, they wait for a person."""
    rig = Rig(6, 12, page_cap=8)
    try:
        connector = rig.configure(
            options={"collectDevices": True, "deviceThresholdDays": 300, "userThresholdDays": 300},
            removalLimit={"count": 0, "percent": 0},
        )
        rig.run(connector, job="sign-ins", full=True)
        rig.run(connector)
        people, devices = _stored(rig), _stored(rig, "device")
        assert devices
        rig.clock.wall += timedelta(days=days)
        run = rig.run(connector, full=True)
        assert run.state == ("held" if days > 0 else "succeeded"), run.problems
        assert (_stored(rig), _stored(rig, "device")) == (people, devices)
        assert set(_causes(rig).values()) == ({"threshold"} if days > 0 else set())
        rig.clock.wall -= timedelta(days=days)
        run = rig.run(connector, full=True)
        assert run.state == "succeeded" and _causes(rig) == {}
        assert (_stored(rig), _stored(rig, "device")) == (people, devices)
        assert rig.entities("Tombstones") == []
    finally:
        rig.close()


@pytest.mark.parametrize("decision", ["", "rejected", "confirmed"])
def test_whoever_is_held_for_age_goes_when_a_person_says_so_and_not_before(decision: str) -> None:
    """The clock is right, the connector was off for weeks: many devices grew old meanwhile."""
    rig = Rig(2, 12, page_cap=8)
    try:
        connector = rig.configure(
            options={"collectDevices": True, "deviceThresholdDays": 300, "collectSignIns": False},
            removalLimit={"count": 0, "percent": 0},
        )
        rig.run(connector)
        devices = _stored(rig, "device")
        rig.clock.move(400 * 86400)
        assert rig.run(connector, full=True).state == "held"
        held = set(_causes(rig))
        assert held and _stored(rig, "device") == devices
        if decision:
            decide(rig.app().tables, connector, "devices", decision, TESTER, rig.clock.now(), [])
        run = rig.run(connector, full=decision != "confirmed")
        stream = next(stream for stream in run.streams if stream.name == "devices")
        gone = held if decision == "confirmed" else set()
        assert (devices - _stored(rig, "device"), stream.left_scope) == (gone, len(gone))
        assert set(_causes(rig)) == held - gone
        assert _state(rig, connector, "devices").records == len(devices) - len(gone)
        rig.change("source", "a", domains=["contoso.example"])  # another part of the scope moves
        rig.run(connector)
        assert devices - _stored(rig, "device") == gone
    finally:
        rig.close()


def test_a_held_change_of_domain_outlives_a_change_of_the_threshold(rig: Rig) -> None:
    connector = rig.configure(
        source={"domains": ["contoso.example", "fabrikam.example"]}, removalLimit={"count": 0, "percent": 0},
        options={"collectDevices": False, "collectSignIns": False},
    )  # fmt: skip
    rig.run(connector)
    victim = next(person for person in rig.objects() if person["id"] in _stored(rig))
    index = rig.ids(list(range(PEOPLE))).index(victim["id"])
    away = "away@elsewhere.example"
    rig.directory.change("users", index, {"mail": away, "userPrincipalName": away})
    assert rig.run(connector).state == "held"
    rig.change(
        "connector", connector, options={"collectDevices": False, "collectSignIns": False, "userThresholdDays": 900}
    )
    run = rig.run(connector)
    assert run.streams[0].reason == "scope-changed" and _causes(rig) == {victim["id"]: "domain"}
    assert victim["id"] in _stored(rig)
    decide(rig.app().tables, connector, "users", "confirmed", TESTER, rig.clock.now(), [])
    run = rig.run(connector, full=True)
    assert (run.streams[0].left_scope, run.streams[0].removed, _causes(rig)) == (1, 0, {})
    assert _state(rig, connector).records == len(_stored(rig)) and victim["id"] not in _stored(rig)


def test_a_mass_return_outgrows_no_checkpoint(rig: Rig) -> None:
    rig.limits = Limits(spill=3)
    connector = rig.configure(removalLimit={"count": 0, "percent": 0})
    rig.run(connector)
    rig.directory.leave("users", list(range(12)))
    assert rig.run(connector).state == "held"
    rig.directory.restore("users", list(range(12)))
    rig.slice_seconds = 0.0
    run, _ = rig.app().dispatch.run_now(connector, TESTER, full=True)
    kept = []
    while messages := rig.messages():
        rig.work(messages[0])
        checkpoint = _state(rig, connector).checkpoint
        kept += [len(unpacked(checkpoint.released))] if checkpoint else []
    rig.slice_seconds = 480.0
    assert len(kept) >= 2 and max(kept) <= 3
    ended = rig.finish(run.id)
    assert (ended.state, ended.streams[0].released) == ("succeeded", 12)
    assert _causes(rig) == {} and _state(rig, connector).held == 0
    _right(rig)


def test_a_repeated_report_of_somebody_held_keeps_nobody_else_from_being_asked_for(rig: Rig) -> None:
    connector = rig.configure(removalLimit={"count": 10, "percent": 100})
    rig.run(connector)
    rig.directory.leave("users", list(range(1, 13)))
    assert rig.run(connector).state == "held"
    decide(rig.app().tables, connector, "users", "rejected", TESTER, rig.clock.now(), [])
    rig.directory.leave("users", list(range(1, 13)), purge=True)  # reported again, as gone now
    rig.directory.change("users", 15, {"displayName": "Somebody Else"})
    rig.fault("old-report")  # of somebody who is there
    run = rig.run(connector)
    assert (run.streams[0].removed, run.streams[0].drift) == (0, 1)
    assert len(_stored(rig)) == PEOPLE


def test_a_limit_holds_where_the_configuration_changes_among_the_removals(rig: Rig) -> None:
    connector = rig.configure(removalLimit={"count": 10, "percent": 100})
    rig.run(connector)
    rig.directory.leave("users", list(range(1, 9)))
    rig.slice_seconds = 0.0
    run, _ = rig.app().dispatch.run_now(connector, TESTER, full=True)
    while _state(rig, connector).checkpoint is None or _state(rig, connector).checkpoint.phase != "removals":
        (message,) = rig.messages()
        rig.work(message)
    rig.directory.leave("users", list(range(10, 15)))
    rig.change("source", "a", domains=["contoso.example", "fabrikam.example", "partner.example", "old.example"])
    ended = rig.finish(run.id, 120)
    rig.slice_seconds = 480.0
    gone = [stone["ObjectId"] for stone in rig.entities("Tombstones")]
    assert len(gone) == 8, gone
    assert ended.state == "held"


def test_who_comes_back_after_the_pass_is_not_taken_for_one_who_never_signed_in(rig: Rig) -> None:
    connector = _threshold(rig, 60)
    rig.run(connector)
    signed_in = min(_stored(rig) - set(rig.ids([0])))
    index = rig.ids(list(range(PEOPLE))).index(signed_in)
    rig.directory.change("users", index, {"createdDateTime": "2019-01-01T00:00:00Z"})
    rig.directory.leave("users", [index])
    rig.change("connector", connector, removalLimit={"count": 500, "percent": 100})
    rig.run(connector)
    rig.run(connector, job="sign-ins", full=True)  # forgets the activity of who is gone
    rig.clock.move(86400)
    rig.directory.restore("users", [index])
    for _ in range(2):
        rig.run(connector, full=True)
        assert signed_in in _stored(rig)


def test_only_a_pass_over_everybody_says_who_stayed_away(rig: Rig) -> None:
    """Passes in between see people's own sign-ins alone, not those of programs in their name."""
    connector = _threshold(rig, 5)
    rig.run(connector, full=True)
    stored = _stored(rig)
    for _ in range(6):
        rig.clock.move(86400 - 3600)
        rig.run(connector, job="sign-ins")
        rig.run(connector, full=True)
    assert _stored(rig) >= stored
