"""Whether a read can do with the changes: each reason for reading everything, and none."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.clock import iso
from shared.connectors.entra_id import SIGN_INS, USERS
from shared.domain.checkpoint import StreamState
from shared.sync.sources import changes_since, listing_of
from shared.sync.state import Facts, why_full

NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
DELTA = Facts({"name": "1"}, {"domains": ["*"]}, "here", "/users/delta")
PAGES = Facts({"name": "1"}, {"domains": ["*"]}, "here", "")
DAY, WEEK = timedelta(days=1), timedelta(days=7)


def _state(facts: Facts = DELTA, **given: Any) -> StreamState:
    at = iso(NOW - timedelta(hours=2))
    known = {
        "completed_at": at, "full_at": at, "delta_at": at, "mapping": facts.marks, "scope": facts.scope,
        "delta_link": "link", "delta_mark": facts.delta_mark,
    }  # fmt: skip
    return StreamState.model_validate(known | given)


def _why(
    state: StreamState, facts: Facts = DELTA, link: str = "link", every: timedelta = DAY, *, asked: bool = False
) -> str:
    return why_full(state, facts, link, NOW, every=every, asked=asked)


def test_a_link_that_fits_will_do() -> None:
    assert _why(_state()) == ""


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"completed_at": None}, "first-read"),
        ({"full_at": None}, "first-read"),
        ({"mapping": {"name": "2"}}, "mapping-changed"),
        ({"scope": {"domains": ["contoso.example"]}}, "scope-changed"),
        ({"delta_mark": "another"}, "source-changed"),
        ({"delta_at": iso(NOW - timedelta(days=6, minutes=1))}, "delta-link-old"),
        ({"delta_at": iso(NOW + timedelta(hours=1))}, "delta-link-old"),
        ({"full_at": iso(NOW - timedelta(hours=24))}, "full-due"),
        ({"full_at": iso(NOW - timedelta(hours=23, minutes=31))}, "full-due"),
        ({"full_at": iso(NOW - timedelta(hours=23, minutes=29))}, ""),
        ({"full_at": iso(NOW + timedelta(hours=1))}, "full-due"),
    ],
)
def test_each_reason_for_reading_everything(given: dict[str, Any], reason: str) -> None:
    assert _why(_state(**given)) == reason


def test_asking_for_everything_goes_before_what_would_do_without() -> None:
    assert _why(_state(), asked=True) == "asked"
    assert _why(_state(mapping={}), asked=True) == "asked"
    assert _why(_state(completed_at=None), asked=True) == "first-read"


def test_without_a_link_everything_is_read() -> None:
    assert _why(_state(), link="") == "no-delta"


def test_what_is_newer_is_asked_for_with_an_overlap_and_not_from_the_future() -> None:
    link = changes_since(SIGN_INS, listing_of(SIGN_INS), NOW)
    assert "ge%202026-11-25T09:00:00Z" in link and "signInActivity" in link
    assert changes_since(USERS, listing_of(USERS), NOW) == ""
    state = _state(PAGES)
    assert _why(state, PAGES, link, WEEK) == ""
    assert _why(_state(PAGES, completed_at=iso(NOW + DAY)), PAGES, link, WEEK) == "full-due"
    assert _why(_state(PAGES, full_at=iso(NOW - timedelta(days=7))), PAGES, link, WEEK) == "full-due"
