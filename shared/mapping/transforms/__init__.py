"""The transforms that mappings may name: each a function with its own parameters, and nothing else is ever called."""

from shared.mapping.transforms import directory, products, text, values  # noqa: F401 - they register what they declare
from shared.mapping.transforms.registry import TRANSFORMS, Transform

__all__ = ["TRANSFORMS", "Transform"]
