"""Imported by the server that workers are forked from."""

from tests.worker import preload

preload()
