"""HTTP: a table of routes, and two surfaces that carry them: JSON for programs, pages for people."""

from shared.api.answering import Reply
from shared.api.calls import Call
from shared.api.routes import Route, Routes, RouteTable

__all__ = ("Call", "Reply", "Route", "RouteTable", "Routes")
