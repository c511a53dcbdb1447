"""What each kind of connector collects, as data. A new kind is a module here and its entry in this list."""

from shared.connectors.entra_id import ENTRA_ID
from shared.connectors.microsoft_365 import MICROSOFT_365
from shared.connectors.registry import Registry

REGISTRY = Registry((ENTRA_ID, MICROSOFT_365))
