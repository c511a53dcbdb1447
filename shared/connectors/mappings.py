"""Mappings of a kind: its default as a mapping, an owner's mapping checked against what Microsoft Graph and the product have,
and the kind as a mapping makes it.
"""

import functools
import hashlib
import inspect
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

import orjson
from pydantic import ValidationError

from shared.connectors.base import Kind, Stream
from shared.connectors.catalogue import EXTENSION, properties, type_of
from shared.domain.mapping import Target, TransformIn
from shared.errors import FieldError
from shared.mapping.attribute import FILTER_WORDS, MOST_COLUMNS, RESERVED, Attribute, Step, Type, column_of
from shared.mapping.transforms import TRANSFORMS
from shared.validation import field_errors

_NAME = re.compile(r"[a-z][A-Za-z0-9]{0,99}")
_MOST_TRANSFORMS, _MOST_CONTENT = 30_000, 400_000
_DROP = "drop"
_DROPPED = "Left out by the mapping: neither asked for nor stored."


@dataclass(frozen=True)
class Role:
    """What the product uses an attribute of a stream for. `fixed`: its source can't be another one."""

    attribute: Attribute
    purposes: tuple[str, ...]
    fixed: bool


@functools.cache
def roles(stream: Stream) -> dict[str, Role]:
    """By the name of the attribute in the default mapping."""
    found: dict[str, tuple[Attribute, list[str], bool]] = {}

    def note(attribute: Attribute, purpose: str, *, fixed: bool) -> None:
        before = found.get(attribute.name, (attribute, [], False))
        found[attribute.name] = attribute, [*before[1], purpose], before[2] or fixed

    scope: dict[str | None, str] = dict.fromkeys(stream.joined_by, "what is known elsewhere")
    scope |= {stream.address: "domains", stream.created: "thresholds", stream.last_seen: "thresholds"}
    related = {one.attribute: one.name for one in stream.record_type.relations}
    card = {column for _, column in stream.record_type.card} if not stream.leader else set()
    for attribute in stream.attributes:
        if attribute.column in card:
            note(attribute, "lists and search", fixed=False)
        if attribute.name in related:
            note(attribute, f"the relation {related[attribute.name]}", fixed=True)
        if attribute.name in stream.seen:
            note(attribute, "thresholds", fixed=True)
        if len(attribute.source) == 1 and not attribute.steps and (purpose := scope.get(attribute.source[0])):
            note(attribute, purpose, fixed=True)
    return {name: Role(attribute, tuple(purposes), fixed) for name, (attribute, purposes, fixed) in found.items()}


def default_id(kind: str) -> str:
    """The id of a kind's default mapping."""
    return kind.replace("-", "")


def default_targets(kind: Kind) -> list[Target]:
    """The kind's own mapping."""
    return [_target(stream, attribute) for stream in kind.streams for attribute in stream.attributes]


def _target(stream: Stream, attribute: Attribute) -> Target:
    return Target(
        stream=stream.name, target=attribute.name, title=attribute.title, type=attribute.type, source=list(attribute.source),
        transforms=[TransformIn(name=step.name, parameters=step.given) for step in attribute.steps],
        missing=attribute.missing if attribute.missing in ("not-provided", "not-requested") else None,
        note=attribute.note or "", role=attribute.name if attribute.name in roles(stream) else "",
    )  # fmt: skip


def content_of(targets: Iterable[Target]) -> bytes:
    """The targets as they are stored."""
    return orjson.dumps([one.model_dump(mode="json", by_alias=True) for one in targets], option=orjson.OPT_SORT_KEYS)


def targets_of(content: bytes) -> list[Target]:
    """The reverse of content_of()."""
    return [Target.model_validate(one) for one in orjson.loads(content)]


def version_of(targets: Iterable[Target]) -> str:
    """Names the content: the same targets have the same version."""
    return hashlib.sha256(content_of(targets)).hexdigest()[:12]


def mapped(kind: Kind, targets: Sequence[Target]) -> Kind:
    """The kind with these targets instead of its own, which problems() found nothing wrong with."""
    chosen: dict[str, list[Attribute]] = {stream.name: [] for stream in kind.streams}
    for one in targets:
        stream = kind.stream(one.stream)
        if stream:  # not one of another release
            chosen[one.stream].append(_attribute(stream, one))
    return kind.with_streams(lambda stream: _with(stream, tuple(chosen[stream.name])))


