"""What the simulated Graph answers for each collection. Properties are Microsoft's own (facts.json); a test holds options and
permissions against them.
"""

from dataclasses import dataclass, field
from typing import Any

from local.cloud.graph.facts import facts

USER_DEFAULT = (
    "businessPhones displayName givenName id jobTitle mail mobilePhone officeLocation preferredLanguage surname "
    "userPrincipalName"
).split()
USER_READ = frozenset("User.Read.All User.ReadWrite.All Directory.Read.All Directory.ReadWrite.All".split())
LEAVE_DATE_READ = frozenset({"User-LifeCycleInfo.Read.All", "User-LifeCycleInfo.ReadWrite.All"})
DEVICE_READ = frozenset("Device.Read.All Device.ReadWrite.All Directory.Read.All Directory.ReadWrite.All".split())
GROUP_READ = frozenset(
    "GroupMember.Read.All Group.Read.All Group.ReadWrite.All Directory.Read.All Directory.ReadWrite.All".split()
)
MEMBER_READ = frozenset(
    "GroupMember.Read.All GroupMember.ReadWrite.All Group.Read.All Group.ReadWrite.All Directory.Read.All".split()
)
ORGANIZATION_READ = frozenset(
    "Organization.Read.All Organization.ReadWrite.All Directory.Read.All Directory.ReadWrite.All User.Read.All".split()
)
SKU_READ = frozenset(
    "Organization.Read.All Organization.ReadWrite.All Directory.Read.All Directory.ReadWrite.All LicenseAssignment.Read.All".split()
)
COMMERCE_READ = frozenset("Organization.Read.All Organization.ReadWrite.All Directory.Read.All".split())
REPORTS_READ = frozenset({"Reports.Read.All"})
REPORT_SETTINGS_READ = frozenset({"ReportSettings.Read.All", "ReportSettings.ReadWrite.All"})
DOMAIN_READ = frozenset("Domain.Read.All Domain.ReadWrite.All Directory.Read.All".split())


@dataclass(frozen=True)
class Collection:
    """One collection: what it holds, which options its list takes, who may read it."""

    properties: frozenset[str]
    permissions: frozenset[str]
    options: frozenset[str] = frozenset(("$select",))
    default: tuple[str, ...] = ()
    expand: frozenset[str] = frozenset()
    single_only: frozenset[str] = frozenset()
    no_delta: frozenset[str] = frozenset()
    delta_links: frozenset[str] = field(default_factory=frozenset)


_LIST = frozenset("$select $filter $expand $count $orderby $search $top $skiptoken".split())


def _collection(
    path: str, permissions: frozenset[str], options: frozenset[str], default: list[str] | None = None, **more: Any
) -> Collection:
    """A collection with Microsoft's properties. What only a single object has lives outside the directory: a list answers 501
    for it.
    """
    properties = facts().selectable(f"/{path}")
    more["single_only"] = facts().selectable(f"/{path}/1") - properties
    if facts().operation("GET", f"/{path}/delta"):
        more["no_delta"] = properties - facts().selectable(f"/{path}/delta")
    return Collection(properties, permissions, options, tuple(default or sorted(properties)), **more)


COLLECTIONS: dict[str, Collection] = {
    "users": _collection(
        "users", USER_READ, _LIST, USER_DEFAULT, expand=frozenset({"manager"}), delta_links=frozenset({"manager"}),
    ),
    "devices": _collection("devices", DEVICE_READ, _LIST, expand=frozenset({"registeredOwners", "registeredUsers"})),
    "groups": _collection(
        "groups", GROUP_READ, _LIST, expand=frozenset({"members"}), delta_links=frozenset({"members"})
    ),
    "organization": _collection("organization", ORGANIZATION_READ, frozenset({"$select"})),
    "subscribedSkus": _collection("subscribedSkus", SKU_READ, frozenset({"$select"})),
    "domains": _collection("domains", DOMAIN_READ, frozenset({"$select", "$top"})),
    "directory/subscriptions": _collection("directory/subscriptions", COMMERCE_READ, frozenset({"$select"})),
}  # fmt: skip
DELTA_OPTIONS = frozenset("$select $filter $deltatoken $skiptoken".split())
