"""When passwords expire, by which rule.

Microsoft Graph has no such date. It follows from the person's own policy, from the domain of the sign-in name, and from where the
account is mastered. https://learn.microsoft.com/microsoft-365/admin/manage/set-password-expiration-policy
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

from shared.connectors.microsoft_365 import DOMAINS, PEOPLE
from shared.domain.domains import domain_of
from shared.records.merging import time_of
from shared.reports.base import Asked, Column, Row, report
from shared.reports.copy import Copy, day

NEVER_DAYS = 2147483647
_COLUMNS = ("DisplayName", "SignInName", "Enabled", "PasswordNeverExpires", "PasswordChangedAt", "OnPremisesSynced")


class Rule(NamedTuple):
    """What decides. `answer`: never, expires, unknown or not-applicable; `days`: of validity, where it expires."""

    answer: str
    because: str
    days: int | None = None


@report(
    "password-expiry", "When passwords expire, and by which rule",
    (Column("personId", "Person id"), Column("displayName", "Display name"), Column("signInName", "Sign-in name"), Column("enabled", "Enabled", "flag"),
     Column("answer", "Never, expires, unknown or not applicable"), Column("expiresOn", "Expires", "day"), Column("daysLeft", "Days left", "number"),
     Column("because", "Rule"), Column("domain", "Domain"), Column("passwordChangedOn", "Password changed", "day")),
    (PEOPLE, DOMAINS),
)  # fmt: skip
def password_expiry(copy: Copy, asked: Asked) -> Iterator[Row]:
    """One row for each person. A rule that nobody set is unknown, and no date is made up for it."""
    domains = {
        str(row.get("Name") or key).lower(): row for key, row in copy.rows(DOMAINS, [one.column for one in DOMAINS.attributes])
    }  # fmt: skip
    for person_id, person in copy.rows(PEOPLE, _COLUMNS, asked.after):
        domain = domain_of(person.get("SignInName")) or ""
        rule = rule_of(person, domain, domains)
        changed = person.get("PasswordChangedAt")
        expires = time_of(changed) + timedelta(days=rule.days) if changed and rule.days is not None else None
        answer = "unknown" if rule.days is not None and expires is None else rule.answer
        yield {
            "personId": person_id, "displayName": person.get("DisplayName"), "signInName": person.get("SignInName"),
            "enabled": person.get("Enabled"), "answer": answer, "expiresOn": day(expires),
            "daysLeft": (expires - copy.clock.now()).days if expires else None, "because": rule.because, "domain": domain or None,
            "passwordChangedOn": day(changed),
        }  # fmt: skip


def rule_of(person: Row, domain: str, domains: dict[str, Row]) -> Rule:
    """The first rule that decides: the domain's kind, the person's own policy, then the domain's days."""
    row = domains.get(domain)
    if row is None:
        return Rule("unknown", "the domain of the sign-in name is not among the tenant's domains that were read")
    if not row.get("IsVerified"):
        return Rule("not-applicable", "the domain is not verified: nobody signs in there")
    if row.get("Authentication") == "Federated":
        return Rule("not-applicable", "the domain is federated: the identity provider decides")
    root, inherited = row, ""
    if not row.get("IsRoot") and row.get("PasswordValidityDays") is None:
        above = _root(domain, domains)
        if above is None:
            return Rule("unknown", "the domain inherits its rule from a root domain that was not read")
        root, inherited = domains[above], f", inherited from {above}"
        if root.get("Authentication") == "Federated":
            return Rule("not-applicable", f"the domain is federated{inherited}: the identity provider decides")
    return _own(person) or _days(root, inherited)


def _own(person: Row) -> Rule | None:
    """What the account itself decides."""
    if person.get("PasswordNeverExpires"):
        return Rule("never", "the person's own policy")
    if person.get("OnPremisesSynced"):
        return Rule(
            "not-applicable",
            "the account is synced: the on-premises directory decides, unless the tenant applies the cloud's rule",
        )
    return None


def _days(root: Row, inherited: str) -> Rule:
    days = root.get("PasswordValidityDays")
    if days is None:
        return Rule("unknown", f"no rule is set for the domain{inherited}")
    if days >= NEVER_DAYS:
        return Rule("never", f"the domain's rule{inherited}")
    return Rule("expires", f"the domain's rule of {int(days)} days{inherited}", int(days))


def _root(domain: str, domains: dict[str, Row]) -> str | None:
    """The longest verified root domain that the name ends with."""
    found = [
        name for name, row in domains.items() if row.get("IsRoot") and row.get("IsVerified") and domain.endswith(f".{name}")
    ]  # fmt: skip
    return max(found, key=len, default=None)
