"""Transforms of text, and of each text of a list. What they can't make sense of raises, and is left out."""

import string
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from shared.domain.base import Model
from shared.mapping.transforms.registry import each, present, texts, transform

Separator = Annotated[str, StringConstraints(min_length=1, max_length=20, strip_whitespace=False)]


class JoinParameters(Model):
    """How texts are joined."""

    separator: Annotated[str, StringConstraints(max_length=20, strip_whitespace=False)] = " "
    """What stands between them."""


class SplitParameters(Model):
    """How a text is cut up."""

    separator: Separator = ","
    """What stands between the parts."""
    part: Annotated[int, Field(ge=-50, le=50)] | None = None
    """Only this part: 1 is the first, -1 the last. Empty: all of them, as a list."""


class ReplaceParameters(Model):
    """A table of whole values."""

    table: Annotated[
        dict[
            Annotated[str, StringConstraints(max_length=300, strip_whitespace=False)],
            Annotated[str, StringConstraints(max_length=300, strip_whitespace=False)],
        ],
        Field(min_length=1, max_length=500),
    ]
    """Value to what takes its place."""
    ignore_case: bool = False
    """Whether upper and lower case count as the same."""
    otherwise: Literal["keep", "empty"] = "keep"
    """What becomes of a value that the table does not have."""


def _pattern(text: str) -> str:
    compiled(text)
    return text


class CaptureParameters(Model):
    """A regular expression in RE2's syntax, which takes linear time: no look-around, no back-references."""

    pattern: Annotated[
        str, StringConstraints(min_length=1, max_length=500, strip_whitespace=False), AfterValidator(_pattern)
    ]
    """It may match anywhere in the text: ^ and $ tie it to its ends."""
    group: Annotated[int, Field(ge=0, le=20)] = 1
    """Which group is taken; 0: the whole match. A pattern without groups gives the whole match."""


class HashParameters(Model):
    """How a value is made unrecognisable."""

    salt: Annotated[str, StringConstraints(max_length=100, strip_whitespace=False)] = ""
    """Put before the value. Whoever can read the mapping can try values out: what can be guessed, such as telephone numbers,
    stays guessable."""
    length: Annotated[int, Field(ge=8, le=64)] = 32
    """Hex digits that are kept."""


class PhoneParameters(Model):
    """How national numbers are dialled."""

    country_code: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,2}$")]
    """The country's code without plus, such as 49."""
    trunk_prefix: Annotated[str, StringConstraints(pattern=r"^[0-9]{0,2}$")] = "0"
    """What national numbers begin with and international ones do not."""


@lru_cache(500)
def compiled(pattern: str) -> Any:
    """The expression, for text in UTF-8: of str the library counts characters and bytes for each match, which takes three
    times as long. Raises ValueError for what is none, or needs too much memory.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(pattern.encode(), options)  # type: ignore[no-untyped-call] # it has no types
    except re2.error as error:
        raise ValueError(f"is no regular expression that RE2 takes: {_said(error)}") from error


def _said(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)


@transform(JoinParameters, takes="several", gives="text")
def join(parameters: JoinParameters, *values: Any) -> str | None:
    """One text of several values, or of the texts of a list; what is empty is left out."""
    found: list[str] = []
    for value in present(values):
        found += texts(value) if isinstance(value, list) else [_text(value)]
    return parameters.separator.join(one for one in found if one) or None


@transform(SplitParameters, opaque=True)
def split(parameters: SplitParameters, value: Any) -> Any:
    """The parts of a text, without blanks around them, as a list; or one of them."""
    cut = [part.strip() for part in _text(value).split(parameters.separator)]
    if parameters.part is None:
        return [part for part in cut if part] or None
    place = parameters.part - 1 if parameters.part > 0 else parameters.part
    return cut[place] if parameters.part and -len(cut) <= place < len(cut) else None


@transform()
def lower(value: Any) -> Any:
    """In lower case."""
    return each(str.lower, value)


@transform()
def upper(value: Any) -> Any:
    """In upper case."""
    return each(str.upper, value)


@transform()
def title(value: Any) -> Any:
    """Each word with a capital letter; blanks become single ones."""
    return each(string.capwords, value)


@transform()
def trim(value: Any) -> Any:
    """Without blanks around it, and with single ones inside."""
    return each(lambda text: " ".join(text.split()), value)


@transform(ReplaceParameters)
def replace(parameters: ReplaceParameters, value: Any) -> Any:
    """Whole values by a table."""
    table = _folded(parameters)

    def one(text: str) -> str | None:
        found = table.get(text.casefold() if parameters.ignore_case else text)
        return found if found is not None else text if parameters.otherwise == "keep" else None

    return each(one, value)


def _folded(parameters: ReplaceParameters) -> dict[str, str]:
    if not parameters.ignore_case:
        return parameters.table
    return {key.casefold(): value for key, value in parameters.table.items()}


@transform(CaptureParameters)
def capture(parameters: CaptureParameters, value: Any) -> Any:
    """What a regular expression finds in the text; nothing where it does not match."""
    expression = compiled(parameters.pattern)
    group = min(parameters.group, expression.groups)

    def one(text: str) -> str | None:
        found = expression.search(text.encode())
        made = None if found is None else found.group(group)
        return None if made is None else made.decode()

    return each(one, value)


@transform(HashParameters)
def hash(parameters: HashParameters, value: Any) -> Any:  # noqa: A001 - that is its name in mappings
    """SHA-256 of the text in hex: the same value gives the same digits, and nobody reads it back."""
    import hashlib

    return each(lambda text: hashlib.sha256((parameters.salt + text).encode()).hexdigest()[: parameters.length], value)


@transform()
def drop(_value: Any) -> None:
    """For privacy: the attribute stays in the mapping, its value is neither asked for nor stored."""


@transform(PhoneParameters)
def e164(parameters: PhoneParameters, value: Any) -> Any:
    """A telephone number in international form, such as +4930901820; extensions are left out. What can't be one is no value."""
    return each(lambda text: _international(parameters, text), value)


def _international(parameters: PhoneParameters, text: str) -> str:
    number = text.casefold()
    for mark in ("ext", "x", ";", ",", "#"):
        number = number.partition(mark)[0]
    number = number.replace("(0)", "")
    kept = "".join(character for character in number if character.isascii() and character.isdigit())
    if number.strip().startswith("+"):
        whole = kept
    elif kept.startswith("00"):
        whole = kept[2:]
    else:
        national = kept.removeprefix(parameters.trunk_prefix) if parameters.trunk_prefix else kept
        whole = parameters.country_code + national
    if not 7 <= len(whole) <= 15 or any(c.isalpha() for c in number):
        raise ValueError
    return f"+{whole}"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
