"""The route table. A module declares its routes in a group, which says what they have in common:

    routes = Routes(tag="Changes", role=Role.READ)

    @routes.get("changes", "List changes since a time", query=ChangesQuery, returns=Change, returns_list=True)
    def list_changes(call: Call) -> Reply: ...

The function's name is the operation's name everywhere: in Azure, in telemetry, in OpenAPI.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from shared.api.answering import Reply
from shared.api.calls import Call
from shared.api.pools import STORAGE
from shared.api.surfaces import JSON, Surface
from shared.names import Role

if TYPE_CHECKING:
    from collections.abc import Iterable

Handler = Callable[[Call], Reply | Awaitable[Reply]]
_PARAMETER = re.compile(r"\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True)
class Route:
    """One operation. `role` None: open to everybody (health only). `returns_list`: a page of `returns`, with `or_items` among
    them; `files`: content types of files that it may answer with instead; `upload`: it takes a file of one of these content types as bytes;
    `also`: other good answers, as status, model, when. `waits_for`: the dependency whose threads a handler that is no
    coroutine runs on, as the call has it where that depends; empty: it waits for nothing.
    """

    name: str
    method: str
    path: str
    handler: Handler
    role: Role | None
    summary: str
    tag: str
    surface: Surface = JSON
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    merge_patch: bool = False
    returns: type[BaseModel] | None = None
    returns_list: bool = False
    or_items: tuple[type[BaseModel], ...] = ()
    status: int = 200
    content_type: str = "application/json"
    files: tuple[str, ...] = ()
    upload: tuple[str, ...] = ()
    needs_if_match: bool = False
    also: tuple[tuple[int, type[BaseModel], str], ...] = ()
    waits_for: str | Callable[[Call], str] = STORAGE

    @property
    def address(self) -> str:
        """The path with its surface's prefix."""
        return f"{self.surface.prefix}/{self.path}".rstrip("/")

    @property
    def parameters(self) -> list[str]:
        """Names of the path's parameters, in order."""
        return _PARAMETER.findall(self.path)

    def matches(self, path: str) -> bool:
        """Whether an address is one of this route's."""
        pattern = "[^/]+".join(re.escape(part) for part in _PARAMETER.split(self.address)[::2])
        return re.fullmatch(pattern, path.strip("/")) is not None


@dataclass
class Routes:
    """Routes with a tag, a role and a surface in common; each may have another role."""

    tag: str
    role: Role | None
    surface: Surface = JSON
    entries: list[Route] = field(default_factory=list)

    def add(self, method: str, path: str, summary: str, handler: Handler, *, name: str = "", **options: Any) -> None:
        """Declares a route. `name`: instead of the handler's own; `role`, `tag`: instead of the group's."""
        given = {"role": self.role, "tag": self.tag, "surface": self.surface, **options}
        self.entries.append(Route(name or handler.__name__, method, path, handler, summary=summary, **given))

    def _declare(self, method: str, path: str, summary: str, options: dict[str, Any]) -> Callable[[Handler], Handler]:
        def declare(handler: Handler) -> Handler:
            self.add(method, path, summary, handler, **options)
            return handler

        return declare

    def get(self, path: str, summary: str, **options: Any) -> Callable[[Handler], Handler]:
        return self._declare("GET", path, summary, options)

    def post(self, path: str, summary: str, **options: Any) -> Callable[[Handler], Handler]:
        return self._declare("POST", path, summary, options)

    def put(self, path: str, summary: str, **options: Any) -> Callable[[Handler], Handler]:
        return self._declare("PUT", path, summary, options)

    def patch(self, path: str, summary: str, **options: Any) -> Callable[[Handler], Handler]:
        return self._declare("PATCH", path, summary, options)

    def delete(self, path: str, summary: str, **options: Any) -> Callable[[Handler], Handler]:
        return self._declare("DELETE", path, summary, options)


class RouteTable:
    """All routes of an app, by name. Raises ValueError for names or addresses that clash."""

    def __init__(self, *groups: Routes) -> None:
        self.routes: dict[str, Route] = {}
        for group in groups:
            self.include(group.entries)

    def include(self, routes: "Iterable[Route]") -> None:
        for route in routes:
            clash = [one for one in self if (one.method, one.address) == (route.method, route.address)]
            if route.name in self.routes or clash:
                raise ValueError(f"two routes are {route.name}, or {route.method} {route.address}")
            self.routes[route.name] = route

    def __iter__(self) -> Iterator[Route]:
        return iter(self.routes.values())

    def __getitem__(self, name: str) -> Route:
        return self.routes[name]

    def on(self, surface: Surface) -> list[Route]:
        return [route for route in self if route.surface is surface]

    def surfaces(self) -> list[Surface]:
        """Those that have routes, in the order of their first one."""
        found: list[Surface] = []
        for route in self:
            if not any(route.surface is surface for surface in found):
                found.append(route.surface)
        return found

    def allowed_methods(self, path: str) -> list[str]:
        """The methods that an address takes; none: there is no such address."""
        matching = [route for route in self if route.matches(path)]
        fewest = min((len(route.parameters) for route in matching), default=0)  # a word goes before an id
        found = {route.method for route in matching if len(route.parameters) == fewest}
        return sorted(found | ({"HEAD"} if "GET" in found else set()))
