"""What Microsoft Graph v1.0 has of the parts that we speak to: properties, query options, permissions.

Facts from Microsoft's own metadata of v1.0; a test holds every entry against that description where it is at hand.
"""

from dataclasses import dataclass, field

USER_DEFAULT = (
    "businessPhones displayName givenName id jobTitle mail mobilePhone officeLocation preferredLanguage surname "
    "userPrincipalName"
).split()
USER = frozenset(
    (
        "id deletedDateTime accountEnabled ageGroup assignedLicenses assignedPlans authorizationInfo businessPhones city "
        "companyName consentProvidedForMinor country createdDateTime creationType customSecurityAttributes department "
        "displayName employeeHireDate employeeId employeeLeaveDateTime employeeOrgData employeeType externalUserState "
        "externalUserStateChangeDateTime faxNumber givenName identities imAddresses isManagementRestricted "
        "isResourceAccount jobTitle lastPasswordChangeDateTime legalAgeGroupClassification licenseAssignmentStates mail "
        "mailNickname mobilePhone officeLocation onPremisesDistinguishedName onPremisesDomainName "
        "onPremisesExtensionAttributes onPremisesImmutableId onPremisesLastSyncDateTime onPremisesProvisioningErrors "
        "onPremisesSamAccountName onPremisesSecurityIdentifier onPremisesSyncEnabled onPremisesUserPrincipalName "
        "otherMails passwordPolicies passwordProfile postalCode preferredDataLocation preferredLanguage provisionedPlans "
        "proxyAddresses securityIdentifier serviceProvisioningErrors showInAddressList signInActivity "
        "signInSessionsValidFromDateTime state streetAddress surname usageLocation userPrincipalName userType"
    ).split()
)
# Exists, but a collection answers 501 for it: it lives outside the directory.
USER_SINGLE_ONLY = frozenset(
    "aboutMe birthday hireDate interests mySite pastProjects preferredName responsibilities schools skills mailboxSettings".split()
)
DEVICE = frozenset(
    (
        "id deletedDateTime accountEnabled alternativeSecurityIds approximateLastSignInDateTime "
        "complianceExpirationDateTime deviceCategory deviceId deviceMetadata deviceOwnership deviceVersion displayName "
        "enrollmentProfileName enrollmentType isCompliant isManaged isManagementRestricted isRooted managementType "
        "manufacturer mdmAppId model onPremisesLastSyncDateTime onPremisesSecurityIdentifier onPremisesSyncEnabled "
        "operatingSystem operatingSystemVersion physicalIds profileType registrationDateTime systemLabels trustType"
    ).split()
)
GROUP = frozenset(
    (
        "id deletedDateTime classification createdDateTime description displayName groupTypes isAssignableToRole mail "
        "mailEnabled mailNickname membershipRule onPremisesSyncEnabled securityEnabled securityIdentifier visibility"
    ).split()
)
ORGANIZATION = frozenset(
    "id displayName verifiedDomains onPremisesSyncEnabled onPremisesLastSyncDateTime tenantType countryLetterCode createdDateTime".split()
)
SKU = frozenset(
    "id accountId accountName appliesTo capabilityStatus consumedUnits prepaidUnits servicePlans skuId skuPartNumber subscriptionIds".split()
)
DOMAIN = frozenset(
    "id authenticationType isAdminManaged isDefault isInitial isRoot isVerified supportedServices passwordValidityPeriodInDays passwordNotificationWindowInDays".split()
)

USER_READ = frozenset("User.Read.All User.ReadWrite.All Directory.Read.All Directory.ReadWrite.All".split())
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
COLLECTIONS: dict[str, Collection] = {
    "users": Collection(
        USER, USER_READ, _LIST, tuple(USER_DEFAULT), frozenset({"manager"}), USER_SINGLE_ONLY,
        no_delta=frozenset({"signInActivity"}), delta_links=frozenset({"manager"}),
    ),
    "devices": Collection(DEVICE, DEVICE_READ, _LIST, tuple(sorted(DEVICE)), frozenset({"registeredOwners", "registeredUsers"})),
    "groups": Collection(GROUP, GROUP_READ, _LIST, tuple(sorted(GROUP)), frozenset({"members"}), delta_links=frozenset({"members"})),
    "organization": Collection(ORGANIZATION, ORGANIZATION_READ, frozenset({"$select"}), tuple(sorted(ORGANIZATION))),
    "subscribedSkus": Collection(SKU, SKU_READ, frozenset({"$select"}), tuple(sorted(SKU))),
    "domains": Collection(DOMAIN, DOMAIN_READ, frozenset({"$select", "$top"}), tuple(sorted(DOMAIN))),
}  # fmt: skip
DELTA_OPTIONS = frozenset("$select $filter $deltatoken $skiptoken".split())
