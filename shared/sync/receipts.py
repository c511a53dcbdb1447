"""What a run can prove, written down stream by stream."""

from collections import Counter
from datetime import datetime

from shared.clock import parse_iso
from shared.connectors.base import Report, Stream
from shared.domain.checkpoint import Checkpoint, StreamState
from shared.domain.receipt import Receipt, ReportReceipt, StreamReceipt
from shared.domain.run import Problem, StreamCounts, StreamProgress
from shared.errors import SourceProblem
from shared.graph.answers import Postponed
from shared.graph.client import GraphClient
from shared.graph.listing import subscriptions
from shared.graph.reports import Summary

_MOST_PRODUCTS = 100
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


def note_stream(receipt: Receipt, name: str, checkpoint: Checkpoint, state: StreamState) -> None:
    """One receipt for a stream that was read to its end."""
    progress = checkpoint.progress
    because = progress.incomplete_because
    same = {field: getattr(progress, field) for field in StreamCounts.model_fields}
    made = StreamReceipt(
        stream=name, begun_at=parse_iso(checkpoint.begun_at), complete=not because, incomplete_because=because,
        count_before=progress.expected, count_after=progress.counted_after, records=state.records,
        waiting=checkpoint.waiting, missing=state.missing, missing_counts=_counted(state, progress), **same,
    )  # fmt: skip
    receipt.streams = [r for r in receipt.streams if r.stream != name] + [made]
    receipt.missing_streams.pop(name, None)


def _counted(state: StreamState, progress: StreamProgress) -> dict[str, int]:
    counted = dict(Counter(state.missing.values()))
    return counted | ({"malformed": progress.malformed} if progress.malformed else {})


_WHY = {
    "counts-differ": "{ids} different objects, Microsoft Graph counted {expected} before and {counted_after} after",
    "no-count": "{ids} different objects, and Microsoft Graph gave no count to compare them with",
    "empty-answer": "no objects, although there are records",
}


def unproved_problem(name: str, progress: StreamProgress, again: datetime) -> Problem:
    """What the list lacks, and when it is read again."""
    kept = f" {progress.not_seen} stored records were absent; all of them are kept." if progress.not_seen else ""
    return Problem(
        code="read-unproved",
        message=f"The list of {name} brought {_WHY[progress.incomplete_because].format_map(vars(progress))}.{kept}",
        remedy=f"Everything is read again at {again:%Y-%m-%d %H:%M} UTC by itself. If it goes on, compare the receipt's "
        "counts.",
        stream=name,
    )


def malformed_problem(name: str, progress: StreamProgress) -> Problem:
    """Which objects have values that could not be stored."""
    named = [f"{key} ({', '.join(names)})" if names else key for key, names in progress.malformed_objects.items()]
    more = progress.malformed - len(named)
    named += [f"{more} more"] if more else []
    return Problem(
        code="malformed-values",
        message=f"Of {progress.malformed} objects of {name} Microsoft Graph sent values that can't be stored as they are: "
        f"{'; '.join(named)}.",
        remedy="Everything else of these objects is stored; the values are marked as malformed. Correct them in the directory.",
        stream=name,
    )


def threshold_problem(stream: Stream, days: int) -> Problem:
    """A threshold that can't leave anybody out yet."""
    return Problem(
        code="threshold-without-activity",
        message=f"The threshold of {days} days left nobody of {stream.name} out: when they were last active is not known.",
        remedy=f"{' or '.join(stream.activity)} must have been read whole once, in the last days. See the runs of its job for what it lacks.",
        stream=stream.name,
    )


def note_report(receipt: Receipt, stream: Stream, summary: Summary, *, same: bool = False) -> None:
    """What a usage report was."""
    reader = stream.reader
    period = reader.chosen if isinstance(reader, Report) and reader.period else ""
    receipt.reports[stream.name] = ReportReceipt(
        refreshed_on=summary.refreshed_on, same=same, period=period, rows=summary.rows, joined=summary.joined,
        not_in_copy=summary.not_in_copy, nameless=summary.nameless, concealed=summary.concealed, deleted=summary.deleted, twice=summary.twice, active=summary.active,
        by_product=dict(summary.by_product.most_common(_MOST_PRODUCTS)), columns_lost=summary.lost, columns_added=summary.added,
    )  # fmt: skip


def columns_problem(stream: Stream, summary: Summary) -> Problem:
    """A report without some of its columns."""
    return Problem(
        code="report-columns-lost",
        message=f"The report {stream.name} has no columns for {', '.join(summary.lost)} any more.",
        remedy="Microsoft changes reports without notice. Everything else is read; what was read of these columns before stays as it is.",
        stream=stream.name,
    )
