"""What each kind of connector collects, as data."""

from shared.connectors.base import Kind
from shared.connectors.entra_id import ENTRA_ID

KINDS: dict[str, Kind] = {kind.name: kind for kind in (ENTRA_ID,)}
