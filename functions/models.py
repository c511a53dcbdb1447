"""Query models that several families share."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.domain.base import Id, Model


class PageQuery(Model):
    """Paging of every list."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    """How many items a page holds at most."""
    after: Annotated[str, StringConstraints(max_length=500)] | None = None
    """The `next` of the page before."""


class RecordsQuery(PageQuery):
    """Lists of people and devices."""

    source: Id | None = None
    """Only of this source."""
    order_by: Literal["id", "name"] = "id"
    """id: as stored. name: by display name."""


class SearchQuery(Model):
    """Search by prefix."""

    text: Annotated[str, StringConstraints(min_length=2, max_length=200)]
    """The beginning of a display name, sign-in name, mail address or employee id; case and accents do not count."""
    source: Id | None = None
    """Only in this source."""
    limit: Annotated[int, Field(ge=1, le=100)] = 25
    """How many at most."""
