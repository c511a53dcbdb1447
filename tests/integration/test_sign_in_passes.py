"""Passes over sign-in activity: those in between, their pace, and a page token that dies twice."""

from datetime import timedelta

import pytest

from local.cloud.graph.people import stamp
from tests import expected
from tests.rig import Rig

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


def _activity(rig: Rig) -> dict[str, str]:
    return {
        row["RowKey"].split("|")[0]: expected.comparable(row["LastSignInAttemptAt"])
        for row in rig.entities("Records")
        if "|person-sign-ins|" in row["PartitionKey"]
    }


def test_a_pass_in_between_reads_only_those_who_signed_in_since(rig: Rig) -> None:
    connector = rig.configure()
    assert rig.run(connector, job="sign-ins").streams[0].mode == "full"
    before = _activity(rig)
    rig.clock.move(2 * 86400)
    at = stamp(rig.clock.now() - timedelta(hours=3))
    for index in (2, 5):
        rig.directory.change("users", index, {"signInActivity": {"lastSignInDateTime": at}})
    run = rig.run(connector, job="sign-ins")
    assert (run.state, run.streams[0].mode, run.streams[0].pages, run.streams[0].read) == ("succeeded", "delta", 1, 2)
    assert _activity(rig) == before | dict.fromkeys(rig.ids([2, 5]), at)
    rig.clock.move(7 * 86400)
    assert rig.run(connector, job="sign-ins").streams[0].reason == "full-due"


def test_a_pass_made_while_the_clock_was_ahead_hides_no_sign_in(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector, job="sign-ins")
    rig.clock.wall += timedelta(days=3)
    assert rig.run(connector, job="sign-ins").streams[0].mode == "delta"
    rig.clock.wall -= timedelta(days=3)
    at = stamp(rig.clock.now() - timedelta(hours=3))
    rig.directory.change("users", 2, {"signInActivity": {"lastSignInDateTime": at}})
    assert rig.run(connector, job="sign-ins").streams[0].reason == "full-due"
    assert _activity(rig)[rig.ids([2])[0]] == at


def test_a_pass_asks_ten_times_a_minute_and_keeps_no_worker_waiting(rig: Rig) -> None:
    connector = rig.configure()
    rig.graph._cap = 1  # one person a page
    try:
        began, asked = rig.clock.now(), rig.web.requests
        run = rig.run(connector, job="sign-ins")
        pages = rig.web.requests - asked
    finally:
        rig.graph._cap = 8
    assert run.state == "succeeded" and run.streams[0].read == pages == 24
    assert rig.clock.now() - began >= timedelta(minutes=2)  # the 11th after a minute, the 21st after two
    assert 100 <= run.waits.paced_seconds <= 200 and run.waits.throttle_seconds == 0
    assert run.slice >= 2, "a long wait is a message that comes later"


def test_a_page_token_that_dies_again_and_again_ends_the_pass_and_loses_nothing(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector, job="sign-ins")
    stored = _activity(rig)
    rig.fault("expired-page-token", match="skiptoken")
    run = rig.run(connector, job="sign-ins", full=True)
    assert run.state == "failed" and [problem.code for problem in run.problems] == ["graph-page-token-expired"]
    assert run.streams[0].restarts == 3 and _activity(rig) == stored
    rig.faults.clear()
    assert rig.run(connector, job="sign-ins", full=True).state == "succeeded"
