"""Licences that a person holds directly. What comes through a group is the group's to give and take."""

from typing import Annotated, Any

from pydantic import Field

from shared.actions.catalogue import AlreadySo, Cannot, action
from shared.actions.requests import built, graph
from shared.actions.subject import Subject, answered, has, lacks, reads, step
from shared.connectors.base import Permission
from shared.domain.base import Guid, Model
from shared.domain.plan import Call, Item, Risk, Step

LICENCES = Permission("LicenseAssignment.ReadWrite.All", ("User.ReadWrite.All", "Directory.ReadWrite.All"))
WRITE = Permission("User.ReadWrite.All", ("Directory.ReadWrite.All",))
_BUDGET = 600


class Licence(Model):
    """Which product."""

    sku_id: Guid
    """Its SKU id, as /licences shows it."""


class LicenceGiven(Licence):
    """Which product, and how."""

    disabled_plans: Annotated[list[Guid], Field(max_length=200)] = []
    """Service plans of it that stay off."""


def _as_before(item: Item) -> Call:
    """Without the product, or with the plans that it had."""
    sku_id, before = item.call.parameters["skuId"], item.before.get("direct")
    if before is None:
        return Call(action="remove-licence", target=item.call.target, parameters={"skuId": sku_id})
    return Call(action="assign-licence", target=item.call.target, parameters={"skuId": sku_id, "disabledPlans": before})


async def sku(on: Subject, sku_id: str) -> dict[str, Any]:
    """The tenant's product. Raises Cannot where it has none such."""
    found = await on.look.all(
        "/subscribedSkus?$select=skuId,skuPartNumber,prepaidUnits,consumedUnits", "LicenseAssignment.Read.All"
    )
    product = next((one for one in found if str(one.get("skuId")).lower() == sku_id), None)
    if product is None:
        raise Cannot(
            "sku-unknown",
            "The tenant has not bought this product.",
            "Check skuId; GET /api/v1/licences lists what there is.",
        )
    return product


def _assignments(on: Subject, sku_id: str) -> list[dict[str, Any]]:
    states = on.peek("licenseAssignmentStates") or []
    return [one for one in states if str(one.get("skuId")).lower() == sku_id]


def _plans(assignment: dict[str, Any] | None) -> list[str] | None:
    """The service plans that are off; None: there is no such assignment."""
    return sorted(str(one).lower() for one in assignment.get("disabledPlans") or []) if assignment else None


def _proof(on: Subject) -> str:
    return f"/users/{on.id}?$select=licenseAssignmentStates"


@action(
    "assign-licence", "Assign a licence", "person", risk=Risk.LOW, permissions=(LICENCES,), parameters=LicenceGiven, cloud_only=False,
    undo=_as_before,
    reverse="remove-licence",
)  # fmt: skip
async def assign_licence(on: Subject, given: LicenceGiven) -> list[Step]:
    """The person holds the product directly, and takes a seat."""
    if not on["usageLocation"]:
        raise Cannot("usage-location-missing", "The person has no usage location, without which there is no licence.",
                     "Set usageLocation with update-profile first.")  # fmt: skip
    product = await sku(on, given.sku_id)
    held = _assignments(on, given.sku_id)
    direct = next((one for one in held if not one.get("assignedByGroup")), None)
    before = _plans(direct)
    on.noted("direct", before)
    if before == _plans({"disabledPlans": given.disabled_plans}):
        raise AlreadySo(f"The person holds {product.get('skuPartNumber')} directly already.")
    units = product.get("prepaidUnits") or {}
    free = units.get("enabled", 0) + units.get("warning", 0) - (product.get("consumedUnits") or 0)
    if free <= 0 and not held:
        raise Cannot(
            "no-seat",
            f"There is no free seat of {product.get('skuPartNumber')}.",
            "Buy seats, or take one from somebody.",
        )
    request = _assign(on, add=given)
    entry = {
        "skuId": given.sku_id,
        "assignedByGroup": None,
        "state": "Active",
        "disabledPlans": sorted(given.disabled_plans),
    }
    proof = reads(_proof(on), has("licenseAssignmentStates", **entry), seconds=_BUDGET)
    return [step(f"Assign {product.get('skuPartNumber')}", request, proof)]


def _assign(on: Subject, add: LicenceGiven | None = None, remove: str = "") -> Any:
    """Microsoft Graph wants both lists, also an empty one."""
    from uuid import UUID

    from msgraph.generated.models.assigned_license import AssignedLicense
    from msgraph.generated.users.item.assign_license.assign_license_post_request_body import (
        AssignLicensePostRequestBody,
    )

    added = []
    if add:
        added = [AssignedLicense(sku_id=UUID(add.sku_id), disabled_plans=[UUID(one) for one in add.disabled_plans])]
    body = AssignLicensePostRequestBody(add_licenses=added, remove_licenses=[UUID(remove)] if remove else [])
    return built(graph().users.by_user_id(on.id).assign_license.to_post_request_information(body))


def _given_back(item: Item) -> Call:
    """With the plans that were off."""
    parameters = {"skuId": item.call.parameters["skuId"], "disabledPlans": item.before.get("disabledPlans", [])}
    return Call(action="assign-licence", target=item.call.target, parameters=parameters)


@action(
    "remove-licence", "Remove a licence", "person", risk=Risk.DISRUPTIVE, permissions=(LICENCES,), parameters=Licence,
    cloud_only=False, undo=_given_back, reverse="assign-licence",
    note="Microsoft deletes what only the product gave, such as a mailbox, after about 30 days.",
)  # fmt: skip
async def remove_licence(on: Subject, given: Licence) -> list[Step]:
    """The person holds the product directly no more. Who has it through a group, too, keeps it and the seat."""
    product = await sku(on, given.sku_id)
    held = _assignments(on, given.sku_id)
    direct = next((one for one in held if not one.get("assignedByGroup")), None)
    if direct is None and held:
        names = [await _group(on, str(one["assignedByGroup"])) for one in held]
        raise Cannot(
            "licence-inherited", f"{product.get('skuPartNumber')} comes through {', '.join(names)}.",
            "Remove the person from the group.",
        )  # fmt: skip
    if direct is None:
        raise AlreadySo(f"The person does not hold {product.get('skuPartNumber')}.")
    on.noted("disabledPlans", sorted(direct.get("disabledPlans") or []))
    on.noted("alsoThrough", sorted(str(one["assignedByGroup"]) for one in held if one.get("assignedByGroup")))
    entry = {"skuId": given.sku_id, "assignedByGroup": None}
    proof = reads(_proof(on), lacks("licenseAssignmentStates", **entry), seconds=_BUDGET)
    return [step(f"Remove {product.get('skuPartNumber')}", _assign(on, remove=given.sku_id), proof)]


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
