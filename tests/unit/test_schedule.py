"""Schedules: due times in UTC, wall time through daylight saving, every field's limits."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.domain.schedule import WEEKDAYS, Repeats, Schedule, Unit, next_due, next_times


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def due(schedule: Schedule, after: str, count: int = 1) -> list[str]:
    moment = at(after)
    return [t.strftime("%Y-%m-%dT%H:%M") for t in next_times(schedule, moment, anchor=moment, count=count)]


def make(every: int, unit: str, **fields: object) -> Schedule:
    weekdays = fields.pop("weekdays", [])
    return Schedule.model_validate({"repeats": {"every": every, "unit": unit, "weekdays": weekdays}, **fields})


def test_days_keep_the_wall_time_through_daylight_saving() -> None:
    nightly = make(1, "days", startTime="02:00", timeZone="Europe/Amsterdam")
    assert due(nightly, "2026-10-23T12:00", 4) == [
        "2026-10-24T00:00",
        "2026-10-25T00:00",
        "2026-10-26T01:00",
        "2026-10-27T01:00",
    ]


def test_a_skipped_time_runs_at_the_first_instant_after_the_gap_and_a_doubled_one_once() -> None:
    spring = make(1, "days", startTime="02:30", timeZone="Europe/Amsterdam")
    assert due(spring, "2026-03-28T12:00", 2) == ["2026-03-29T01:00", "2026-03-30T00:30"]
    assert due(spring, "2026-10-24T12:00", 2) == ["2026-10-25T00:30", "2026-10-26T01:30"]


def test_minutes_and_hours_step_evenly_in_utc() -> None:
    assert due(make(90, "minutes", startTime="00:00"), "2026-11-01T00:10", 3) == [
        "2026-11-01T01:30",
        "2026-11-01T03:00",
        "2026-11-01T04:30",
    ]
    hourly = make(6, "hours", startTime="02:00", timeZone="Europe/Amsterdam", startDate="2026-10-24")
    assert due(hourly, "2026-10-24T20:00", 3) == ["2026-10-25T00:00", "2026-10-25T06:00", "2026-10-25T12:00"]


def test_weeks_and_weekdays() -> None:
    weekend = make(1, "days", weekdays=["saturday", "sunday"], startTime="03:00")
    assert due(weekend, "2026-11-18T00:00", 3) == ["2026-11-21T03:00", "2026-11-22T03:00", "2026-11-28T03:00"]
    fortnight = make(2, "weeks", weekdays=["monday", "friday"], startDate="2026-11-04", startTime="01:00")
    assert due(fortnight, "2026-11-01T00:00", 4) == [
        "2026-11-06T01:00",
        "2026-11-16T01:00",
        "2026-11-20T01:00",
        "2026-11-30T01:00",
    ]


def test_a_start_date_in_the_future_is_waited_for() -> None:
    assert due(make(1, "hours", startDate="2027-01-01", startTime="00:00"), "2026-11-01T00:00") == ["2027-01-01T00:00"]


@pytest.mark.parametrize(
    "fields",
    [
        {"repeats": {"every": 4, "unit": "minutes"}},
        {"repeats": {"every": 1441, "unit": "minutes"}},
        {"repeats": {"every": 0, "unit": "days"}},
        {"repeats": {"every": 2, "unit": "hours", "weekdays": ["monday"]}},
        {"repeats": {"every": 1, "unit": "days", "weekdays": ["monday", "monday"]}},
        {"repeats": {"every": 14, "unit": "days", "weekdays": ["monday"]}},
        {"startTime": "24:00"},
        {"timeZone": "Amsterdam"},
        {"timeZone": "localtime"},  # some machines have such a file, others not
        {"timeZone": "Factory"},
        {"timeZone": "europe/amsterdam"},
        {"timeZone": "../etc/passwd"},
        {"startDate": "2026-02-30"},
        {"startDate": "9999-12-31"},
        {"startDate": "0001-01-01"},
    ],
)
def test_what_can_not_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Schedule.model_validate(fields)


ZONES = st.sampled_from(
    ["UTC", "Europe/Amsterdam", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
)
LIMIT = {Unit.MINUTES: 1440, Unit.HOURS: 168, Unit.DAYS: 60, Unit.WEEKS: 8}


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    unit = draw(st.sampled_from(list(Unit)))
    every = draw(st.integers(5 if unit is Unit.MINUTES else 1, LIMIT[unit]))
    days: list[str] = []
    if unit is Unit.WEEKS or (unit is Unit.DAYS and every % 7):
        days = draw(st.lists(st.sampled_from(WEEKDAYS), unique=True, max_size=7))
    return Schedule(
        repeats=Repeats(every=every, unit=unit, weekdays=days),
        start_time=f"{draw(st.integers(0, 23)):02d}:{draw(st.integers(0, 59)):02d}",
        start_date=draw(st.none() | st.dates(date(2025, 1, 1), date(2027, 12, 31))),
        time_zone=draw(ZONES),
    )


@settings(max_examples=300, deadline=None)
@given(schedules(), st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31)))
def test_due_times_go_forward_and_do_not_depend_on_when_they_are_asked_for(
    schedule: Schedule, moment: datetime
) -> None:
    after = moment.replace(tzinfo=UTC)
    anchor = at("2025-06-01T00:00")
    first = next_due(schedule, after, anchor=anchor)
    second = next_due(schedule, first, anchor=anchor)
    assert after < first < second
    between = first - timedelta(seconds=1)
    if between > after:
        assert next_due(schedule, between, anchor=anchor) == first
    if schedule.repeats.unit in (Unit.DAYS, Unit.WEEKS):
        local = first.astimezone(ZoneInfo(schedule.time_zone))
        wanted = local.replace(hour=int(schedule.start_time[:2]), minute=int(schedule.start_time[3:]), second=0, fold=0)
        exists = wanted.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) == wanted.replace(tzinfo=None)
        if exists:
            assert local.strftime("%H:%M") == schedule.start_time or schedule.time_zone == "Pacific/Apia"
