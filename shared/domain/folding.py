"""The form in which names are searched, and the form in which they are unique.

Searching forgives much: case, accents, apostrophes, invisible marks, letters that other keyboards do not have. Uniqueness
forgives little: case, width and what nobody can see.
"""

import re
import unicodedata

VERSION = 2
"""Of fold() and words(): look-up rows carry it. A change means that all of them are written again."""
NAMES = 1
"""Version of unique_form(): reservations of names carry it. After a change each object gets one in the new form."""
LETTERS = str.maketrans(
    {
        "ł": "l", "Ł": "l", "ø": "o", "Ø": "o", "đ": "d", "Đ": "d", "ð": "d", "Ð": "d", "ħ": "h", "Ħ": "h", "ı": "i",
        "ŧ": "t", "Ŧ": "t", "ŋ": "n", "Ŋ": "n", "æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "þ": "th", "Þ": "th",
        "ĸ": "k", "ŀ": "l", "ɓ": "b", "ɗ": "d", "ƙ": "k", "ƴ": "y", "ə": "a", "Ə": "a",
        **dict.fromkeys("'\u2018\u2019\u201b\u02bb\u02bc\u02b9\u02c8\u2032\u00b4\u0060\uff07\u05f3\ua78c", None),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\uff0d\ufe63", "-"),
    }
)  # fmt: skip
"""What Unicode's own decomposition does not do: letters with strokes, ligatures, apostrophes (dropped), dashes (one kind)."""
_VOICED = "\u3099\u309a"  # がは and ぱ are letters of their own, no accents
_SHORT_I = "\u0306"  # й is no и
_WORD = re.compile(r"[^\s\-.,;:_()\[\]{}/\\&+|\"<>]+")
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {chr(n) for n in range(0xFE00, 0xFE10)}
"""Letters and marks that show nothing."""
_ASCII_DROPPED = str.maketrans("", "", "'`")


def fold(text: str) -> str:
    """The form in which names are searched: no case, no accents, no apostrophes, nothing invisible, single blanks."""
    if text.isascii():
        lower = text.lower()
        if "'" in lower or "`" in lower:
            lower = lower.translate(_ASCII_DROPPED)
        return " ".join(lower.split())  # the same as below, twenty times faster
    text = "".join(c for c in text.translate(LETTERS) if unicodedata.category(c) != "Cf")
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare: list[str] = []
    for c in text:
        if not unicodedata.combining(c) or c in _VOICED or (c == _SHORT_I and bare and bare[-1] in "иу"):
            bare.append(c)
    joined = unicodedata.normalize("NFC", "".join(bare)).translate(LETTERS)
    return " ".join(joined.split())


def words(folded: str) -> list[str]:
    """The words of a folded name."""
    return _WORD.findall(folded)


def enough(folded: str) -> bool:
    """Whether a text is long enough to search by: two characters, or one where one is a word (Chinese, Japanese, Korean)."""
    return len(folded) >= 2 or any(unicodedata.east_asian_width(c) in "WF" and c.isalpha() for c in folded)


def unique_form(text: str) -> str:
    """The form in which names of configuration are unique: case, width, blanks and what nobody can see do not count; every
    letter and accent does. Empty for a name that nobody can see.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    seen = "".join(c for c in folded if unicodedata.category(c) not in ("Cf", "Cc") and c not in _BLANK)
    return " ".join(seen.split())
