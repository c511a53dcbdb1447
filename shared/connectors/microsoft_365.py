"""The Microsoft 365 connector: people, what the tenant has bought, who got it how, and who uses it.

Sources: organization, domain, subscribedSku, companySubscription and licenseAssignmentState in Microsoft Graph v1.0, and its
usage reports.
"""

import re
from collections.abc import Container, Iterable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from shared.connectors.base import Denial, Job, Kind, Pages, PartsOf, Permission, Proof, Report, Stream
from shared.connectors.entra_id import GROUP_READ, SIGN_IN_PACING, SIGN_INS, USERS
from shared.connectors.record_types import ACTIVATION, ASSIGNMENT, DOMAIN, LICENCE, PERSON, SUBSCRIPTION, TENANT
from shared.domain.base import Guid, Model, Name
from shared.domain.configuration import Domain, ThresholdDays
from shared.domain.pacing import Pacing
from shared.mapping.attribute import Attribute, Type, by
from shared.mapping.transforms.products import names

_DIRECT = "direct"


class Price(Model):
    """What a seat of a product costs."""

    sku_id: Guid
    """The product's SKU id, as /licences shows it."""
    monthly: Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)]
    """A month, in the currency that you count in: all prices of a tenant are in the same."""


class ProductName(Model):
    """What you call a product."""

    sku_id: Guid
    """The product's SKU id, as /licences shows it."""
    name: Name
    """Its name. It goes before Microsoft's."""


class Microsoft365Options(Model):
    """Options of a microsoft-365 connector."""

    domains: Annotated[list[Domain], Field(max_length=500)] = []
    """Only people whose primary mail address is in one of these domains, one name a row; accounts without mail are left out
    then. * includes everybody, whatever else is there. Empty: the source's domains. Subscriptions and licences are those of
    the whole tenant in any case."""
    collect_users: bool = True
    """Read people."""
    date_filter_days: ThresholdDays = 0
    """Date filter: leave out people who were neither active in Microsoft 365 by its usage reports, nor changed or created within
    this many days; a sign-in counts as well where those are read. 0: keep everybody. A person whose activity is unknown is kept."""
    collect_licences: bool = True
    """Read the tenant, its domains, what it has bought, and who got which licence how."""
    collect_usage: bool = True
    """Read the usage reports: who used which service, when last, and how much. While the tenant conceals names in its reports
    nobody's record is touched by them; rows are counted by product."""
    report_period: Literal["D7", "D30", "D90", "D180"] = "D30"
    """Over how many days the usage reports look."""
    prices: Annotated[list[Price], Field(max_length=500)] = []
    """What seats cost a month, for reports of cost and waste. Products without a price are counted apart."""

    collect_sign_ins: bool = False
    """Read when people last signed in too, for last logon and the date filter; needs AuditLog.Read.All and Entra ID P1 or P2. An
    entra-id connector of the tenant reads the same."""
    product_names: Annotated[list[ProductName], Field(max_length=500)] = []
    """Names of products that the table of Microsoft's names does not have, or that you call otherwise."""

    @field_validator("prices", "product_names")
    @classmethod
    def _once[Row: (Price, ProductName)](cls, rows: list[Row]) -> list[Row]:
        seen: dict[str, int] = {}
        for number, row in enumerate(rows):
            first = seen.setdefault(row.sku_id, number)
            if first != number:
                raise ValueError(f"{row.sku_id} is there twice, in the rows {first} and {number}")
        return rows


def _of(name: str, title: str, source: str, type_: Type = Type.TEXT, note: str | None = None) -> Attribute:
    return Attribute(name, title, type_, (source,), note=note)


