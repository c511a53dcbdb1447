"""Reports with a row for each person, or for each thing that a person holds."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations
from typing import Any

import orjson

from shared.connectors.entra_id import SIGN_INS
from shared.connectors.microsoft_365 import ASSIGNMENTS, LICENCES, PEOPLE
from shared.reports.base import Asked, Column, Row, report
from shared.reports.copy import ACTIVE_USERS, LAST_ACTIVITY, WHO, Copy, Holder, day, who

_WHAT = (Column("product", "Product"), Column("partNumber", "Part number"), Column("skuId", "SKU id"))
_HOW = (Column("path", "Direct or through a group"), Column("groupId", "Group"), Column("state", "State"))
_ACTIVITY = (
    Column("lastActivityOn", "Last activity", "day"), Column("lastActivityIn", "In"), Column("reportedOn", "Usage report of", "day"),
)  # fmt: skip
_MONEY = (Column("monthlyCost", "Cost a month", "money"),)
_HELD = (ASSIGNMENTS, LICENCES, PEOPLE)
_MOST_AGE = timedelta(days=14)
"""Older usage reports say nothing of silence any more."""


def _who(holder: Holder) -> Row:
    return who(holder.id, holder.person)


def _what(copy: Copy, assignment: Row) -> Row:
    sku = str(assignment.get("SkuId", ""))
    return {"product": copy.product(assignment), "partNumber": copy.part_number(sku), "skuId": sku}


def _how(assignment: Row) -> Row:
    return {"path": assignment.get("Path"), "groupId": assignment.get("GroupId"), "state": assignment.get("State")}


def _activity(holder: Holder) -> Row:
    last = holder.last_activity
    where = [name for name in LAST_ACTIVITY if holder.usage and holder.usage.get(name) and last == holder.usage[name]]
    services = ", ".join(name.removeprefix("M365").removesuffix("LastActivityAt") for name in where)
    return {
        "lastActivityOn": day(last),
        "lastActivityIn": services or ("sign-in" if last else None),
        "reportedOn": day(holder.reported_on),
    }


def _products(holder: Holder) -> list[Row]:
    """One assignment of each product that works: somebody who got it twice takes one seat."""
    return list({str(one.get("SkuId", "")): one for one in reversed(holder.active)}.values())


def _in_copy(copy: Copy, asked: Asked) -> Iterator[Holder]:
    """Whom the copy has: others (out of scope, or service accounts) are counted in totals and waste nothing."""
    return (holder for holder in copy.holders(asked.after) if holder.person is not None)


def _cost(copy: Copy, assignment: Row) -> Any:
    return copy.prices.get(str(assignment.get("SkuId", "")))


@report("licences-of-people", "Who holds which licence, and how", (*WHO, *_WHAT, *_HOW, Column("error", "Error"), Column("assignedOn", "Last changed", "day"), *_ACTIVITY, *_MONEY), (*_HELD, ACTIVE_USERS, SIGN_INS))  # fmt: skip
def licences_of_people(copy: Copy, asked: Asked) -> Iterator[Row]:
    """Every assignment of a licence: direct or through which group, its state and error, and when the person was last active."""
    for holder in _in_copy(copy, asked):
        for one in holder.assignments:
            yield {
                **_who(holder), **_what(copy, one), **_how(one), "error": one.get("Error"), "assignedOn": day(one.get("UpdatedAt")),
                **_activity(holder), "monthlyCost": _cost(copy, one),
            }  # fmt: skip


@report("disabled-but-licensed", "Disabled accounts that hold licences", (*WHO, *_WHAT, *_HOW, *_ACTIVITY, *_MONEY), (*_HELD, ACTIVE_USERS))  # fmt: skip
def disabled_but_licensed(copy: Copy, asked: Asked) -> Iterator[Row]:
    """Licences of accounts that can't sign in. Mailboxes of shared use may need theirs: Microsoft Graph does not tell those apart."""
    for holder in _in_copy(copy, asked):
        assert holder.person
        if holder.person.get("Enabled") is False:
            for one in _products(holder):
                yield {
                    **_who(holder),
                    **_what(copy, one),
                    **_how(one),
                    **_activity(holder),
                    "monthlyCost": _cost(copy, one),
                }


@report("licensed-but-silent", "Licensed people who were not active for some days", (*WHO, *_WHAT, *_HOW, *_ACTIVITY, Column("silentDays", "Days without activity", "number"), *_MONEY), (*_HELD, ACTIVE_USERS, SIGN_INS))  # fmt: skip
def licensed_but_silent(copy: Copy, asked: Asked) -> Iterator[Row]:
    """Licences of enabled people whose last activity is known and older than `days` before the day that the usage report is of.
    Whoever has no known activity is in never-active.
    """
    for holder in _in_copy(copy, asked):
        silent = silence(copy, holder)
        if silent is None or silent < asked.days or (holder.person or {}).get("Enabled") is False:
            continue
        for one in _products(holder):
            yield {
                **_who(holder), **_what(copy, one), **_how(one), **_activity(holder), "silentDays": silent, "monthlyCost": _cost(copy, one),
            }  # fmt: skip


