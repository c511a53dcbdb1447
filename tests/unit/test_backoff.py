"""Failures that may pass: tried again soon, up to an hour, and never a quarantine."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.clock import iso, parse_iso
from shared.domain.run import Problem, RunRow, RunState
from shared.domain.schedule_row import ScheduleRow
from shared.scheduling.backoff import MOST, backed_off, backoff_of, may_pass, wait_after
from shared.scheduling.quarantine import AFTER, failed, healed, quarantine_of

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
ROW = ScheduleRow("c-directory", 1, active=True, next_due=iso(NOW + timedelta(days=1)), anchor=iso(NOW))


def _failed(*transient: bool) -> RunRow:
    problems = [Problem(code=f"p{i}", message="m", remedy="r", transient=one) for i, one in enumerate(transient)]
    return RunRow(
        id="c-directory~1", connector_id="c", job="directory", trigger="schedule", created_at=NOW, updated_at=NOW,
        state=RunState.FAILED, problems=problems,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("minutes", "waits"),
    [(1, [1, 2, 4, 8, 16, 32, 60, 60]), (5, [5, 10, 20, 40, 60, 60]), (60, [5, 10, 20, 40, 60]), (1440, [5, 10, 20, 40, 60, 60])],
)  # fmt: skip
def test_it_waits_from_its_own_rhythm_up_to_an_hour(minutes: int, waits: list[int]) -> None:
    found = [wait_after(number + 1, timedelta(minutes=minutes)) for number in range(len(waits))]
    assert found == [timedelta(minutes=wait) for wait in waits]


def test_any_number_of_failures_is_no_quarantine_and_costs_an_hour_at_most() -> None:
    row = ROW
    for number in range(1, 500):
        row = backed_off(row, _failed(True), NOW, timedelta(minutes=5))
        assert quarantine_of(row, NOW + timedelta(weeks=9)) is None
        shown = backoff_of(row)
        assert shown and (shown.failures, shown.code, shown.since) == (number, "p0", NOW)
        assert timedelta() < parse_iso(row.next_due) - NOW <= MOST
    assert backoff_of(healed(row)) is None and row.failures == 0


def test_what_is_due_sooner_anyhow_stays_due() -> None:
    """A daily job whose next time comes before the next attempt would."""
    row = replace(ROW, next_due=iso(NOW + timedelta(minutes=2)))
    assert backed_off(row, _failed(True), NOW, timedelta(days=1)).next_due == row.next_due
    missed = replace(ROW, next_due=iso(NOW - timedelta(minutes=2)))
    assert backed_off(missed, _failed(True), NOW, timedelta(days=1)).next_due == iso(NOW + timedelta(minutes=5))


def test_what_runs_on_demand_only_gets_no_due_time() -> None:
    row = backed_off(replace(ROW, next_due=""), _failed(True), NOW, None)
    assert row.next_due == "" and backoff_of(row)


def test_the_two_kinds_of_failures_are_counted_apart() -> None:
    row = ROW
    for _ in range(AFTER - 1):
        row = failed(row, _failed(False), NOW, "x.1")
        row = backed_off(row, _failed(True), NOW, timedelta(minutes=5))
        assert quarantine_of(row, NOW) is None and backoff_of(row)
    row = failed(row, _failed(False), NOW, "x.1")
    assert quarantine_of(row, NOW) and backoff_of(row) is None
    slowed = row.quarantined_at
    row = backed_off(row, _failed(True), NOW, timedelta(minutes=5))
    assert row.quarantined_at == slowed and row.next_due == iso(NOW + timedelta(minutes=5))


def test_what_ended_a_run_decides() -> None:
    assert may_pass(_failed(False, True)) and not may_pass(_failed(True, False)) and not may_pass(_failed())
