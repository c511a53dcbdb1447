"""Names of products and counts of their seats."""

import functools
import json
from pathlib import Path
from typing import Any

from shared.domain.base import Model
from shared.mapping.transforms.registry import transform

_FILE = Path(__file__).with_name("products.json")


@functools.cache
def names() -> dict[str, str]:
    """Product name by SKU id in small letters. Part numbers are no key: Microsoft gave some of them to two products."""
    return dict(json.loads(_FILE.read_text())["names"])


class ProductParameters(Model):
    """Names of products."""

    names: dict[str, str] = {}
    """Names of your own, by SKU id in small letters. They go before Microsoft's."""


@transform(ProductParameters, takes="several", gives="text")
def product_name(parameters: ProductParameters, sku: Any, *part_number: Any) -> str | None:
    """A product's name by its SKU id; where the table of names has none, the second value: its part number."""
    if not parameters.names and isinstance(sku, str) and (known := names().get(sku)):
        return known
    for value in (sku, *part_number):
        if value is not None and not isinstance(value, str):
            raise TypeError
    key = (sku or "").lower()
    return parameters.names.get(key) or names().get(key) or next((value for value in part_number if value), None)


@transform(takes="several", gives="number", null=True)
def sum_of(*values: Any) -> int | float | None:
    """The sum of numbers; those that are missing do not count. Without any number: nothing."""
    there = [value for value in values if value is not None]
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in there):
        raise TypeError
    return sum(there) if there else None


@transform(takes="several", gives="number", null=True)
def seats_left(enabled: Any, warning: Any, consumed: Any) -> int | float | None:
    """Seats that can be used, those in grace included, less those that are taken; below zero where more are taken."""
    usable, taken = sum_of(enabled, warning), sum_of(consumed)
    return None if usable is None or taken is None else usable - taken
