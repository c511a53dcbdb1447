"""Mappings beyond their six operations: what can be mapped, versions, spreadsheets, and what a mapping would do."""

from typing import Annotated, Any, Literal

from pydantic import Field

from functions.configuration import object_id
from functions.models import PageQuery
from shared.api import Call, Reply, Routes
from shared.api.answering import csv_bytes
from shared.api.surfaces import PREFIX
from shared.configuration.mapping_files import COLUMNS, CSV, XLSX, as_xlsx, cells, in_rows, read
from shared.connectors.mappings import default_id
from shared.connectors.registry import Registry
from shared.domain.base import Id, Model
from shared.domain.catalogue import Catalogue, KindOut
from shared.domain.document import Document
from shared.domain.mapping import MappingIn, MappingOut, Target
from shared.domain.preview import Preview, PreviewIn
from shared.errors import Invalid, NotFound
from shared.names import Role
from shared.sync import described
from shared.wiring import app

_FILES = (CSV, XLSX)


class CatalogueQuery(Model):
    """Which part of the catalogue."""

    type: Annotated[str, Field(max_length=60)] | None = None
    """Only of this type of record, such as person."""


class FileQuery(Model):
    """The form of a file."""

    format: Literal["csv", "xlsx"] = "csv"
    """CSV for any program, XLSX for spreadsheets."""


class OverviewQuery(CatalogueQuery):
    """Which part of the overview, in which form."""

    format: Literal["json", "csv", "xlsx"] = "json"
    """JSON, or a file."""


class UploadQuery(Model):
    """What an uploaded file is to be."""

    kind: Annotated[str, Field(min_length=1, max_length=60)]
    """The kind of connectors that it is for."""
    connector: Id | None = None
    """The connector that it is tried on."""
    sample: Annotated[int, Field(ge=0, le=20)] = 0
    """How many objects of its tenant are looked at."""


class SaveQuery(Model):
    """What is saved with a file."""

    note: Annotated[str, Field(max_length=150)] = ""
    """Why this version is as it is."""


class RevisionIn(Model):
    """An earlier revision."""

    revision: Annotated[int, Field(ge=1)]
    """As the list of versions numbers it."""


class DiffQuery(PageQuery):
    """Which two revisions are compared."""

    old: Annotated[int, Field(ge=1)]
    """The earlier one."""
    new: Annotated[int, Field(ge=1)] | None = None
    """The later one. Empty: the newest."""


class MappingVersion(Model):
    """One revision of a mapping."""

    revision: int
    """Counts changes."""
    version: str
    """What it says: the same targets have the same version."""
    at: str
    """When it was saved, UTC."""
    by_id: str
    """Who saved it, as an object id."""
    by_name: str
    """The same as a name, as it was then."""
    note: str
    """Why."""


class TargetChange(Model):
    """One attribute that two revisions have otherwise."""

    stream: str
    """The listing that brings it."""
    target: str
    """Its name."""
    before: Target | None = None
    """As it was; none: it was not there."""
    after: Target | None = None
    """As it is; none: it is gone."""


class Uploaded(Model):
    """What a file says."""

    targets: list[Target]
    """As PUT and POST take them."""
    sheet: str = ""
    """The sheet that was read; hidden ones are passed over."""
    preview: Preview
    """What it would do."""


class OverviewRow(Model):
    """A target, with what feeds it in each kind."""

    record_type: str
    """The record that has it."""
    target: str
    """Its name."""
    title: str
    """What people call it."""
    type: str
    """How it is stored."""
    sources: dict[str, str]
    """By kind: the attributes of Microsoft Graph that it is made of, or why it has none."""


class Overview(Model):
    """Every target of every type of record."""

    rows: list[OverviewRow]
    """One a target."""


def routes(registry: Registry) -> Routes:
    """Routes about mappings of these kinds."""
    group = Routes(tag="Mappings", role=Role.READ)
    _add_catalogue(group, registry)
    _add_overview(group, registry)
    _add_versions(group)
    _add_files(group, registry)

    @group.post(
        "mappings/preview", "Try a mapping before it is saved", name="preview_mapping", role=Role.CONFIGURE, body=PreviewIn,
        returns=Preview,
    )  # fmt: skip
    async def preview(call: Call) -> Reply:
        """Against the connector's present mapping, on a few objects that Microsoft Graph is asked for. Nothing is saved."""
        return Reply(await app().previews.of(call.body))

    return group