_TENANT = (
    _of("displayName", "Name", "displayName"),
    _of("tenantType", "Type", "tenantType"),
    _of("country", "Country", "countryLetterCode"),
    _of("city", "City", "city"),
    _of("usageLocation", "Default usage location", "defaultUsageLocation"),
    _of("verifiedDomains", "Verified domains", "verifiedDomains", Type.JSON),
    Attribute(
        "technicalContacts",
        "Technical contacts",
        Type.JSON,
        ("technicalNotificationMails",),
        by("ordered"),
        personal="contact",
    ),
    _of("syncedFromOnPremises", "Synced from on-premises", "onPremisesSyncEnabled", Type.FLAG),
    _of("lastSyncedAt", "Last sync from on-premises", "onPremisesLastSyncDateTime", Type.TIME),
    _of("createdAt", "Created", "createdDateTime", Type.TIME),
)
_DOMAIN = (
    _of("name", "Name", "id"),
    _of("authentication", "Managed or federated", "authenticationType"),
    _of("isDefault", "Default domain", "isDefault", Type.FLAG),
    _of("isInitial", "Initial domain", "isInitial", Type.FLAG),
    _of("isRoot", "Root domain", "isRoot", Type.FLAG, "A verified domain that is no root inherits its root's password rule."),
    _of("isVerified", "Verified", "isVerified", Type.FLAG),
    Attribute("services", "Services", Type.JSON, ("supportedServices",), by("ordered")),
    _of(
        "passwordValidityDays", "Days that a password is valid", "passwordValidityPeriodInDays", Type.NUMBER,
        "2147483647: passwords never expire. Empty at a root domain: not set, which is not known to mean anything.",
    ),
    _of("passwordNoticeDays", "Days of notice before", "passwordNotificationWindowInDays", Type.NUMBER),
)  # fmt: skip
_PRODUCT = Attribute(
    "product", "Product", Type.TEXT, ("skuId", "skuPartNumber"), by("productName"),
    note="By its SKU id, from a table of Microsoft's names; where that has none, the part number.",
)  # fmt: skip
_LICENCE = (
    _PRODUCT,
    _of("partNumber", "Part number", "skuPartNumber"),
    _of("skuId", "SKU id", "skuId"),
    _of("status", "Status", "capabilityStatus", note="Enabled, Warning (in grace), Suspended, Deleted or LockedOut."),
    _of("appliesTo", "Assigned to people or to the company", "appliesTo"),
    Attribute(
        "bought", "Seats bought", Type.NUMBER, ("prepaidUnits.enabled", "prepaidUnits.warning", "prepaidUnits.suspended"), by("sumOf"),
        note="Those in grace and suspended ones included, locked ones not.",
    ),
    Attribute(
        "usable", "Seats that can be used", Type.NUMBER, ("prepaidUnits.enabled", "prepaidUnits.warning"), by("sumOf"),
        note="Enabled ones and those in grace, which keep working and can't be newly assigned.",
    ),
    _of("warning", "Seats in grace", "prepaidUnits.warning", Type.NUMBER),
    _of("suspended", "Suspended seats", "prepaidUnits.suspended", Type.NUMBER),
    _of("lockedOut", "Locked seats", "prepaidUnits.lockedOut", Type.NUMBER, "Only Microsoft's support can remove them."),
    _of("consumed", "Seats taken", "consumedUnits", Type.NUMBER),
    Attribute(
        "available", "Seats left", Type.NUMBER, ("prepaidUnits.enabled", "prepaidUnits.warning", "consumedUnits"), by("seatsLeft"),
        note="Below zero where more are taken than can be used.",
    ),
    _of("servicePlans", "Service plans", "servicePlans", Type.JSON),
    Attribute("subscriptionIds", "Subscriptions", Type.JSON, ("subscriptionIds",), by("ordered")),
)  # fmt: skip
_SUBSCRIPTION = (
    _PRODUCT,
    _of("partNumber", "Part number", "skuPartNumber"),
    _of("skuId", "SKU id", "skuId"),
    _of("status", "Status", "status", note="Enabled, Warning, Suspended, Deleted or LockedOut."),
    _of("isTrial", "Trial", "isTrial", Type.FLAG, "Seats of trials are never added to paid ones."),
    _of("seats", "Seats", "totalLicenses", Type.NUMBER),
    _of("createdAt", "Created", "createdDateTime", Type.TIME),
    _of("nextLifecycleAt", "Ends or renews", "nextLifecycleDateTime", Type.TIME, "When it moves to the next status, unless renewed."),
    _of("commerceSubscriptionId", "Id in billing", "commerceSubscriptionId"),
    _of("partnerTenantId", "Tenant of the partner", "ownerTenantId"),
    _of("ownerType", "Kind of owner", "ownerType"),
)  # fmt: skip
_ASSIGNMENT = (
    _of("personId", "Person", "personId", note="Object id; name and mail are resolved on reading."),
    Attribute("product", "Product", Type.TEXT, ("skuId",), by("productName"), note="By its SKU id, where the table of names has it."),
    _of("skuId", "SKU id", "skuId"),
    _of("path", "Direct or through a group", "path"),
    _of("groupId", "Group", "assignedByGroup", note="Object id of the group that brings it."),
    _of("state", "State", "state", note="Active, ActiveWithError, Disabled, Error, or a word that Microsoft added since."),
    _of("error", "Error", "error", note="Why it could not be assigned; none: null."),
    Attribute("disabledPlans", "Service plans that are off", Type.JSON, ("disabledPlans",), by("ordered")),
    _of("updatedAt", "Last changed", "lastUpdatedDateTime", Type.TIME, "As Microsoft dates the assignment."),
)  # fmt: skip


