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
