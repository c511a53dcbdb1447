"""Whether the domains that a source names are the tenant's own."""

from collections.abc import Iterable

from shared.connectors.base import Stream
from shared.domain.domains import EVERYBODY, domain_name
from shared.domain.run import Problem
from shared.errors import SourceProblem
from shared.graph.client import GraphClient
from shared.graph.listing import verified_domains

_READS = frozenset(
    ("Organization.Read.All", "Organization.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
)


async def domain_problems(
    graph: GraphClient, roles: frozenset[str], stream: Stream, named: Iterable[str]
) -> list[Problem]:
    """A finding for each name that the tenant has not verified; none where it can't be known."""
    names = set(named)
    if not stream.address or EVERYBODY in names or not _READS & roles:
        return []
    try:
        verified = {_spelt(name) for name in await verified_domains(graph)}
    except SourceProblem:
        return []
    return [
        Problem(
            code="domain-not-verified",
            message=f"The tenant has no verified domain {name}: nobody of {stream.name} has mail there.",
            remedy="Correct the domains of the source. Until then the name brings nobody.",
            stream=stream.name,
        )
        for name in sorted(names - verified)
    ]


def _spelt(name: str) -> str:
    try:
        return domain_name(name)
    except ValueError:
        return name.lower()
