"""Reports about what the tenant has bought, and what it costs."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

from shared.connectors.microsoft_365 import ASSIGNMENTS, LICENCES, PEOPLE, SUBSCRIPTIONS
from shared.records.merging import time_of
from shared.reports.base import Asked, Column, Row, report
from shared.reports.copy import ACTIVE_USERS, Copy, day
from shared.reports.people import silence

_SKU = (Column("product", "Product"), Column("partNumber", "Part number"), Column("skuId", "SKU id"))


def _paid(copy: Copy) -> dict[str, tuple[int, int, int]]:
    """Subscriptions of each product, their paid seats, and their trial seats: never added up."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    columns = [attribute.column for attribute in SUBSCRIPTIONS.attributes]
    for _, row in copy.rows(SUBSCRIPTIONS, columns):
        entry = found[str(row.get("SkuId", "")).lower()]
        entry[0] += 1
        entry[2 if row.get("IsTrial") else 1] += int(row.get("Seats") or 0)
    return {sku: (count, paid, trial) for sku, (count, paid, trial) in found.items()}


@report(
    "licences", "What was bought, used and left over",
    (*_SKU, Column("status", "Status"), Column("bought", "Bought", "number"), Column("usable", "Usable", "number"), Column("warning", "In grace", "number"),
     Column("suspended", "Suspended", "number"), Column("lockedOut", "Locked", "number"), Column("consumed", "Taken", "number"),
     Column("available", "Left", "number"), Column("note", "Note"), Column("subscriptions", "Subscriptions", "number"),
     Column("paidSeats", "Seats of paid subscriptions", "number"), Column("trialSeats", "Seats of trials", "number"),
     Column("difference", "Bought less paid seats", "number"), Column("holdersInCopy", "Holders in the copy", "number"),
     Column("notInCopy", "Seats of people who are not", "number"), Column("monthlyCostUsed", "Cost a month of seats taken", "money"),
     Column("monthlyCostUnused", "Cost a month of seats left", "money")),
    (LICENCES, SUBSCRIPTIONS, ASSIGNMENTS, PEOPLE), by_person=False,
)  # fmt: skip
def licences(copy: Copy, _asked: Asked) -> Iterator[Row]:
    """One row for each product of the tenant. Seats taken are the whole tenant's; holders in the copy are fewer where domains,
    excluded groups or a date filter leave people out.
    """
    paid, held = _paid(copy), dict[str, int]()
    for holder in copy.holders():
        if holder.person is not None:
            for sku in {str(one.get("SkuId", "")) for one in holder.active}:
                held[sku] = held.get(sku, 0) + 1
    for sku, row in _by_product(copy):
        count, seats, trial = paid.get(sku, (0, 0, 0))
        consumed, bought, price = row.get("Consumed"), row.get("Bought"), copy.prices.get(sku)
        left = row.get("Available")
        yield {
            "product": row.get("Product"), "partNumber": row.get("PartNumber"), "skuId": sku, "status": row.get("Status"), "bought": bought,
            "usable": row.get("Usable"), "warning": row.get("Warning"), "suspended": row.get("Suspended"), "lockedOut": row.get("LockedOut"),
            "consumed": consumed, "available": left, "note": _note(row), "subscriptions": count, "paidSeats": seats, "trialSeats": trial,
            "difference": None if bought is None else bought - seats, "holdersInCopy": held.get(sku, 0),
            "notInCopy": None if consumed is None else consumed - held.get(sku, 0),
            "monthlyCostUsed": _times(price, consumed), "monthlyCostUnused": _times(price, max(0, left or 0)),
        }  # fmt: skip


def _by_product(copy: Copy) -> list[tuple[str, Row]]:
    """SKU id and row of what was bought, in the order of names."""
    return sorted(copy.licences.items(), key=lambda item: str(item[1].get("Product", "")))


def _note(row: Row) -> str | None:
    if row.get("Status") == "Warning":
        return "in grace: it works, and can't be newly assigned"
    if row.get("Status") == "Suspended":
        return "suspended: it can be bought again before it is deleted"
    if row.get("Status") == "LockedOut":
        return "locked: only Microsoft's support can remove it"
    return "more are taken than can be used" if (row.get("Available") or 0) < 0 else None


def _times(price: Decimal | None, seats: Any) -> Decimal | None:
    return None if price is None or seats is None else price * int(seats)


