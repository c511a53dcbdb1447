"""Microsoft's own worker library indexes and invokes every function of the app, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import azure.functions as func

from functions import route_table
from local.bootstrap import ROOT
from local.processes import clean_environment

TABLE = route_table()

# No storage, no vault, no authentication: what is shown is that each function is indexed, takes its trigger's data and
# ends the way it should when everything it needs is missing.
_SCRIPT = """
import asyncio, json, sys
from pathlib import Path
from local.host.engine import Engine, InvocationFailed
from local.host.messages import PROTOS, TypedData

async def main():
    engine = Engine(Path(sys.argv[1]))
    found = {}
    for function in await engine.load():
        kind = function.trigger["type"].lower()
        if kind == "httptrigger":
            data = TypedData(http=PROTOS.RpcHttp(method=(function.trigger.get("methods") or ["GET"])[0], url="https://rollcall.example/api/v1/x",
                headers={}, params={"id": "0", "path": "v1/nowhere"}, query={}, body=TypedData()))
        elif kind == "timertrigger":
            data = TypedData(json='{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}')
        else:
            data = TypedData(string='{"run":"0~0","connector":"0","slice":1}')
        try:
            outcome = await engine.invoke(function, data)
            http = outcome.value.http if outcome.value is not None else None
            result = [int(http.status_code), json.loads(http.body.bytes or b"{}").get("code")] if http else "done"
        except InvocationFailed as error:
            result = str(error)[:200]
        found[function.name] = [kind, function.trigger.get("route"), result]
    print(json.dumps([sys.modules["shared"].__file__, found]))
    engine.stop()

asyncio.run(main())
"""


def _conform(folder: Path) -> dict[str, list[Any]]:
    environment = clean_environment() | {"ROLLCALL_TICK": "0 */5 * * * *"}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    shared, found = json.loads(done.stdout.strip().splitlines()[-1])
    assert Path(shared) == folder / "shared" / "__init__.py"
    return dict(found)


def test_every_function_is_indexed_and_invoked_by_microsofts_worker_library() -> None:
    conforms(ROOT)


def conforms(folder: Path) -> None:
    """The app in `folder`, in that worker library."""
    found = _conform(folder)
    http = {name: entry for name, entry in found.items() if entry[0] == "httptrigger"}
    assert set(http) == {*TABLE.routes, "no_such_address"}
    for name, (_, route, result) in http.items():
        expected = [503, None] if name == "health" else [503, "authentication-off"]
        assert result == expected, (name, result)
        if name in TABLE.routes:
            assert route == f"api/v1/{TABLE[name].path}"
    others = {name: entry for name, entry in found.items() if name not in http}
    assert set(others) == {"tick", "run_slice", "run_failed", "act", "act_failed"}
    for name, (_, _, result) in others.items():
        assert "No storage connection is configured" in result, name


def test_importing_the_app_is_cheap_and_leaves_the_heavy_packages_out() -> None:
    script = (
        "import time, sys; began = time.process_time(); import function_app; function_app.app.get_functions();"
        "print(time.process_time() - began);"
        "print([m for m in ('msgraph', 'azure.identity', 'azure.data.tables', 'aiohttp', 'httpx') if m in sys.modules])"
    )
    seconds, heavy = [], ""
    for _ in range(3):
        out = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        seconds.append(float(out[0]))
        heavy = out[1]
    print(f"\nimport of the app: {min(seconds):.2f} s CPU")
    assert heavy == "[]"


def test_host_json_is_what_core_tools_expect() -> None:
    host = json.loads((ROOT / "host.json").read_text())
    assert host["version"] == "2.0" and host["extensions"]["http"]["routePrefix"] == ""
    assert host["extensions"]["queues"]["batchSize"] == 1 and host["extensions"]["queues"]["newBatchThreshold"] == 0
    example = json.loads((ROOT / "local.settings.json.example").read_text())
    assert example["Values"]["FUNCTIONS_WORKER_RUNTIME"] == "python"
    assert (ROOT / "function_app.py").read_text().count("\n") <= 12
    assert isinstance(func.FunctionApp(), func.FunctionApp)
    assert Path(ROOT / "requirements.txt").exists()
