"""Triggers only: unpack, call shared, answer. One module a family."""

import azure.functions as func

from functions import changes, configuration, forecast, meta, records, removals, runs
from functions.sync import blueprint as sync_blueprint
from shared import api, redact, wiring
from shared.connectors import REGISTRY
from shared.connectors.registry import Registry

redact.install()
HTTP_MODULES = (changes, meta, removals, runs)  # importing them fills the route table


def blueprints(registry: Registry = REGISTRY) -> tuple[func.Blueprint, ...]:
    """Every function of the app, for these kinds of connectors."""
    wiring.use(registry)
    for module in (configuration, forecast, records):
        module.register(registry)
    return api.blueprint(), sync_blueprint
