"""Runs: start one now, follow it, cancel it."""

from functions.models import PageQuery, RunNowQuery, RunsQuery
from shared.api import PREFIX, Call, Reply, route
from shared.domain.base import is_id
from shared.domain.receipt import Receipt
from shared.domain.run import INSTALLATION, Run, split_run_id, track_of
from shared.errors import NotFound, foreign_cursor
from shared.principal import Role
from shared.wiring import app


def _connector(call: Call) -> str:
    connector = call.path["id"]
    if not is_id(connector) or app().config.get("connector", connector) is None:
        raise NotFound(f"There is no connector with the id {connector}.")
    return connector


@route(
    "POST",
    "connectors/{id}/runs",
    role=Role.OPERATE,
    summary="Run a connector now",
    tag="Runs",
    query=RunNowQuery,
    returns=Run,
    status=202,
    also=((200, Run, "The run that is going on"),),
)
def run_connector(call: Call) -> Reply:
    """During a run the answer is that run, with status 200; a full read asked for during a delta round follows it."""
    query: RunNowQuery = call.query
    run, new = app().dispatch.run_now(_connector(call), call.principal.name, task=query.task, full=query.full)
    return Reply(run, 202 if new else 200, {"Location": f"/{PREFIX}/runs/{run.id}"})


@route(
    "GET",
    "connectors/{id}/runs",
    role=Role.READ,
    summary="List the runs of a connector, newest first",
    tag="Runs",
    query=RunsQuery,
    returns=Run,
    returns_list=True,
)
def list_runs(call: Call) -> Reply:
    return _page(track_of(_connector(call), call.query.task), call.query)


def _page(track: str, query: PageQuery) -> Reply:
    if query.after and split_run_id(query.after) is None:
        raise foreign_cursor()
    runs = app().runs.newest(track, after=query.after, limit=query.limit + 1)
    more = len(runs) > query.limit
    runs = runs[: query.limit]
    return Reply({"items": runs, "next": runs[-1].id if more else None})


@route(
    "GET",
    "purges",
    role=Role.READ,
    summary="List the daily runs that remove what is older than it is kept, newest first",
    tag="Runs",
    query=PageQuery,
    returns=Run,
    returns_list=True,
)
def list_purges(call: Call) -> Reply:
    return _page(track_of(INSTALLATION, "purge"), call.query)


@route("GET", "runs/{id}", role=Role.READ, summary="Read a run, also while it goes on", tag="Runs", returns=Run)
def read_run(call: Call) -> Reply:
    run = app().runs.get(call.path["id"])
    if run is None:
        raise NotFound(f"There is no run with the id {call.path['id']}.")
    return Reply(run)


@route(
    "GET",
    "runs/{id}/receipt",
    role=Role.READ,
    summary="Read what a run can prove: counts, permissions, subscriptions, what is missing and why",
    tag="Runs",
    returns=Receipt,
)
def read_receipt(call: Call) -> Reply:
    run = app().runs.get(call.path["id"])
    if run is None:
        raise NotFound(f"There is no run with the id {call.path['id']}.")
    receipt = app().runs.receipt(run)
    if receipt is None:
        raise NotFound(
            f"The run {call.path['id']} has no receipt.",
            remedy="A run has one from the end of its first stream, or of itself, on; runs that remove rows have none.",
        )
    return Reply(receipt)


@route(
    "POST",
    "runs/{id}/cancel",
    role=Role.OPERATE,
    summary="Cancel a run; it stops within a page or two seconds",
    tag="Runs",
    returns=Run,
    status=202,
)
def cancel_run(call: Call) -> Reply:
    return Reply(app().dispatch.cancel(call.path["id"], call.principal.name), 202)
