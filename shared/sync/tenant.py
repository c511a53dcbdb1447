"""What a run needs before it reads: its configuration, a client that is signed in, and the permission of each stream."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.connectors import KINDS
from shared.connectors.base import Kind, Stream
from shared.domain.configuration import ConnectorIn, SourceIn
from shared.errors import SourceProblem
from shared.graph.answers import Denied
from shared.graph.client import GraphClient
from shared.mapping.compiled import fingerprint
from shared.sync.slice import Cancelled, Slice

MOST_WAITING = 180.0  # seconds a slice


@dataclass
class Configured:
    """What the run's configuration says, read anew in each slice."""

    connector: ConnectorIn
    source: SourceIn
    kind: Kind
    credential: Any


async def configured(work: Slice) -> Configured:
    """Raises Cancelled where the connector or its source is gone or switched off."""
    config = work.services.config
    document = await asyncio.to_thread(config.get, "connector", work.run.connector_id)
    if document is None or document.body.get("deleting"):
        raise Cancelled
    connector = ConnectorIn.model_validate({k: v for k, v in document.body.items() if k != "deleting"})
    source_document = await asyncio.to_thread(config.get, "source", connector.source_id)
    if source_document is None:
        raise Cancelled
    source = SourceIn.model_validate({k: v for k, v in source_document.body.items() if k != "pin"})
    if not source.crawl:
        raise Cancelled
    credential = await asyncio.to_thread(config.get, "credential", source.credential_id)
    if credential is None:
        raise SourceProblem(
            "The source's credential is gone.",
            code="credential-missing",
            remedy="Choose a credential on the source.",
        )
    return Configured(connector, source, KINDS[connector.kind], credential)


def sign_in(work: Slice, found: Configured) -> GraphClient:
    source = found.source
    graph = work.services.graph(found.credential, source.cloud, source.tenant_id, work.run.waits)
    graph.budget = waiting_budget(work)
    return graph


def waiting_budget(work: Slice) -> Callable[[], float]:
    """What a slice may wait for Graph: not all of its time, for a worker that waits is one that others wait for."""
    waits = work.run.waits
    before = waits.throttle_seconds + waits.retry_seconds

    def left() -> float:
        return min(work.time_left(), MOST_WAITING - (waits.throttle_seconds + waits.retry_seconds - before))

    return left


def attribute_marks(stream: Stream) -> dict[str, str]:
    """Attribute to a digest of its definition, for those that have a source."""
    return {a.name: fingerprint(a.name, a.type.value, a.source, a.transform) for a in stream.attributes if a.source}


def not_granted(stream: Stream) -> Denied:
    name = stream.permission.name
    return Denied(
        f"The application permission {name} is not granted, so {stream.name} can't be read.",
        code="graph-permission-missing",
        remedy=f"In the app registration add the application permission {name} of Microsoft Graph, then grant admin consent.",
        reason="permission",
    )
