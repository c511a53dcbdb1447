"""`python3 -m local graph-facts FOLDER`: makes facts.json, and what mappings can name, from a folder with Microsoft's
description of Graph v1.0.

The folder holds `openapi/graph-v1.0.trimmed.json` (OpenAPI, with the application permissions of each operation under
`x-permissions`) and `permissions.json`. Only what Rollcall asks or simulates is taken, in a format of its own: one operation
a line, lists of names once.
"""

import json
import re
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("facts.json")
PROPERTIES = Path(__file__).parents[3] / "shared" / "connectors" / "properties.json"
RESOURCES = {
    "/users": "user", "/devices": "device", "/groups": "group", "/domains": "domain", "/organization": "organization",
    "/subscribedSkus": "subscribedSku", "/directory/subscriptions": "companySubscription",
}  # fmt: skip
"""Collections that mappings can name the properties of, and what their objects are."""
_WANTED = re.compile(
    r"/(users|devices|groups|domains|subscribedSkus|organization|directory/subscriptions|applications)"
    r"(/\{[^}]+\}|/\$count|/delta(\(\))?)?"
    r"|/users/\{[^}]+\}/(manager(/\$ref)?|memberOf(/microsoft\.graph\.(group|directoryRole))?|transitiveMemberOf|registeredDevices"
    r"|ownedDevices|licenseDetails|revokeSignInSessions|assignLicense|reprocessLicenseAssignment)"
    r"|/users/\{[^}]+\}/authentication/(methods|\w+Methods(/\{[^}]+\})?)"
    r"|/groups/\{[^}]+\}/members/(\$ref|\{[^}]+\}/\$ref)|/directory/deletedItems/\{[^}]+\}/restore"
    r"|/directoryRoles|/directoryRoles/\{[^}]+\}/members|/roleManagement/directory/roleAssignments|/invitations"
    r"|/deviceManagement/managedDevices(/\{[^}]+\}(/(syncDevice|remoteLock|retire))?)?"
    r"|/identityProtection/riskyUsers/(\{[^}]+\}|confirmCompromised|dismiss)"
    r"|/devices/\{[^}]+\}/registered(Owners|Users)"
    r"|/groups/\{[^}]+\}/(members|transitiveMembers)(/(microsoft\.)?graph\.user)?"
    r"|/directory/deletedItems/(\{[^}]+\}|(microsoft\.)?graph\.user)"
    r"|/domains/\{[^}]+\}/rootDomain"
    r"|/auditLogs/(signIns|directoryAudits|provisioning)|/identityProtection/(riskyUsers|riskDetections)"
    r"|/admin/reportSettings|/reports/.*|/\$batch"
)
_EXPANDED = re.compile(r"^\^\(\\\*\|([\w|]+)\)")


def make(folder: Path) -> str:
    """The file's text."""
    description = json.loads((folder / "openapi" / "graph-v1.0.trimmed.json").read_text())
    permissions = json.loads((folder / "permissions.json").read_text())["permissions"]
    sets: dict[tuple[str, ...], str] = {}
    operations: dict[str, dict[str, Any]] = {}
    for path, item in description["paths"].items():
        if not _WANTED.fullmatch(path):
            continue
        template = re.sub(r"\{[^}]*\}", "{}", path)
        arguments = [rule for p in item.get("parameters", []) if (rule := _argument(p["schema"]))]
        for method in ("get", "post", "patch", "put", "delete"):
            if method in item:
                made = _operation(template, item[method], sets)
                if arguments:
                    made["argument"] = arguments[-1]
                operations[f"{method.upper()} {template}"] = made
    used = {name for made in operations.values() for name in made["permissions"]}
    known = sorted(name for name, facts in permissions.items() if facts["application"] and name in used)
    lines = [
        '{"about": "Facts about Microsoft Graph v1.0: operations, options, names to select or expand, permissions.",',
        f'"permissions": {_text(known)},',
        '"sets": {',
        ",\n".join(f"{_text(name)}: {_text(list(names))}" for names, name in sets.items()),
        "},",
        '"operations": {',
        ",\n".join(f"{_text(key)}: {_text(made)}" for key, made in sorted(operations.items())),
        "}}",
    ]
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _argument(schema: dict[str, Any]) -> dict[str, Any]:
    """What stands in an address in place of a name: one of some values, a day, or any id."""
    if "enum" in schema:
        return {"values": schema["enum"]}
    if schema.get("format") == "date":
        return {"form": "date"}
    if "pattern" in schema:
        raise ValueError(f"a form that the checker does not know: {schema['pattern']}")
    return {}


