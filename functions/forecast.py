"""What a changed scope would do, asked before it is saved."""

from functions.configuration import object_id
from shared.api import Call, Reply, route
from shared.configuration.kinds import KINDS
from shared.domain.configuration import ConnectorIn, SourceIn
from shared.domain.forecast import Forecast
from shared.principal import Role
from shared.wiring import app


@route(
    "POST",
    "connectors/{id}/forecast",
    role=Role.CONFIGURE,
    summary="Count who would leave the copy if these fields of a connector changed; nothing is saved",
    tag="Connectors",
    body=ConnectorIn,
    merge_patch=True,
    returns=Forecast,
)
def forecast_connector(call: Call) -> Reply:
    """For a changed threshold in days."""
    kind = KINDS["connector"]
    connector = object_id(kind, call)
    _, changed = app().configuration.proposed(kind, connector, call.body)
    assert isinstance(changed, ConnectorIn)
    return Reply(app().forecasts.connector(connector, changed))


@route(
    "POST",
    "sources/{id}/forecast",
    role=Role.CONFIGURE,
    summary="Count who would leave the copy if these fields of a source changed; nothing is saved",
    tag="Sources",
    body=SourceIn,
    merge_patch=True,
    returns=Forecast,
)
def forecast_source(call: Call) -> Reply:
    """For changed domains, over all connectors of the source."""
    kind = KINDS["source"]
    source = object_id(kind, call)
    _, changed = app().configuration.proposed(kind, source, call.body)
    assert isinstance(changed, SourceIn)
    return Reply(app().forecasts.source(source, changed))
