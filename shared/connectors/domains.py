"""Connectors of one tenant that choose people by different domains: what one leaves out another brings in."""

from collections.abc import Iterable

from shared.connectors.registry import Registry
from shared.domain.configuration import SourceIn
from shared.domain.document import Document
from shared.domain.reason import Reason
from shared.errors import Conflict

_SHOWN = 10


def chosen(registry: Registry, document: Document, source: SourceIn) -> frozenset[str]:
    """The domains that a connector chooses people by; none where it reads nobody, or can't be read."""
    try:
        options, kind = registry.connector(document).options, registry.kind_of(document)
    except Conflict:
        return frozenset()
    streams = (stream for job in kind.jobs for stream in job.wanted(options))
    return frozenset(name for stream in streams if stream.address for name in stream.domains_of(options, source))


def differing(registry: Registry, document: Document, source: SourceIn, others: Iterable[Document]) -> list[Document]:
    """Active connectors of the same source whose domains are not this one's."""
    own = chosen(registry, document, source)
    return [
        other for other in others
        if own and other.id != document.id and other.source_id == document.source_id and other.body.get("active")
        and (theirs := chosen(registry, other, source)) and theirs != own
    ]  # fmt: skip


def warning(differ: Iterable[Document]) -> Reason | None:
    """What to say of them."""
    names = [f"{other.name!r} ({other.id})" for other in differ]
    if not names:
        return None
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return Reason(
        code="domains-differ",
        message=f"People of this tenant are chosen by other domains by {', '.join(names[:_SHOWN])}{more}: whom one leaves out, another "
        "may bring in.",
        remedy="Give all connectors of the tenant the same domains, best at the source.",
    )