def _operation(template: str, described: dict[str, Any], sets: dict[tuple[str, ...], str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    headers, required = [], []
    for parameter in described.get("parameters", []):
        if parameter["in"] == "header":
            headers.append(parameter["name"])
            continue
        options[parameter["name"]] = _option(f"{template} {parameter['name']}", parameter["schema"], sets)
        if parameter.get("required"):
            required.append(parameter["name"])
    made: dict[str, Any] = {"options": options, "permissions": _permissions(described)}
    if headers:
        made["headers"] = headers
    if required:
        made["required"] = required
    if "requestBody" in described:
        made["body"] = True
    return made


def _option(place: str, schema: dict[str, Any], sets: dict[tuple[str, ...], str]) -> dict[str, Any]:
    """What an option takes: names of a set, a number up to a limit, one of some values, a text of some form, or any text."""
    pattern = schema.get("pattern", "")
    if schema["type"] == "array":
        names = schema["items"].get("enum")
        return {"names": _set(place, names, sets) if names else ""}
    if schema["type"] == "integer":
        return {"least": schema["minimum"], "most": schema.get("maximum")}
    if schema["type"] == "boolean":
        return {"values": ["true", "false"]}
    if "enum" in schema:
        return {"values": schema["enum"]}
    if found := _EXPANDED.match(pattern):
        return {"names": _set(place, found.group(1).split("|"), sets)}
    if "id eq" in pattern:
        return {"form": "ids"}
    if pattern:
        raise ValueError(f"a form that the checker does not know: {pattern}")
    return {}


def _set(place: str, names: list[str], sets: dict[tuple[str, ...], str]) -> str:
    """Equal sets are kept once, under the place where they come first."""
    return sets.setdefault(tuple(sorted(names)), place)


def _permissions(described: dict[str, Any]) -> list[str]:
    found = described.get("x-permissions", {}).get("application", {}).get("all", [])
    return sorted(found)


def make_properties(folder: Path) -> str:
    """The text of PROPERTIES: what objects of a collection can be asked for in its list and, where it has one, in its delta,
    with types; and the members of structures among them.
    """
    types = json.loads((folder / "properties" / "_types.json").read_text())
    operations = json.loads(make(folder))
    lines, structures = [], dict[str, dict[str, str]]()
    for path, resource in RESOURCES.items():
        listed = _selectable(operations, f"GET {path}")
        changes = _selectable(operations, f"GET {path}/delta") or listed
        known = types[resource]
        names = {name: _short(known[name]) for name in sorted(listed & changes & known.keys())}
        lines.append(f"{_text(path)}: {_text(names)}")
        for name in names:
            inner = _short(known[name]).removesuffix("[]")
            if inner in types:
                structures[inner] = {member: _short(type_) for member, type_ in types[inner].items()}
    inside = [f"{_text(name)}: {_text(members)}" for name, members in sorted(structures.items())]
    return (
        '{"about": "What Microsoft Graph v1.0 can list of an object, with its type; [] marks a collection.",\n"collections": {\n'
        + ",\n".join(lines) + '\n},\n"structures": {\n' + ",\n".join(inside) + "\n}}\n"
    )  # fmt: skip


def _selectable(operations: dict[str, Any], key: str) -> set[str]:
    options = operations["operations"].get(key, {"options": {}})["options"]
    return set(operations["sets"][options["$select"]["names"]]) if "$select" in options else set()


def _short(type_: str) -> str:
    """`Collection(Edm.String)` as `String[]`."""
    if type_.startswith("Collection("):
        return _short(type_[11:-1]) + "[]"
    return type_.removeprefix("Edm.").removeprefix("graph.")


def run(folder: Path) -> int:
    """Writes the files and says which operations came and went."""
    PROPERTIES.write_text(make_properties(folder))
    before = set(json.loads(FILE.read_text())["operations"]) if FILE.exists() else set()
    FILE.write_text(make(folder))
    after = set(json.loads(FILE.read_text())["operations"])
    for sign, keys in (("+", after - before), ("-", before - after)):
        for key in sorted(keys):
            print(f"{sign} {key}")
    print(
        f"{FILE.name}: {len(after)} operations, {FILE.stat().st_size // 1024} KB. _WANTED in make_facts.py chooses them."
    )
    return 0