def _add_catalogue(group: Routes, registry: Registry) -> None:
    kinds = registry.kinds

    @group.get(
        "connector-kinds",
        "List the kinds of connectors",
        query=PageQuery,
        returns=KindOut,
        returns_list=True,
        waits_for="",
    )
    def list_connector_kinds(call: Call) -> Reply:
        query: PageQuery = call.query
        start = _start(query)
        found = [described.kind_out(kind, default_id(kind.name)) for kind in kinds.values()][start:]
        more = len(found) > query.limit
        return Reply({"items": found[: query.limit], "next": str(start + query.limit) if more else None})

    @group.get(
        "connector-kinds/{kind}",
        "Read what a kind reads, by which calls and permissions",
        returns=KindOut,
        waits_for="",
    )
    def read_connector_kind(call: Call) -> Reply:
        found = kinds.get(call.path["kind"])
        if found is None:
            raise NotFound("There is no such kind.", remedy=f"Kinds are {', '.join(kinds)}.")
        return Reply(described.kind_out(found, default_id(found.name)))

    @group.get("catalogue", "List what mappings can name", query=CatalogueQuery, returns=Catalogue, waits_for="")
    def read_catalogue(call: Call) -> Reply:
        """Attributes of Microsoft Graph, attributes of Rollcall's records, and transforms between them."""
        wanted = _wanted(registry, call.query.type)
        sources = [one for kind in kinds.values() for one in described.sources(kind) if one.record_type in wanted]
        targets = [one for kind in kinds.values() for one in described.targets(kind) if one.record_type in wanted]
        return Reply(Catalogue(sources=sources, targets=targets, transforms=list(described.transforms())))


def _start(query: PageQuery) -> int:
    return int(query.after) if query.after and query.after.isdecimal() else 0


def _wanted(registry: Registry, record_type: str | None) -> set[str]:
    known = set(registry.record_types)
    if record_type is not None and record_type not in known:
        raise NotFound("There is no such type of record.", remedy=f"Types are {', '.join(sorted(known))}.")
    return {record_type} if record_type else known


def _add_overview(group: Routes, registry: Registry) -> None:
    @group.get(
        "mappings/overview", "List each target with the source that feeds it in each kind", name="read_mapping_overview",
        query=OverviewQuery, returns=Overview, files=_FILES, waits_for="",
    )  # fmt: skip
    def overview(call: Call) -> Reply:
        """By the kinds' default mappings."""
        rows = _rows(registry, _wanted(registry, call.query.type))
        if call.query.format == "json":
            return Reply(Overview(rows=rows))
        columns = ("record", "target", "title", "type", *registry.kinds)
        table = [
            [row.record_type, row.target, row.title, row.type, *(row.sources[kind] for kind in registry.kinds)]
            for row in rows
        ]
        return _file(table, columns, "Rollcall mapping overview", call.query.format)


def _rows(registry: Registry, wanted: set[str]) -> list[OverviewRow]:
    found: dict[tuple[str, str], OverviewRow] = {}
    for kind in registry.kinds.values():
        for one in described.targets(kind):
            if one.record_type in wanted:
                row = found.setdefault(
                    (one.record_type, one.name),
                    OverviewRow(
                        record_type=one.record_type, target=one.name, title=one.title, type=one.type.value,
                        sources=dict.fromkeys(registry.kinds, ""),
                    ),
                )  # fmt: skip
                row.sources[kind.name] = "; ".join(one.source) or f"({one.missing})"
    return list(found.values())


def _file(rows: list[list[str]], columns: tuple[str, ...], name: str, form: str) -> Reply:
    if form == "xlsx":
        return Reply.file(as_xlsx(rows, name, columns), f"{name}.xlsx", XLSX)
    return Reply.file(csv_bytes(columns, rows), f"{name}.csv", CSV)


def _add_versions(group: Routes) -> None:
    @group.get(
        "mappings/{id}/versions", "List who made which version of a mapping, newest first", name="list_mapping_versions",
        query=PageQuery, returns=MappingVersion, returns_list=True,
    )  # fmt: skip
    def versions(call: Call) -> Reply:
        query: PageQuery = call.query
        made = app().configuration.mapping_keeper.made(_mapping(call))
        start = _start(query)
        page = [
            MappingVersion(
                revision=one.revision, version=one.version, at=one.at.isoformat().replace("+00:00", "Z"), by_id=one.by_id,
                by_name=one.by_name, note=one.note,
            )
            for one in made[start : start + query.limit]
        ]  # fmt: skip
        end = start + query.limit
        return Reply({"items": page, "next": str(end) if end < len(made) else None})

    @group.get(
        "mappings/{id}/diff", "Compare two revisions of a mapping", name="diff_mapping", query=DiffQuery, returns=TargetChange,
        returns_list=True,
    )  # fmt: skip
    def diff(call: Call) -> Reply:
        keeper, mapping = app().configuration.mapping_keeper, _mapping(call)
        before, after = keeper.at(mapping, call.query.old), keeper.at(mapping, call.query.new)
        found, start = _changes(before, after), _start(call.query)
        end = start + call.query.limit
        return Reply({"items": found[start:end], "next": str(end) if end < len(found) else None})

    @group.post(
        "mappings/{id}/restore", "Make what a mapping said at an earlier revision its newest one", name="restore_mapping",
        role=Role.CONFIGURE, body=RevisionIn, returns=MappingOut, needs_if_match=True,
    )  # fmt: skip
    def restore(call: Call) -> Reply:
        revision, mapping = call.body.revision, object_id("mapping", call)
        return _saved(app().configuration.restore(mapping, revision, call.revisions(), call.principal.actor))


