"""Triggers only: unpack, call shared, answer. One module per family; each has a group of routes, or makes one."""

import azure.functions as func

from functions import changes, configuration, forecast, meta, records, removals, runs
from functions.sync import blueprint as sync_blueprint
from shared import redact, wiring
from shared.api import RouteTable
from shared.api.blueprint import blueprint
from shared.connectors import REGISTRY
from shared.connectors.registry import Registry

redact.install()


def route_table(registry: Registry = REGISTRY) -> RouteTable:
    """Every route of the app, for these kinds of connectors."""
    table = RouteTable(
        configuration.routes(registry), configuration.other_routes, forecast.routes(registry), runs.routes,
        records.routes(registry), changes.routes, removals.routes,
    )  # fmt: skip
    table.include(meta.routes(table).entries)
    return table


def blueprints(registry: Registry = REGISTRY) -> tuple[func.Blueprint, ...]:
    """Every function of the app."""
    wiring.use(registry)
    return blueprint(route_table(registry)), sync_blueprint