def _named(stream: Stream, options: Any) -> Stream:
    """With the owner's names of products."""
    own = {row.sku_id: row.name for row in options.product_names}
    if not own:
        return stream
    steps = by("productName", names=own)
    attributes = tuple(
        replace(one, steps=steps) if one.steps == by("productName") else one for one in stream.attributes
    )
    return replace(stream, attributes=attributes, unnamed=stream.unnamed and partial(_unnamed, own))


def _unnamed(own: Container[str], item: dict[str, Any]) -> bool:
    sku = str(item.get("skuId") or "").lower()
    return sku not in own and sku not in names()


def licence_parts(person: dict[str, Any]) -> list[dict[str, Any]] | None:
    """One row for each way in which somebody got a product. Entries of another kind than Microsoft describes are left out.
    None: the object does not say.
    """
    states = person.get("licenseAssignmentStates")
    if not isinstance(states, list):
        return None
    rows: dict[str, dict[str, Any]] = {}
    for state in states:
        sku = state.get("skuId") if isinstance(state, dict) else None
        if not isinstance(sku, str) or not sku:
            continue
        group = state.get("assignedByGroup")
        by_group = isinstance(group, str) and bool(group)
        key = f"{person['id']}.{sku.lower()}.{group.lower() if by_group else _DIRECT}"
        error = state.get("error")
        made = {
            **state, "id": key, "personId": person["id"], "skuId": sku.lower(), "assignedByGroup": group if by_group else None,
            "path": "group" if by_group else _DIRECT, "error": None if error in ("None", "") else error,
        }  # fmt: skip
        rows.setdefault(key, made)
    return list(rows.values())


