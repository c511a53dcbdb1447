"""Runs: start one now, follow it, cancel it."""

from functions.models import PageQuery, RunNowQuery, RunsQuery
from shared.api import Call, Reply, Routes
from shared.api.surfaces import PREFIX
from shared.domain.base import is_id
from shared.domain.document import Document
from shared.domain.receipt import Receipt
from shared.domain.run import DELETE, INSTALLATION, PURGE, Run, RunRow, split_run_id, track_of
from shared.errors import NotFound, foreign_cursor
from shared.names import Role
from shared.wiring import app

routes = Routes(tag="Runs", role=Role.READ)


def _connector(call: Call) -> Document:
    connector = call.path["id"]
    found = app().config.get("connector", connector) if is_id(connector) else None
    if found is None:
        raise NotFound(f"There is no connector with the id {connector}.")
    return found


def _run(call: Call) -> RunRow:
    run = app().runs.get(call.path["id"])
    if run is None:
        raise NotFound(f"There is no run with the id {call.path['id']}.")
    return run


@routes.post(
    "connectors/{id}/runs",
    "Run a connector now",
    role=Role.OPERATE,
    query=RunNowQuery,
    returns=Run,
    status=202,
    also=((200, Run, "The run that is going on"),),
)
def run_connector(call: Call) -> Reply:
    """If a run is in progress, the answer is that run, with status 200. A full read that is requested during a delta
    round starts after it.
    """
    query: RunNowQuery = call.query
    run, new = app().dispatch.run_now(
        _connector(call).id, call.principal.actor, job=query.job, full=query.full, once=call.once
    )
    return Reply(run.shown(), 202 if new else 200, {"Location": f"/{PREFIX}/runs/{run.id}"})


@routes.get(
    "connectors/{id}/runs",
    "List the runs of a connector, newest first",
    query=RunsQuery,
    returns=Run,
    returns_list=True,
)
def list_runs(call: Call) -> Reply:
    document, job = _connector(call), call.query.job
    name = DELETE if job == DELETE else app().dispatch.job_named(document, job).name
    return _page(track_of(document.id, name), call.query)


def _page(track: str, query: PageQuery) -> Reply:
    if query.after and split_run_id(query.after) is None:
        raise foreign_cursor()
    runs = app().runs.newest(track, after=query.after, limit=query.limit + 1)
    more = len(runs) > query.limit
    runs = runs[: query.limit]
    return Reply({"items": [run.shown() for run in runs], "next": runs[-1].id if more else None})


@routes.get(
    "purges",
    "List the daily runs that remove data past its retention time, newest first",
    query=PageQuery,
    returns=Run,
    returns_list=True,
)
def list_purges(call: Call) -> Reply:
    return _page(track_of(INSTALLATION, PURGE), call.query)


@routes.get("runs/{id}", "Read a run, also while it is in progress", returns=Run)
def read_run(call: Call) -> Reply:
    return Reply(_run(call).shown())


@routes.get(
    "runs/{id}/receipt",
    "Read what a run can prove: counts, permissions, subscriptions, what is missing and why",
    returns=Receipt,
)
def read_receipt(call: Call) -> Reply:
    run = _run(call)
    receipt = app().runs.receipt(run)
    if receipt is None:
        raise NotFound(
            f"The run {run.id} has no receipt.",
            remedy="A receipt exists once the run's first stream, or the run itself, has ended. Runs that remove rows have none.",
        )
    return Reply(receipt)


@routes.post(
    "runs/{id}/cancel",
    "Cancel a run; it stops within a page or two seconds",
    role=Role.OPERATE,
    returns=Run,
    status=202,
)
def cancel_run(call: Call) -> Reply:
    return Reply(app().dispatch.cancel(call.path["id"], call.principal.actor).shown(), 202)
