"""Transforms between kinds of values: text, flags, numbers, times, JSON."""

import math
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import orjson
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from shared.domain.base import Model
from shared.mapping.transforms.registry import present, transform

Word = Annotated[str, StringConstraints(min_length=1, max_length=60)]
_DIRECTIVES = frozenset("dmYyHMSfzbBpIjT")


def _zone(name: str) -> str:
    zone(name)
    return name


@lru_cache(64)
def zone(name: str) -> ZoneInfo:
    """Raises ValueError for a zone that is not there."""
    try:
        return ZoneInfo(name)
    except Exception as error:
        raise ValueError("must be a time zone such as Europe/Berlin") from error


def _form(text: str) -> str:
    marks = text.split("%")[1:]
    names = [mark[:1] for mark in marks]
    if not names or not _DIRECTIVES.issuperset(names) or len(set(names)) < len(names):
        raise ValueError(
            "must be a form such as %d.%m.%Y: day %d, month %m, year %Y, hour %H, minute %M, second %S, each once"
        )
    return text


class TimeParameters(Model):
    """How the directory writes the time."""

    form: Annotated[str, StringConstraints(min_length=2, max_length=60), AfterValidator(_form)] | None = None
    """Such as %d.%m.%Y. Empty: ISO 8601."""
    time_zone: Annotated[str, StringConstraints(max_length=60), AfterValidator(_zone)] = "UTC"
    """The zone of a time that names no offset."""


class FlagParameters(Model):
    """Words for yes and no; upper and lower case are the same."""

    true: Annotated[list[Word], Field(min_length=1, max_length=50)] = ["true", "yes", "y", "1"]
    """Yes."""
    false: Annotated[list[Word], Field(min_length=1, max_length=50)] = ["false", "no", "n", "0"]
    """No."""

    @model_validator(mode="after")
    def _apart(self) -> "FlagParameters":
        both = {word.casefold() for word in self.true} & {word.casefold() for word in self.false}
        if both:
            raise ValueError(f"{', '.join(sorted(both))} can't be both yes and no")
        return self

    @cached_property
    def words(self) -> dict[str, bool]:
        """Folded, and as most services write them."""
        folded = {word.casefold(): True for word in self.true} | {word.casefold(): False for word in self.false}
        return {word.capitalize(): value for word, value in folded.items()} | folded


class ConstantParameters(Model):
    """A value that every record gets."""

    value: (
        Annotated[str, StringConstraints(min_length=1, max_length=1000)]
        | bool
        | Annotated[float, Field(allow_inf_nan=False)]
    )
    """Text, true or false, or a number."""


@transform(takes="several", opaque=True, null=True)
def first_of(*values: Any) -> Any:
    """The first of several values that is neither null nor empty."""
    return next(present(values), None)


@transform(ConstantParameters, takes="nothing", opaque=True, null=True)
def constant(parameters: ConstantParameters) -> Any:
    """The same for every record, such as the customer's number."""
    value = parameters.value
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**31 else value


@transform(TimeParameters, gives="time")
def to_utc(parameters: TimeParameters, value: Any) -> str | None:
    """A time in UTC."""
    if not isinstance(value, str):
        raise TypeError
    text = value.strip()
    if not text:
        return None
    parsed = datetime.strptime(text, parameters.form) if parameters.form else datetime.fromisoformat(text)  # noqa: DTZ007 - below
    local = parsed if parsed.tzinfo else parsed.replace(tzinfo=zone(parameters.time_zone))
    return local.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@transform(FlagParameters, gives="flag")
def flag(parameters: FlagParameters, value: Any) -> bool | None:
    """True or false of words. Any other word is no value: nothing is guessed."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise TypeError
    found = parameters.words.get(value)
    if found is None and (word := value.strip().casefold()):
        found = parameters.words[word]
    return found


@transform(gives="number")
def number(value: Any) -> int | float | None:
    """A number of a text such as 1042 or -3.5."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise TypeError
    text = value.strip()
    if not text:
        return None
    if not text.isascii() or "_" in text or len(text) > 40:
        raise ValueError
    found = int(text) if text.lstrip("+-").isdigit() else float(text)
    if isinstance(found, float) and not math.isfinite(found):
        raise ValueError
    return found


@transform(gives="text")
def text(value: Any) -> str:
    """A number, a flag or a time as text. Lists and structures: json."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if not isinstance(value, (str, int, float)):
        raise TypeError
    return str(value)


@transform(gives="text")
def json(value: Any) -> str:
    """Any value as JSON text, structures with their members in order."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
