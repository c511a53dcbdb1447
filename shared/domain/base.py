"""What all models share: camelCase JSON, unknown fields refused, no control characters in names."""

import re
import secrets
import time
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from shared.domain.folding import unique_form


class Model(BaseModel):
    """Base of every model of the API."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        use_attribute_docstrings=True,
        str_strip_whitespace=True,
        hide_input_in_errors=True,
    )


def _no_controls(text: str) -> str:
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text):
        raise ValueError("must not hold control characters")
    return text


def _no_surrogates(text: str) -> str:
    text.encode()  # a lone surrogate can't be stored: UnicodeEncodeError is a ValueError
    return text


def _visible(text: str) -> str:
    if not unique_form(text):
        raise ValueError("must hold something that can be seen")
    return text


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=120),
    Field(
        json_schema_extra={
            "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f]+[^\u0000-\u001f\u007f-\u009f]*$"
        }
    ),
    AfterValidator(_no_controls),
    AfterValidator(_no_surrogates),
    AfterValidator(_visible),
]
Guid = Annotated[
    str,
    StringConstraints(
        pattern=r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$", to_lower=True
    ),
]
Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-z]{1,40}$")]

_ID = re.compile(r"^[0-9a-z]{1,40}$")


def is_id(text: str) -> bool:
    """Whether the text has the form of an id; anything else is simply not found."""
    return bool(_ID.fullmatch(text))


def new_id() -> str:
    """32 hex characters that sort by creation time (the layout of UUID version 7)."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
