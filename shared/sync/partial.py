"""Objects that arrive in part. Microsoft Graph may leave out a property that was never set or did not change; one that was
emptied comes as null. So an absent property keeps its stored value, unless its stream says that a list leaves it out where
there is none.
"""

from collections.abc import Mapping
from typing import Any

from shared.connectors.base import Stream
from shared.domain.columns import TIME_SUFFIX, malformed_in, with_malformed
from shared.mapping.attribute import Attribute, Type
from shared.mapping.compiled import ODD, carefully, compile_mapping, selected

Columns = dict[str, Any]


class Parts:
    """What absent properties of one stream's objects mean. `remapped`: attributes that the stored rows hold otherwise. `in_list`: those that a whole object of a list has; `in_changes`:
    all, for a round of changes may leave out any that is unchanged.
    """

    def __init__(self, stream: Stream, remapped: frozenset[str] = frozenset()) -> None:
        self._all, self._remapped = stream.attributes, remapped
        self._attributes = [attribute for attribute in stream.attributes if attribute.mapped]
        self._mapper = compile_mapping(stream.attributes)
        self._columns = stream.scope_columns
        self.in_changes = frozenset(selected(stream.attributes))
        self.in_list = self.in_changes - set(stream.left_out_if_empty)

    def must_ask(self, item: Mapping[str, Any], *, stored: bool, stub: bool) -> bool:
        """Whether the object has to be asked for: an attribute is made of several properties of which some are absent, or
        nothing is stored that could stand for what is absent.
        """
        absent = self.in_changes - item.keys()
        if stored:
            # What another mapping stored says nothing about what this one makes.
            return any(
                0
                < len(absent.intersection(one.properties))
                < (999 if one.name in self._remapped else len(one.properties))
                for one in self._attributes
            )
        return bool(absent if stub else absent & self.in_list)

    def filled(self, item: dict[str, Any], stored: Mapping[str, Any]) -> Columns:
        """The columns of an object that came in part, with stored ones where a property is absent."""
        absent, made = self.in_changes - item.keys(), Columns()
        try:
            columns = self._mapper(item)
        except ODD:
            columns = carefully(self._all, item)
        malformed, before = malformed_in(columns), malformed_in(stored)
        for attribute in self._attributes:  # in the order of the mapping: the digest goes by it
            kept = not absent.isdisjoint(attribute.properties)
            value = (stored if kept else columns).get(attribute.column)
            if value is not None:
                made |= _column(attribute, _plain(value) if kept else value)
            if kept and attribute.name in before:
                malformed.append(attribute.name)
        return with_malformed(made, list(dict.fromkeys(malformed)))

    def with_scope(self, item: dict[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
        """The object with what its scope is judged by."""
        known = {name: stored.get(column) for name, column in self._columns.items() if name not in item}
        return {**item, **known} if known else item


def _column(attribute: Attribute, value: Any) -> Columns:
    if attribute.type is Type.TIME and str(value)[:4] > "1600":
        return {attribute.column: value, attribute.column + TIME_SUFFIX: "Edm.DateTime"}
    return {attribute.column: value}


def _plain(value: Any) -> Any:
    """Table Storage gives times back with as many fractional digits as it likes, Graph with none that say nothing."""
    if isinstance(value, str) and value.endswith("Z") and "." in value:
        whole, _, fraction = value[:-1].rpartition(".")
        if fraction.isdigit() and not fraction.strip("0"):
            return f"{whole}Z"
    return value
