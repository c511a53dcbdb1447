"""What a changed scope would do, before it is saved."""

from shared.domain.base import Id, Model


class StreamForecast(Model):
    """One stream of one connector."""

    connector_id: Id
    """The connector that collects it."""
    stream: str
    """The listing of that connector."""
    records: int
    """Stored now."""
    leave: int
    """How many of them would leave the copy."""
    causes: dict[str, int]
    """The same by cause: domain or threshold."""
    limit: int
    """How many may leave without a person's word, by the connector's removal limit."""
    held: bool
    """Whether they would be held for a person to confirm: they are more than the limit, or hardly anybody would be left."""


class Forecast(Model):
    """Who would leave the copy. Nothing was saved."""

    leave: int
    """Records of all streams together."""
    streams: list[StreamForecast]
    """Each stream that is collected."""
    not_counted: list[str]
    """Fields whose effect only a run can tell: excludedGroups, because membership has to be read from Entra, and a
    threshold in days while the last activity of its objects is unknown."""
    explanation: str
    """The same in words."""
