"""A limit of Microsoft Graph on one of its services, and what its users know of each other."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pacing:
    """At most `requests` within any `window_seconds`, for each tenant and application. `service` names whose limit it is."""

    service: str
    requests: int
    window_seconds: float


@dataclass(frozen=True)
class Slot:
    """What is shared about one service of one tenant and application. `holder`: the run that uses it, or empty; `recent`:
    when the last requests left, `not_before`: when the next one may, where Graph asked for a wait; both in seconds since
    1970.
    """

    key: str
    holder: str = ""
    recent: tuple[float, ...] = ()
    not_before: float = 0.0
    etag: str = ""
