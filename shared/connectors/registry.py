"""The connector kinds of one installation, and what follows from them: record types, and the models of a connector."""

import json
from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, WrapValidator, create_model

from shared.connectors.base import Job, Kind, Stream
from shared.domain.base import Model
from shared.domain.configuration import Connector, ConnectorIn, ConnectorOut
from shared.domain.document import Document
from shared.domain.record_type import RecordType
from shared.domain.run import DELETE, PURGE
from shared.errors import FieldError
from shared.validation import read_as, unreadable

_RESERVED = (DELETE, PURGE)


class Registry:
    """Raises ValueError for kinds that clash with each other."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self.kinds = {kind.name: kind for kind in kinds}
        self.record_types: dict[str, RecordType] = {}
        for kind in self.kinds.values():
            _check(kind)
            for stream in kind.streams:
                known = self.record_types.setdefault(stream.record_type.name, stream.record_type)
                if known != stream.record_type:
                    raise ValueError(f"two record types are named {known.name}")
        self._check_record_types()
        options: Any = reduce(or_, [kind.options for kind in self.kinds.values()])  # a union of models
        names = tuple(self.kinds)
        fields: dict[str, Any] = {
            "kind": (Literal[names], Field(names[0], description="What it collects.")),
            "options": (
                Annotated[options, WrapValidator(self._options)],
                Field(default_factory=dict, validate_default=True, description="Options of its kind."),
            ),
        }
        self.connector_stored: type[Connector] = create_model("Connector", __base__=Connector, **fields)
        self.connector_in: type[ConnectorIn] = create_model(
            "ConnectorIn", __base__=ConnectorIn, __doc__=ConnectorIn.__doc__, **fields
        )
        self.connector_out: type[ConnectorOut] = create_model(
            "ConnectorOut", __base__=ConnectorOut, __doc__=ConnectorOut.__doc__, **fields
        )

    def _check_record_types(self) -> None:
        types = self.record_types.values()
        for taken in ([t.plural for t in types], [rule.attribute for t in types for rule in t.lookups]):
            if len(set(taken)) != len(taken):
                raise ValueError(f"some of {', '.join(taken)} are the same")
        for one in types:
            if one.part_of and one.part_of not in self.record_types:
                raise ValueError(f"{one.name} is part of {one.part_of}, which nobody collects")
            for relation in one.relations:
                if relation.target not in self.record_types:
                    raise ValueError(f"{one.name} is related to {relation.target}, which nobody collects")

    def _options(self, value: Any, _handler: Any, info: ValidationInfo) -> Model:
        kind = self.kinds.get(info.data.get("kind", ""))
        if kind is None:
            kind = next(iter(self.kinds.values()))  # the kind itself is refused already
        if isinstance(value, kind.options):
            return value
        return kind.options.model_validate_json(json.dumps(value), strict=info.mode == "json")

    def connector(self, document: Document) -> Connector:
        """The connector that a stored document configures. Raises Conflict for one that this release can't read."""
        return read_as("connector", document, self.connector_stored)

    def kind_of(self, document: Document) -> Kind:
        """The kind of a connector's document. Raises Conflict where this release has none."""
        kind = self.known_kind_of(document)
        if kind is None:
            raise unreadable("connector", document, (FieldError("kind", "unknown", "is no kind of this release"),))
        return kind

    def known_kind_of(self, document: Document) -> Kind | None:
        """The same, None where this release has none."""
        return self.kinds.get(str(document.body.get("kind")))

    def jobs_of(self, document: Document) -> list[Job]:
        """The jobs of a connector that its options switch on."""
        options = self.connector(document).options
        return [job for job in self.kind_of(document).jobs if job.wanted(options)]

    def streams_of(self, record_type: str, name: str) -> list[Stream]:
        """The streams of this name that write this type of record, whatever their kind."""
        found = (kind.stream(name) for kind in self.kinds.values())
        return [stream for stream in found if stream and stream.record_type.name == record_type]


def _check(kind: Kind) -> None:
    jobs, streams = [job.name for job in kind.jobs], [stream.name for stream in kind.streams]
    if len(set(jobs)) != len(jobs) or len(set(streams)) != len(streams) or set(jobs) & set(_RESERVED):
        raise ValueError(f"jobs or streams of {kind.name} clash, or have a reserved name")
    for stream in kind.streams:
        for other in (*stream.activity, stream.leader):
            if other and other not in streams:
                raise ValueError(f"{stream.name} of {kind.name} names the stream {other}, which is not there")
