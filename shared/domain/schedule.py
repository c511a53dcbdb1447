"""When a connector is due: repeats, start time and time zone of the vendors' documents, computed in UTC."""

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from shared.domain.base import Model

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_LOOK_AHEAD_DAYS = 366 * 8  # every 52 weeks on one weekday is the longest gap the model allows, several times over


class Unit(StrEnum):
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    WEEKS = "weeks"


_MOST = {Unit.MINUTES: 1440, Unit.HOURS: 168, Unit.DAYS: 365, Unit.WEEKS: 52}


@cache
def _zones() -> frozenset[str]:
    """The names of the pinned zone database, whatever the machine has: a schedule must mean the same on each."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split()) - {"Factory"}


@cache
def zone_of(name: str) -> ZoneInfo:
    """A zone of the pinned database. Raises KeyError for a name that it does not have."""
    if name not in _zones():
        raise KeyError(name)
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def _known_zone(name: str) -> str:
    if name not in _zones():
        raise ValueError("is not an IANA time zone, such as Europe/Amsterdam or UTC")
    return name


class Repeats(Model):
    """How often a connector gathers data."""

    every: Annotated[int, Field(ge=1)] = 1
    """Every how many units. Minutes up to 1440 and at least 5, hours up to 168, days up to 365, weeks up to 52."""
    unit: Unit = Unit.DAYS
    """minutes, hours, days or weeks."""
    weekdays: list[Weekday] = []
    """With days or weeks: only on these days. Empty means every day (days) or the weekday of startDate (weeks)."""

    @model_validator(mode="after")
    def _fits(self) -> "Repeats":
        if self.every > _MOST[self.unit]:
            raise ValueError(f"every may be at most {_MOST[self.unit]} {self.unit.value}")
        if self.unit is Unit.MINUTES and self.every < 5:
            raise ValueError("every must be at least 5 minutes: the timer ticks every 5 minutes")
        if self.weekdays and self.unit not in (Unit.DAYS, Unit.WEEKS):
            raise ValueError("weekdays go with days or weeks only")
        if self.weekdays and self.unit is Unit.DAYS and self.every % 7 == 0:
            raise ValueError("weekdays with a multiple of 7 days: use weeks instead")
        if len(set(self.weekdays)) != len(self.weekdays):
            raise ValueError("weekdays must not repeat")
        return self


class Schedule(Model):
    """Repeats, start time, start date and time zone of one connector."""

    repeats: Repeats = Repeats()
    """How often the connector gathers data; default every day."""
    start_time: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "02:00"
    """The time of day, HH:MM in timeZone, at which it starts; nights and weekends disturb least."""
    start_date: Annotated[date, Field(ge=date(2000, 1, 1), le=date(2100, 12, 31))] | None = None
    """The first day, in timeZone. Default: the day on which the schedule is saved."""
    first_run: Literal["scheduled", "at-once"] = "scheduled"
    """scheduled: a new connector waits for its start time. at-once: its first run starts as soon as it is saved."""
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    """An IANA time zone. Days and weeks keep the wall-clock time through daylight saving; minutes and hours step evenly."""


def _instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The UTC instant of a wall time: the first instant after the gap where it is skipped, the first of two where
    it is doubled.
    """
    local = datetime.combine(day, at, tzinfo=zone)  # fold=0: the first of a doubled time
    instant = local.astimezone(UTC)
    back = instant.astimezone(zone)
    if back.replace(tzinfo=None) == local.replace(tzinfo=None):
        return instant
    # Skipped. Walk to the transition: the first minute whose offset is the new one.
    before, after = instant - timedelta(hours=3), instant + timedelta(hours=3)
    old_offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == old_offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _anchor_day(schedule: Schedule, fallback: datetime) -> date:
    return schedule.start_date or fallback.astimezone(zone_of(schedule.time_zone)).date()


def next_due(schedule: Schedule, after: datetime, *, anchor: datetime) -> datetime:
    """The first due time strictly later than `after` (UTC). `anchor`: when the schedule was saved, used where it
    names no start date.
    """
    zone = zone_of(schedule.time_zone)
    day = _anchor_day(schedule, anchor)
    hour, minute = map(int, schedule.start_time.split(":"))
    at = time(hour, minute)
    first = _instant(day, at, zone)
    every, unit = schedule.repeats.every, schedule.repeats.unit
    if unit in (Unit.MINUTES, Unit.HOURS):
        if after < first:
            return first
        step = timedelta(minutes=every) if unit is Unit.MINUTES else timedelta(hours=every)
        return first + ((after - first) // step + 1) * step
    start = max(day, after.astimezone(zone).date() - timedelta(days=1))
    for offset in range(_LOOK_AHEAD_DAYS):
        candidate = start + timedelta(days=offset)
        if _is_due_day(schedule, candidate, day):
            instant = _instant(candidate, at, zone)
            if instant > after:
                return instant
    raise ValueError("the schedule is never due")  # can't happen: the model refuses the only such case


def _is_due_day(schedule: Schedule, candidate: date, anchor: date) -> bool:
    names = schedule.repeats.weekdays
    every = schedule.repeats.every
    weekday = WEEKDAYS[candidate.weekday()]
    if schedule.repeats.unit is Unit.DAYS:
        return (candidate - anchor).days % every == 0 and (not names or weekday in names)
    wanted: list[str] = [*names] or [WEEKDAYS[anchor.weekday()]]
    monday = anchor - timedelta(days=anchor.weekday())
    return (candidate - monday).days // 7 % every == 0 and weekday in wanted


def next_times(schedule: Schedule, after: datetime, *, anchor: datetime, count: int = 5) -> list[datetime]:
    """The next due times, soonest first."""
    times: list[datetime] = []
    for _ in range(count):
        after = next_due(schedule, after, anchor=anchor)
        times.append(after)
    return times
