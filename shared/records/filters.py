"""Filters of lists: a small grammar that is parsed whole and judged here; nothing of it ever reaches a query.

    filter  = term *( "or" term )        term   = factor *( "and" factor )
    factor  = "not" factor / "(" filter ")" / test
    test    = name ( "eq" / "ne" / "lt" / "le" / "gt" / "ge" ) value / "startswith" "(" name "," text ")"
    value   = 'text' / number / true / false / null / a time such as 2026-11-27T08:00:00Z or 2026-11-27

A value that is missing is unknown, and so is every test of it: neither the test nor its contrary finds the record.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.domain.value_type import Type
from shared.errors import FieldError, Invalid
from shared.mapping.attribute import FILTER_WORDS

MOST_CHARACTERS, _MOST_TESTS, _DEEPEST = 2000, 50, 20
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<time>\d{4}-\d\d-\d\d(?:T[0-9:.]{5,16}(?:Z|[+-]\d\d:\d\d)?)?)"
    r"|(?P<number>-?\d{1,15}(?:\.\d{1,10})?)|(?P<word>[A-Za-z][A-Za-z0-9]*)|(?P<mark>[(),]))"
)
_COMPARING = ("eq", "ne", "lt", "le", "gt", "ge")
_KINDS = {Type.TEXT: "text in single quotes", Type.NUMBER: "a number", Type.FLAG: "true or false", Type.TIME: "a time"}

Known = Callable[[str], tuple[Any, bool]]
"""The value of an attribute, and whether it is missing (then the value says nothing)."""


@dataclass(frozen=True)
class Filter:
    """`names`: the attributes that it looks at. `judge` gives True, False, or None for unknown."""

    names: frozenset[str]
    judge: Callable[[Known], bool | None]

    def finds(self, known: Known) -> bool:
        return self.judge(known) is True


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def parse(text: str, types: Mapping[str, Type]) -> Filter:
    """`types`: what can be named. Raises Invalid, with the place of what is wrong."""
    if len(text) > MOST_CHARACTERS:
        raise _wrong("too-long", f"holds {MOST_CHARACTERS} characters at most")
    parser = _Parser(_tokens(text), types)
    judge = parser.any_of(0)
    if parser.now.kind != "end":
        raise _wrong("malformed", f"is not understood from character {parser.now.at + 1} on")
    return Filter(frozenset(parser.names), judge)


def _wrong(code: str, message: str) -> Invalid:
    return Invalid("The filter is not valid.", fields=(FieldError("filter", code, message),))


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while text[at:].strip():
        token = _TOKEN.match(text, at)
        if token is None or token.lastgroup is None:
            raise _wrong("malformed", f"is not understood from character {at + 1} on")
        found.append(_Token(token.lastgroup, token[token.lastgroup], token.start(token.lastgroup)))
        at = token.end()
    return [*found, _Token("end", "", len(text))]


class _Parser:
    def __init__(self, tokens: list[_Token], types: Mapping[str, Type]) -> None:
        self._tokens, self._types, self._at, self._tests = tokens, types, 0, 0
        self.names: set[str] = set()

    @property
    def now(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self.now
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _is(self, word: str) -> bool:
        return self.now.text == word and self.now.kind in ("word", "mark")

    def _expect(self, mark: str) -> None:
        if not self._is(mark):
            raise _wrong("malformed", f"needs {mark} at character {self.now.at + 1}")
        self._take()

    def any_of(self, depth: int) -> Callable[[Known], bool | None]:
        if depth > _DEEPEST:
            raise _wrong("too-deep", f"is nested deeper than {_DEEPEST} levels")
        parts = [self._all_of(depth)]
        while self._is("or"):
            self._take()
            parts.append(self._all_of(depth))
        return _any(parts) if len(parts) > 1 else parts[0]

    def _all_of(self, depth: int) -> Callable[[Known], bool | None]:
        parts = [self._factor(depth)]
        while self._is("and"):
            self._take()
            parts.append(self._factor(depth))
        return _all(parts) if len(parts) > 1 else parts[0]

    def _factor(self, depth: int) -> Callable[[Known], bool | None]:
        if depth > _DEEPEST:
            raise _wrong("too-deep", f"is nested deeper than {_DEEPEST} levels")
        if self._is("not"):
            self._take()
            return _contrary(self._factor(depth + 1))
        if self._is("("):
            self._take()
            inside = self.any_of(depth + 1)
            self._expect(")")
            return inside
        return self._test()

    def _test(self) -> Callable[[Known], bool | None]:
        self._tests += 1
        if self._tests > _MOST_TESTS:
            raise _wrong("too-many", f"holds {_MOST_TESTS} tests at most")
        if self._is("startswith"):
            self._take()
            self._expect("(")
            name, type_ = self._name()
            self._expect(",")
            value = self._take()
            self._expect(")")
            if type_ is not Type.TEXT or value.kind != "text":
                raise _wrong("type", f"startswith compares text: {name} is {type_}")
            return _starts(name, folded(_text(value)))
        name, type_ = self._name()
        operator = self._take()
        if operator.text not in _COMPARING:
            raise _wrong("malformed", f"needs one of {', '.join(_COMPARING)} at character {operator.at + 1}")
        return self._comparison(name, type_, operator.text, self._take())

    def _name(self) -> tuple[str, Type]:
        token = self._take()
        if token.kind != "word" or token.text in FILTER_WORDS:
            raise _wrong("malformed", f"needs the name of an attribute at character {token.at + 1}")
        if token.text not in self._types:
            raise _wrong("unknown", f"there is no attribute {token.text}")
        self.names.add(token.text)
        return token.text, self._types[token.text]

    def _comparison(self, name: str, type_: Type, operator: str, token: _Token) -> Callable[[Known], bool | None]:
        if token.kind == "word" and token.text == "null":
            if operator not in ("eq", "ne"):
                raise _wrong("type", f"null goes with eq and ne only, at character {token.at + 1}")
            return _empty(name, wanted=operator == "eq")
        if type_ is Type.JSON:
            raise _wrong("type", f"{name} is a list or structure: it can be compared with null only")
        value = _value(type_, token)
        if value is None:
            raise _wrong("type", f"{name} is compared with {_KINDS[type_]}, at character {token.at + 1}")
        if type_ is Type.FLAG and operator not in ("eq", "ne"):
            raise _wrong("type", f"{name} is true or false: eq and ne only")
        return _compared(name, type_, operator, value)


def _text(token: _Token) -> str:
    return token.text[1:-1].replace("''", "'")


def _value(type_: Type, token: _Token) -> Any:
    """The value of a literal; None where it is of another type."""
    if type_ is Type.TEXT and token.kind == "text":
        return folded(_text(token))
    if type_ is Type.NUMBER and token.kind == "number":
        return float(token.text)
    if type_ is Type.FLAG and token.text in ("true", "false") and token.kind == "word":
        return token.text == "true"
    if type_ is Type.TIME and token.kind == "time":
        try:
            return moment(token.text)
        except ValueError:
            return None
    return None


def moment(text: str) -> datetime:
    """A time, UTC where it names no offset. Raises ValueError."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def folded(text: str) -> str:
    """Text as it is compared: upper and lower case, and forms of one character, are the same."""
    return unicodedata.normalize("NFKC", text).casefold()


