"""What the simulated tenant has bought, who got it and how: subscriptions with grace, lock-out and trials, licences from people's
groups and in error, seats that were oversold.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

GROUP_KIND = "licence-group"
E3, E5, BUSINESS, FLOW, VISIO, TRIAL, OWN = (
    "05e9a617-0261-4cee-bb44-138d3ef5d965", "c7df2760-2c81-4ef7-b578-5b5392b571df", "f245ecc8-75af-4f8e-b61f-27d8114de5f3",
    "f30db892-07e9-47e9-837c-80727f46fd3d", "c5928f49-12ba-48f7-ada3-0d743a3601d5", "710779e8-3d4a-4c88-adb9-386c958d1fdf",
    "0e142028-345e-45da-8d92-8bfd4093bbb9",
)  # fmt: skip
EXCHANGE, TEAMS, OFFICE, SHAREPOINT = (
    "efb87545-963c-4e0d-99df-69c6916d9eb0", "57ff2da0-773e-42df-b2af-ffb7a2317929", "43de0ff5-c92c-492b-9116-175376d08c38",
    "5dbe027f-2339-4123-9542-606e4d348a72",
)  # fmt: skip


@dataclass(frozen=True)
class Product:
    """`status`, `share`: how many seats were bought, in percent of the people that hold one; the rest of the units as they are."""

    sku: str
    part: str
    plans: tuple[tuple[str, str], ...]
    status: str = "Enabled"
    share: int = 130
    trial: bool = False
    subscriptions: int = 1


_SUITE = ((EXCHANGE, "EXCHANGE_S_ENTERPRISE"), (TEAMS, "TEAMS1"), (SHAREPOINT, "SHAREPOINTENTERPRISE"))
PRODUCTS = (
    Product(E5, "ENTERPRISEPREMIUM", (*_SUITE, (OFFICE, "OFFICESUBSCRIPTION")), "Warning"),
    Product(E3, "SPE_E3", (*_SUITE, (OFFICE, "OFFICESUBSCRIPTION")), subscriptions=3),
    Product(BUSINESS, "O365_BUSINESS_PREMIUM", ((EXCHANGE, "EXCHANGE_S_STANDARD"), (TEAMS, "TEAMS1")), share=80),
    Product(FLOW, "FLOW_FREE", ()),
    Product(VISIO, "VISIOCLIENT", ((OFFICE, "VISIO_CLIENT_SUBSCRIPTION"),), "Suspended"),
    Product(TRIAL, "TEAMS_EXPLORATORY", ((TEAMS, "TEAMS1"),), trial=True),
    Product(OWN, "CONTOSO_SPECIAL", (), "LockedOut"),
)
_BY_SKU = {product.sku: product for product in PRODUCTS}


def states_of(b: bytes, guest: bool, sku: str | None, group: str) -> list[dict[str, Any]]:
    """A person's assignments, from the person's bytes: `sku` is what everybody of this kind holds."""
    found: list[dict[str, Any]] = []

    def assign(sku: str, by: str | None = None, *, disabled: Iterable[str] = (), error: str = "None") -> None:
        state = "Active" if error == "None" else "Error"
        found.append(
            {"skuId": sku, "assignedByGroup": by, "disabledPlans": list(disabled), "error": error, "state": state,
             "lastUpdatedDateTime": f"2026-0{b[40] % 9 + 1}-1{b[41] % 9}T08:00:00Z"}
        )  # fmt: skip

    if sku and not guest:
        assign(sku, group if b[36] >= 200 else None, disabled=[TEAMS] if b[38] < 30 else [])
        if b[36] < 25:
            assign(sku, group)
    if b[35] < 40:
        assign(FLOW)
    if b[37] < 10 and sku != E3:
        assign(E3, group, error="CountViolation")
    if b[37] >= 246:
        assign(TRIAL)
    return found


def held(states: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """`assignedLicenses`: each product once, with the plans that every path leaves out."""
    plans: dict[str, set[str]] = {}
    for state in states:
        if state["state"] == "Active":
            left = set(state["disabledPlans"])
            plans[state["skuId"]] = plans.get(state["skuId"], left) & left
    return [{"skuId": sku, "disabledPlans": sorted(left)} for sku, left in plans.items()]


def skus(tenant: str, consumed: Counter[str]) -> list[dict[str, Any]]:
    return [
        {"id": f"{tenant}_{one.sku}", "skuId": one.sku, "skuPartNumber": one.part, "appliesTo": "User", "accountId": tenant,
         "accountName": "Contoso", "capabilityStatus": one.status, "consumedUnits": consumed[one.sku],
         "subscriptionIds": [row["id"] for row in subscriptions(tenant, consumed) if row["skuId"] == one.sku],
         "prepaidUnits": _units(one, consumed[one.sku]), "servicePlans": [
             {"servicePlanId": plan, "servicePlanName": name, "appliesTo": "User", "provisioningStatus": "Success"} for plan, name in one.plans
         ]}
        for one in PRODUCTS
    ]  # fmt: skip


def _seats(one: Product, used: int) -> int:
    return used * one.share // 100 + (0 if one.share < 100 else 10)


def _units(one: Product, used: int) -> dict[str, int]:
    seats, found = _seats(one, used), {"enabled": 0, "suspended": 0, "warning": 0, "lockedOut": 0}
    found[
        {"Enabled": "enabled", "Warning": "warning", "Suspended": "suspended", "LockedOut": "lockedOut"}[one.status]
    ] = seats
    return found


def subscriptions(tenant: str, consumed: Counter[str]) -> list[dict[str, Any]]:
    """One row for each subscription; E3 has three, of which one is a trial that the count of seats does not hold."""
    rows = []
    for one in PRODUCTS:
        seats = _seats(one, consumed[one.sku])
        for number in range(one.subscriptions):
            trial = one.trial or number == 2
            part = (
                25
                if number == 2
                else seats // 2
                if one.subscriptions > 1 and number == 0
                else seats - (seats // 2 if number else 0)
            )
            rows.append(
                {"id": f"{one.sku[:-2]}{number:02x}", "commerceSubscriptionId": f"{one.sku[:-3]}c{number:02x}", "skuId": one.sku,
                 "skuPartNumber": one.part, "status": one.status, "isTrial": trial, "totalLicenses": part,
                 "createdDateTime": "2024-03-01T00:00:00Z", "nextLifecycleDateTime": f"2026-12-{10 + number}T00:00:00Z",
                 "ownerId": None, "ownerTenantId": tenant, "ownerType": "User", "serviceStatus": []}
            )  # fmt: skip
    return rows
