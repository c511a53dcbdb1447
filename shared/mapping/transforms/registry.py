"""What a transform is, and how one is found by its name. A mapping names transforms of this registry and nothing else."""

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from shared.domain.base import Model

Takes = Literal["nothing", "one", "several"]


class NoParameters(Model):
    """None."""


@dataclass(frozen=True)
class Transform:
    """`name` is that of mappings; `parameters` its parameters' model; `takes`: how many values; `gives`: the type of its
    result, empty: that of its value; `opaque`: of any type, by what it is given. `null`: it makes something
    of nothing too; any other is not asked where there is no value.
    """

    name: str
    function: Callable[..., Any]
    parameters: type[Model] = NoParameters
    takes: Takes = "one"
    gives: str = ""
    opaque: bool = False
    null: bool = False

    @property
    def meaning(self) -> str:
        """In words."""
        return " ".join((self.function.__doc__ or "").split())

    @property
    def mark(self) -> str:
        """Names it in the digest of a mapping."""
        return self.function.__name__

    def make(self, given: dict[str, Any]) -> Callable[..., Any]:
        """The function with its parameters. Raises pydantic's ValidationError for parameters that it does not have."""
        parameters = self.parameters.model_validate(given)
        return functools.partial(self.function, parameters) if self.parameters is not NoParameters else self.function


TRANSFORMS: dict[str, Transform] = {}


def transform(
    parameters: type[Model] = NoParameters,
    *,
    takes: Takes = "one",
    gives: str = "",
    opaque: bool = False,
    null: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function under its name in camelCase. Its docstring is what owners read."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        name = re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), function.__name__.strip("_"))
        TRANSFORMS[name] = Transform(name, function, parameters, takes, gives, opaque, null)
        return function

    return register


def texts(values: Any) -> list[str]:
    """The texts of a collection; nulls in it say nothing. It is the list itself where that is right as it is. Raises TypeError for
    anything else.
    """
    if values is None:
        return []
    if not isinstance(values, list):
        raise TypeError
    try:
        "".join(values)  # the quickest way to ask whether all of them are texts
    except TypeError:
        return _texts_among(values)
    return values


def _texts_among(values: list[Any]) -> list[str]:
    found = [value for value in values if value is not None]
    if not all(isinstance(value, str) for value in found):
        raise TypeError
    return found


def each(function: Callable[[str], Any], value: Any) -> Any:
    """Of a text, or of each text of a list. Raises TypeError for anything else."""
    if isinstance(value, str):
        return function(value)
    made = [function(one) for one in texts(value)]
    return [one for one in made if one is not None] or None


def present(values: tuple[Any, ...]) -> Iterator[Any]:
    """Those that are there: neither null nor empty."""
    for value in values:
        if value is not None and value not in ("", []):
            yield value
