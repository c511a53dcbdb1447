"""Domain names as people type them, and the form in which they are compared."""

import re

import idna

EVERYBODY = "*"
_SEPARATOR = re.compile(r"[,;|\s]")
_EXAMPLE = "such as contoso.com"


def domain_name(text: str) -> str:
    """The name in its ASCII form (xn--...), lower case; * stays. Invisible characters are dropped. Raises ValueError."""
    text = text.strip()
    if text == EVERYBODY:
        return text
    if _SEPARATOR.search(text):
        raise ValueError("holds more than one name: one name a row")
    if "@" in text:
        raise ValueError(f"is an address or part of one: give the domain alone, {_EXAMPLE}")
    try:
        name = idna.encode(text, uts46=True, std3_rules=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise ValueError(f"is neither * nor a domain name {_EXAMPLE}") from None
    if "." not in name.strip(".") or name.endswith(".") or name.rpartition(".")[2].isdigit():
        raise ValueError(f"is neither * nor a domain name {_EXAMPLE}")
    return name


def domain_of(address: object) -> str:
    """The domain of a mail address, as domain_name() spells it; empty where there is none."""
    if not isinstance(address, str):
        return ""
    name = address.rpartition("@")[2].lower()
    if name.isascii():
        return name
    try:
        return idna.encode(name, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        return name
