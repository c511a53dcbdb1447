"""Triggers only: unpack, call shared, answer. One module a family."""

from functions import configuration, meta, records, runs
from functions.sync import blueprint as sync_blueprint
from shared import api, redact

redact.install()
HTTP_MODULES = (configuration, meta, records, runs)  # importing them fills the route table
BLUEPRINTS = (api.blueprint(), sync_blueprint)
