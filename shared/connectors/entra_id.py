"""The Entra ID connector: people and devices of one tenant.

Sources of the mapping: the properties of user and device in Microsoft Graph v1.0. What an administrator may look for
and Graph does not have is listed too, with its reason, rather than left out or made up.
"""

from dataclasses import replace
from datetime import timedelta

from pydantic import model_validator

from shared.connectors.base import (
    Alternative,
    Denial,
    DirectoryList,
    Job,
    Joined,
    Kind,
    Pages,
    Permission,
    Proof,
    Special,
    Stream,
)
from shared.connectors.record_types import DEVICE, PERSON
from shared.domain.base import Model
from shared.domain.configuration import ThresholdDays
from shared.domain.pacing import Pacing
from shared.mapping.attribute import Attribute, Type, by


class EntraIdOptions(Model):
    """Options of an entra-id connector."""

    user_threshold_days: ThresholdDays = 0
    """User threshold: leave out people who were neither created, nor signed in, nor changed within this many days. 0:
    keep everybody. A person whose sign-in activity is unknown is kept."""
    device_threshold_days: ThresholdDays = 0
    """Device threshold: the same for devices. 0: keep every device."""
    collect_users: bool = True
    """Read people."""
    collect_devices: bool = True
    """Read devices and their owners."""
    collect_sign_ins: bool = True
    """Read when people last signed in, in runs of its own; needs AuditLog.Read.All and Entra ID P1 or P2. Without them
    the rest is collected and the value says why it is missing."""
    collect_managed_devices: bool = False
    """Read what Intune knows of devices: compliance, serial number, encryption, last contact. Needs Intune and
    DeviceManagementManagedDevices.Read.All; a device that Intune does not manage has none of it."""

    @model_validator(mode="after")
    def _something(self) -> "EntraIdOptions":
        if not (self.collect_users or self.collect_devices):
            raise ValueError("at least one of collectUsers and collectDevices must be on")
        if self.collect_managed_devices and not self.collect_devices:
            raise ValueError("collectManagedDevices adds to devices: collectDevices must be on too")
        return self


def _plain(
    name: str, title: str, source: str | None = None, type_: Type = Type.TEXT, note: str | None = None
) -> Attribute:
    return Attribute(name, title, type_, (source or name,), note=note)


PEOPLE: tuple[Attribute, ...] = (
    _plain("displayName", "Display name"),
    _plain("givenName", "First name"),
    _plain("surname", "Last name"),
    _plain("signInName", "Sign-in name", "userPrincipalName", note="May be renamed; the object id never is."),
    _plain("mail", "E-mail address", note="Empty for people without a mailbox."),
    _plain("mailNickname", "Mail alias"),
    Attribute("otherMails", "Other e-mail addresses", Type.JSON, ("otherMails",), by("ordered")),
    Attribute(
        "proxyAddresses",
        "Proxy addresses",
        Type.JSON,
        ("proxyAddresses",),
        by("ordered"),
        note="SMTP: marks the primary one.",
    ),
    Attribute(
        "phones",
        "Phone numbers with their types",
        Type.JSON,
        ("businessPhones", "mobilePhone", "faxNumber"),
        by("phones"),
    ),
    Attribute("workPhone", "Work phone", Type.TEXT, ("businessPhones",), by("first")),
    _plain("mobilePhone", "Mobile phone"),
    _plain("faxNumber", "Fax"),
    _plain(
        "createdAt",
        "Account created",
        "createdDateTime",
        Type.TIME,
        "Empty for some accounts from before June 2018. A synced account: when it first came to Entra.",
    ),
    Attribute(
        "expiresAt",
        "Account expires",
        Type.TIME,
        missing="not-provided",
        note="Microsoft Graph has no account expiration date; Active Directory's does not reach it.",
    ),
    _plain("streetAddress", "Street"),
    _plain("city", "City"),
    _plain("state", "State or province"),
    _plain("postalCode", "Postal code"),
    _plain("country", "Country"),
    _plain("usageLocation", "Usage location", note="ISO country code for licences; not an address."),
    _plain("jobTitle", "Job title"),
    _plain("department", "Department"),
    _plain("companyName", "Company"),
    Attribute("employeeOrganization", "Division and cost centre", Type.JSON, ("employeeOrgData",), by("anyValue")),
    Attribute(
        "managerId",
        "Manager",
        Type.TEXT,
        ("manager",),
        by("identifier"),
        note="Object id; name and mail are resolved on reading.",
    ),
    _plain("employeeType", "Employee type"),
    _plain("employeeId", "Employee id"),
    Attribute(
        "employeeNumber",
        "Employee number",
        missing="not-provided",
        note="Microsoft Graph has no employee number; directories that sync one put it into an extension "
        "attribute (see extensionAttributes).",
    ),
    _plain("employeeHiredAt", "Hire date", "employeeHireDate", Type.TIME),
    Attribute(
        "applicationLogons",
        "Login timestamps for other applications",
        Type.JSON,
        missing="not-requested",
        note="Comes from the sign-in log; no connector that reads it is switched on.",
    ),
    _plain("officeLocation", "Office"),
    _plain(
        "distinguishedName",
        "Distinguished name",
        "onPremisesDistinguishedName",
        note="Synced accounts only; an account made in the cloud has none.",
    ),
    _plain("passwordPolicies", "Password policies", note="As Microsoft Graph writes them."),
    Attribute(
        "passwordNeverExpires",
        "Password never expires",
        Type.FLAG,
        ("passwordPolicies",),
        by("passwordFlagNeverExpires"),
    ),
    Attribute(
        "weakPasswordAllowed", "Weak passwords allowed", Type.FLAG, ("passwordPolicies",), by("passwordFlagWeakAllowed")
    ),
    _plain("passwordChangedAt", "Password last changed", "lastPasswordChangeDateTime", Type.TIME),
    _plain("enabled", "Account enabled", "accountEnabled", Type.FLAG),
    _plain("userType", "Member or guest"),
    _plain("invitationState", "Invitation state", "externalUserState"),
    _plain("invitationChangedAt", "Invitation state changed", "externalUserStateChangeDateTime", Type.TIME),
    _plain("creationType", "How the account came about"),
    _plain("preferredLanguage", "Preferred language"),
    _plain("sessionsValidFrom", "Sessions valid from", "signInSessionsValidFromDateTime", Type.TIME),
    _plain("onPremisesSynced", "Synced from on premises", "onPremisesSyncEnabled", Type.FLAG),
    _plain("onPremisesSyncedAt", "Last synced", "onPremisesLastSyncDateTime", Type.TIME),
    _plain("onPremisesSamAccountName", "SAM account name"),
    _plain("onPremisesDomainName", "On-premises domain"),
    _plain("onPremisesSecurityId", "On-premises security id", "onPremisesSecurityIdentifier"),
    _plain("onPremisesImmutableId", "Immutable id"),
    _plain("onPremisesSignInName", "On-premises sign-in name", "onPremisesUserPrincipalName"),
    Attribute(
        "extensionAttributes",
        "Extension attributes 1 to 15",
        Type.JSON,
        ("onPremisesExtensionAttributes",),
        by("anyValue"),
    ),
)