@report(
    "unassigned", "Seats that nobody has",
    (*_SKU, Column("usable", "Usable", "number"), Column("consumed", "Taken", "number"), Column("available", "Left", "number"),
     Column("monthlyCostUnused", "Cost a month of seats left", "money")),
    (LICENCES,), by_person=False,
)  # fmt: skip
def unassigned(copy: Copy, _asked: Asked) -> Iterator[Row]:
    """Products with seats left over."""
    for sku, row in _by_product(copy):
        if (row.get("Available") or 0) > 0:
            yield {
                "product": row.get("Product"), "partNumber": row.get("PartNumber"), "skuId": sku, "usable": row.get("Usable"),
                "consumed": row.get("Consumed"), "available": row["Available"],
                "monthlyCostUnused": _times(copy.prices.get(sku), row["Available"]),
            }  # fmt: skip


@report(
    "expiring-subscriptions", "Subscriptions that end or renew soon",
    (*_SKU, Column("status", "Status"), Column("isTrial", "Trial", "flag"), Column("seats", "Seats", "number"), Column("endsOn", "Ends or renews", "day"),
     Column("daysLeft", "Days left", "number"), Column("partnerTenantId", "Tenant of the partner")),
    (SUBSCRIPTIONS,), by_person=False,
)  # fmt: skip
def expiring_subscriptions(copy: Copy, asked: Asked) -> Iterator[Row]:
    """Subscriptions whose next lifecycle date is within `days`, or past."""
    limit, found = copy.clock.now() + timedelta(days=asked.days), []
    for _, row in copy.rows(SUBSCRIPTIONS, [attribute.column for attribute in SUBSCRIPTIONS.attributes]):
        ends = row.get("NextLifecycleAt")
        if ends and time_of(ends) <= limit:
            found.append((time_of(ends), row))
    for ends, row in sorted(found, key=lambda item: (item[0], str(item[1].get("SkuId")))):
        yield {
            "product": row.get("Product"), "partNumber": row.get("PartNumber"), "skuId": row.get("SkuId"), "status": row.get("Status"),
            "isTrial": row.get("IsTrial"), "seats": row.get("Seats"), "endsOn": day(ends), "daysLeft": (ends - copy.clock.now()).days,
            "partnerTenantId": row.get("PartnerTenantId"),
        }  # fmt: skip


_GROUPS = {"department": "Department", "country": "Country", "company": "CompanyName"}


@report(
    "cost", "What licences cost, and what of it is wasted",
    (Column("group", "Group"), Column("seats", "Seats", "number"), Column("monthlyCost", "Cost a month", "money"),
     Column("disabledSeats", "Seats of disabled accounts", "number"), Column("monthlyCostDisabled", "Their cost", "money"),
     Column("silentSeats", "Seats of silent people", "number"), Column("monthlyCostSilent", "Their cost", "money"),
     Column("seatsWithoutPrice", "Seats without a price", "number")),
    (ASSIGNMENTS, LICENCES, PEOPLE, ACTIVE_USERS), by_person=False,
)  # fmt: skip
def cost(copy: Copy, asked: Asked) -> Iterator[Row]:
    """Seats and their cost by department, country, company or product, with the part that disabled accounts and silent people
    hold. Prices are the owner's: seats without one are counted apart.
    """
    found: dict[str, dict[str, Any]] = {}
    for holder in copy.holders():
        if holder.person is None:
            continue
        disabled = holder.person.get("Enabled") is False
        days = silence(copy, holder)
        silent = not disabled and days is not None and days >= asked.days
        for sku, one in {str(each.get("SkuId", "")): each for each in holder.active}.items():
            name = (
                copy.product(one)
                if asked.group_by == "product"
                else str(holder.person.get(_GROUPS[asked.group_by]) or "")
            )
            entry = found.setdefault(name, {"seats": 0, "monthlyCost": Decimal(0), "disabledSeats": 0, "monthlyCostDisabled": Decimal(0),
                                            "silentSeats": 0, "monthlyCostSilent": Decimal(0), "seatsWithoutPrice": 0})  # fmt: skip
            price = copy.prices.get(sku)
            entry["seats"] += 1
            entry["disabledSeats"] += disabled
            entry["silentSeats"] += silent
            entry["seatsWithoutPrice"] += price is None
            entry["monthlyCost"] += price or 0
            entry["monthlyCostDisabled"] += (price or 0) if disabled else 0
            entry["monthlyCostSilent"] += (price or 0) if silent else 0
    for name in sorted(found):
        yield {"group": name or None, **found[name]}
