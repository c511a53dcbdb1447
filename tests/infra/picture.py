"""docs/architecture.md, made from what infra/main.bicep evaluates to; `python -m tests.infra.snapshots` writes it."""

from collections import defaultdict
from pathlib import Path

from tests.infra.policies import INFRA, ROLES, Deployed

FILE = INFRA.parent / "docs" / "architecture.md"
TITLES = {
    "storage/host": "Storage account of the host: package, locks", "storage/data": "Storage account of the data",
    "vault/vault": "Key Vault: every secret", "monitoring/workspace": "Log Analytics", "monitoring/insights": "Application Insights",
    "monitoring/operators": "Action group: who is told", "identity/identity": "Identity of the app", "app/plan": "Flex Consumption plan",
    "app/site": "Function app", "network/network": "Virtual network", "protection/budget": "Budget",
}  # fmt: skip
GROUPED = {
    "Microsoft.Insights/scheduledQueryRules": "alerts on logs", "Microsoft.Insights/metricAlerts": "alerts on metrics",
    "Microsoft.Network/privateDnsZones": "private DNS zones", "Microsoft.Network/privateEndpoints": "private endpoints",
}  # fmt: skip
"""What is drawn as one box with a number."""


def page() -> str:
    """The page: a picture of the private profile, which has all parts, and what each profile deploys."""
    profiles = {name: Deployed(INFRA, INFRA / f"{name}.bicepparam") for name in ("small", "standard", "private")}
    return f"""# Architecture

Made from `infra/` by `python -m tests.infra.snapshots`: all parts, as the profile *private* has them.

```mermaid
{_picture(profiles["private"])}
```

An arrow from the identity is a role on that resource; the app has no other right in Azure. Rights in a tenant are given to an app
registration there, and are listed by connector in [connectors](connectors/).

## What each profile deploys

{_table(profiles)}
"""


def _picture(d: Deployed) -> str:
    boxes: dict[str, list[str]] = defaultdict(list)
    numbers: dict[tuple[str, str], int] = defaultdict(int)
    locked = {one.scope for one in d.of("Microsoft.Authorization/locks")}
    for one in d.all:
        label = one.label.removeprefix("main/rollcall/")
        module = label.partition("/")[0]
        if one.type in GROUPED:
            numbers[module, GROUPED[one.type]] += 1
        elif label in TITLES:
            parts = _parts(d, label)
            text = "<br/>".join([TITLES[label], *parts, *(["locked against deletion"] if one.id in locked else [])])
            boxes[module].append(f'{_id(label)}["{text}"]')
    for (module, what), number in numbers.items():
        boxes[module].append(f'{_id(module + "/" + what.replace(" ", ""))}["{number} {what}"]')
    drawn = [
        "flowchart LR",
        "  staff[Staff, auditors] -->|token with an app role| auth[App Service authentication] --> app_site",
        *(
            line
            for module, lines in boxes.items()
            for line in (f"  subgraph {module}", *(f"    {box}" for box in lines), "  end")
        ),
        "  app_plan --- app_site --- identity_identity",
        *(
            f'  identity_identity -->|"{"<br/>".join(sorted(roles))}"| {_id(label)}'
            for label, roles in sorted(_roles(d).items())
        ),
        "  app_site -->|as the app registration of each tenant| graph[Microsoft Graph]",
    ]
    return "\n".join(drawn)


def _parts(d: Deployed, label: str) -> list[str]:
    """Tables, queues and containers inside an account."""
    kinds = {"tables": "tables", "queues": "queues", "packages": "container"}
    names: dict[str, list[str]] = defaultdict(list)
    for one in d.all:
        if one.label.startswith(f"main/rollcall/{label}::"):
            kind = kinds.get(one.label.rpartition("::")[2].partition("[")[0])
            if kind:
                names[kind].append(str(one.name).rpartition("/")[2])
    return [f"{kind}: {', '.join(found)}" for kind, found in names.items()]


def _roles(d: Deployed) -> dict[str, set[str]]:
    places = {one.id: one.label.removeprefix("main/rollcall/") for one in d.all}
    found: dict[str, set[str]] = defaultdict(set)
    for one in d.of("Microsoft.Authorization/roleAssignments"):
        found[places[one.scope]].add(ROLES[str(one.get("properties.roleDefinitionId")).rpartition("/")[2]])
    return found


def _table(profiles: dict[str, Deployed]) -> str:
    counts: dict[str, dict[str, int]] = {name: defaultdict(int) for name in profiles}
    for name, d in profiles.items():
        for one in d.all:
            counts[name][one.type] += 1
    kinds = sorted({kind for found in counts.values() for kind in found})
    rows = [f"| `{kind}` | {' | '.join(str(counts[name][kind] or '') for name in profiles)} |" for kind in kinds]
    return "\n".join([f"| resource | {' | '.join(profiles)} |", "|---|" + "---|" * len(profiles), *rows])


def _id(label: str) -> str:
    return label.replace("/", "_")


def write(file: Path = FILE) -> None:
    file.write_text(page())
