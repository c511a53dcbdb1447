"""Membership of groups."""

from typing import Any

from shared.actions.catalogue import AlreadySo, Cannot, action
from shared.actions.requests import built, graph
from shared.actions.subject import Subject, has, lacks, reads, step
from shared.connectors.base import Permission
from shared.domain.base import Guid, Model
from shared.domain.plan import Call, Item, Risk, Step

MEMBERS = Permission("GroupMember.ReadWrite.All", ("Group.ReadWrite.All", "Directory.ReadWrite.All"))
READ = "Directory.Read.All"
_ASK = "id,displayName,groupTypes,mailEnabled,securityEnabled,onPremisesSyncEnabled,isAssignableToRole,assignedLicenses"


class GroupGiven(Model):
    """Which group."""

    group_id: Guid
    """Its object id."""


def obstacle(group: dict[str, Any]) -> Cannot | None:
    """Why nobody's membership of a group can be changed through Microsoft Graph; None where it can."""
    name = group.get("displayName")
    if "DynamicMembership" in (group.get("groupTypes") or []):
        return Cannot(
            "group-dynamic",
            f"Who is in {name} follows from a rule.",
            "Change the rule, or the attribute that it goes by.",
        )
    if group.get("onPremisesSyncEnabled"):
        return Cannot("group-synced", f"{name} is synchronized from Active Directory.", "Change the membership there.")
    if group.get("mailEnabled") and "Unified" not in (group.get("groupTypes") or []):
        return Cannot(
            "group-mail-enabled", f"{name} is a distribution list or a mail-enabled security group, which Microsoft Graph can't change.",
            "Change the membership in Exchange.",
        )  # fmt: skip
    if group.get("isAssignableToRole"):
        return Cannot(
            "group-assignable-to-role", f"{name} can give directory roles. Changing it needs a permission that makes an application "
            "as powerful as a Global Administrator.", "Change the membership in Privileged Identity Management.",
        )  # fmt: skip
    return None


async def memberships(on: Subject) -> list[dict[str, Any]]:
    """The groups that a person is a direct member of, with what decides whether that can be changed."""
    return await on.look.all(f"/users/{on.id}/memberOf/microsoft.graph.group?$select={_ASK}&$top=999", READ)


async def _member(on: Subject, given: GroupGiven) -> tuple[dict[str, Any], bool]:
    group = await on.look.get(f"/groups/{given.group_id}?$select={_ASK}", "GroupMember.Read.All")
    if group is None:
        raise Cannot("group-unknown", "There is no group with this object id.", "Check groupId.")
    if found := obstacle(group):
        raise found
    held = {one.get("id") for one in await memberships(on)}
    return group, bool(on.noted("member", given.group_id in held))


def _proof(on: Subject) -> str:
    return f"/users/{on.id}/memberOf/microsoft.graph.group?$select=id&$top=999"


def _taken_back(name: str) -> Any:
    def back(item: Item) -> Call:
        return Call(action=name, target=item.call.target, parameters=item.call.parameters)

    return back


@action(
    "add-to-group", "Add to a group", "person", risk=Risk.LOW, permissions=(MEMBERS,), parameters=GroupGiven, cloud_only=False,
    undo=_taken_back("remove-from-group"), reverse="remove-from-group",
)  # fmt: skip
async def add_to_group(on: Subject, given: GroupGiven) -> list[Step]:
    """The person becomes a direct member."""
    from msgraph.generated.models.reference_create import ReferenceCreate

    group, member = await _member(on, given)
    if member:
        raise AlreadySo(f"The person is in {group.get('displayName')} already.")
    body = ReferenceCreate(odata_id=on.reference(on.id))
    request = built(graph().groups.by_group_id(given.group_id).members.ref.to_post_request_information(body))
    proof = reads(_proof(on), has("value", id=given.group_id), seconds=120)
    return [step(f"Add to {group.get('displayName')}", request, proof)]


@action(
    "remove-from-group", "Remove from a group", "person", risk=Risk.DISRUPTIVE, permissions=(MEMBERS,), parameters=GroupGiven,
    cloud_only=False, undo=_taken_back("add-to-group"), reverse="add-to-group",
)  # fmt: skip
async def remove_from_group(on: Subject, given: GroupGiven) -> list[Step]:
    """The person is no direct member any more. Licences that come through the group go too."""
    group, member = await _member(on, given)
    if not member:
        raise AlreadySo(f"The person is no direct member of {group.get('displayName')}.")
    on.noted("licences", sorted(one["skuId"] for one in group.get("assignedLicenses") or []))
    members = graph().groups.by_group_id(given.group_id).members
    request = built(members.by_directory_object_id(on.id).ref.to_delete_request_information())
    proof = reads(_proof(on), lacks("value", id=given.group_id), seconds=120)
    return [step(f"Remove from {group.get('displayName')}", request, proof)]
