"""What each column must hold, written down a second time and by hand: the mapping's own code is not asked."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any


def _phones(user: dict[str, Any]) -> list[dict[str, str]]:
    found = [{"type": "work", "number": number} for number in user["businessPhones"]]
    if user["mobilePhone"]:
        found.append({"type": "mobile", "number": user["mobilePhone"]})
    if user["faxNumber"]:
        found.append({"type": "fax", "number": user["faxNumber"]})
    return found


def _filled(structure: dict[str, Any] | None) -> dict[str, Any]:
    return {k: v for k, v in (structure or {}).items() if v is not None}


PEOPLE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "DisplayName": lambda u: u["displayName"],
    "GivenName": lambda u: u["givenName"],
    "Surname": lambda u: u["surname"],
    "SignInName": lambda u: u["userPrincipalName"],
    "Mail": lambda u: u["mail"],
    "MailNickname": lambda u: u["mailNickname"],
    "OtherMails": lambda u: sorted(u["otherMails"]),
    "ProxyAddresses": lambda u: sorted(u["proxyAddresses"]),
    "Phones": _phones,
    "WorkPhone": lambda u: u["businessPhones"][0] if u["businessPhones"] else None,
    "MobilePhone": lambda u: u["mobilePhone"],
    "FaxNumber": lambda u: u["faxNumber"],
    "CreatedAt": lambda u: u["createdDateTime"],
    "StreetAddress": lambda u: u["streetAddress"],
    "City": lambda u: u["city"],
    "State": lambda u: u["state"],
    "PostalCode": lambda u: u["postalCode"],
    "Country": lambda u: u["country"],
    "UsageLocation": lambda u: u["usageLocation"],
    "JobTitle": lambda u: u["jobTitle"],
    "Department": lambda u: u["department"],
    "CompanyName": lambda u: u["companyName"],
    "EmployeeOrganization": lambda u: _filled(u["employeeOrgData"]),
    "ManagerId": lambda u: u["_manager"],
    "EmployeeType": lambda u: u["employeeType"],
    "EmployeeId": lambda u: u["employeeId"],
    "EmployeeHiredAt": lambda u: u["employeeHireDate"],
    "OfficeLocation": lambda u: u["officeLocation"],
    "DistinguishedName": lambda u: u["onPremisesDistinguishedName"],
    "PasswordPolicies": lambda u: u["passwordPolicies"],
    "PasswordNeverExpires": lambda u: "DisablePasswordExpiration" in (u["passwordPolicies"] or ""),
    "WeakPasswordAllowed": lambda u: "DisableStrongPassword" in (u["passwordPolicies"] or ""),
    "PasswordChangedAt": lambda u: u["lastPasswordChangeDateTime"],
    "Enabled": lambda u: u["accountEnabled"],
    "UserType": lambda u: u["userType"],
    "InvitationState": lambda u: u["externalUserState"],
    "InvitationChangedAt": lambda u: u["externalUserStateChangeDateTime"],
    "CreationType": lambda u: u["creationType"],
    "PreferredLanguage": lambda u: u["preferredLanguage"],
    "SessionsValidFrom": lambda u: u["signInSessionsValidFromDateTime"],
    "OnPremisesSynced": lambda u: u["onPremisesSyncEnabled"],
    "OnPremisesSyncedAt": lambda u: u["onPremisesLastSyncDateTime"],
    "OnPremisesSamAccountName": lambda u: u["onPremisesSamAccountName"],
    "OnPremisesDomainName": lambda u: u["onPremisesDomainName"],
    "OnPremisesSecurityId": lambda u: u["onPremisesSecurityIdentifier"],
    "OnPremisesImmutableId": lambda u: u["onPremisesImmutableId"],
    "OnPremisesSignInName": lambda u: u["onPremisesUserPrincipalName"],
    "ExtensionAttributes": lambda u: _filled(u["onPremisesExtensionAttributes"]),
}
DEVICES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "DisplayName": lambda d: d["displayName"],
    "DeviceId": lambda d: d["deviceId"],
    "Enabled": lambda d: d["accountEnabled"],
    "OperatingSystem": lambda d: d["operatingSystem"],
    "OperatingSystemVersion": lambda d: d["operatingSystemVersion"],
    "Manufacturer": lambda d: d["manufacturer"],
    "Model": lambda d: d["model"],
    "TrustType": lambda d: d["trustType"],
    "ProfileType": lambda d: d["profileType"],
    "Ownership": lambda d: d["deviceOwnership"],
    "EnrollmentType": lambda d: d["enrollmentType"],
    "EnrollmentProfile": lambda d: d["enrollmentProfileName"],
    "ManagementType": lambda d: d["managementType"],
    "MdmAppId": lambda d: d["mdmAppId"],
    "Compliant": lambda d: d["isCompliant"],
    "ComplianceExpiresAt": lambda d: d["complianceExpirationDateTime"],
    "Managed": lambda d: d["isManaged"],
    "Rooted": lambda d: d["isRooted"],
    "RegisteredAt": lambda d: d["registrationDateTime"],
    "LastSignInAt": lambda d: d["approximateLastSignInDateTime"],
    "OnPremisesSynced": lambda d: d["onPremisesSyncEnabled"],
    "OnPremisesSyncedAt": lambda d: d["onPremisesLastSyncDateTime"],
    "OnPremisesSecurityId": lambda d: d["onPremisesSecurityIdentifier"],
    "OwnerIds": lambda d: sorted(d["_owners"]),
}


COLUMNS = {"person": PEOPLE, "device": DEVICES}
"""By record type."""


def comparable(value: Any) -> Any:
    """A stored or expected value in one form: times as text, structures as data, everything empty as None."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, str) and value[:1] in "[{":
        value = json.loads(value)
    return None if value in ("", [], {}) else value


def differences(kind: str, objects: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[str]:
    """Every difference between the tenant and the table, in words; none means the copy is the tenant."""
    columns = COLUMNS[kind]
    stored: dict[str, dict[str, Any]] = {}
    found = []
    for row in rows:
        if f"|{kind}|" not in row["PartitionKey"]:
            continue
        object_id = row["RowKey"].split("|")[0]
        if object_id in stored:
            found.append(f"{object_id} is stored twice")
        stored[object_id] = row
    for item in objects:
        if item["id"] not in stored:
            found.append(f"{item['id']} is missing")
            continue
        row = stored.pop(item["id"])
        for column, expected in columns.items():
            want, have = comparable(expected(item)), comparable(row.get(column))
            if want != have:
                found.append(f"{item['id']} {column}: {have!r} is stored, {want!r} is right")
    return found + [f"{object_id} is stored but not in the tenant" for object_id in stored]
