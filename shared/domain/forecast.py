"""What a changed scope would do, said before it is saved."""

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
    """So many of them would be out of scope."""
    causes: dict[str, int]
    """The same by cause: domain or threshold."""


class Forecast(Model):
    """Who would leave the copy. Nothing was saved."""

    leave: int
    """Records of all streams together."""
    streams: list[StreamForecast]
    """Each stream that is collected."""
    not_counted: list[str]
    """Fields whose effect only a run can tell: excludedGroups, for who is a member has to be asked of Entra, and
    a threshold in days while it is not known when its objects were last active."""
    explanation: str
    """The same in words."""
