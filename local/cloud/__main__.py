"""`python -m local.cloud`: serves the simulated Microsoft cloud; prints one line of JSON with its addresses, then works."""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

from local.cloud import certificates
from local.cloud.admin import Admin
from local.cloud.entra import IDENTITY_OBJECT, Entra, Registration
from local.cloud.faults import Faults
from local.cloud.graph.directory import Directory
from local.cloud.graph.server import Graph
from local.cloud.graph.web import GraphWeb
from local.cloud.storage_proxy import StorageProxy
from local.cloud.trouble import of_entra, of_vault, troubled
from local.cloud.vault import Vault
from shared.connectors import REGISTRY
from shared.domain.clouds import CLOUDS, CloudName

READ_ROLES = sorted(
    {
        permission.name
        for kind in REGISTRY.kinds.values()
        for stream in kind.streams
        for permission in stream.permissions
    }
    | {kind.group_permission.name for kind in REGISTRY.kinds.values() if kind.group_permission}
    | {"Organization.Read.All"}
)
"""What the app registration of each tenant is granted at first: all that the product's kinds can ask for."""
CLOUD_NAMES = [cloud.value for cloud in CloudName]


def tenant_id(cloud: str) -> str:
    """One tenant in each cloud, always the same."""
    return f"7e4a0000-0000-4000-8000-{CLOUD_NAMES.index(cloud) + 1:012d}"


SECRET_FILE = "client-secret"
"""In the folder: a command line can be read by every user of the machine."""
CLIENT_ID = "c11e0000-0000-4000-8000-000000000001"


class Ports:
    """Starts one small server for each face; port 0 lets the system choose."""

    def __init__(self, folder: Path) -> None:
        self.context = certificates.server_context(folder)
        self._runners: list[web.AppRunner] = []

    async def serve(
        self, handler: Any, *, tls: bool = True, port: int = 0, routes: list[web.RouteDef] | None = None
    ) -> int:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        if routes:
            app.router.add_routes(routes)
        if handler:
            app.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=self.context if tls else None)
        await site.start()
        return int(runner.addresses[0][1])

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()


def _entra_routes(entra: Entra, cloud: str, faults: Faults) -> list[web.RouteDef]:
    async def token(request: web.Request) -> web.StreamResponse:
        return await entra.token(request, cloud)

    return [
        web.get("/{tenant}/v2.0/.well-known/openid-configuration", entra.configuration),
        web.post("/{tenant}/oauth2/v2.0/token", troubled("token", faults, token, of_entra)),
    ]


async def serve(options: argparse.Namespace) -> None:
    """Runs until SIGINT or SIGTERM."""
    folder: Path = options.folder
    certificates.make(folder)
    faults = Faults()
    resources = {cloud.value: CLOUDS[cloud].resource for cloud in CloudName}
    entra, store = Entra(resources), folder if options.persist else None
    vault = Vault(store / "vault.json" if store else None)
    graphs: dict[str, Graph] = {}
    for number, cloud in enumerate(CLOUD_NAMES):
        tenant = tenant_id(cloud)
        entra.tenants[tenant] = cloud
        people, devices = (options.people, options.devices) if number == 0 else (50, 20)
        saved = store / f"tenant-{cloud}.json" if store else None
        graphs[tenant] = Graph(Directory(tenant, options.seed + number, people, devices, saved), options.page_cap)
        secrets = {(folder / SECRET_FILE).read_text(): 4_102_444_800.0}
        entra.register(Registration(CLIENT_ID, tenant, READ_ROLES, secrets=secrets, federated=[IDENTITY_OBJECT]))
    home = tenant_id(CLOUD_NAMES[0])
    entra.home_tenant = vault.tenant = home
    ports = Ports(folder)
    face = GraphWeb(graphs, resources, faults)
    addresses: dict[str, Any] = {
        "clouds": {},
        "tenants": {cloud: tenant_id(cloud) for cloud in CLOUD_NAMES},
        "clientId": CLIENT_ID,
    }
    for cloud in CLOUD_NAMES:
        graph_port = await ports.serve(face.handler(cloud))
        login_port = await ports.serve(None, routes=_entra_routes(entra, cloud, faults))
        addresses["clouds"][cloud] = {
            "graph": f"https://127.0.0.1:{graph_port}",
            "authority": f"https://127.0.0.1:{login_port}",
        }
    vault.authority = addresses["clouds"][CLOUD_NAMES[0]]["authority"]
    addresses["vault"] = f"https://127.0.0.1:{await ports.serve(troubled('vault', faults, vault.handle, of_vault))}"
    identity = await ports.serve(None, tls=False, routes=[web.get("/msi/token", entra.managed_identity)])
    addresses["identity"] = f"http://127.0.0.1:{identity}/msi/token"
    proxies: dict[str, StorageProxy] = {}
    for service, upstream, port in zip(("blob", "queue", "table"), options.storage, options.storage_ports, strict=True):
        proxies[service] = StorageProxy(upstream, faults)
        scheme = "https" if upstream.startswith("https") else "http"
        bound = await proxies[service].start(port, ports.context if scheme == "https" else None)
        addresses[service] = f"{scheme}://127.0.0.1:{bound}/devstoreaccount1"
    admin = Admin(graphs, entra, faults, face, proxies, vault)
    addresses["admin"] = (
        f"http://127.0.0.1:{await ports.serve(None, tls=False, port=options.admin_port, routes=admin.routes())}"
    )
    print(json.dumps(addresses), flush=True)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    for proxy in proxies.values():
        await proxy.stop()
    await ports.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.cloud", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, required=True, help="certificates, the client secret, and with --persist the state"
    )
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--devices", type=int, default=600)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--page-cap", type=int, default=999, help="pages hold at most so many objects")
    parser.add_argument("--persist", action="store_true")
    parser.add_argument("--storage", nargs=3, default=[], help="addresses of the emulator: blob, queue, table")
    parser.add_argument("--storage-ports", nargs=3, type=int, default=[0, 0, 0])
    parser.add_argument("--admin-port", type=int, default=0)
    options = parser.parse_args()
    if not options.storage:
        options.storage, options.storage_ports = [], []
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
