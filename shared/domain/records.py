"""What the records API shows of collected objects: each value with its provenance."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal, get_args

from pydantic import Field, create_model

from shared.domain.base import Model
from shared.domain.record_type import RecordType

MissingReason = Literal["licence", "permission", "concealed", "throttled", "not-requested", "not-provided", "malformed"]
MISSING_REASONS = get_args(MissingReason)
"""Why a value can be missing. None of them says anything about the value itself."""


class Value(Model):
    """One value of a record: present, empty at the source, or missing with a reason."""

    value: Any = None
    """null: empty at the source, unless `missing` is there."""
    missing: str | None = None
    """licence, permission, concealed, throttled, not-requested, not-provided or malformed: the value is unknown, not empty."""
    note: str | None = None
    """What to know about it."""
    attribute: str | None = None
    """The attribute of Microsoft Graph that it comes from."""
    connector_id: str | None = None
    """Who collected it."""
    stream: str | None = None
    """By which listing."""
    as_of: datetime | None = None
    """The latest time at which the value is known to have been current."""


class LastActivity(Model):
    """The newest time of activity that anything knows of an object."""

    at: datetime
    """UTC. A usage report knows the day only."""
    value: str
    """The value of the record that says so, such as lastSuccessfulSignInAt, or m365TeamsLastActivityAt."""
    stream: str
    """The listing that brought it."""
    connector_id: str
    """Who collected it."""


class Related(Model):
    """An object that a record points to, resolved on reading."""

    id: str
    """`{source}~{object id}`."""
    display_name: str | None = None
    mail: str | None = None
    missing: str | None = None
    """not-in-copy: the object is not among the collected records."""


class Card(Model):
    """One line of a list."""

    id: str
    """`{source}~{object id}`."""
    display_name: str | None = None
    sign_in_name: str | None = None
    mail: str | None = None
    employee_id: str | None = None
    enabled: bool | None = None


class RecordRow(Model):
    """One line of a list that shows mapped values."""

    id: str
    """`{source}~{object id}`."""
    values: dict[str, Any]
    """By target attribute; null: empty at the source."""
    missing: dict[str, str] = {}
    """Attributes whose value is unknown, with the reason."""


class Record(Model):
    """The mapped rows of one object, merged."""

    id: str
    """`{source}~{object id}`."""
    source_id: str
    """The source (tenant) that it belongs to."""
    object_id: str
    """Its id in the directory: never changes."""
    changed_at: datetime
    """When a run last saw a value change, or first saw the object."""
    first_seen_at: datetime
    """When it was first collected, UTC."""
    last_activity: LastActivity | None = None
    """When it was last active: the newest of all sign-ins and usage reports. null: nothing is known."""
    values: dict[str, Value]
    """By target attribute."""


def flat(record: Record) -> RecordRow:
    """Names and values, and reasons for what is missing."""
    return RecordRow(
        id=record.id, values={name: one.value for name, one in record.values.items() if not one.missing},
        missing={name: one.missing for name, one in record.values.items() if one.missing},
    )  # fmt: skip


@cache
def record_model(record_type: RecordType) -> type[Record]:
    """The model of one type of record: what all have, and the objects that it is related to."""
    fields: dict[str, Any] = {
        relation.name: (
            (list[Related] if relation.many else Related) | None,
            Field(None, description=relation.meaning),
        )
        for relation in record_type.relations
    }
    return create_model(record_type.schema, __base__=Record, __doc__=f"{record_type.title}, as collected.", **fields)


@dataclass(frozen=True)
class Found:
    """A page of cards, and the cursor of the next one."""

    items: list[Card]
    next: str | None


class FieldChange(Model):
    """One value before and after; null: empty at the source."""

    before: Any = None
    """The value before."""
    after: Any = None
    """The value after."""


class Change(Model):
    """One entry of the journal."""

    id: str | None
    """`{source}~{object id}`; none where the entry is about the configuration."""
    source_id: str
    """The source (tenant) that it belongs to."""
    record_type: str
    """Such as person or device."""
    kind: str
    """hired, changed, returned, removed, left-scope, or configuration (the owner changed scope or mapping)."""
    at: datetime
    """When the run began that saw it."""
    run_id: str
    """The run that saw it."""
    connector_id: str
    """The connector that collects it."""
    stream: str
    """The listing of that connector."""
    name: str | None = None
    """Display name, or what the configuration change was about."""
    reason: str | None = None
    """Why it is gone or left the scope."""
    fields: dict[str, FieldChange] = {}
    """By target attribute."""


class Hold(Model):
    """Removals of one stream that wait for a person."""

    id: str
    """`{connector}~{stream}`."""
    connector_id: str
    """The connector that collects it."""
    source_id: str
    """The source (tenant) that it belongs to."""
    stream: str
    """The listing of that connector."""
    waiting: int
    """Undecided."""
    confirmed: int
    """Confirmed: the next run asks Microsoft Graph for each again, then removes it."""
    rejected: int
    """Rejected: kept because a person decided so."""
    since: datetime
    """Of the oldest."""
    causes: dict[str, int]
    """Undecided ones by cause."""
    explanation: str
    """The same in words."""
    run_ids: list[str]
    """The runs that held them; their receipts say what they could prove."""


class HoldItem(Model):
    """One removal that waits."""

    id: str
    """`{source}~{object id}`."""
    display_name: str | None = None
    """As last stored."""
    sign_in_name: str | None = None
    """As last stored."""
    mail: str | None = None
    """As last stored."""
    cause: str
    """deleted, gone, domain, excluded-group, threshold, not-confirmed or not-asked."""
    explanation: str
    """The cause in words."""
    since: datetime
    """When the run began that held it."""
    run_id: str
    """The run that saw it."""
    decision: str | None = None
    """confirmed or rejected."""
    decided_by: str | None = None
    """Who decided: the name at that time."""
    decided_by_id: str | None = None
    """The same as an object id, which stays when the name changes."""


class Tombstone(Model):
    """What is kept of an object that is gone."""

    id: str
    """`{source}~{object id}`."""
    record_type: str
    """Such as person or device."""
    display_name: str | None = None
    """As last stored."""
    sign_in_name: str | None = None
    """As last stored."""
    mail: str | None = None
    """As last stored."""
    employee_id: str | None = None
    """As last stored."""
    reason: str
    """deleted (restorable in Entra for 30 days) or gone."""
    removed_at: datetime
    """When the run began that proved it."""
    first_seen_at: datetime
    """When it was first collected, UTC."""
    run_id: str
    """Its receipt says what it could prove."""
    connector_id: str
    """The connector that collects it."""
