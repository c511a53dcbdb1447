"""Who belongs in the copy: domains, excluded groups, thresholds in days, and what is not known."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.clock import iso
from shared.connectors.entra_id import DEVICE_STREAM, USERS
from shared.sync.scope import NEVER, Scope

NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
OLD, NEW = NOW - timedelta(days=400), NOW - timedelta(days=3)


def _scope(**given: Any) -> Scope:
    return Scope(
        **{
            "stream": USERS, "domains": frozenset({"*"}), "excluded": (), "groups": (), "threshold_days": 0, "now": NOW,
            **given,
        }
    )  # fmt: skip


def _person(**properties: Any) -> dict[str, Any]:
    return {"id": "1", "mail": "ann@contoso.example", "userPrincipalName": "ann@contoso.example", **properties}


@pytest.mark.parametrize(
    ("mail", "sign_in_name", "outcome"),
    [
        ("ann@contoso.example", "ann@elsewhere.example", None),
        ("ann@elsewhere.example", "ann@contoso.example", "domain"),
        (None, "ann@contoso.example", "domain"),
        ("ANN@CONTOSO.EXAMPLE", None, None),
        ("ann@sub.contoso.example", "ann@elsewhere.example", "domain"),
        ("contoso.example@elsewhere.example", None, "domain"),
        (None, None, "domain"),
    ],
)
def test_a_domain_is_that_of_an_address_and_case_does_not_count(
    mail: str | None, sign_in_name: str | None, outcome: str | None
) -> None:
    scope = _scope(domains=frozenset({"contoso.example"}))
    assert scope.narrow
    assert scope.left_out(_person(mail=mail, userPrincipalName=sign_in_name), lambda: None) == outcome


def test_everybody_is_in_scope_by_default_also_without_an_address() -> None:
    assert not _scope().narrow
    assert _scope().left_out(_person(mail=None, userPrincipalName=None), lambda: None) is None


def test_an_excluded_group_goes_before_everything_else() -> None:
    scope = _scope(excluded={"1"}, groups=("Service accounts",), domains=frozenset({"elsewhere.example"}))
    assert scope.left_out(_person(), lambda: None) == "excluded-group"


@pytest.mark.parametrize(
    ("created", "changed", "seen", "outcome"),
    [
        (OLD, None, OLD, "threshold"),
        (None, None, OLD, "threshold"),
        (NEW, None, OLD, None),
        (OLD, NEW, OLD, None),
        (OLD, None, NEW, None),
        (OLD, None, None, None),
        (OLD, None, NEVER, "threshold"),
    ],
    ids=["old in all", "no creation", "new", "changed", "active", "activity unknown", "never active"],
)
def test_a_threshold_leaves_out_only_what_is_known_to_be_old_in_every_respect(
    created: datetime | None, changed: datetime | None, seen: datetime | None, outcome: str | None
) -> None:
    scope = _scope(threshold_days=90, last_activity=lambda _id: seen)
    day = int(changed.timestamp() // 86400) if changed else None
    item = _person(createdDateTime=iso(created) if created else None)
    assert scope.left_out(item, lambda: day) == outcome


def test_of_whom_we_first_saw_after_the_last_pass_it_is_not_known_that_they_never_signed_in() -> None:
    scope = _scope(threshold_days=90, last_activity=lambda _id: NEVER, activity_since="2026-11-20")
    item = _person(createdDateTime=iso(OLD))
    assert scope.left_out(item, lambda: None, lambda: True) is None
    assert scope.left_out(item, lambda: None, lambda: False) == "threshold"
    assert scope.unknown_since("2026-11-21T00:00:00Z") and not scope.unknown_since("2026-11-19T00:00:00Z")


def test_a_device_says_itself_when_it_was_last_active_and_knows_no_domains() -> None:
    scope = _scope(stream=DEVICE_STREAM, threshold_days=90, domains=frozenset({"elsewhere.example"}))
    device = {"id": "1", "registrationDateTime": iso(OLD), "approximateLastSignInDateTime": iso(OLD)}
    assert scope.left_out(device, lambda: None) == "threshold"
    assert scope.left_out({**device, "approximateLastSignInDateTime": None}, lambda: None) is None
    assert scope.left_out({**device, "approximateLastSignInDateTime": iso(NEW)}, lambda: None) is None
