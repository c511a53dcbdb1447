"""Triggers only: unpack, call shared, answer. One module a family."""

from functions import changes, configuration, forecast, meta, records, removals, runs
from functions.sync import blueprint as sync_blueprint
from shared import api, redact

redact.install()
HTTP_MODULES = (changes, configuration, forecast, meta, records, removals, runs)  # importing them fills the route table
BLUEPRINTS = (api.blueprint(), sync_blueprint)
