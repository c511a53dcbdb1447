"""A limit of Microsoft Graph on one of its services."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pacing:
    """At most `requests` within any `window_seconds`, for each tenant and application. `service` names whose limit it is."""

    service: str
    requests: int
    window_seconds: float
