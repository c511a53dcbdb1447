"""Licences that a person holds directly. What comes through a group is the group's to give and take."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from shared.actions.catalogue import AlreadySo, Cannot, action
from shared.actions.requests import built, graph
from shared.actions.subject import Subject, answered, has, lacks, reads, step
from shared.connectors.base import Permission
from shared.domain.base import Guid, Model
from shared.domain.plan import Call, Check, Item, Proof, Request, Risk, Step

LICENCES = Permission("LicenseAssignment.ReadWrite.All", ("User.ReadWrite.All", "Directory.ReadWrite.All"))
WRITE = Permission("User.ReadWrite.All", ("Directory.ReadWrite.All",))
_BUDGET = 600
_MOST = 20


class LicenceGiven(Model):
    """Which product, and how."""

    sku_id: Guid
    """Its SKU id, as /licences shows it."""
    disabled_plans: Annotated[list[Guid], Field(max_length=200)] = []
    """Service plans of it that stay off."""


class LicencesGiven(Model):
    """What somebody gets, in one request."""

    licences: Annotated[list[LicenceGiven], Field(min_length=1, max_length=_MOST)]
    """Each product once."""


class LicencesTaken(Model):
    """What somebody loses, in one request: of products that need each other none can go before the others."""

    sku_ids: Annotated[list[Guid], Field(min_length=1, max_length=_MOST)]
    """SKU ids."""


async def _products(on: Subject, sku_ids: list[str]) -> dict[str, dict[str, Any]]:
    """The tenant's products. Raises Cannot where it has none such, or one is named twice."""
    select = "skuId,skuPartNumber,prepaidUnits,consumedUnits,servicePlans"
    found = await on.look.all(f"/subscribedSkus?$select={select}", "LicenseAssignment.Read.All")
    known = {str(one.get("skuId")).lower(): one for one in found}
    if missing := [sku_id for sku_id in sku_ids if sku_id not in known]:
        raise Cannot(
            "sku-unknown", f"The tenant has not bought the product {', '.join(missing)}.",
            "Check the SKU id; GET /api/v1/licences lists what there is.",
        )  # fmt: skip
    if len(set(sku_ids)) < len(sku_ids):
        raise Cannot("sku-twice", "A product is named twice.", "Name it once.")
    return {sku_id: known[sku_id] for sku_id in sku_ids}


def _assignments(on: Subject, sku_id: str) -> list[dict[str, Any]]:
    states = on.peek("licenseAssignmentStates") or []
    return [one for one in states if str(one.get("skuId")).lower() == sku_id]


def _direct(on: Subject, sku_id: str) -> dict[str, Any] | None:
    return next((one for one in _assignments(on, sku_id) if not one.get("assignedByGroup")), None)


def _plans(assignment: dict[str, Any] | None) -> list[str] | None:
    """The service plans that are off; None: there is no such assignment."""
    return sorted(str(one).lower() for one in assignment.get("disabledPlans") or []) if assignment else None


def _as_before(item: Item) -> list[Call]:
    """Without the products, or with the plans that they had."""
    before: dict[str, list[str] | None] = item.before.get("direct", {})
    taken = [sku_id for sku_id, plans in before.items() if plans is None]
    kept = [{"skuId": sku_id, "disabledPlans": plans} for sku_id, plans in before.items() if plans is not None]
    calls = []
    if taken:
        calls.append(Call(action="remove-licences", target=item.call.target, parameters={"skuIds": taken}))
    if kept:
        calls.append(Call(action="assign-licences", target=item.call.target, parameters={"licences": kept}))
    return calls


def _proof(on: Subject, checks: list[Check]) -> Proof:
    return reads(f"/users/{on.id}?$select=licenseAssignmentStates", *checks, seconds=_BUDGET)


@action(
    "assign-licences", "Assign licences", "person", risk=Risk.LOW, permissions=(LICENCES,), parameters=LicencesGiven, cloud_only=False,
    undo=_as_before, reverse="remove-licences",
)  # fmt: skip
async def assign_licences(on: Subject, given: LicencesGiven) -> list[Step]:
    """The person holds the products directly, and takes a seat of each."""
    if not on["usageLocation"]:
        raise Cannot("usage-location-missing", "The person has no usage location, without which there is no licence.",
                     "Set usageLocation with update-profile first.")  # fmt: skip
    products = await _products(on, [one.sku_id for one in given.licences])
    added = [one for one in given.licences if _plans(_direct(on, one.sku_id)) != sorted(one.disabled_plans)]
    names = ", ".join(str(products[one.sku_id].get("skuPartNumber")) for one in added or given.licences)
    if not added:
        raise AlreadySo(f"The person holds {names} directly already.")
    for one in added:
        _can_be_given(on, products[one.sku_id], one)
    on.noted("direct", {one.sku_id: _plans(_direct(on, one.sku_id)) for one in added})
    checks = [
        has("licenseAssignmentStates", skuId=one.sku_id, assignedByGroup=None, state="Active", disabledPlans=sorted(one.disabled_plans))
        for one in added
    ]  # fmt: skip
    return [step(f"Assign {names}", _asked(on, add=added), _proof(on, checks))]


