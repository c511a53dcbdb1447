"""Pages of docs/ that are made from the code: one a connector kind, and one about mappings."""

from pathlib import Path

from local.bootstrap import ROOT
from shared.connectors import REGISTRY
from shared.connectors.base import Kind, Stream
from shared.sync.described import calls, targets, transforms

FOLDER = ROOT / "docs"
MAPPINGS = Path(__file__).with_name("mappings.md.in")
OLD_NAMES = {
    "entra-id": (
        ("Azure AD, Azure Active Directory", "Entra ID"), ("Directory (tenant) ID", "`tenantId` of the source"),
        ("Application (client) ID, Application Key", "`clientId` and `clientSecret` of the credential"),
        ("Service Account Entra ID Groups", "`excludedGroups` of the source"), ("Crawl Source", "`crawl` of the source"),
        ("User threshold, Device threshold", "`options.userThresholdDays`, `options.deviceThresholdDays`"),
        ("Repeats, Start time, Active", "`schedule.repeats`, `schedule.startTime`, `active`"),
        ("Action credentials", "`actionCredentialId`"),
    ),
    "microsoft-365": (
        ("Office 365", "Microsoft 365"), ("Directory (tenant) ID", "`tenantId` of the source"),
        ("Application (client) ID, Client secret", "`clientId` and `clientSecret` of the credential"),
        ("Domains", "`options.domains`, else `domains` of the source"),
        ("Repeats, Start time, Active", "`schedule.repeats`, `schedule.startTime`, `active`"),
        ("Action Credentials", "`actionCredentialId`"), ("Assigned subscriptions", "the records `licences` and `licence-assignments`"),
    ),
}  # fmt: skip
"""What other products call the same, by kind."""


def pages() -> dict[Path, str]:
    """Path and text of each."""
    found = {FOLDER / "connectors" / f"{kind.name}.md": _kind(kind) for kind in REGISTRY.kinds.values()}
    return found | {FOLDER / "mappings.md": _mappings()}


def write() -> None:
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _mappings() -> str:
    rows = "\n".join(
        f"| `{one.name}` | {_plain(one.meaning)} | {', '.join(f'`{name}`' for name in one.parameters) or 'none'} |"
        for one in transforms()
    )
    roles = "\n".join(
        f"| `{one.stream}` | `{one.name}` | {' and '.join(one.used_for)} |"
        for kind in REGISTRY.kinds.values()
        for one in targets(kind)
        if one.used_for
    )
    return MAPPINGS.read_text().format(transforms=rows, roles=roles)


def _kind(kind: Kind) -> str:
    options = "\n".join(
        f"| `{field.alias}` | {_plain(field.description)} | `{_shown(field.default)}` |"
        for field in kind.options.model_fields.values()
    )
    jobs = "\n\n".join(_job(kind, job.name) for job in kind.jobs)
    names = "\n".join(f"| {old} | {new} |" for old, new in OLD_NAMES.get(kind.name, ()))
    missing = "\n".join(
        f"| {attribute.title} | {stream.name} | `{attribute.missing}` | {_plain(attribute.note)} |"
        for stream in kind.streams
        for attribute in stream.attributes
        if attribute.missing
    )
    return f"""# Setting up connectors: {kind.title} (`{kind.name}`)

Made from the code by `python3 -m local docs`.

## Options

| option | meaning | default |
|---|---|---|
{options}

## Jobs

Each job has runs of its own, on the connector's schedule.

{jobs}

## Values that are always missing, and why

| value | stream | reason | note |
|---|---|---|---|
{missing or "| none | | | |"}

## What other products call it

| there | here |
|---|---|
{names or "| | |"}
"""


def _job(kind: Kind, name: str) -> str:
    job = kind.job(name)
    assert job
    rows = "\n".join(
        f"| `{stream.name}` | {', '.join(f'`{one.name}`' for one in stream.permissions)} | "
        f"{f'`{_alias(kind, stream)}`' if stream.switch else 'always'} | {'the run fails' if stream.denial.value == 'fails' else 'the values are marked'} |"
        for stream in job.streams
    )
    asked = "\n".join(f"- `{call}`" for stream in job.streams for call in calls(stream))
    return f"""### {job.title} (`{job.name}`)

| stream | application permission | switched on by | without the permission |
|---|---|---|---|
{rows}

Calls of Microsoft Graph:

{asked}"""


def _alias(kind: Kind, stream: Stream) -> str:
    return str(kind.options.model_fields[stream.switch].alias)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
