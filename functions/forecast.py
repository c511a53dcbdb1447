"""What a changed scope would do, before it is saved."""

from functions.configuration import object_id
from shared.api import Call, Reply, Routes
from shared.configuration.kinds import ConfigKind, config_kinds
from shared.connectors.registry import Registry
from shared.domain.forecast import Forecast
from shared.names import Role
from shared.wiring import app


def routes(registry: Registry) -> Routes:
    """Routes for connectors, which have thresholds in days, and for sources, which have domains."""
    group = Routes(tag="Forecasts", role=Role.CONFIGURE)
    kinds = config_kinds(registry)
    for key in ("connector", "source"):
        _add(group, kinds[key])
    return group


def _add(group: Routes, kind: ConfigKind) -> None:
    @group.post(
        f"{kind.path}/{{id}}/forecast",
        f"Count who would leave the copy if these fields of a {kind.noun} changed; nothing is saved",
        name=f"forecast_{kind.key}",
        tag=f"{kind.noun.capitalize()}s",
        body=kind.model,
        merge_patch=True,
        returns=Forecast,
    )
    def forecast(call: Call) -> Reply:
        changed_id = object_id(kind.noun, call)
        changed = app().configuration.proposed(kind, changed_id, call.body)
        return Reply(app().forecasts.of(changed_id, changed))
