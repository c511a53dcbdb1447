"""Triggers only: unpack, call shared, answer. One module per family; each has a group of routes, or makes one."""

import logging

import azure.functions as func

from functions import actions, audit, changes, configuration, forecast, mappings, meta, records, removals, reports, runs
from functions.acting import blueprint as acting_blueprint
from functions.sync import blueprint as sync_blueprint
from shared import redact, settings, wiring
from shared.api import RouteTable
from shared.api.blueprint import blueprint
from shared.connectors import REGISTRY
from shared.connectors.registry import Registry
from shared.errors import Unavailable

redact.install()


def route_table(registry: Registry = REGISTRY) -> RouteTable:
    """Every route of the app, for these kinds of connectors."""
    table = RouteTable(
        configuration.routes(registry), configuration.other_routes, mappings.routes(registry), forecast.routes(registry), runs.routes,
        records.routes(registry), changes.routes, removals.routes, reports.routes, audit.routes(registry), actions.routes,
    )  # fmt: skip
    table.include(meta.routes(table).entries)
    return table


def blueprints(registry: Registry = REGISTRY) -> tuple[func.Blueprint, ...]:
    """Every function of the app."""
    wiring.use(registry)
    _say_what_is_wrong()
    return blueprint(route_table(registry), wiring.edge()), sync_blueprint, acting_blueprint


def _say_what_is_wrong() -> None:
    """A setting that makes no sense is logged at the start; every request and health say it too."""
    try:
        settings.load()
    except Unavailable as error:
        logging.getLogger("rollcall").error("%s %s", error.detail, error.remedy)  # noqa: TRY400 - where it was read says nothing
