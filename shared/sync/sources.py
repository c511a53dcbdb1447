"""From what a stream declares to what reads it from Microsoft Graph."""

from datetime import datetime

from shared.connectors.base import DirectoryList, Joined, Pages, PartsOf, Proof, Report, Stream
from shared.graph.client import GraphClient
from shared.graph.listing import DirectoryReader, Listing, PageReader
from shared.graph.parts import PartsReader
from shared.graph.reports import OTHER, REFRESHED, ReportListing
from shared.mapping.compiled import selected
from shared.sync.contracts import Source


def listing_of(stream: Stream) -> Listing:
    """The addresses that a stream asks for."""
    reader, select = stream.reader, selected(stream.attributes)
    permission = " and ".join(permission.name for permission in stream.permissions)
    match reader:
        case DirectoryList():
            return Listing(
                reader.path, select, permission, reader.expand, reader.follow, reader.page_size,
                reader.delta_links, deleted=reader.deleted_items,
            )  # fmt: skip
        case Joined():
            asked = tuple(dict.fromkeys((*select, reader.on, reader.newest)))
            return Listing(
                reader.path, asked, permission, page_size=reader.page_size, licence_tries=reader.licence_tries
            )
        case Pages():
            return Listing(
                reader.path, select, permission, page_size=reader.page_size, licence_tries=reader.licence_tries
            )
        case PartsOf():
            return Listing(reader.path, reader.select, permission, page_size=reader.page_size)
        case Report():
            days = int(reader.chosen[1:]) if reader.period else 0
            columns = frozenset(select) - {OTHER, "personId"} | {reader.person, REFRESHED}
            return ReportListing(
                reader.path, select, permission, person=reader.person, columns=columns, days=days, part=reader.part
            )


def source_of(stream: Stream, listing: Listing, graph: GraphClient, page_size: int) -> Source:
    """Reads the stream; pages are asked for ahead where nothing limits how fast. `page_size`: what this tenant is known to
    allow, 0: as usual.
    """
    if isinstance(stream.reader, DirectoryList):
        return DirectoryReader(graph, listing, ahead=True, page_size=page_size)
    if isinstance(stream.reader, PartsOf):
        return PartsReader(graph, listing, stream.reader.parts, page_size=page_size)
    return PageReader(graph, listing, counted=stream.proof is Proof.COUNTS, page_size=page_size)


def changes_since(stream: Stream, listing: Listing, completed_at: datetime) -> str:
    """The address of what is newer than the last read, for a stream whose pages can be asked so; empty for others."""
    reader = stream.reader
    if not isinstance(reader, Pages) or not reader.since:
        return ""
    return listing.newer(reader.since.format(moment=f"{completed_at - reader.overlap:%Y-%m-%dT%H:%M:%SZ}"))
