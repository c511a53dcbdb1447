"""`python -m local.host --app DIR --port N`: runs one Functions app until it is stopped."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from aiohttp import web

from local.host import config
from local.host.engine import Engine, HostError
from local.host.http import HttpTriggers, limits
from local.host.queues import Listener, Queues
from local.host.timers import Timer

_LONGEST_LINE = 64 << 10  # bytes
_log = logging.getLogger("host")


async def serve(app: Path, port: int) -> None:
    """Indexes the app and serves it until SIGINT or SIGTERM."""
    engine = Engine(app)
    functions = [function for function in await engine.load() if not config.disabled(function.name)]
    host = config.load(app)

    by_type = {
        kind: [f for f in functions if f.trigger["type"].lower() == kind]
        for kind in ("httptrigger", "timertrigger", "queuetrigger")
    }
    http = HttpTriggers(engine, by_type["httptrigger"], host.route_prefix)
    timers = {function.name: Timer(engine, function) for function in by_type["timertrigger"]}
    queues = Queues(host.queues)
    engine.publish = queues.publish
    listeners = [Listener(engine, function, queues) for function in by_type["queuetrigger"]]

    async def fire(request: web.Request) -> web.Response:
        timer = timers.get(request.match_info["name"])
        if timer is None:
            return web.Response(status=404)
        asyncio.get_running_loop().create_task(timer.fire())
        return web.Response(status=202)

    server = web.Application(**limits())  # type: ignore[arg-type]
    server.router.add_post("/admin/functions/{name}", fire)
    server.router.add_get("/admin/host/ping", lambda _request: _ok())
    server.router.add_route("*", r"/{tail:[\s\S]*}", http.handle)
    # A line longer than aiohttp's 8 KB is for the application to refuse, in its own words.
    runner = web.AppRunner(server, access_log=None, handle_signals=False, max_line_size=_LONGEST_LINE)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    running = [*(timer.run() for timer in timers.values()), *(listener.run() for listener in listeners)]
    work = [asyncio.create_task(coroutine) for coroutine in running]
    _log.info("%d functions on http://127.0.0.1:%d", len(functions), port)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    await runner.cleanup()
    await queues.close()
    engine.stop()


async def _ok() -> web.Response:
    return web.Response(text="ok")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.host", description=__doc__)
    parser.add_argument("--app", type=Path, default=Path.cwd())
    parser.add_argument("--port", type=int, default=7071)
    options = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stdout
    )
    for noisy in ("azure", "httpx", "httpcore", "azure_functions_runtime", "msal"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        asyncio.run(serve(options.app.resolve(), options.port))
    except (HostError, KeyError) as error:
        print(f"The app can't be loaded: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
