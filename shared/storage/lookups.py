"""The look-up rows of records: what search by the beginning of words, and lists by name, find them by."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from shared.domain.folding import fold, words
from shared.domain.record_type import LookupRule
from shared.storage import keys
from shared.storage.bulk import Entity
from shared.storage.layout import CURRENT

Searchable = tuple[str, dict[str, Any], bytes]
"""An object id, its card, and what card_tail() makes of both."""


def lookup_rows(
    rules: Sequence[LookupRule], source: str, connector: str, objects: Iterable[Searchable]
) -> list[Entity]:
    """The look-up rows of records, each with the covering card."""
    rows: list[Entity] = []
    for object_id, card, tail in objects:
        end = keys.lookup_end(source, object_id, connector)
        for rule in rules:
            value: Any = None
            known: list[str] = []
            for role in rule.roles:
                before, value = value, card.get(role)
                if not value or value == before:
                    continue  # mail equal to the sign-in name is one row
                folded = fold(str(value))
                if not folded:
                    continue
                partition, row = keys.lookup_keys(rule.attribute, folded, end)
                if row in known:
                    continue  # values that differ only behind what a key holds of them
                known.append(row)
                keyed = f'{{"PartitionKey":"{partition}","RowKey":"{row}",'  # hex, ids and marks: nothing to escape
                rows.append((partition, row, keyed.encode() + tail))
                if rule.words:
                    rows += _word_rows(rule.attribute, folded, end, tail)
    return rows


def _word_rows(attribute: str, folded: str, end: str, tail: bytes) -> list[Entity]:
    """One row for each word but the one at the beginning, which the value's own row is found by."""
    found: list[Entity] = []
    for word in dict.fromkeys(words(folded)):
        if not folded.startswith(word):
            partition, row = keys.lookup_keys(keys.lookup_words(attribute), word, end)
            keyed = f'{{"PartitionKey":"{partition}","RowKey":"{row}",'
            found.append((partition, row, keyed.encode() + tail))
    return found


def card_tail(source: str, object_id: str, card: dict[str, Any]) -> bytes:
    """What stands behind the keys of all look-up rows of one record."""
    return orjson.dumps({"V": CURRENT.writes, "Source": source, "ObjectId": object_id, **card})[1:]