def silence(copy: Copy, holder: Holder) -> int | None:
    """Days between the last activity and the day that the usage report is of; None: unknown, or never active."""
    last, reported = holder.last_activity, holder.reported_on
    if last is None or reported is None or copy.clock.now() - reported > _MOST_AGE:
        return None
    return max(0, (reported - last).days)


@report("never-active", "Licensed people of whom no activity is known", (*WHO, *_WHAT, *_HOW, Column("verdict", "Never, or unknown"), Column("reportedOn", "Usage report of", "day"), *_MONEY), (*_HELD, ACTIVE_USERS, SIGN_INS))  # fmt: skip
def never_active(copy: Copy, asked: Asked) -> Iterator[Row]:
    """Licences of people without any activity. never: a usage report names them, and shows none. unknown: no usage report names
    them, for want of a report, of their name in it, or because names are concealed.
    """
    for holder in _in_copy(copy, asked):
        if holder.last_activity is None:
            verdict = "never" if holder.reported_on else "unknown"
            for one in _products(holder):
                yield {
                    **_who(holder), **_what(copy, one), **_how(one), "verdict": verdict, "reportedOn": day(holder.reported_on),
                    "monthlyCost": _cost(copy, one),
                }  # fmt: skip


@report("direct-and-inherited", "The same licence directly and through a group", (*WHO, *_WHAT, Column("groups", "Groups"), Column("paths", "Ways", "number")), _HELD)  # fmt: skip
def direct_and_inherited(copy: Copy, asked: Asked) -> Iterator[Row]:
    """People who got one product in several ways. It takes one seat; the direct assignment stays when they leave the group."""
    for holder in _in_copy(copy, asked):
        ways: dict[str, list[Row]] = {}
        for one in holder.active:
            ways.setdefault(str(one.get("SkuId", "")), []).append(one)
        for same in ways.values():
            if len(same) > 1:
                groups = sorted(str(one["GroupId"]) for one in same if one.get("GroupId"))
                yield {**_who(holder), **_what(copy, same[0]), "groups": ", ".join(groups), "paths": len(same)}


@report("overlapping-plans", "Two products that bring the same service", (*WHO, Column("product", "Product"), Column("otherProduct", "Other product"), Column("plans", "Services that both bring"), *_MONEY), _HELD)  # fmt: skip
def overlapping_plans(copy: Copy, asked: Asked) -> Iterator[Row]:
    """People with two products that bring the same service plans, those that are switched off apart."""
    plans = {sku: _plans(row) for sku, row in copy.licences.items()}
    for holder in _in_copy(copy, asked):
        for one, other in combinations(sorted(_products(holder), key=copy.product), 2):
            first, second = (_on(plans, holder, str(each.get("SkuId", ""))) for each in (one, other))
            if shared := sorted(first[plan] for plan in first.keys() & second.keys()):
                prices = [price for each in (one, other) if (price := _cost(copy, each)) is not None]
                yield {
                    **_who(holder), "product": copy.product(one), "otherProduct": copy.product(other), "plans": ", ".join(shared),
                    "monthlyCost": min(prices, default=None),
                }  # fmt: skip


def _plans(licence: Row) -> dict[str, str]:
    found = orjson.loads(licence.get("ServicePlans") or b"[]")
    return {
        str(one["servicePlanId"]).lower(): str(one.get("servicePlanName") or one["servicePlanId"])
        for one in found
        if isinstance(one, dict) and one.get("servicePlanId")
    }


def _on(plans: dict[str, dict[str, str]], holder: Holder, sku: str) -> dict[str, str]:
    """Service plans of a product that somebody has: those that are not off in each of the ways in which they got it."""
    off = [
        {str(plan).lower() for plan in orjson.loads(one.get("DisabledPlans") or b"[]")}
        for one in holder.active
        if one.get("SkuId") == sku
    ]
    none = set.intersection(*off)
    return {plan: name for plan, name in plans.get(sku, {}).items() if plan not in none}


@report("assignments-in-error", "Licences that could not be assigned", (*WHO, *_WHAT, *_HOW, Column("error", "Error"), Column("blockedBy", "Blocked by")), _HELD)  # fmt: skip
def assignments_in_error(copy: Copy, asked: Asked) -> Iterator[Row]:
    """Assignments that Microsoft 365 could not carry out. One product without seats keeps back all that a group assigns: it is
    named.
    """
    for holder in _in_copy(copy, asked):
        for one in holder.assignments:
            if one.get("State") in ("Error", "ActiveWithError") or one.get("Error"):
                blocking = [
                    copy.product(each) for each in holder.assignments if each.get("GroupId") == one.get("GroupId") and each.get("Error") == "CountViolation"
                ]  # fmt: skip
                yield {
                    **_who(holder), **_what(copy, one), **_how(one), "error": one.get("Error"), "blockedBy": ", ".join(sorted(set(blocking))) or None,
                }  # fmt: skip
