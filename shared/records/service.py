"""Lists, search and single records. Everything comes from Table Storage; nothing here asks Graph.

Lists in id order are a documented scan of one source's partitions; lists by name one of the look-up partitions; search
and single records read exact partitions and row ranges.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from shared.connectors.base import Kind, Stream
from shared.connectors.registry import Registry
from shared.domain.folding import enough, fold, words
from shared.domain.record_type import RecordType, Relation
from shared.domain.records import Card, Found, Record, Related, Value, record_model
from shared.domain.run import track_of
from shared.errors import Invalid, NotFound
from shared.names import CHANGES, LOOKUP, OUT_OF_SCOPE, RECORDS
from shared.records.cursors import decode, encode
from shared.records.merging import added_values, last_activity, merged, own_values, time_of
from shared.storage import keys
from shared.storage.config import ConfigStore
from shared.storage.layout import Row
from shared.storage.runs import Runs
from shared.storage.tables import Stamped, Tables

_SEARCH_ROWS, _SEARCH_PAGES = 1000, 3  # five look-ups at most, each of three requests at most
_NAME_PAGES = 5
_MOST_RELATED = 20


def split_record_id(record_id: str) -> tuple[str, str] | None:
    source, _, object_id = record_id.partition("~")
    good = source.isalnum() and len(record_id) <= 200 and object_id and not set(object_id) & set("|/\\#?")
    return (source, object_id) if good and object_id.isprintable() else None


class Records:
    """`wrote` gives a kind as the mapping made it that a stream's records were written by."""

    def __init__(
        self, registry: Registry, tables: Tables, config: ConfigStore, runs: Runs, wrote: Callable[[Kind, str], Kind]
    ) -> None:
        self._registry, self._tables, self._config, self._runs = registry, tables, config, runs
        self._wrote = wrote

    def by_id(self, record_type: RecordType, *, source: str | None, after: str | None, limit: int) -> Found:
        """Cards in id order, of one source or of all."""
        sources = [source] if source else [document.id for document in self._config.all("source")]
        cursor = decode(after) if after else None
        cards: list[Card] = []
        for candidate in sources:
            if cursor and candidate < cursor[0]:
                continue
            start = cursor[1] if cursor and candidate == cursor[0] else None
            cards += self._of_source(record_type, candidate, start, limit + 1 - len(cards))
            if len(cards) > limit:
                break
        more = len(cards) > limit
        cards = cards[:limit]
        return Found(cards, encode(*cards[-1].id.split("~", 1)) if more else None)

    def _of_source(self, record_type: RecordType, source: str, after: str | None, limit: int) -> list[Card]:
        partitions = keys.record_partitions(source, record_type.name)
        cursor = (keys.record_partition(source, record_type.name, after), f"{after}|~") if after else None
        cards: list[Card] = []
        columns = ("PartitionKey", "RowKey", *(column for _, column in record_type.card))
        # An object has one row for each stream that describes it; rows of one object are neighbours.
        while True:
            rows = self._tables.scan(RECORDS, partitions, after=cursor, limit=limit * 2, select=columns)
            for stamped in rows:
                object_id = stamped.row["RowKey"].split("|", 1)[0]
                if not cards or cards[-1].id != f"{source}~{object_id}":
                    if len(cards) == limit:
                        return cards
                    cards.append(_card(source, object_id, record_type.card_of(stamped.row)))
            if len(rows) < limit * 2:
                return cards
            cursor = (rows[-1].row["PartitionKey"], rows[-1].row["RowKey"])

    def by_name(self, record_type: RecordType, *, source: str | None, after: str | None, limit: int) -> Found:
        """Cards in the order of their folded display names: a documented scan of the look-up table."""
        attribute = record_type.lookups[0].attribute
        cursor = decode(after) if after else None
        cards: list[Card] = []
        for _ in range(_NAME_PAGES):
            rows = self._tables.scan(LOOKUP, keys.lookup_partitions(attribute), after=cursor, limit=limit + 1)
            for number, stamped in enumerate(rows):
                row = stamped.row
                card = _card(row["Source"], row["ObjectId"], row)
                if (source is None or row["Source"] == source) and (not cards or cards[-1].id != card.id):
                    cards.append(card)
                cursor = (row["PartitionKey"], row["RowKey"])
                if len(cards) == limit:
                    more = number + 1 < len(rows) or len(rows) > limit
                    return Found(cards, encode(*cursor) if more else None)
            if len(rows) <= limit:
                return Found(cards, None)
        return Found(cards, encode(*cursor) if cursor else None)

    def search(self, record_type: RecordType, text: str, *, source: str | None, limit: int) -> Found:
        """Cards of which a searched value begins with the text, or the name's words begin with its words: one request a
        look-up.
        """
        folded = fold(text)
        if not enough(folded):
            raise Invalid("The search text needs at least two characters.")
        longest = max(words(folded) or [folded], key=len)  # the word that fewest begin with
        found: dict[str, Card] = {}
        looked = [(rule.attribute, folded) for rule in record_type.lookups]
        for rule in record_type.lookups:
            if rule.words and enough(longest):
                looked += [(rule.attribute, longest), (keys.lookup_words(rule.attribute), longest)]
        for attribute, beginning in dict.fromkeys(looked):
            for row in self._beginning(attribute, beginning):
                card = _card(row["Source"], row["ObjectId"], row)
                if (source is None or row["Source"] == source) and _begins(card, folded):
                    found.setdefault(card.id, card)
                    if len(found) >= limit:
                        break
        ordered = sorted(found.values(), key=lambda card: (fold(card.display_name or ""), card.id))
        return Found(ordered[:limit], None)

    def _beginning(self, attribute: str, folded: str) -> Iterator[Row]:
        """Look-up rows of values that begin with the text."""
        if len(folded) < 2:  # one character that is a word: its partitions are all those that begin with it
            cursor = None
            for _ in range(_SEARCH_PAGES):
                partitions = keys.lookup_partitions(attribute, folded)
                rows = self._tables.scan(LOOKUP, partitions, after=cursor, limit=_SEARCH_ROWS)
                yield from (stamped.row for stamped in rows)
                if len(rows) < _SEARCH_ROWS:
                    return
                cursor = (rows[-1].row["PartitionKey"], rows[-1].row["RowKey"])
            return
        partition, (start, end) = keys.lookup_partition(attribute, folded), keys.lookup_range(folded)
        for _ in range(_SEARCH_PAGES):
            rows = self._tables.query(LOOKUP, partition, (start, end), limit=_SEARCH_ROWS)
            yield from (stamped.row for stamped in rows)
            if len(rows) < _SEARCH_ROWS:
                return
            start = rows[-1].row["RowKey"] + "!"

    def get(self, record_type: RecordType, record_id: str) -> Record:
        """One object: the rows of all streams that describe it, merged."""
        parts = split_record_id(record_id)
        rows = self._rows(record_type, *parts) if parts else []
        if not parts or not rows:
            raise self._not_there(record_type, record_id, parts)
        described = [found for stamped in rows for found in self._described(record_type, parts, stamped.row)]
        values = merged(found for _, found in described)
        related = {relation.name: self._related_by(relation, parts[0], values) for relation in record_type.relations}
        return record_model(record_type)(
            id=record_id, source_id=parts[0], object_id=parts[1], values=values, last_activity=last_activity(described), **related,
            changed_at=max(time_of(stamped.row["ChangedAt"]) for stamped in rows),
            first_seen_at=min(time_of(stamped.row["FirstSeenAt"]) for stamped in rows),
        )  # fmt: skip

    def values_of(self, source: str, record_type: str, object_id: str) -> dict[str, Any]:
        """What is known of an object; nothing where the copy does not have it."""
        try:
            record = self.get(self._registry.record_types[record_type], f"{source}~{object_id}")
        except NotFound:
            return {}
        return {name: one.value for name, one in record.values.items() if not one.missing}

    def left_out(self, source: str, object_id: str) -> str:
        """Why the owner's scope leaves a person out; empty where it does not."""
        partition = keys.record_partition(source, "person", object_id)
        rows = self._tables.query(OUT_OF_SCOPE, partition, keys.prefix_range(f"{object_id}|"))
        return next((str(one.row.get("Reason") or "") for one in rows), "")

    def parts(self, record_type: RecordType, whole: RecordType, record_id: str) -> list[Record]:
        """The parts of an object, in the order of their ids: one range of one partition. Raises NotFound for an object that the
        copy does not have.
        """
        found = split_record_id(record_id)
        if not found or not self._rows(whole, *found, ("RowKey",)):
            raise self._not_there(whole, record_id, found)
        source, object_id = found
        partition = keys.record_partition(source, record_type.name, object_id)
        rows = self._tables.query(RECORDS, partition, keys.prefix_range(f"{object_id}."), select=("RowKey",))
        ids = dict.fromkeys(stamped.row["RowKey"].split("|", 1)[0] for stamped in rows)
        return [self.get(record_type, f"{source}~{part}") for part in ids]

    def _described(
        self, record_type: RecordType, parts: tuple[str, str], row: Row
    ) -> Iterator[tuple[Stream, dict[str, Value]]]:
        """What a row says, and what other streams of the same connector add to it."""
        source, object_id = parts
        _, connector, name = row["RowKey"].split("|")
        for track, kind, declared in self._described_by(record_type, connector, name):
            state = self._runs.stream(track, declared.name)
            stream = (self._wrote(kind, state.version).stream(declared.name) if kind else None) or declared
            if not stream.leader:
                yield stream, own_values(stream, state, connector, row)
                continue
            key = keys.record_row(object_id, connector, stream.name)
            found = self._tables.get(RECORDS, keys.record_partition(source, stream.partition, object_id), key)
            yield stream, added_values(stream, state, connector, found.row if found else {}, row)

    def _described_by(
        self, record_type: RecordType, connector: str, name: str
    ) -> list[tuple[str, Kind | None, Stream]]:
        """The stream that wrote a row, and those of the same kind that add to its records; each with its track and kind."""
        document = self._config.get("connector", connector)
        kind = self._registry.known_kind_of(document) if document else None
        if kind is None:  # its records stayed when it went
            return [
                (track_of(connector, ""), None, stream)
                for stream in self._registry.streams_of(record_type.name, name)[:1]
            ]
        described = [s for s in kind.streams if name in (s.name, s.leader)]
        return [
            (track_of(connector, kind.job_of(s.name).name), kind, s) for s in described if s.record_type == record_type
        ]

    def _not_there(self, record_type: RecordType, record_id: str, parts: tuple[str, str] | None) -> NotFound:
        """Somebody who was in the copy is told apart from somebody who never was."""
        noun = record_type.title.lower()
        if parts:
            partition = keys.record_partition(parts[0], record_type.name, parts[1])
            last = self._tables.query(CHANGES, partition, keys.prefix_range(f"{parts[1]}|"), limit=1)
            if last and last[0].row["Kind"] in ("removed", "left-scope"):
                row = last[0].row
                what = "is gone" if row["Kind"] == "removed" else "left the collected scope"
                return NotFound(
                    f"The {noun} {row.get('Name') or record_id} {what} since {time_of(row['At']):%Y-%m-%d %H:%M} UTC "
                    f"({row.get('Reason')}).",
                    code="gone" if row["Kind"] == "removed" else "out-of-scope",
                    remedy="Its changes are still listed under /changes; tombstones are under /tombstones.",
                )
            stubs = self._tables.query(OUT_OF_SCOPE, partition, keys.prefix_range(f"{parts[1]}|"), limit=1)
            if stubs:
                row = stubs[0].row
                return NotFound(
                    f"The {noun} {record_id} is outside of the collected scope ({row['Reason']}), seen on "
                    f"{time_of(row['Since']):%Y-%m-%d %H:%M} UTC.",
                    code="out-of-scope",
                    remedy="The source's domains and excluded groups, or the connector's thresholds, leave it out.",
                )
        return NotFound(f"There is no {noun} with the id {record_id} in the copy.")

    def _rows(self, record_type: RecordType, source: str, object_id: str, select: Sequence[str] = ()) -> list[Stamped]:
        partition = keys.record_partition(source, record_type.name, object_id)
        return self._tables.query(RECORDS, partition, keys.prefix_range(f"{object_id}|"), select=select)

    def _related_by(self, relation: Relation, source: str, values: dict[str, Value]) -> Any:
        """The objects that an attribute names: a list, one, or none."""
        found = values.get(relation.attribute)
        target = self._registry.record_types[relation.target]
        if not relation.many:
            return self._related(target, source, found.value) if found and found.value else None
        if found is None:
            return None
        return [self._related(target, source, object_id) for object_id in (found.value or [])[:_MOST_RELATED]]

    def _related(self, record_type: RecordType, source: str, object_id: str) -> Related:
        columns = [column for _, column in record_type.card]
        rows = self._rows(record_type, source, object_id, ("RowKey", *columns))
        if not rows:
            return Related(id=f"{source}~{object_id}", missing="not-in-copy")
        card = record_type.card_of(rows[0].row)
        return Related(id=f"{source}~{object_id}", display_name=card.get("DisplayName"), mail=card.get("Mail"))


def _card(source: str, object_id: str, card: Mapping[str, Any]) -> Card:
    return Card(
        id=f"{source}~{object_id}", display_name=card.get("DisplayName"), sign_in_name=card.get("SignInName"),
        mail=card.get("Mail"), employee_id=card.get("EmployeeId"), enabled=card.get("Enabled"),
    )  # fmt: skip


def _begins(card: Card, folded: str) -> bool:
    """Whether any of the searched values begins with the text (keys hold the first 60 bytes only), or each of its words
    begins a word of the name.
    """
    values = (card.display_name, card.sign_in_name, card.mail, card.employee_id)
    if any(value and fold(value).startswith(folded) for value in values):
        return True
    asked, there = words(folded), words(fold(card.display_name or ""))
    return bool(asked) and all(any(word.startswith(one) for word in there) for one in asked)
