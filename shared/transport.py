"""The last step of Azure's synchronous clients: requests that wait no longer than somebody waits for their answer."""

from typing import Any

from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import RequestsTransport

from shared import deadline

CONNECT, ANSWER = 5.0, 10.0
"""Seconds, where nobody waits: a lost answer must not cost a run its lease."""


class InTime(RequestsTransport):  # type: ignore[misc] # made on first use by azure-core, untyped
    """Raises OutOfTime instead of sending where the time is over. Keeps account of writes without an answer."""

    def __init__(self) -> None:
        super().__init__(connection_timeout=CONNECT, read_timeout=ANSWER)

    def send(self, request: Any, **options: Any) -> Any:
        waiting = deadline.current()
        if waiting is None:
            return super().send(request, **options)
        waiting.check()
        connect = min(CONNECT, waiting.left() / 3)
        options |= {"connection_timeout": connect, "read_timeout": max(0.05, min(ANSWER, waiting.left() - connect))}
        writes = request.method not in ("GET", "HEAD")
        before, waiting.unanswered = waiting.unanswered, waiting.unanswered or writes
        try:
            answer = super().send(request, **options)
        except ServiceRequestError:  # it never arrived
            waiting.unanswered = before
            raise
        if writes:
            waiting.unanswered = False
        return answer
