"""Pages of docs/ that are made from the code: one a connector kind, one about mappings, and the catalogue of people actions."""

from pathlib import Path

from local.bootstrap import ROOT
from shared.actions.book import ACTIONS, QUERIES
from shared.actions.catalogue import NOT_OFFERED, Action
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
    return found | {FOLDER / "mappings.md": _mappings(), FOLDER / "action-catalogue.md": _catalogue()}


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


OFTEN_GRANTED = ("User.ReadWrite.All", "User.ManageIdentities.All", "Directory.ReadWrite.All")
"""What guides of other products ask for. They name Directory.AccessAsUser.All too, which no token of an application can have."""


def lacking(action: Action) -> list[str]:
    """The permissions that an action needs besides those that are often granted."""
    needed = action.permissions(action.parameters.model_construct())
    return [one.name for one in needed if not one.granted(frozenset(OFTEN_GRANTED))]


def _catalogue() -> str:
    actions = "\n".join(_action(ACTIONS[name]) for name in ACTIONS)
    queries = "\n".join(
        f"| `{name}` | {one.title} | `{one.permission.name}` | "
        f"{'works' if one.permission.granted(frozenset(OFTEN_GRANTED)) else f'needs `{one.permission.name}`'} |"
        for name, one in QUERIES.items()
    )
    not_offered = "\n".join(f"| {one.title} | {one.because} |" for one in NOT_OFFERED)
    return f"""# The catalogue of people actions

Made from the code by `python3 -m local docs`. `docs/actions.md` shows how an action is planned, agreed to and carried out.

The last column says what works where the app registration has `{"`, `".join(OFTEN_GRANTED)}` and `Directory.AccessAsUser.All`, as guides
of other products ask for. The last of them does nothing for an application. The least permissions are safer.

## Actions

| action | on | what it does | least application permissions | role in Microsoft Entra | taken back by | with those four |
|---|---|---|---|---|---|---|
{actions}

## Queries

| query | what it shows | least application permission | with those four |
|---|---|---|---|
{queries}

## What Microsoft Graph has not for an application

| often looked for | why it is not here |
|---|---|
{not_offered}
"""


def _action(action: Action) -> str:
    needed = [one.name for one in action.permissions(action.parameters.model_construct())]
    least = "those of its steps" if action.compose else ", ".join(f"`{one}`" for one in needed)
    missing = lacking(action)
    old = (
        "as its steps do"
        if action.compose
        else f"needs {', '.join(f'`{one}`' for one in missing)}"
        if missing
        else "works"
    )
    roles = ", ".join(role.title for role in action.roles) or (
        "on administrators a higher one" if action.sensitive else "none"
    )
    back = f"`{action.reverse}`" if action.undo or action.compose else "nothing"
    said = f"{action.title}: {action.description} {action.note}".strip()
    return f"| `{action.name}` | {action.target} | {_plain(said)} | {least} | {roles} | {back} | {old} |"


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
