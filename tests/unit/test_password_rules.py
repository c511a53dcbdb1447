"""When passwords expire: the truth table of domains and people."""

from typing import Any

import pytest

from shared.reports.passwords import NEVER_DAYS, rule_of


def _domain(days: int | None, *, root: bool = True, verified: bool = True, kind: str = "Managed") -> dict[str, Any]:
    return {"IsRoot": root, "IsVerified": verified, "Authentication": kind} | (
        {} if days is None else {"PasswordValidityDays": days}
    )


DOMAINS = {
    "never.example": _domain(NEVER_DAYS), "ninety.example": _domain(90), "unset.example": _domain(None),
    "sub.ninety.example": _domain(None, root=False), "own.ninety.example": _domain(30, root=False), "sub.never.example": _domain(None, root=False),
    "sub.unset.example": _domain(None, root=False), "federated.example": _domain(NEVER_DAYS, kind="Federated"),
    "sub.federated.example": _domain(None, root=False), "claimed.example": _domain(None, root=False, verified=False),
    "orphan.elsewhere.example": _domain(None, root=False), "deep.sub.ninety.example": _domain(None, root=False),
}  # fmt: skip


@pytest.mark.parametrize(
    ("domain", "person", "answer", "days"),
    [
        ("never.example", {}, "never", None), ("ninety.example", {}, "expires", 90), ("unset.example", {}, "unknown", None),
        ("ninety.example", {"PasswordNeverExpires": True}, "never", None), ("unset.example", {"PasswordNeverExpires": True}, "never", None),
        ("sub.ninety.example", {}, "expires", 90), ("deep.sub.ninety.example", {}, "expires", 90), ("own.ninety.example", {}, "expires", 30),
        ("sub.never.example", {}, "never", None), ("sub.unset.example", {}, "unknown", None),
        ("federated.example", {}, "not-applicable", None), ("federated.example", {"PasswordNeverExpires": True}, "not-applicable", None),
        ("sub.federated.example", {}, "not-applicable", None), ("claimed.example", {}, "not-applicable", None),
        ("orphan.elsewhere.example", {}, "unknown", None), ("nowhere.example", {}, "unknown", None), ("", {}, "unknown", None),
        ("ninety.example", {"OnPremisesSynced": True}, "not-applicable", None),
        ("ninety.example", {"OnPremisesSynced": True, "PasswordNeverExpires": True}, "never", None),
    ],
)  # fmt: skip
def test_the_rule_that_decides(domain: str, person: dict[str, Any], answer: str, days: int | None) -> None:
    rule = rule_of(person, domain, DOMAINS)
    assert (rule.answer, rule.days) == (answer, days) and rule.because


def test_what_is_inherited_says_from_where() -> None:
    assert "inherited from ninety.example" in rule_of({}, "deep.sub.ninety.example", DOMAINS).because
