"""Turns pydantic's errors into field errors: every bad field at once, by its JSON path, never with the value that was
sent.
"""

from pydantic import BaseModel, ValidationError

from shared.domain.document import Document
from shared.errors import Conflict, FieldError


def field_errors(error: ValidationError) -> tuple[FieldError, ...]:
    """One entry a bad field. The input is left out: it may be a secret."""
    found = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        found.append(FieldError(path or "(body)", item["type"].replace("_", "-"), message))
    return tuple(found)


def read_as[M: BaseModel](noun: str, document: Document, model: type[M]) -> M:
    """What a stored object configures. Raises Conflict for one that this release can't read."""
    try:
        return model.model_validate(document.body)
    except ValidationError as error:
        raise unreadable(noun, document, field_errors(error)) from error


def unreadable(noun: str, document: Document, fields: tuple[FieldError, ...]) -> Conflict:
    """A stored object that this release can't read: it is in nobody else's way."""
    return Conflict(
        f"The {noun} {document.name or document.id!r} is stored in a form that this release can't read.",
        code="unreadable",
        remedy="Correct the fields listed under errors with PATCH, replace it with PUT, or delete it.",
        fields=fields,
    )
