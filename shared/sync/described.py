"""Connector kinds in words: what they read, by which calls, and what is made of it. All of it follows from the declarations."""

from collections.abc import Iterable, Iterator

from shared.connectors.base import DirectoryList, Job, Kind, Pages, Report, Stream
from shared.connectors.catalogue import properties
from shared.connectors.mappings import roles
from shared.domain.catalogue import (
    AlternativeSource,
    JobOut,
    KindOut,
    OptionOut,
    SourceAttribute,
    StreamOut,
    TargetAttribute,
    TransformOut,
)
from shared.mapping.attribute import Attribute, Type
from shared.mapping.transforms import TRANSFORMS
from shared.sync.sources import listing_of


def kind_out(kind: Kind, mapping_id: str) -> KindOut:
    """A kind, with every call that it makes."""
    options = [
        OptionOut(name=field.alias or name, meaning=_plain(field.description), default=field.default)
        for name, field in kind.options.model_fields.items()
    ]
    jobs = [_job(kind, job) for job in kind.jobs]
    return KindOut(name=kind.name, title=kind.title, mapping_id=mapping_id, options=options, jobs=jobs)


def _job(kind: Kind, job: Job) -> JobOut:
    pace = (
        f"{job.pacing.requests} requests in {job.pacing.window_seconds:g} seconds, for each tenant"
        if job.pacing
        else ""
    )
    return JobOut(name=job.name, title=job.title, pace=pace, streams=[_stream(kind, stream) for stream in job.streams])


def _stream(kind: Kind, stream: Stream) -> StreamOut:
    switch = kind.options.model_fields[stream.switch].alias if stream.switch else ""
    return StreamOut(
        name=stream.name, record_type=stream.record_type.name, switched_on_by=switch or "",
        permissions=[one.name for one in stream.permissions], licence=stream.licence,
        without_permission=stream.denial.value, proof=stream.proof.value, calls=calls(stream),
    )  # fmt: skip


def calls(stream: Stream) -> list[str]:
    """Every call of Microsoft Graph that reads a stream."""
    listing, reader = listing_of(stream), stream.reader
    found = [f"GET {listing.first}"]
    if isinstance(reader, DirectoryList):
        found += [f"GET {listing.path}/$count", f"GET {listing.delta}"]
        found.append(f"GET {listing.path}/ID?$select=id, in $batch, for who is absent")
    elif not (stream.leader or isinstance(reader, Report)):
        found.append(f"GET {listing.path}/ID?$select=..., in $batch, for what is absent")
    if isinstance(reader, Pages) and reader.since:
        found.append(f"GET {listing.newer(reader.since.format(moment='TIME'))}")
    return found


def sources(kind: Kind) -> Iterator[SourceAttribute]:
    """What mappings of the kind can name, and what its default makes of each."""
    for stream in kind.streams:
        permissions = {one.property: one.permission.name for one in stream.special if one.permission}
        refused = {one.property: one.refused for one in stream.special if one.refused}
        known = properties(stream)
        lists_all = isinstance(stream.reader, DirectoryList)
        for name, type_ in sorted({**known, **dict.fromkeys(refused, "")}.items()):
            yield SourceAttribute(
                stream=stream.name, record_type=stream.record_type.name, name=name, type=type_, permission=permissions.get(name),
                licence=stream.licence, in_delta=lists_all and _in_delta(stream, name), refused=refused.get(name, ""),
                targets=[one.name for one in stream.attributes if name in one.properties],
            )  # fmt: skip


def _in_delta(stream: Stream, name: str) -> bool:
    reader = stream.reader
    return not isinstance(reader, DirectoryList) or name not in reader.expand or name in reader.delta_links


def targets(kind: Kind) -> Iterator[TargetAttribute]:
    """What the kind's records hold, as its default makes it."""
    for stream in kind.streams:
        used = roles(stream)
        for one in stream.attributes:
            alternatives = [
                AlternativeSource(
                    title=other.title, source=list(other.source), note=other.note,
                    transforms=[{"name": step.name, "parameters": step.given} for step in other.steps],
                )
                for other in stream.alternatives if other.target == one.name
            ]  # fmt: skip
            yield TargetAttribute(
                stream=stream.name, record_type=stream.record_type.name, name=one.name, column=one.column, title=one.title,
                type=one.type, unit="UTC" if one.type is Type.TIME else "", meaning=one.note or "", personal=_personal(one),
                source=list(one.source), transforms=[step.name for step in one.steps], missing=one.missing,
                used_for=list(used[one.name].purposes) if one.name in used else [], alternatives=alternatives,
            )  # fmt: skip


def _personal(one: Attribute) -> str:
    return one.personal or "none"


def transforms() -> Iterable[TransformOut]:
    """What can be made of a value."""
    for one in sorted(TRANSFORMS.values(), key=lambda known: known.name):
        yield TransformOut(
            name=one.name, meaning=one.meaning, takes=one.takes, gives=one.gives,
            parameters=one.parameters.model_json_schema().get("properties", {}),
        )  # fmt: skip


def _plain(text: str | None) -> str:
    return " ".join((text or "").split())
