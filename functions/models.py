"""Query models that several families share."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from shared.domain.audit import ChainHead
from shared.domain.base import Id, Model
from shared.domain.records import MissingReason


def _iso(value: object) -> object:
    """Numbers are no moments, although they could be taken for seconds since 1970."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d", value):
        raise ValueError("must be a time such as 2026-11-27T08:00:00Z, or a day such as 2026-11-27")
    return value


Moment = Annotated[
    datetime,
    BeforeValidator(_iso),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]}),
]
"""UTC where no offset is given; a day begins at midnight."""


class PageQuery(Model):
    """Paging of every list."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    """How many items a page holds at most."""
    after: Annotated[str, StringConstraints(max_length=500)] | None = None
    """The `next` of the page before, of this list with this order and these filters."""


class ChangesQuery(PageQuery):
    """The journal by time."""

    since: Moment
    """Changes seen by runs that began at this time or later, UTC. A run writes its changes until it ends, so a client
    that polls should pass the start time of the last run that had ended."""
    source: Id | None = None
    """Only of this source."""


class TombstonesQuery(PageQuery):
    """Objects that are gone."""

    since: Moment = datetime(2020, 1, 1, tzinfo=UTC)
    """Removed on this day or later."""
    source: Id | None = None
    """Only of this source."""


class AuditQuery(PageQuery):
    """The audit trail."""

    since: Moment = datetime(2020, 1, 1, tzinfo=UTC)
    """Done on this day or later."""
    source: Annotated[str, StringConstraints(pattern=r"^[0-9a-z]{1,40}$")] | None = None
    """Only of this source; installation: what concerns none."""


class ChainQuestion(Model):
    """Which chain to check, and what is known of it from elsewhere."""

    source: Annotated[str, StringConstraints(pattern=r"^[0-9a-z]{1,40}$")]
    """The source, or installation."""
    heads: Annotated[list[ChainHead], Field(max_length=1000)] = []
    """Ends of the chain at earlier times, as the log shows them."""


class RunNowQuery(Model):
    """What to run."""

    job: str | None = None
    """The job to run, one of the connector's kind. Empty: the first one, which reads the directory."""
    full: bool = False
    """Read everything, even where a delta round would be enough."""


class RunsQuery(PageQuery):
    """Runs of a connector."""

    job: str | None = None
    """Only runs of this job, or delete for deletion runs. Empty: runs of the connector's first job."""


class DeleteConnectorQuery(Model):
    """Options for deleting a connector."""

    records: bool = False
    """Also remove every record that it collected, in a run of its own."""


class Decision(Model):
    """A person's decision about held removals."""

    ids: Annotated[list[Annotated[str, StringConstraints(max_length=200)]], Field(max_length=1000)] = []
    """Record ids to decide about. Empty: all that wait."""


class RecordsQuery(PageQuery):
    """Lists of records."""

    source: Id | None = None
    """Only of this source."""
    order_by: Literal["id", "name"] = "id"
    """id: as stored. name: by display name; then without select, filter and missing."""
    select: (
        Annotated[str, StringConstraints(pattern=r"^[a-z][A-Za-z0-9]*(,[a-z][A-Za-z0-9]*)*$", max_length=2000)] | None
    ) = None
    """Target attributes to show, with commas between them, such as displayName,department,lastLogonAt."""
    filter: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None
    """Such as department eq 'Sales' and (enabled eq false or lastLogonAt lt 2026-06-01). Operators: eq, ne, lt, le, gt, ge, and,
    or, not, startswith(name,'text'); null is an empty value. Upper and lower case are the same. A missing value is unknown:
    no test finds it, nor its contrary."""
    missing: MissingReason | None = None
    """Only records of which a value is missing for this reason."""

    @property
    def chosen(self) -> list[str]:
        """The attributes to show."""
        return self.select.split(",") if self.select else []


class RecordQuery(Model):
    """How a record is shown."""

    view: Literal["full", "flat"] = "full"
    """full: each value with its provenance. flat: names and values, and reasons for what is missing."""


class SearchQuery(Model):
    """Search by prefix."""

    text: Annotated[str, StringConstraints(min_length=2, max_length=200)]
    """The beginning of a display name, sign-in name, mail address or employee id; case and accents do not count."""
    source: Id | None = None
    """Only in this source."""
    limit: Annotated[int, Field(ge=1, le=100)] = 25
    """How many at most."""