_ORGANIZATION_READ = Permission(
    "Organization.Read.All", ("Organization.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
)
_HOURLY, _TWICE_A_DAY = timedelta(minutes=55), timedelta(hours=11)

PEOPLE = replace(USERS, activity=("active-users", "sign-ins"), threshold="date_filter_days", domains="domains")

TENANTS = Stream(
    name="tenants", record_type=TENANT, reader=Pages("/organization"), attributes=_TENANT, permissions=(_ORGANIZATION_READ,),
    switch="collect_licences", proof=Proof.WHOLE,
)  # fmt: skip
DOMAINS = Stream(
    name="domains", record_type=DOMAIN, reader=Pages("/domains"), attributes=_DOMAIN,
    permissions=(Permission("Domain.Read.All", ("Domain.ReadWrite.All", "Directory.Read.All")),),
    switch="collect_licences", proof=Proof.WHOLE,
)  # fmt: skip
LICENCES = Stream(
    name="licences", record_type=LICENCE, reader=Pages("/subscribedSkus"), attributes=_LICENCE,
    permissions=(
        Permission(
            "LicenseAssignment.Read.All",
            ("Organization.Read.All", "Organization.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"),
        ),
    ),
    switch="collect_licences", proof=Proof.WHOLE, tuned=_named, unnamed=partial(_unnamed, ()),
)  # fmt: skip
SUBSCRIPTIONS = Stream(
    name="subscriptions", record_type=SUBSCRIPTION, reader=Pages("/directory/subscriptions"), attributes=_SUBSCRIPTION,
    permissions=(Permission("Organization.Read.All", ("Organization.ReadWrite.All", "Directory.Read.All")),),
    switch="collect_licences", proof=Proof.WHOLE, tuned=_named,
)  # fmt: skip
ASSIGNMENTS = Stream(
    name="assignments", record_type=ASSIGNMENT,
    reader=PartsOf("/users", ("licenseAssignmentStates",), licence_parts),
    attributes=_ASSIGNMENT, permissions=USERS.permissions, switch="collect_licences", proof=Proof.WHOLE, limited=False, tuned=_named,
)  # fmt: skip

_LAST = ("exchange", "oneDrive", "sharePoint", "skypeForBusiness", "yammer", "teams")


def _usage(
    name: str, address: str, prefix: str, what: str, columns: Iterable[tuple[str, str, Type]], *, person: str = "userPrincipalName",
    period: str = "report_period", seen: tuple[str, ...] = (),
) -> Stream:  # fmt: skip
    """A usage report. `columns`: the property of a column, the attribute that it goes to, and its type; `what`: how titles begin."""
    steps = {Type.NUMBER: by("number"), Type.FLAG: by("flag")}
    attributes = [
        Attribute(
            attribute, f"{what}: {words_of(attribute.removeprefix(prefix))}", type_, (column,), steps.get(type_, ()),
            personal="activity",
        )
        for column, attribute, type_ in columns
    ]  # fmt: skip
    attributes += [
        Attribute(f"{prefix}ReportedOn", f"{what}: as of", Type.TIME, ("reportRefreshDate",), note="The day that the report is of."),
        Attribute(
            f"{prefix}Other", f"{what}: other columns", Type.JSON, ("other",), personal="activity",
            note="Columns that Microsoft added since, by their names in the report.",
        ),
    ]  # fmt: skip
    return Stream(
        name=name, record_type=PERSON, leader="users", reader=Report(f"/reports/{address}", person, period), attributes=tuple(attributes),
        permissions=(Permission("Reports.Read.All"),), switch="collect_usage", proof=Proof.WHOLE, denial=Denial.MARKS, seen=seen,
        knows_all=False, sparse=True, unread_note="This usage report has not been read yet, or it does not name this person.",
    )  # fmt: skip


def words_of(name: str) -> str:
    """`LastActivityAt` as `last activity at`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower().strip()


def _plain(prefix: str, type_: Type, *columns: str) -> list[tuple[str, str, Type]]:
    """Columns whose attributes have their names, behind a prefix; dates end with `At`."""
    return [
        (one, f"{prefix}{one[:1].upper()}{one[1:]}".replace("ActivityDate", "ActivityAt").replace("ActivationDate", "ActivationAt"), type_)
        for one in columns
    ]  # fmt: skip


APPS = ("outlook", "word", "excel", "powerPoint", "oneNote", "teams")
PLATFORMS = ("Windows", "Mac", "Mobile", "Web")
REPORTS = (
    _usage(
        "active-users", "getOffice365ActiveUserDetail", "m365", "Microsoft 365",
        [
            *((f"{one}LastActivityDate", f"m365{one[:1].upper()}{one[1:]}LastActivityAt", Type.TIME) for one in _LAST),
            *((f"has{one[:1].upper()}{one[1:]}License", f"m365{one[:1].upper()}{one[1:]}Licensed", Type.FLAG) for one in _LAST),
            ("assignedProducts", "m365AssignedProducts", Type.TEXT),
        ],
        seen=tuple(f"m365{one[:1].upper()}{one[1:]}LastActivityAt" for one in _LAST),
    ),
    _usage(
        "apps", "getM365AppUserDetail", "apps", "Apps",
        [
            ("lastActivationDate", "appsLastActivationAt", Type.TIME), ("lastActivityDate", "appsLastActivityAt", Type.TIME),
            *_plain("apps", Type.FLAG, "windows", "mac", "mobile", "web", *APPS),
            *_plain("apps", Type.FLAG, *(f"{app}{platform}" for app in APPS for platform in PLATFORMS)),
        ],
    ),
    _usage(
        "email-activity", "getEmailActivityUserDetail", "email", "E-mail",
        [
            ("lastActivityDate", "emailLastActivityAt", Type.TIME),
            *_plain("email", Type.NUMBER, "sendCount", "receiveCount", "readCount", "meetingCreatedCount", "meetingInteractedCount"),
        ],
    ),
    _usage(
        "email-apps", "getEmailAppUsageUserDetail", "emailApps", "E-mail apps",
        [
            ("lastActivityDate", "emailAppsLastActivityAt", Type.TIME),
            *_plain(
                "emailApps", Type.TEXT, "mailForMac", "outlookForMac", "outlookForWindows", "outlookForMobile", "otherForMobile",
                "outlookForWeb", "pOP3App", "iMAP4App", "sMTPApp",
            ),
        ],
    ),
    _usage(
        "teams-activity", "getTeamsUserActivityUserDetail", "teams", "Teams",
        [
            ("lastActivityDate", "teamsLastActivityAt", Type.TIME),
            *_plain("teams", Type.NUMBER, "teamChatMessageCount", "privateChatMessageCount", "callCount", "meetingCount"),
            *_plain("teams", Type.FLAG, "hasOtherAction"),
        ],
    ),
    _usage(
        "onedrive-activity", "getOneDriveActivityUserDetail", "oneDrive", "OneDrive",
        [
            ("lastActivityDate", "oneDriveLastActivityAt", Type.TIME),
            *_plain(
                "oneDrive", Type.NUMBER, "viewedOrEditedFileCount", "syncedFileCount", "sharedInternallyFileCount",
                "sharedExternallyFileCount",
            ),
        ],
    ),
    _usage(
        "sharepoint-activity", "getSharePointActivityUserDetail", "sharePoint", "SharePoint",
        [
            ("lastActivityDate", "sharePointLastActivityAt", Type.TIME),
            *_plain(
                "sharePoint", Type.NUMBER, "viewedOrEditedFileCount", "syncedFileCount", "sharedInternallyFileCount",
                "sharedExternallyFileCount", "visitedPageCount",
            ),
        ],
    ),
    _usage(
        "mailboxes", "getMailboxUsageDetail", "mailbox", "Mailbox",
        [
            ("lastActivityDate", "mailboxLastActivityAt", Type.TIME), ("createdDate", "mailboxCreatedAt", Type.TIME),
            ("storageUsedByte", "mailboxStorageUsedBytes", Type.NUMBER), ("itemCount", "mailboxItemCount", Type.NUMBER),
            ("prohibitSendReceiveQuotaByte", "mailboxQuotaBytes", Type.NUMBER),
            *_plain("mailbox", Type.NUMBER, "deletedItemCount"), *_plain("mailbox", Type.FLAG, "hasArchive"),
        ],
    ),
)  # fmt: skip


def activation_part(row: dict[str, Any]) -> str:
    """Tells the activations of one person apart: by product, as the report names it."""
    return "-".join(re.findall(r"[a-z0-9]+", str(row.get("productType") or "").lower()))[:80] or "unnamed"


_ACTIVATION = (
    _of("personId", "Person", "personId", note="Object id; name and mail are resolved on reading."),
    _of("product", "Product", "productType", note="As the report names it; not a SKU id."),
    _of("lastActivatedAt", "Last activated", "lastActivatedDate", Type.TIME),
    *(
        Attribute(name, title, Type.NUMBER, (source,), by("number"), personal="activity")
        for name, title, source in (
            ("windows", "On Windows", "windows"), ("mac", "On Mac", "mac"), ("windows10Mobile", "On Windows 10 Mobile", "windows10Mobile"),
            ("ios", "On iOS", "iOS"), ("android", "On Android", "android"),
        )
    ),
    Attribute("sharedComputer", "On a shared computer", Type.FLAG, ("activatedOnSharedComputer",), by("flag"), personal="activity"),
    _of("reportedOn", "As of", "reportRefreshDate", Type.TIME, "The day that the report is of."),
    _of("other", "Other columns", "other", Type.JSON, "Columns that Microsoft added since, by their names in the report."),
)  # fmt: skip
ACTIVATIONS = Stream(
    name="activations", record_type=ACTIVATION, reader=Report("/reports/getOffice365ActivationsUserDetail", part=activation_part),
    attributes=_ACTIVATION, permissions=(Permission("Reports.Read.All"),), switch="collect_usage", proof=Proof.WHOLE,
    denial=Denial.MARKS, unread_note="The report of activations has not been read yet.",
)  # fmt: skip

MICROSOFT_365 = Kind(
    name="microsoft-365",
    title="Microsoft 365",
    options=Microsoft365Options,
    jobs=(
        Job("directory", "People", (PEOPLE,)),
        Job(
            "licences", "What the tenant has bought, and who got it",
            (TENANTS, DOMAINS, LICENCES, SUBSCRIPTIONS, ASSIGNMENTS), least_every=_HOURLY,
        ),
        # 14 requests in ten minutes for each tenant and app: https://learn.microsoft.com/graph/throttling-limits
        Job("usage", "Who uses what", (*REPORTS, ACTIVATIONS), pacing=Pacing("usage-reports", 14, 600.0), least_every=_TWICE_A_DAY),
        Job("sign-ins", "When people last signed in", (SIGN_INS,), pacing=SIGN_IN_PACING),
    ),
    group_permission=GROUP_READ,
)  # fmt: skip
