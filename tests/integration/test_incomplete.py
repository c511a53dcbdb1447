"""Lists that Microsoft Graph ends too early: the run says so, and reads again soon rather than a day later."""

from dataclasses import replace
from datetime import timedelta

import pytest

from local.cloud.graph.replies import GraphReply, GraphRequest
from shared.domain.run import Run
from tests.rig import TESTER, Rig

PEOPLE, DEVICES = 60, 30


TENANT = (PEOPLE, DEVICES, 25)
"""Of the shared rig: people, devices, objects a page."""


def _short(rig: Rig, collection: str = "users") -> None:
    rig.fault("short-list", match=rf"GET /v1\.0/{collection}\?")


def _next_due(rig: Rig, connector: str) -> timedelta:
    """How long the connector waits for its next run."""
    from shared.clock import parse_iso

    row = rig.app().schedules.get(f"{connector}-directory")
    assert row
    return parse_iso(row.next_due) - rig.clock.now()


def _scheduled(rig: Rig, connector: str) -> Run:
    """The run that the timer starts, once one is due."""
    rig.app().tick.run()  # makes the row of a new connector
    rig.clock.move(max(0.0, _next_due(rig, connector).total_seconds()))
    (run,) = [run for run in rig.app().tick.run() if run.startswith(f"{connector}-directory")]
    return rig.finish(run)


@pytest.mark.parametrize("collection", ["users", "devices"])
def test_a_first_list_that_is_too_short_is_incomplete_and_not_a_success(rig: Rig, collection: str) -> None:
    connector = rig.configure()
    _short(rig, collection)
    run = rig.run(connector)
    assert run.state == "incomplete"
    (problem,) = run.problems
    assert (problem.code, problem.stream) == ("read-unproved", collection)
    assert "UTC" in problem.remedy
    because = {stream.name: stream.incomplete_because for stream in run.streams}
    assert because == {"users": "", "devices": ""} | {collection: "counts-differ"}
    receipt = rig.app().runs.receipt(run)
    assert receipt and {r.stream: r.complete for r in receipt.streams}[collection] is False


def test_it_is_read_again_after_an_hour_then_after_four_then_as_the_owner_says(rig: Rig) -> None:
    connector = rig.configure()
    _short(rig)
    waits, began = [], rig.clock.now()
    run = rig.run(connector)
    for _ in range(4):
        assert run.state == "incomplete" and run.again_at
        run = _scheduled(rig, connector)
        while run.streams[0].mode == "delta":  # the daily run may come between
            run = _scheduled(rig, connector)
        waits.append(round((run.created_at - began).total_seconds() / 3600))
        began = run.created_at
        assert run.streams[0].reason == "unproved"
    assert waits[:2] == [1, 4] and all(20 <= wait <= 48 for wait in waits[2:]), waits


def test_once_it_is_whole_the_usual_rhythm_is_back(rig: Rig) -> None:
    connector = rig.configure()
    _short(rig)
    rig.run(connector)
    assert _next_due(rig, connector) <= timedelta(hours=1)
    rig.faults.clear()
    run = _scheduled(rig, connector)
    assert (run.state, run.streams[0].reason) == ("succeeded", "unproved")
    assert len(rig.entities("Records")) == PEOPLE + DEVICES
    rig.clock.move(2 * 3600)
    again = rig.run(connector)
    assert (again.state, again.streams[0].mode) == ("succeeded", "delta")


def test_a_large_page_that_ends_the_list_is_followed_by_smaller_ones(rig: Rig) -> None:
    """As reported: with $top=900 the first page of some tenant had no link to the second."""
    connector = rig.configure()

    def rewrite(asked: GraphRequest, reply: GraphReply) -> GraphReply:
        if int(asked.query.get("$top", "0")) > 500 and isinstance(reply.body, dict):
            return replace(reply, body={k: v for k, v in reply.body.items() if k != "@odata.nextLink"})
        return reply

    rig.web.rewrite = rewrite
    assert rig.run(connector).state == "incomplete"
    again = _scheduled(rig, connector)
    assert (again.state, again.streams[0].reason) == ("succeeded", "unproved")
    assert len(rig.entities("Records")) == PEOPLE + DEVICES


def test_a_paused_connector_is_not_started_by_it(rig: Rig) -> None:
    connector = rig.configure()
    _short(rig)
    run, _ = rig.app().dispatch.run_now(connector, TESTER)
    (message,) = rig.messages()
    rig.change("connector", connector, active=False)
    rig.app().tick.run()  # stops what goes on, too
    rig.work(message)
    rig.finish(run.id)
    row = rig.app().schedules.get(f"{connector}-directory")
    assert row and row.next_due == ""


def test_a_count_that_is_refused_is_no_proof_either(rig: Rig) -> None:
    connector = rig.configure()
    rig.fault("400", match=r"users/\$count")
    run = rig.run(connector)
    assert (run.state, run.streams[0].incomplete_because) == ("incomplete", "no-count")
    assert len([row for row in rig.entities("Records") if "|users" in row["RowKey"]]) == PEOPLE


def test_nothing_at_all_is_complete_where_graph_counts_nothing(rig: Rig) -> None:
    rig.directory.leave("devices", list(range(DEVICES)), purge=True)
    connector = rig.configure()
    assert rig.run(connector).state == "succeeded"


def test_an_empty_first_list_is_incomplete_where_graph_counts_somebody(rig: Rig) -> None:
    connector = rig.configure()
    rig.fault("empty-list", match=r"GET /v1\.0/users\?")
    run = rig.run(connector)
    assert (run.state, run.streams[0].incomplete_because) == ("incomplete", "counts-differ")


def test_streams_that_were_denied_are_listed(rig: Rig) -> None:
    connector = rig.configure()
    rig.roles.remove("AuditLog.Read.All")
    run = rig.run(connector, job="sign-ins")
    assert run.state == "succeeded"
    assert {stream.name: stream.phase for stream in run.streams} == {"sign-ins": "denied"}
    receipt = rig.app().runs.receipt(run)
    assert receipt and "sign-ins" in receipt.missing_streams


def test_a_threshold_without_sign_in_data_is_a_problem_until_there_is_some(rig: Rig) -> None:
    connector = rig.configure(options={"collectDevices": False, "userThresholdDays": 90})
    run = rig.run(connector)
    assert run.state == "succeeded" and run.streams[0].out_of_scope == 0
    assert [problem.code for problem in run.problems] == ["threshold-without-activity"]
    rig.run(connector, job="sign-ins")
    assert rig.run(connector, full=True).problems == []
