"""The switchboard of the simulated cloud: tenant, app registrations, faults, counters. Plain http, this machine only."""

from dataclasses import asdict
from typing import Any

from aiohttp import web

from local.cloud.entra import Entra, Registration
from local.cloud.faults import Faults
from local.cloud.graph.server import Graph
from local.cloud.graph.web import GraphWeb
from local.cloud.storage_proxy import StorageProxy
from local.cloud.vault import Vault

_MOST_DUMP = 1000


class Admin:
    def __init__(
        self,
        graphs: dict[str, Graph],
        entra: Entra,
        faults: Faults,
        web_face: GraphWeb,
        proxies: dict[str, StorageProxy],
        vault: Vault,
    ) -> None:
        self._graphs, self._entra, self._faults = graphs, entra, faults
        self._web, self._proxies, self._vault = web_face, proxies, vault

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/faults", self.faults),
            web.post("/faults", self.add_fault),
            web.delete("/faults", self.clear_faults),
            web.post("/apps", self.add_app),
            web.post("/tenants/{tenant}", self.mutate),
            web.get("/tenants/{tenant}/{kind}", self.dump),
            web.get("/counters", self.counters),
            web.post("/slow", self.slow),
        ]

    async def faults(self, _request: web.Request) -> web.Response:
        return web.json_response([asdict(fault) for fault in self._faults.list()])

    async def add_fault(self, request: web.Request) -> web.Response:
        try:
            return web.json_response(asdict(self._faults.add(await request.json())), status=201)
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)

    async def clear_faults(self, _request: web.Request) -> web.Response:
        self._faults.clear()
        return web.Response(status=204)

    async def add_app(self, request: web.Request) -> web.Response:
        """Registers an app; one with the same tenant and client id is replaced."""
        app = Registration(**await request.json())
        self._entra.register(app)
        return web.Response(status=204)

    async def mutate(self, request: web.Request) -> web.Response:
        """One change of the tenant: hire, leave, restore, purge, rename, move, premium."""
        graph = self._graphs.get(request.match_info["tenant"])
        if graph is None:
            return web.json_response({"error": "no such tenant"}, status=404)
        try:
            done = _mutate(graph, await request.json())
        except (KeyError, ValueError, TypeError) as error:
            return web.json_response({"error": repr(error)}, status=400)
        graph.directory.save()
        return web.json_response(done)

    async def dump(self, request: web.Request) -> web.Response:
        """The tenant's truth: every property of objects that are there, in pages by index."""
        directory = self._graphs[request.match_info["tenant"]].directory
        kind, start = request.match_info["kind"], int(request.query.get("start", "0"))
        if (short := directory.short(kind.replace("~", "/"))) is not None:
            return web.json_response({"objects": short, "next": None})
        objects = []
        for index in range(start, min(start + _MOST_DUMP, directory.size(kind))):
            made = directory.get(kind, index)
            if made is not None:
                if kind == "users":
                    made["_manager"] = directory.manager_of(index)
                if kind == "devices":
                    made["_owners"] = directory.maker.owners_of(index)
                objects.append(made)
        following = start + _MOST_DUMP if start + _MOST_DUMP < directory.size(kind) else None
        return web.json_response({"objects": objects, "next": following})

    async def counters(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "graph": self._web.requests,
                "undescribed": self._web.undescribed,
                "storage": {name: dict(proxy.count) for name, proxy in self._proxies.items()},
                "filters": dict(self._proxies["table"].filters) if "table" in self._proxies else {},
            }
        )

    async def slow(self, request: web.Request) -> web.Response:
        """Every Graph answer is so many seconds late."""
        self._web.slow_seconds = float((await request.json())["seconds"])
        return web.Response(status=204)


def _mutate(graph: Graph, change: dict[str, Any]) -> dict[str, Any]:
    directory = graph.directory
    kind = change.get("kind", "users")
    count, salt = int(change.get("count", 1)), int(change.get("salt", 0))
    ids = change.get("ids")
    indexes = [i for i in (directory.index_of(kind, object_id) for object_id in ids) if i is not None] if ids else []
    match change["do"]:
        case "hire":
            return {"ids": directory.hire(count)}
        case ("leave" | "purge") as how:
            indexes = indexes or directory.some(kind, count, salt)
            directory.leave(kind, indexes, purge=how == "purge")
        case "restore":
            directory.restore(kind, indexes)
        case "rename":
            indexes = indexes or directory.some(kind, count, salt)
            for index in indexes:
                directory.change(kind, index, {"displayName": f"Renamed {salt} {index}", "surname": f"Renamed{index}"})
        case "move":
            indexes = indexes or directory.some(kind, count, salt)
            for index in indexes:
                directory.change(
                    kind, index, {"department": f"Department {salt}", "_manager": directory.maker.object_id("user", 0)}
                )
        case "set":
            for index in indexes:
                directory.change(kind, index, change["properties"])
        case "members":
            group = directory.index_of("groups", change["group"])
            if group is None:
                raise ValueError("no such group")
            directory.set_members(group, indexes)
        case "conceal":
            directory.reports.conceal = bool(change["on"])
        case "premium":
            directory.premium = bool(change["on"])
        case unknown:
            raise ValueError(f"unknown change {unknown!r}")
    from local.cloud.graph.people import KINDS

    return {"ids": [directory.maker.object_id(KINDS[kind].singular, index) for index in indexes]}
