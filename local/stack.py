"""The whole local stack: Azurite, the simulated cloud, the Functions host, wired to each other."""

import contextlib
import json
import re
import secrets
import shutil
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local import bootstrap
from local.cloud import certificates
from local.processes import Child, clean_environment

ALL_ROLES = "Rollcall.Read,Rollcall.Operate,Rollcall.Configure,Rollcall.Act"
PLAIN_PORTS = (10000, 10001, 10002)
_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at (\S+)")


@dataclass
class Options:
    """`plain`: no TLS, `UseDevelopmentStorage=true` and its fixed ports. `persist`: a folder that survives.
    `settings` are further app settings of the function app; `app` is its folder.
    """

    people: int = 1000
    devices: int | None = None
    seed: int = 7
    page_cap: int = 999
    persist: Path | None = None
    plain: bool = False
    port: int = 0
    settings: dict[str, str] = field(default_factory=dict)
    app: Path = bootstrap.ROOT
    folder: Path | None = None


def hold_port() -> socket.socket:
    """A free port, held: bound and never listened on, so that the kernel gives it to no outgoing connection while our own
    server, which reuses addresses, may take it. Elsewhere than on Linux that would keep the server out too.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


class Stack:
    """Start it, use `url`, `addresses`, `env`; stop it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.token = secrets.token_urlsafe(18)
        """What callers of the function app show: made anew at each start."""
        self._temporary = None if options.persist or options.folder else tempfile.mkdtemp(prefix="rollcall-")
        self.folder = Path(options.persist or options.folder or str(self._temporary)).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._held = hold_port()
        self.port = options.port or int(self._held.getsockname()[1])
        if options.port or sys.platform != "linux":
            self._held.close()
        self.url = f"http://127.0.0.1:{self.port}"
        self.addresses: dict[str, Any] = {}
        self.env: dict[str, str] = {}
        self._children: dict[str, Child] = {}

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self, *, host: bool = True) -> "Stack":
        try:
            certificates.make(self.folder)
            storage = self._start_azurite()
            self._start_cloud(storage)
            self.env = self._environment()
            if host:
                self.start_host()
        except BaseException:
            self.stop()
            raise
        return self

    def _start_azurite(self) -> list[str]:
        command = [
            str(bootstrap.node()),
            str(bootstrap.AZURITE / "node_modules/azurite/dist/src/azurite.js"),
            "--silent",
            "--disableTelemetry",
        ]
        for service in ("blob", "queue", "table"):
            command += [f"--{service}Host", "127.0.0.1", f"--{service}Port", "0"]
        if self.options.persist:
            command += ["--location", str(self.folder / "storage")]
        else:
            command += ["--inMemoryPersistence"]
        if not self.options.plain:
            command += [
                "--cert",
                str(self.folder / "cert.pem"),
                "--key",
                str(self.folder / "key.pem"),
                "--oauth",
                "basic",
            ]
        child = self._child("azurite", command, clean_environment())
        found = dict(_LISTENING.findall(child.wait_for(lambda text: len(_LISTENING.findall(text)) == 3)))
        return [found["Blob"], found["Queue"], found["Table"]]

    def _start_cloud(self, storage: list[str]) -> None:
        options = self.options
        self.secret = self._secret()
        devices = options.people * 6 // 10 if options.devices is None else options.devices
        command = [
            str(bootstrap.PYTHON), "-m", "local.cloud", "--folder", str(self.folder), "--people", str(options.people),
            "--devices", str(devices), "--seed", str(options.seed),
            "--page-cap", str(options.page_cap), "--storage", *storage,
        ]  # fmt: skip
        command += ["--storage-ports", *map(str, PLAIN_PORTS)] if options.plain else []
        command += ["--persist"] if options.persist else []
        child = self._child("cloud", command, clean_environment())
        self.addresses = json.loads(child.wait_for(lambda text: text.endswith("}\n")).strip().splitlines()[-1])

    def _secret(self) -> str:
        """The client secret of the simulated app registration: made once a folder."""
        file = self.folder / "client-secret"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(f"loc8Q~{secrets.token_urlsafe(30)}")
        return file.read_text()

    def _environment(self) -> dict[str, str]:
        addresses = self.addresses
        env = {
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "ROLLCALL_VAULT_URI": addresses["vault"],
            "ROLLCALL_TICK": "*/2 * * * * *",
            "ROLLCALL_CLOUD_ENDPOINTS": json.dumps(addresses["clouds"]),
            "ROLLCALL_DEVELOPMENT_PRINCIPAL": ALL_ROLES,
            "ROLLCALL_DEVELOPMENT_TOKEN": self.token,
            "IDENTITY_ENDPOINT": addresses["identity"],
            "IDENTITY_HEADER": "local",
            **certificates.trust(self.folder),
        }
        if self.options.plain:
            env["RollcallStorage"] = "UseDevelopmentStorage=true"
        else:
            env["RollcallStorage__tableServiceUri"] = addresses["table"]
            env["RollcallStorage__queueServiceUri"] = addresses["queue"]
        return env | self.options.settings

    def start_host(self) -> None:
        command = [str(bootstrap.PYTHON), "-m", "local.host", "--app", str(self.options.app), "--port", str(self.port)]
        environment = clean_environment() | self.env | {"PYTHONPATH": str(bootstrap.ROOT)}
        child = self._child("host", command, environment)
        child.wait_for(lambda text: "functions on http" in text)

    def host_pid(self) -> int:
        return self._children["host"].process.pid

    def kill_host(self) -> None:
        """Kill -9: what a crash of the worker looks like."""
        self._children.pop("host").stop(kill=True)

    def runs(self, name: str) -> bool:
        """Whether azurite, cloud or host is up."""
        return name in self._children and self._children[name].process.poll() is None

    def stop_child(self, name: str) -> None:
        self._children.pop(name).stop()

    def _child(self, name: str, command: list[str], environment: dict[str, str]) -> Child:
        number = sum(1 for _ in self.log.glob(f"{name}*.log")) if self.log.exists() else 0
        child = Child(name, command, self.log / f"{name}{number or ''}.log", environment, bootstrap.ROOT)
        self._children[name] = child
        return child

    def stop(self) -> None:
        for name in ("host", "cloud", "azurite"):
            if name in self._children:
                self._children.pop(name).stop()
        self._held.close()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the simulated cloud's switchboard."""
        return http(method, f"{self.addresses['admin']}{path}", body)[1]

    def api(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """One request to the function app's API: status and parsed body."""
        return http(
            method, f"{self.url}/api/v1/{path}", body, {"Authorization": f"Bearer {self.token}"} | (headers or {})
        )

    def link(self, path: str) -> str:
        """An address of the function app that a browser or curl can open: it holds the token."""
        return f"http://local:{self.token}@{self.url.partition('//')[2]}/api/v1/{path}"


def http(method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Status and body (parsed where it is JSON); error statuses are answers too."""
    data = None if body is None else json.dumps(body).encode()
    given = {"Content-Type": "application/json"} if data is not None else {}
    request = urllib.request.Request(url, data=data, method=method, headers=given | (headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            status, content = response.status, response.read()
    except urllib.error.HTTPError as error:
        status, content = error.code, error.read()
    text = content.decode()
    with contextlib.suppress(ValueError):
        return status, json.loads(text)
    return status, text