_PERSONAL = {
    "identity": "displayName givenName surname signInName mailNickname onPremisesSamAccountName onPremisesSecurityId "
    "onPremisesImmutableId onPremisesSignInName distinguishedName preferredLanguage",
    "contact": "mail otherMails proxyAddresses phones workPhone mobilePhone faxNumber",
    "address": "streetAddress city state postalCode country usageLocation officeLocation",
    "employment": "jobTitle department companyName employeeOrganization managerId employeeType employeeId employeeNumber "
    "employeeHiredAt expiresAt extensionAttributes",
    "authentication": "passwordPolicies passwordNeverExpires weakPasswordAllowed passwordChangedAt sessionsValidFrom "
    "applicationLogons lastLogonAt lastLogonKind lastSuccessfulSignInAt lastSignInAttemptAt lastNonInteractiveSignInAt",
}
"""Classes of personal data by attribute. What is in none names nobody by itself."""


def _classed(attributes: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
    classes = {name: personal for personal, names in _PERSONAL.items() for name in names.split()}
    return tuple(replace(one, personal=classes.get(one.name, "")) for one in attributes)


SIGN_IN_ACTIVITY: tuple[Attribute, ...] = (
    Attribute(
        "lastLogonAt",
        "Last logon",
        Type.TIME,
        ("signInActivity",),
        by("lastLogon"),
        note="The last successful sign-in; Microsoft keeps those since December 2023. Where there is none: the last attempt.",
        remarks=(
            ("LastLogonKind", "attempt", "A sign-in attempt, which may have failed: no successful sign-in is known."),
        ),
    ),
    Attribute(
        "lastLogonKind",
        "Kind of the last logon",
        Type.TEXT,
        ("signInActivity",),
        by("lastLogonKind"),
        note="successful, or attempt: an attempt may have failed.",
    ),
    Attribute(
        "lastSuccessfulSignInAt", "Last successful sign-in", Type.TIME, ("signInActivity",), by("lastSuccessfulSignIn")
    ),
    Attribute(
        "lastSignInAttemptAt",
        "Last interactive sign-in attempt",
        Type.TIME,
        ("signInActivity",),
        by("lastSignInAttempt"),
    ),
    Attribute(
        "lastNonInteractiveSignInAt",
        "Last non-interactive sign-in attempt",
        Type.TIME,
        ("signInActivity",),
        by("lastNonInteractiveSignIn"),
    ),
)

DEVICES: tuple[Attribute, ...] = (
    _plain("displayName", "Device name"),
    _plain("deviceId", "Device id", note="The id that Intune and sign-in logs use; not the object id."),
    _plain("enabled", "Enabled", "accountEnabled", Type.FLAG),
    _plain("operatingSystem", "Operating system"),
    _plain("operatingSystemVersion", "Operating system version"),
    _plain("manufacturer", "Manufacturer"),
    _plain("model", "Model"),
    _plain("trustType", "Join type", note="AzureAd: joined, ServerAd: hybrid joined, Workplace: registered."),
    _plain("profileType", "Profile type"),
    _plain("ownership", "Ownership", "deviceOwnership"),
    _plain("enrollmentType", "Enrolment type"),
    _plain("enrollmentProfile", "Enrolment profile", "enrollmentProfileName"),
    _plain("managementType", "Management channel"),
    _plain("mdmAppId", "Mobile device management application"),
    _plain("compliant", "Compliant", "isCompliant", Type.FLAG),
    _plain("complianceExpiresAt", "Compliance ends", "complianceExpirationDateTime", Type.TIME),
    _plain("managed", "Managed", "isManaged", Type.FLAG),
    _plain("rooted", "Rooted or jail-broken", "isRooted", Type.FLAG),
    _plain("registeredAt", "Registered", "registrationDateTime", Type.TIME),
    _plain(
        "lastSignInAt",
        "Approximate last sign-in",
        "approximateLastSignInDateTime",
        Type.TIME,
        "Microsoft updates it about every two weeks.",
    ),
    _plain("onPremisesSynced", "Synced from on premises", "onPremisesSyncEnabled", Type.FLAG),
    _plain("onPremisesSyncedAt", "Last synced", "onPremisesLastSyncDateTime", Type.TIME),
    _plain("onPremisesSecurityId", "On-premises security id", "onPremisesSecurityIdentifier"),
    Attribute(
        "ownerIds",
        "Registered owners",
        Type.JSON,
        ("registeredOwners",),
        by("identifiers"),
        note="Object ids; names are resolved on reading.",
    ),
)

MANAGED: tuple[Attribute, ...] = (
    _plain("intuneName", "Intune: device name", "deviceName"),
    _plain("intuneCompliance", "Intune: compliance", "complianceState", note="compliant, noncompliant, inGracePeriod, conflict, error, unknown or configManager."),
    _plain("intuneGraceEndsAt", "Intune: end of the grace period", "complianceGracePeriodExpirationDateTime", Type.TIME),
    _plain("intuneEnrolledAt", "Intune: enrolled", "enrolledDateTime", Type.TIME),
    _plain("intuneLastSyncAt", "Intune: last contact", "lastSyncDateTime", Type.TIME),
    _plain("intuneOwnership", "Intune: company or personal", "managedDeviceOwnerType"),
    _plain("intuneManagedBy", "Intune: management agent", "managementAgent"),
    _plain("intuneSystemVersion", "Intune: operating system version", "osVersion"),
    _plain("intuneEncrypted", "Intune: encrypted", "isEncrypted", Type.FLAG),
    _plain("intuneSupervised", "Intune: supervised", "isSupervised", Type.FLAG),
    _plain("intuneJailBroken", "Intune: rooted or jail-broken", "jailBroken", note="As Intune writes it: True, False or Unknown."),
    _plain("intuneSerialNumber", "Intune: serial number", "serialNumber"),
    _plain("intuneImei", "Intune: IMEI", "imei"),
    _plain("intuneWiFiAddress", "Intune: Wi-Fi address", "wiFiMacAddress"),
    _plain("intuneStorageBytes", "Intune: storage", "totalStorageSpaceInBytes", Type.NUMBER),
    _plain("intuneFreeStorageBytes", "Intune: free storage", "freeStorageSpaceInBytes", Type.NUMBER),
    _plain("intunePrimaryUserId", "Intune: primary user", "userId", note="Object id of the person whom Intune counts the device for."),
    _plain("intuneThreat", "Intune: threat state of a partner", "partnerReportedThreatState"),
)  # fmt: skip

USER_SPECIAL = (
    Special("employeeLeaveDateTime", Permission("User-LifeCycleInfo.Read.All", ("User-LifeCycleInfo.ReadWrite.All",))),
    Special("passwordProfile", refused="Microsoft Graph never returns passwords."),
    Special("authorizationInfo", refused="it holds the ids of certificates that sign people in."),
    Special("customSecurityAttributes", refused="a list does not bring it without a permission and a role of its own."),
    Special("deviceEnrollmentLimit", refused="it is Intune's, and asked for one person at a time."),
    Special("deletedDateTime", refused="a list holds nobody who is deleted; the journal says when somebody went."),
    Special("print", refused="it is Universal Print's, and asked for one person at a time."),
)
_ON_PREMISES = "onPremisesExtensionAttributes.extensionAttribute{}"
PEOPLE_ALTERNATIVES = (
    Alternative(
        "expiresAt", "Leave date", ("employeeLeaveDateTime",), (),
        "The last day at work as HR systems write it. Needs the application permission User-LifeCycleInfo.Read.All.",
    ),
    Alternative(
        "expiresAt", "Extension attribute 1 as a date", (_ON_PREMISES.format(1),), by("toUtc"),
        "Where Active Directory's accountExpires is synced into an extension attribute. Choose the number that you use.",
    ),
    Alternative(
        "employeeNumber", "Extension attribute 2", (_ON_PREMISES.format(2),), by("trim"),
        "Where Active Directory's employeeNumber is synced into an extension attribute. Choose the number that you use.",
    ),
)  # fmt: skip

USER_READ = Permission("User.Read.All", ("User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"))

GROUP_READ = Permission(
    "GroupMember.Read.All",
    ("GroupMember.ReadWrite.All", "Group.Read.All", "Group.ReadWrite.All", "Directory.Read.All"),
)

USERS = Stream(
    name="users",
    record_type=PERSON,
    reader=DirectoryList("/users", expand=("manager",), delta_links=("manager",), deleted_items=True),
    attributes=_classed(PEOPLE),
    permissions=(USER_READ,),
    switch="collect_users",
    address="mail",
    left_out_if_empty=("manager",),
    by_group=True,
    threshold="user_threshold_days",
    created="createdDateTime",
    special=USER_SPECIAL,
    alternatives=PEOPLE_ALTERNATIVES,
    activity=("sign-ins",),  # until that has spoken, activity is unknown
)

DEVICE_STREAM = Stream(
    name="devices",
    record_type=DEVICE,
    reader=DirectoryList("/devices", expand=("registeredOwners",), follow="registeredOwners"),
    attributes=DEVICES,
    permissions=(
        Permission("Device.Read.All", ("Device.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")),
    ),
    switch="collect_devices",
    threshold="device_threshold_days",
    created="registrationDateTime",
    last_seen="approximateLastSignInDateTime",
    not_in_delta=("ownerIds",),
    joined_by=("deviceId",),
    special=(Special("deletedDateTime", refused="a list holds no device that is deleted."),),
)

SIGN_INS = Stream(
    name="sign-ins",
    record_type=PERSON,
    leader="users",
    reader=Pages(
        "/users",
        page_size=500,  # Microsoft's limit for pages with signInActivity
        since="signInActivity/lastSignInDateTime ge {moment}",
        licence_tries=3,
    ),
    attributes=_classed(SIGN_IN_ACTIVITY),
    permissions=(Permission("AuditLog.Read.All"), USER_READ),
    switch="collect_sign_ins",
    proof=Proof.WHOLE,
    denial=Denial.MARKS,
    licence="Microsoft Entra ID P1 or P2",
    full_every=timedelta(days=7),
    seen=("lastSuccessfulSignInAt", "lastSignInAttemptAt", "lastNonInteractiveSignInAt"),
    sparse=True,
    left_out_if_empty=("signInActivity",),
    unread_note="Sign-in activity has not been read yet: it has runs of its own.",
    # What is asked for between full passes goes by the last interactive attempt.
    not_in_delta=("lastLogonAt", "lastLogonKind", "lastSuccessfulSignInAt", "lastNonInteractiveSignInAt"),
)

MANAGED_DEVICES = Stream(
    name="managed-devices",
    record_type=DEVICE,
    leader="devices",
    reader=Joined("/deviceManagement/managedDevices", on="azureADDeviceId", of="deviceId", newest="lastSyncDateTime"),
    attributes=MANAGED,
    permissions=(
        Permission("DeviceManagementManagedDevices.Read.All", ("DeviceManagementManagedDevices.ReadWrite.All",)),
    ),
    switch="collect_managed_devices",
    proof=Proof.WHOLE,
    denial=Denial.MARKS,
    licence="Microsoft Intune",
    drops_absent=True,
    sparse=True,
    unread_note="What Intune knows has not been read yet, or the connector does not ask for it.",
)

SIGN_IN_PACING = Pacing("sign-in-activity", 10, 60.0)
"""10 requests a minute for each tenant and app: https://learn.microsoft.com/graph/throttling-limits"""

ENTRA_ID = Kind(
    name="entra-id",
    title="Microsoft Entra ID",
    options=EntraIdOptions,
    jobs=(
        Job("directory", "People and devices", (USERS, DEVICE_STREAM, MANAGED_DEVICES), names_subscriptions=True),
        Job("sign-ins", "When people last signed in", (SIGN_INS,), pacing=SIGN_IN_PACING),
    ),
    group_permission=GROUP_READ,
)