def _with(stream: Stream, attributes: tuple[Attribute, ...]) -> Stream:
    # What of a property no delta reports is late whatever is made of it, unless the default has something of it that is not.
    late = {(one.properties, one.steps) for one in stream.attributes if one.name in stream.not_in_delta}
    fresh = {(one.properties, one.steps) for one in stream.attributes if one.name not in stream.not_in_delta}
    names = {name for properties, _ in late for name in properties}
    lagging = tuple(
        one.name
        for one in attributes
        if names.intersection(one.properties) and (one.properties, one.steps) not in fresh
    )
    extensions = {name for one in attributes for name in one.properties if EXTENSION.fullmatch(name)}
    return replace(
        stream, attributes=attributes, not_in_delta=lagging,
        left_out_if_empty=(*stream.left_out_if_empty, *sorted(extensions - set(stream.left_out_if_empty))),
    )  # fmt: skip


def _attribute(stream: Stream, one: Target) -> Attribute:
    steps = tuple(_step(transform) for transform in one.transforms)
    role = roles(stream).get(one.role or one.target)
    known = next((a for a in stream.attributes if a.name == (one.role or one.target)), None)
    same = known is not None and (known.source, known.steps) == (tuple(one.source), steps)
    dropped = any(step.name == _DROP for step in steps)
    empty = dropped or not (one.source or steps)
    return Attribute(
        name=one.target, title=one.title or one.target, type=one.type, source=() if empty else tuple(one.source),
        steps=() if empty else steps, missing=("not-requested" if dropped else one.missing or "not-provided") if empty else None,
        note=_DROPPED if dropped else one.note or None, remarks=known.remarks if known and same else (),
        personal=known.personal if known and same else "",
        role=role.attribute.name if role and role.attribute.name != one.target else "",
    )  # fmt: skip


def _step(one: TransformIn) -> Step:
    return Step(one.name, orjson.dumps(one.parameters, option=orjson.OPT_SORT_KEYS).decode())


def problems(kind: Kind, targets: Sequence[Target]) -> list[FieldError]:
    """Everything that is wrong with a mapping of the kind, by field."""
    found: list[FieldError] = []
    for number, one in enumerate(targets):
        stream = kind.stream(one.stream)
        if stream is None:
            names = ", ".join(stream.name for stream in kind.streams)
            found.append(FieldError(f"targets.{number}.stream", "unknown", f"is none of {names}"))
        else:
            found += [replace(error, field=f"targets.{number}.{error.field}") for error in _wrong(stream, one)]
    if len(content_of(targets)) > _MOST_CONTENT:
        found.append(FieldError("targets", "too-large", f"hold {_MOST_CONTENT} bytes of JSON at most"))
    found += _twice(kind, targets)
    for stream in kind.streams:
        found += _lost(stream, [(number, one) for number, one in enumerate(targets) if one.stream == stream.name])
    return found


def _wrong(stream: Stream, one: Target) -> Iterator[FieldError]:
    """What is wrong with one target in itself."""
    if not _NAME.fullmatch(one.target):
        yield FieldError("target", "no-name", "must begin with a small letter and hold letters and digits only")
    elif column_of(one.target) in RESERVED or one.target in FILTER_WORDS:
        yield FieldError("target", "reserved", "is a name that Rollcall itself uses, for a column or in filters")
    if len(orjson.dumps([step.model_dump() for step in one.transforms])) > _MOST_TRANSFORMS:
        yield FieldError("transforms", "too-long", f"hold {_MOST_TRANSFORMS} characters at most")
    types: list[Type | None] = []
    for number, path in enumerate(one.source):
        try:
            types.append(type_of(stream, path))
        except ValueError as error:
            yield FieldError(f"source.{number}", "unknown", str(error))
    if len(types) == len(one.source):
        yield from _steps(one, types)
    if one.missing and (one.source or one.transforms):
        yield FieldError("missing", "contradiction", "goes with an attribute without source and transforms only")


def _steps(one: Target, types: list[Type | None]) -> Iterator[FieldError]:
    """What is wrong with its transforms, and with the type that comes of them."""
    current = types[0] if len(types) == 1 else None
    if len(one.source) > 1 and not one.transforms:
        yield FieldError(
            "transforms", "needed", "several sources need a transform that makes one value of them: firstOf or join"
        )
    for number, asked in enumerate(one.transforms):
        wrong = list(_misplaced(one, number, asked.name) if asked.name in TRANSFORMS else _unknown(asked.name))
        wrong = wrong or list(_parameters(len(one.source) if not number else 1, asked))
        yield from (replace(error, field=f"transforms.{number}.{error.field}") for error in wrong)
        if wrong:
            return
        known = TRANSFORMS[asked.name]
        current = Type(known.gives) if known.gives else _opaque(asked, types, number) if known.opaque else current
    if _clash(current, one.type):
        yield FieldError("type", "type-clash", f"the source gives {current}: use the transform {_MAKES[one.type]}")


