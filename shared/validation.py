"""Turns pydantic's errors into field errors: every bad field at once, by its JSON path, never with the value that was
sent.
"""

from pydantic import ValidationError

from shared.errors import FieldError


def field_errors(error: ValidationError) -> tuple[FieldError, ...]:
    """One entry a bad field. The input is left out: it may be a secret."""
    found = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        found.append(FieldError(path or "(body)", item["type"].replace("_", "-"), message))
    return tuple(found)
