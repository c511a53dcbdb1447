"""What a changed scope would do, asked before it is saved."""

from functions.configuration import object_id
from shared.api import Call, Reply, Route, add_route
from shared.configuration.kinds import ConfigKind, config_kinds
from shared.connectors.registry import Registry
from shared.domain.forecast import Forecast
from shared.principal import Role
from shared.wiring import app


def _register(kind: ConfigKind) -> None:
    def forecast(call: Call) -> Reply:
        changed_id = object_id(kind.noun, call)
        _, changed = app().configuration.proposed(kind, changed_id, call.body)
        return Reply(app().forecasts.of(changed_id, changed))

    add_route(
        Route(
            f"forecast_{kind.key}",
            "POST",
            f"{kind.path}/{{id}}/forecast",
            forecast,
            Role.CONFIGURE,
            f"Count who would leave the copy if these fields of a {kind.noun} changed; nothing is saved",
            f"{kind.noun.capitalize()}s",
            body=kind.model,
            merge_patch=True,
            returns=Forecast,
        )
    )


def register(registry: Registry) -> None:
    """Adds the routes: of connectors, which have thresholds in days, and of sources, which have domains."""
    kinds = config_kinds(registry)
    for key in ("connector", "source"):
        _register(kinds[key])
