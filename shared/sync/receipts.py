"""What a run can prove, written down stream by stream."""

from shared.clock import parse_iso
from shared.domain.checkpoint import Checkpoint, StreamState
from shared.domain.receipt import Receipt, StreamReceipt
from shared.domain.run import Problem, StreamCounts, StreamProgress
from shared.errors import SourceProblem
from shared.graph.answers import Postponed
from shared.graph.client import GraphClient
from shared.graph.listing import subscriptions

_SUBSCRIPTIONS = frozenset(("Organization.Read.All", "Directory.Read.All", "Organization.ReadWrite.All"))


async def note_subscriptions(
    receipt: Receipt, progress: StreamProgress, graph: GraphClient, roles: frozenset[str]
) -> None:
    """What the tenant has subscribed to, asked for once in a run that reads everything."""
    if receipt.subscriptions is not None:
        return
    if progress.mode != "full":
        receipt.subscriptions_missing = receipt.subscriptions_missing or "not-requested"
    elif not _SUBSCRIPTIONS & roles:
        receipt.subscriptions_missing = "permission"
    else:
        try:
            receipt.subscriptions = await subscriptions(graph)
        except SourceProblem as problem:
            receipt.subscriptions_missing = problem.code
        except Postponed:
            receipt.subscriptions_missing = "throttled"


def note_stream(receipt: Receipt, name: str, checkpoint: Checkpoint, state: StreamState, *, complete: bool) -> None:
    """One receipt for a stream that was read to its end."""
    progress = checkpoint.progress
    because = ""
    if not complete:
        counts = progress.expected is None or progress.counted_after is None
        because = "empty-answer" if progress.ids == 0 else "no-count" if counts else "counts-differ"
    same = {field: getattr(progress, field) for field in StreamCounts.model_fields}
    made = StreamReceipt(
        stream=name, begun_at=parse_iso(checkpoint.begun_at), complete=complete, incomplete_because=because,
        count_before=progress.expected, count_after=progress.counted_after, records=state.records,
        waiting=checkpoint.waiting, missing=state.missing, **same,
    )  # fmt: skip
    receipt.streams = [r for r in receipt.streams if r.stream != name] + [made]
    receipt.missing_streams.pop(name, None)


def unproved_problem(name: str, progress: StreamProgress) -> Problem:
    return Problem(
        code="read-unproved",
        message=f"The list of {name} brought {progress.ids} different objects, Microsoft Graph counted "
        f"{progress.expected} before and {progress.counted_after} after. {progress.not_seen} stored records were absent; "
        "all of them are kept.",
        remedy="The next full read looks again by itself. If it goes on, compare the receipt's counts.",
        stream=name,
    )
