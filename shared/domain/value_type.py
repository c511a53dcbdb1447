"""The types of values that records hold."""

from enum import StrEnum


class Type(StrEnum):
    """How a value is stored in its column, and given back by the API."""

    TEXT = "text"
    FLAG = "flag"
    NUMBER = "number"
    TIME = "time"
    JSON = "json"  # collections and structures, as JSON text