def _comparable(type_: Type, value: Any) -> Any:
    """None for a value of another type: two connectors may call two things by one name."""
    if type_ is Type.TEXT:
        return folded(value) if isinstance(value, str) else None
    if type_ is Type.FLAG:
        return value if isinstance(value, bool) else None
    if type_ is Type.NUMBER:
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    try:
        return moment(value) if isinstance(value, str) else None
    except ValueError:
        return None


_HOW: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda one, other: bool(one == other), "ne": lambda one, other: bool(one != other),
    "lt": lambda one, other: bool(one < other), "le": lambda one, other: bool(one <= other),
    "gt": lambda one, other: bool(one > other), "ge": lambda one, other: bool(one >= other),
}  # fmt: skip


def _compared(name: str, type_: Type, operator: str, wanted: Any) -> Callable[[Known], bool | None]:
    how = _HOW[operator]

    def judge(known: Known) -> bool | None:
        value, missing = known(name)
        if missing:
            return None
        if value is None:  # empty: it is no other value, and neither before nor after one
            return operator == "ne"
        one = _comparable(type_, value)
        return None if one is None else how(one, wanted)

    return judge


def _empty(name: str, *, wanted: bool) -> Callable[[Known], bool | None]:
    def judge(known: Known) -> bool | None:
        value, missing = known(name)
        return None if missing else (value is None) is wanted

    return judge


def _starts(name: str, beginning: str) -> Callable[[Known], bool | None]:
    def judge(known: Known) -> bool | None:
        value, missing = known(name)
        return None if missing else value is not None and folded(str(value)).startswith(beginning)

    return judge


def _any(parts: list[Callable[[Known], bool | None]]) -> Callable[[Known], bool | None]:
    def judge(known: Known) -> bool | None:
        found = [part(known) for part in parts]
        return True if True in found else None if None in found else False

    return judge


def _all(parts: list[Callable[[Known], bool | None]]) -> Callable[[Known], bool | None]:
    def judge(known: Known) -> bool | None:
        found = [part(known) for part in parts]
        return False if False in found else None if None in found else True

    return judge


def _contrary(part: Callable[[Known], bool | None]) -> Callable[[Known], bool | None]:
    def judge(known: Known) -> bool | None:
        found = part(known)
        return None if found is None else not found

    return judge