def _can_be_given(on: Subject, product: dict[str, Any], given: LicenceGiven) -> None:
    """Raises Cannot where a plan is not the product's, or no seat is left."""
    name = product.get("skuPartNumber")
    plans = {str(one.get("servicePlanId")).lower() for one in product.get("servicePlans") or []}
    if foreign := sorted(set(given.disabled_plans) - plans):
        raise Cannot(
            "plan-unknown", f"{name} has no service plan {', '.join(foreign)}.", "GET /api/v1/licences names its plans."
        )
    units = product.get("prepaidUnits") or {}
    free = units.get("enabled", 0) + units.get("warning", 0) - (product.get("consumedUnits") or 0)
    if free <= 0 and not _assignments(on, given.sku_id):
        raise Cannot("no-seat", f"There is no free seat of {name}.", "Buy seats, or take one from somebody.")


def _asked(on: Subject, add: Sequence[LicenceGiven] = (), remove: Sequence[str] = ()) -> Request:
    """Microsoft Graph wants both lists, also an empty one."""
    from msgraph.generated.models.assigned_license import AssignedLicense
    from msgraph.generated.users.item.assign_license.assign_license_post_request_body import (
        AssignLicensePostRequestBody,
    )

    added = [
        AssignedLicense(sku_id=UUID(one.sku_id), disabled_plans=[UUID(plan) for plan in one.disabled_plans])
        for one in add
    ]
    body = AssignLicensePostRequestBody(add_licenses=added, remove_licenses=[UUID(one) for one in remove])
    return built(graph().users.by_user_id(on.id).assign_license.to_post_request_information(body))


def _given_back(item: Item) -> Call:
    """With the plans that were off."""
    licences = [{"skuId": sku_id, "disabledPlans": plans} for sku_id, plans in item.before.get("direct", {}).items()]
    return Call(action="assign-licences", target=item.call.target, parameters={"licences": licences})


@action(
    "remove-licences", "Remove licences", "person", risk=Risk.DISRUPTIVE, permissions=(LICENCES,), parameters=LicencesTaken,
    cloud_only=False, undo=_given_back, reverse="assign-licences",
    note="Microsoft deletes what only the product gave, such as a mailbox, after about 30 days.",
)  # fmt: skip
async def remove_licences(on: Subject, given: LicencesTaken) -> list[Step]:
    """The person holds the products directly no more. Who has one through a group, too, keeps it and the seat."""
    products = await _products(on, given.sku_ids)
    for sku_id in given.sku_ids:
        held = _assignments(on, sku_id)
        if held and _direct(on, sku_id) is None:
            through = ", ".join([await _group(on, str(one["assignedByGroup"])) for one in held])
            raise Cannot(
                "licence-inherited", f"{products[sku_id].get('skuPartNumber')} comes through {through}.",
                "Remove the person from the group.",
            )  # fmt: skip
    taken = [sku_id for sku_id in given.sku_ids if _direct(on, sku_id)]
    names = ", ".join(str(products[sku_id].get("skuPartNumber")) for sku_id in taken or given.sku_ids)
    if not taken:
        raise AlreadySo(f"The person does not hold {names}.")
    on.noted("direct", {sku_id: _plans(_direct(on, sku_id)) for sku_id in taken})
    on.noted(
        "alsoThrough",
        sorted(
            str(one["assignedByGroup"])
            for sku_id in taken
            for one in _assignments(on, sku_id)
            if one.get("assignedByGroup")
        ),
    )
    checks = [lacks("licenseAssignmentStates", skuId=sku_id, assignedByGroup=None) for sku_id in taken]
    return [step(f"Remove {names}", _asked(on, remove=taken), _proof(on, checks))]


async def _group(on: Subject, group_id: str) -> str:
    try:
        group = await on.look.get(f"/groups/{group_id}?$select=displayName", "GroupMember.Read.All")
    except Cannot:
        group = None
    return f"the group {group['displayName']}" if group else f"the group {group_id}"


@action("reprocess-licences", "Reprocess licences", "person", risk=Risk.LOW, permissions=(WRITE,), cloud_only=False)
async def reprocess_licences(on: Subject, _given: Any) -> list[Step]:
    """Microsoft looks at all group licences of the person again: after an error was mended, such as too few seats."""
    request = built(graph().users.by_user_id(on.id).reprocess_license_assignment.to_post_request_information())
    return [step("Reprocess the licences", request, answered())]
