"""The record types that connector kinds share."""

from shared.domain.record_type import LookupRule, RecordType, Relation

PERSON = RecordType(
    name="person",
    plural="people",
    title="Person",
    lookups=(
        LookupRule("name", ("DisplayName",), words=True),
        LookupRule("address", ("SignInName", "Mail")),
        LookupRule("employee", ("EmployeeId",)),
    ),
    relations=(Relation("manager", "managerId", "person", meaning="The manager; null where the directory has none."),),
)

DEVICE = RecordType(
    name="device",
    plural="devices",
    title="Device",
    lookups=(LookupRule("device", ("DisplayName",), words=True),),
    card=(("DisplayName", "DisplayName"), ("Enabled", "Enabled")),
    relations=(Relation("owners", "ownerIds", "person", many=True, meaning="The registered owners."),),
)

TENANT = RecordType(
    name="tenant",
    plural="tenants",
    title="Tenant",
    lookups=(LookupRule("tenant", ("DisplayName",), words=True),),
    card=(("DisplayName", "DisplayName"),),
)

DOMAIN = RecordType(
    name="domain",
    plural="domains",
    title="Domain",
    lookups=(LookupRule("domain", ("DisplayName",)),),
    card=(("DisplayName", "Name"),),
)

LICENCE = RecordType(
    name="licence",
    plural="licences",
    title="Licence",
    lookups=(LookupRule("licence", ("DisplayName",), words=True),),
    card=(("DisplayName", "Product"),),
)

SUBSCRIPTION = RecordType(
    name="subscription",
    plural="subscriptions",
    title="Subscription",
    lookups=(LookupRule("subscription", ("DisplayName",), words=True),),
    card=(("DisplayName", "Product"),),
)

ASSIGNMENT = RecordType(
    name="licence-assignment",
    plural="licence-assignments",
    title="Licence assignment",
    lookups=(),
    card=(("DisplayName", "Product"),),
    relations=(Relation("person", "personId", "person", meaning="Who holds the licence."),),
    part_of="person",
)

ACTIVATION = RecordType(
    name="app-activation",
    plural="app-activations",
    title="App activation",
    lookups=(),
    card=(("DisplayName", "Product"),),
    relations=(Relation("person", "personId", "person", meaning="Who activated it."),),
    part_of="person",
)
