"""Who does something: a person or application that calls the API, or Rollcall itself."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Actor:
    """`id` is the object id in the directory, which stays when the name changes; `application`: not a person."""

    id: str
    name: str
    application: bool = False


SYSTEM = Actor("system", "Rollcall", application=True)
"""The timer, and what follows from a change by itself."""
NOBODY = Actor("", "")
