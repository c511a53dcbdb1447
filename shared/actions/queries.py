"""What is asked live, with the action credential: answered once, written down only as having been asked."""

from typing import Any

from shared.actions.access import kind_of
from shared.actions.catalogue import query
from shared.actions.groups import obstacle
from shared.actions.subject import Subject
from shared.connectors.base import Permission

DIRECTORY = Permission("Directory.Read.All", ("Directory.ReadWrite.All",))
METHODS = Permission("UserAuthenticationMethod.Read.All", ("UserAuthenticationMethod.ReadWrite.All",))
USERS = Permission("User.Read.All", ("User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"))
DEVICES = Permission("Device.Read.All", ("Device.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"))
INTUNE = Permission("DeviceManagementManagedDevices.Read.All", ("DeviceManagementManagedDevices.ReadWrite.All",))
SIGN_INS = Permission("AuditLog.Read.All")
LICENCES = Permission(
    "LicenseAssignment.Read.All",
    ("User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"),
)
_SHOWN_SIGN_INS = 50


@query("authentication-methods", "Authentication methods", "person", METHODS)
async def authentication_methods(on: Subject) -> list[dict[str, Any]]:
    """What the person can sign in with. A pass is never shown."""
    found = await on.look.all(f"/users/{on.id}/authentication/methods", METHODS.name)
    hidden = ("temporaryAccessPass", "password", "@odata.type")
    return [
        {"kind": kind_of(one), **{n: v for n, v in one.items() if n not in hidden and v is not None}} for one in found
    ]


@query("groups", "Group membership", "person", DIRECTORY)
async def groups(on: Subject) -> list[dict[str, Any]]:
    """Direct memberships, and what keeps each from being changed."""
    select = "id,displayName,groupTypes,mailEnabled,securityEnabled,onPremisesSyncEnabled,isAssignableToRole,assignedLicenses"
    found = await on.look.all(
        f"/users/{on.id}/memberOf/microsoft.graph.group?$select={select}&$top=999", DIRECTORY.name
    )
    rows = []
    for group in found:
        stands = obstacle(group)
        rows.append(
            {"id": group.get("id"), "displayName": group.get("displayName"), "licences": len(group.get("assignedLicenses") or []),
             "fixedBecause": stands.reason.message if stands else None}
        )  # fmt: skip
    return rows


@query("roles", "Directory roles", "person", DIRECTORY)
async def roles(on: Subject) -> list[dict[str, Any]]:
    """Roles that are active now; those that the person may activate are not among them."""
    select = "id,displayName,roleTemplateId"
    return await on.look.all(f"/users/{on.id}/memberOf/microsoft.graph.directoryRole?$select={select}", DIRECTORY.name)


@query("licences", "Licence details", "person", LICENCES)
async def licences(on: Subject) -> list[dict[str, Any]]:
    """Products with the state of each of their service plans."""
    return await on.look.all(f"/users/{on.id}/licenseDetails", LICENCES.name)


@query("devices", "Devices", "person", USERS)
async def devices(on: Subject) -> list[dict[str, Any]]:
    """Devices that the person owns or has registered."""
    return await _linked(on, "/users", ("ownedDevices", "registeredDevices"), USERS.name)


async def _linked(on: Subject, path: str, links: tuple[str, ...], permission: str) -> list[dict[str, Any]]:
    """Each object once, with the links that lead to it."""
    found: dict[str, dict[str, Any]] = {}
    for link in links:
        for one in await on.look.all(f"{path}/{on.id}/{link}", permission):
            row = found.setdefault(
                str(one.get("id")), {"id": one.get("id"), "displayName": one.get("displayName"), "links": []}
            )
            row["links"].append(link)
    return list(found.values())


@query("owners", "Owners and users", "device", DEVICES)
async def owners(on: Subject) -> list[dict[str, Any]]:
    """Who owns the device, and who has registered it."""
    return await _linked(on, "/devices", ("registeredOwners", "registeredUsers"), DEVICES.name)


@query("management", "Management by Intune", "device", INTUNE, licence="Microsoft Intune")
async def management(on: Subject) -> list[dict[str, Any]]:
    """Compliance, encryption, last contact and pending actions, as Intune has them now."""
    wanted = (
        "id,deviceName,complianceState,isEncrypted,lastSyncDateTime,enrolledDateTime,managementAgent,serialNumber,userPrincipalName,"
        "deviceActionResults,azureADDeviceId"
    )
    found = await on.look.all(
        f"/deviceManagement/managedDevices?$filter=azureADDeviceId eq '{on.peek('deviceId')}'&$select={wanted}",
        INTUNE.name,
    )
    return [one for one in found if one.pop("azureADDeviceId", None) == on.peek("deviceId")]  # a filter may be ignored


@query("recent-sign-ins", "Recent sign-ins", "person", SIGN_INS, licence="Microsoft Entra ID P1 or P2")
async def recent_sign_ins(on: Subject) -> list[dict[str, Any]]:
    """The last fifty interactive sign-ins, newest first."""
    path = f"/auditLogs/signIns?$filter=userId eq '{on.id}'&$top={_SHOWN_SIGN_INS}"
    page = await on.look.get(path, SIGN_INS.name)
    wanted = (
        "id",
        "createdDateTime",
        "appDisplayName",
        "ipAddress",
        "status",
        "deviceDetail",
        "location",
        "conditionalAccessStatus",
    )
    return [{name: one.get(name) for name in wanted} for one in (page or {}).get("value") or []]