def _unknown(name: str) -> Iterator[FieldError]:
    near = get_close_matches(name, TRANSFORMS, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    yield FieldError("name", "unknown", f"there is no such transform{hint} There are {', '.join(sorted(TRANSFORMS))}")


def _misplaced(one: Target, number: int, name: str) -> Iterator[FieldError]:
    """Of a transform at a place where it can't stand."""
    takes = TRANSFORMS[name].takes
    if number and takes == "nothing":
        yield FieldError("name", "first-only", f"{name} can be the first transform only")
    elif not number and takes == "nothing" and one.source:
        yield FieldError("name", "no-source", f"{name} makes a value of its own: leave source empty")
    elif not number and takes != "nothing" and not one.source:
        yield FieldError("name", "no-source", f"{name} needs a source")
    elif not number and len(one.source) > 1 and takes != "several":
        yield FieldError("name", "one-value", f"{name} takes one value: begin with firstOf or join")


def _opaque(asked: TransformIn, types: list[Type | None], number: int) -> Type | None:
    """The type of what a transform makes that gives what it is given."""
    if asked.name == "split":
        return Type.JSON if asked.parameters.get("part") is None else Type.TEXT
    if asked.name == "constant":
        value = asked.parameters.get("value")
        return Type.FLAG if isinstance(value, bool) else Type.TEXT if isinstance(value, str) else Type.NUMBER
    return types[0] if not number and len(set(types)) == 1 else None


def _parameters(given: int, asked: TransformIn) -> Iterator[FieldError]:
    known = TRANSFORMS[asked.name]
    try:
        made = known.make(asked.parameters)
    except ValidationError as error:
        yield from (replace(item, field=f"parameters.{item.field}") for item in field_errors(error))
        return
    if known.takes == "several" and (wanted := _arity(made, given)):
        yield FieldError("name", "number", f"{asked.name} takes {wanted} sources")


_MAKES = {
    Type.FLAG: "flag",
    Type.NUMBER: "number",
    Type.TIME: "toUtc",
    Type.TEXT: "text, join or json",
    Type.JSON: "json",
}
"""What makes a value of a type."""


def _arity(made: object, given: int) -> str:
    """How many values a transform takes, where that is not how many there are."""
    parameters = inspect.signature(made).parameters.values()  # type: ignore[arg-type]
    if any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters) or len(parameters) == given:
        return ""
    return str(len(parameters))


def _clash(given: Type | None, wanted: Type) -> bool:
    if given is None or given is wanted or wanted is Type.JSON:
        return False
    return not (given is Type.TIME and wanted is Type.TEXT) and not (given is Type.TEXT and wanted is Type.TIME)


def _twice(kind: Kind, targets: Sequence[Target]) -> Iterator[FieldError]:
    """Targets of one type of record with one name, or one column; and more than a row may have."""
    seen: dict[tuple[str, str], int] = {}
    columns: Counter[str] = Counter()
    for number, one in enumerate(targets):
        stream = kind.stream(one.stream)
        if stream is None:
            continue
        columns[stream.name] += 1
        taken = {one.target.casefold(), (one.role or one.target).casefold()}
        for name in sorted(taken):
            first = seen.setdefault((stream.record_type.name, name), number)
            if first != number:
                yield FieldError(
                    f"targets.{number}.target", "taken", f"{name} is taken by target {first}: two would be one value"
                )
                break
    for name, count in columns.items():
        if count > MOST_COLUMNS:
            yield FieldError("targets", "too-many", f"{name} has {count}; a record holds {MOST_COLUMNS} at most")


def _lost(stream: Stream, chosen: list[tuple[int, Target]]) -> Iterator[FieldError]:
    """Attributes that the product needs and the mapping lacks, or makes of something else."""
    by_role = {one.role or one.target: (number, one) for number, one in chosen}
    for number, one in chosen:
        if one.role and one.role not in roles(stream):
            yield FieldError(f"targets.{number}.role", "unknown", f"is none of {', '.join(roles(stream)) or 'none'}")
    for name, role in roles(stream).items():
        what = f"{name} of {stream.name} is used for {' and '.join(role.purposes)}"
        if name not in by_role:
            yield FieldError("targets", "role-lost", f"{what}: keep it, under any name, with the role {name}")
            continue
        number, one = by_role[name]
        default = role.attribute
        steps = tuple(_step(transform) for transform in one.transforms)
        if one.type is not default.type:
            yield FieldError(f"targets.{number}.type", "role-fixed", f"{what}: its type is {default.type}")
        if role.fixed and (tuple(one.source), steps) != (default.source, default.steps):
            yield FieldError(f"targets.{number}.source", "role-fixed", f"{what}: its source can't be another one")
        elif any(step.name == _DROP for step in steps) or not (one.source or steps):
            yield FieldError(f"targets.{number}.source", "role-lost", f"{what}: it needs a source")


def sources(stream: Stream) -> dict[str, str]:
    """What can be named as a source, with Microsoft's type."""
    return dict(sorted(properties(stream).items()))