def _mapping(call: Call) -> Document:
    configuration = app().configuration
    return configuration.document(configuration.kinds["mapping"], object_id("mapping", call))


def _changes(before: list[Target], after: list[Target]) -> "list[TargetChange]":
    was = {(one.stream, one.role or one.target): one for one in before}
    now = {(one.stream, one.role or one.target): one for one in after}
    return [
        TargetChange(
            stream=key[0], target=(now.get(key) or was[key]).target, before=was.get(key), after=now.get(key)
        )
        for key in {**was, **now}
        if was.get(key) != now.get(key)
    ]  # fmt: skip


def _saved(model: Any) -> Reply:
    return Reply(model, headers={"ETag": f'"r{model.revision}"', "Location": f"/{PREFIX}/mappings/{model.id}"})


def _add_files(group: Routes, registry: Registry) -> None:
    @group.get(
        "mappings/{id}/download", "Download a mapping as a spreadsheet", name="download_mapping", query=FileQuery,
        content_type=CSV, files=(XLSX,),
    )  # fmt: skip
    def download(call: Call) -> Reply:
        """One row a target. The same file can be uploaded again; the column example is made up, and ignored then."""
        found = app().configuration.get(app().configuration.kinds["mapping"], object_id("mapping", call))
        assert isinstance(found, MappingOut)
        rows = list(cells(registry.kinds[found.kind], found.targets))
        return _file(rows, COLUMNS, f"Rollcall mapping {found.name}", call.query.format)

    @group.post(
        "mappings/upload", "Read a mapping from a spreadsheet and try it", name="upload_mapping", role=Role.CONFIGURE,
        query=UploadQuery, upload=_FILES, returns=Uploaded,
    )  # fmt: skip
    async def upload(call: Call) -> Reply:
        """Names every error by row and column. Nothing is saved: send the targets to PUT or POST, or the file to PUT
        /mappings/{id}/upload.
        """
        query: UploadQuery = call.query
        file = read(call.body)
        targets = _with_streams(registry, query.kind, file.targets)
        try:
            asked = PreviewIn(kind=query.kind, targets=targets, connector_id=query.connector, sample=query.sample)
            preview = await app().previews.of(asked)
        except Invalid as error:
            raise _by_row(error, file.rows) from error
        return Reply(Uploaded(targets=targets, sheet=file.sheet, preview=preview))

    @group.put(
        "mappings/{id}/upload", "Replace a mapping's targets by those of a spreadsheet", name="save_mapping_file",
        role=Role.CONFIGURE, query=SaveQuery, upload=_FILES, returns=MappingOut, needs_if_match=True,
    )  # fmt: skip
    def save(call: Call) -> Reply:
        configuration, mapping = app().configuration, object_id("mapping", call)
        kind = configuration.kinds["mapping"]
        found = configuration.get(kind, mapping)
        assert isinstance(found, MappingOut)
        file = read(call.body)
        targets = _with_streams(registry, found.kind, file.targets)
        model = MappingIn(name=found.name, kind=found.kind, note=call.query.note, targets=targets)
        try:
            return _saved(configuration.replace(kind, mapping, model, call.revisions(), call.principal.actor))
        except Invalid as error:
            raise _by_row(error, file.rows) from error


def _with_streams(registry: Registry, name: str, targets: list[Target]) -> list[Target]:
    """A row without a stream belongs to the one that has its target by default, otherwise to the kind's first one."""
    kind = registry.kinds.get(name)
    if kind is None:
        return targets
    homes = {one.name: stream.name for stream in reversed(kind.streams) for one in stream.attributes}
    return [
        one
        if one.stream
        else one.model_copy(update={"stream": homes.get(one.role or one.target, kind.streams[0].name)})
        for one in targets
    ]


def _by_row(error: Invalid, rows: list[int]) -> Invalid:
    return Invalid(error.detail, code=error.code, remedy=error.remedy, fields=tuple(in_rows(error.fields, rows)))
