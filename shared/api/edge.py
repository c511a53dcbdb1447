"""What the edge needs of the rest of the app. Without it (in tests of the edge alone) nothing is counted, and no request is
remembered.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.api.pools import SIZES, Pool
from shared.clock import Clock
from shared.principal import Principal

if TYPE_CHECKING:
    from shared.storage.once import Once


@dataclass
class Edge:
    """`refused` counts a refusal; `once` gives what remembers requests that carry a key."""

    refused: Callable[[Principal, str], None] = lambda _principal, _needed: None
    once: "Callable[[], Once | None]" = lambda: None
    clock: Clock = field(default_factory=Clock)
    pools: dict[str, Pool] = field(default_factory=lambda: {name: Pool(name, size) for name, size in SIZES.items()})
