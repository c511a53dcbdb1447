"""What is done to a person's account and profile."""

from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import Field, StringConstraints

from shared.actions.catalogue import AlreadySo, Cannot, action
from shared.actions.requests import built, graph
from shared.actions.subject import Subject, differs, is_, reads, step
from shared.clock import parse_iso
from shared.connectors.base import Permission
from shared.domain.base import Guid, Model
from shared.domain.plan import Call, Check, Item, Risk, Step

ENABLE = Permission("User.EnableDisableAccount.All", ("User.ReadWrite.All",))
WRITE = Permission("User.ReadWrite.All", ("Directory.ReadWrite.All",))
REVOKE = Permission("User.RevokeSessions.All", ("User.ReadWrite.All", "Directory.ReadWrite.All"))
DELETE = Permission("User.DeleteRestore.All", ("User.ReadWrite.All",))
RISK = Permission("IdentityRiskyUser.ReadWrite.All")
IDENTITIES = Permission("User.ManageIdentities.All", ("User.ReadWrite.All",))
PHONE = Permission("User-Phone.ReadWrite.All", ("User.ReadWrite.All",))
MAIL = Permission("User-Mail.ReadWrite.All", ("User.ReadWrite.All",))
LEAVE = Permission("User-LifeCycleInfo.ReadWrite.All")
READ = "User.Read.All"
_RESTORABLE = timedelta(days=30)
Text = Annotated[str, StringConstraints(min_length=1, max_length=256)]


async def _switched(on: Subject, *, enabled: bool) -> list[Step]:
    from msgraph.generated.models.user import User

    if on["accountEnabled"] is enabled:
        raise AlreadySo(f"Sign-in is {'on' if enabled else 'off'} already.")
    request = built(graph().users.by_user_id(on.id).to_patch_request_information(User(account_enabled=enabled)))
    proof = reads(f"/users/{on.id}?$select=accountEnabled", is_("accountEnabled", enabled))
    return [step(f"{'Enable' if enabled else 'Disable'} sign-in", request, proof)]


@action(
    "disable-sign-in", "Disable sign-in", "person", risk=Risk.DISRUPTIVE, permissions=(ENABLE,),
    undo=lambda item: Call(action="enable-sign-in", target=item.call.target), reverse="enable-sign-in", sensitive=True,
    takes_access=True,
)  # fmt: skip
async def disable_sign_in(on: Subject, _given: Any) -> list[Step]:
    """Nobody can sign in with the account any more. Sessions that are open go on until they are revoked."""
    return await _switched(on, enabled=False)


@action(
    "enable-sign-in", "Enable sign-in", "person", risk=Risk.LOW, permissions=(ENABLE,),
    undo=lambda item: Call(action="disable-sign-in", target=item.call.target), reverse="disable-sign-in", sensitive=True,
)  # fmt: skip
async def enable_sign_in(on: Subject, _given: Any) -> list[Step]:
    """The account can sign in again."""
    return await _switched(on, enabled=True)


@action(
    "revoke-sessions", "Revoke sessions", "person", risk=Risk.DISRUPTIVE, permissions=(REVOKE,), same_again=False,
    cloud_only=False, note="Access tokens that were given out live on for about an hour, unless the application evaluates access continuously.",
)  # fmt: skip
async def revoke_sessions(on: Subject, _given: Any) -> list[Step]:
    """Everybody who is signed in with the account has to sign in again."""
    before = on["signInSessionsValidFromDateTime"]
    request = built(graph().users.by_user_id(on.id).revoke_sign_in_sessions.to_post_request_information())
    path = f"/users/{on.id}?$select=signInSessionsValidFromDateTime"
    proof = reads(path, differs("signInSessionsValidFromDateTime", before), seconds=120)
    return [step("Revoke all sessions", request, proof)]


class Profile(Model):
    """The attributes to change; null empties one. What is left out stays."""

    display_name: Text | None = None
    given_name: Text | None = None
    surname: Text | None = None
    mail_nickname: Text | None = None
    job_title: Text | None = None
    department: Text | None = None
    company_name: Text | None = None
    office_location: Text | None = None
    business_phones: Annotated[list[Text], Field(max_length=1)] | None = None
    """At most one number."""
    mobile_phone: Text | None = None
    fax_number: Text | None = None
    other_mails: Annotated[list[Text], Field(max_length=250)] | None = None
    street_address: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    city: Text | None = None
    state: Text | None = None
    postal_code: Text | None = None
    country: Text | None = None
    usage_location: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = None
    """Two letters, ISO 3166. Licences need it."""
    preferred_language: Text | None = None
    employee_id: Annotated[str, StringConstraints(min_length=1, max_length=16)] | None = None
    employee_type: Text | None = None


_NEVER_EMPTY = ("displayName", "mailNickname")


def _profile_permissions(given: Profile) -> tuple[Permission, ...]:
    asked, needed = given.model_fields_set, []
    if asked & {"business_phones", "mobile_phone"}:
        needed.append(PHONE)
    if "other_mails" in asked:
        needed.append(MAIL)
    return (
        (WRITE, *needed) if asked - {"business_phones", "mobile_phone", "other_mails"} or not asked else tuple(needed)
    )


@action(
    "update-profile", "Update profile attributes", "person", risk=Risk.LOW, permissions=_profile_permissions, parameters=Profile,
    undo=lambda item: Call(action="update-profile", target=item.call.target, parameters=item.before.get("profile", {})),
    reverse="update-profile", sensitive=True,
)  # fmt: skip
async def update_profile(on: Subject, given: Profile) -> list[Step]:
    """Only what is named is changed. Addresses and numbers of administrators need a higher role."""
    from msgraph.generated.models.user import User

    wanted = given.model_dump(by_alias=True, exclude_unset=True)
    if not wanted:
        raise Cannot("nothing-given", "No attribute is named.", "Name at least one attribute.")
    for name in _NEVER_EMPTY:
        if name in wanted and wanted[name] is None:
            raise Cannot("never-empty", f"{name} can't be emptied.", "Give it a value.")
    held = {name: on.peek(name) for name in wanted}
    changed = {name: value for name, value in wanted.items() if (held[name] or None) != (value or None)}
    if not changed:
        raise AlreadySo("The profile has these values already.")
    on.noted("profile", {name: held[name] or None for name in changed})
    user = User()
    lists = {"businessPhones", "otherMails"}
    # null has to be written out: the SDK leaves out what is None
    user.additional_data = {name: (value or [] if name in lists else value) for name, value in changed.items()}
    request = built(graph().users.by_user_id(on.id).to_patch_request_information(user))
    checks = [is_(name, value) for name, value in changed.items()]
    proof = reads(f"/users/{on.id}?$select={','.join(changed)}", *checks)
    return [step(f"Set {', '.join(changed)}", request, proof)]


class SignInName(Model):
    """The new name."""

    sign_in_name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9'._!#^~-]{1,64}@[A-Za-z0-9.-]{1,190}$")]
    """User principal name, in a domain that the tenant has verified; of the characters that Entra allows."""


@action(
    "change-sign-in-name", "Change the sign-in name", "person", risk=Risk.DISRUPTIVE, permissions=(WRITE,), parameters=SignInName,
    undo=lambda item: Call(
        action="change-sign-in-name", target=item.call.target, parameters={"signInName": item.before["userPrincipalName"]}
    ),
    reverse="change-sign-in-name", sensitive=True,
)  # fmt: skip
async def change_sign_in_name(on: Subject, given: SignInName) -> list[Step]:
    """The person signs in with the new name from then on; the mailbox keeps its address."""
    from msgraph.generated.models.user import User

    wanted = given.sign_in_name
    if str(on["userPrincipalName"]).lower() == wanted.lower():
        raise AlreadySo("That is the sign-in name already.")
    await _free(on, wanted)
    request = built(graph().users.by_user_id(on.id).to_patch_request_information(User(user_principal_name=wanted)))
    proof = reads(f"/users/{on.id}?$select=userPrincipalName", is_("userPrincipalName", wanted))
    return [step(f"Change the sign-in name to {wanted}", request, proof)]


async def _free(on: Subject, name: str) -> None:
    """Raises Cannot where somebody else has the sign-in name."""
    holder = await on.look.get(f"/users/{quote(name, safe='@')}?$select=id,displayName", READ)
    if holder and holder.get("id") != on.id:
        raise Cannot(
            "name-taken", f"{holder.get('displayName')} ({holder.get('id')}) has the sign-in name {name}.", "Choose another name."
        )  # fmt: skip


class Identity(Model):
    """One way to sign in."""

    sign_in_type: Text
    """userPrincipalName, emailAddress, userName or federated."""
    issuer: Text
    """Who vouches for it: the tenant's domain, or another identity provider."""
    issuer_assigned_id: Text
    """The name there."""


class Identities(Model):
    """All of them: what is not named is taken away."""

    identities: Annotated[list[Identity], Field(min_length=1, max_length=10)]
    """The one of type userPrincipalName has to stay."""


@action(
    "change-identities", "Change the identities to sign in with", "person", risk=Risk.DISRUPTIVE, permissions=(IDENTITIES,),
    parameters=Identities, sensitive=True,
    undo=lambda item: Call(
        action="change-identities", target=item.call.target, parameters={"identities": item.before["identities"]}
    ),
    reverse="change-identities",
)  # fmt: skip
async def change_identities(on: Subject, given: Identities) -> list[Step]:
    """The identities of a person become those that are named, such as an e-mail address of another provider."""
    from msgraph.generated.models.object_identity import ObjectIdentity
    from msgraph.generated.models.user import User

    wanted = given.model_dump(by_alias=True)["identities"]
    held = [{name: one.get(name) for name in wanted[0]} for one in on.peek("identities") or []]
    on.noted("identities", held)
    names = [one["issuerAssignedId"] for one in held if one["signInType"] == "userPrincipalName"]
    if [one["issuerAssignedId"] for one in wanted if one["signInType"] == "userPrincipalName"] != names:
        raise Cannot(
            "name-changes", "The identity of type userPrincipalName has to stay.", "Use change-sign-in-name for it."
        )
    if held == wanted:
        raise AlreadySo("The person has these identities already.")
    user = User(
        identities=[
            ObjectIdentity(sign_in_type=one.sign_in_type, issuer=one.issuer, issuer_assigned_id=one.issuer_assigned_id)
            for one in given.identities
        ]
    )
    request = built(graph().users.by_user_id(on.id).to_patch_request_information(user))
    checks = [Check(how="has", property="identities", value=one) for one in wanted]
    checks += [Check(how="lacks", property="identities", value=one) for one in held if one not in wanted]
    return [step("Set the identities", request, reads(f"/users/{on.id}?$select=identities", *checks))]


class Manager(Model):
    """Who."""

    manager_id: Guid
    """Object id of the manager."""


def _earlier_manager(item: Item) -> Call:
    """Who was it before, or nobody."""
    before = item.before.get("managerId")
    if before:
        return Call(action="set-manager", target=item.call.target, parameters={"managerId": before})
    return Call(action="remove-manager", target=item.call.target)


async def _manager(on: Subject) -> str | None:
    found = await on.look.get(f"/users/{on.id}/manager?$select=id", READ)
    manager: str | None = on.noted("managerId", (found or {}).get("id"))
    return manager


@action(
    "set-manager", "Set the manager", "person", risk=Risk.LOW, permissions=(WRITE,), parameters=Manager, undo=_earlier_manager,
    reverse="set-manager",
)  # fmt: skip
async def set_manager(on: Subject, given: Manager) -> list[Step]:
    """The named person becomes the manager."""
    from msgraph.generated.models.reference_update import ReferenceUpdate

    if await _manager(on) == given.manager_id:
        raise AlreadySo("That is the manager already.")
    if given.manager_id == on.id:
        raise Cannot("own-manager", "Nobody is their own manager.", "Name somebody else.")
    manager = await on.look.get(f"/users/{given.manager_id}?$select=id,displayName", READ)
    if manager is None:
        raise Cannot("manager-unknown", "There is nobody with this object id.", "Check managerId.")
    body = ReferenceUpdate(odata_id=on.reference(given.manager_id))
    request = built(graph().users.by_user_id(on.id).manager.ref.to_put_request_information(body))
    proof = reads(f"/users/{on.id}/manager?$select=id", is_("id", given.manager_id))
    return [step(f"Make {manager.get('displayName')} the manager", request, proof)]


@action(
    "remove-manager",
    "Remove the manager",
    "person",
    risk=Risk.LOW,
    permissions=(WRITE,),
    undo=_earlier_manager,
    reverse="set-manager",
)
async def remove_manager(on: Subject, _given: Any) -> list[Step]:
    """The person has no manager afterwards."""
    if await _manager(on) is None:
        raise AlreadySo("There is no manager.")
    request = built(graph().users.by_user_id(on.id).manager.ref.to_delete_request_information())
    return [step("Remove the manager", request, reads(f"/users/{on.id}/manager?$select=id", Check(how="gone")))]


@action(
    "delete-person", "Delete", "person", risk=Risk.SEVERE, permissions=(DELETE,), sensitive=True, takes_access=True,
    undo=lambda item: Call(action="restore-person", target=item.call.target), reverse="restore-person",
    note="It replaces neither disabling nor revoking: do these first. Within 30 days the person can be restored.",
)  # fmt: skip
async def delete_person(on: Subject, _given: Any) -> list[Step]:
    """The person goes to the deleted items, and for good after 30 days."""
    on.noted("userPrincipalName", on.peek("userPrincipalName"))  # somebody renamed is perhaps somebody else
    request = built(graph().users.by_user_id(on.id).to_delete_request_information())
    return [
        step("Delete the person", request, reads(f"/directory/deletedItems/{on.id}", is_("id", on.id), seconds=120))
    ]


@action(
    "restore-person", "Restore", "person", risk=Risk.LOW, permissions=(DELETE,), deleted=True, cloud_only=False,
    undo=lambda item: Call(action="delete-person", target=item.call.target), reverse="delete-person",
    note="Groups and licences come back as Microsoft gives them back: look at them afterwards.",
)  # fmt: skip
async def restore_person(on: Subject, _given: Any) -> list[Step]:
    """Somebody who was deleted within the last 30 days is there again."""
    gone = parse_iso(str(on["deletedDateTime"]))
    name = str(on["userPrincipalName"])
    if on.now - gone > _RESTORABLE:
        raise Cannot(
            "too-late",
            "The person was deleted more than 30 days ago, which nobody can take back.",
            "Create a new account.",
        )
    await _free(on, name.removeprefix(on.id.replace("-", "")))  # Entra puts the id in front of a deleted name
    request = built(graph().directory.deleted_items.by_directory_object_id(on.id).restore.to_post_request_information())
    return [step("Restore the person", request, reads(f"/users/{on.id}?$select=id", is_("id", on.id), seconds=120))]


def _risk_proof(on: Subject, state: str) -> Any:
    return reads(f"/identityProtection/riskyUsers/{on.id}?$select=riskState", is_("riskState", state), seconds=120)


@action(
    "confirm-compromised", "Confirm as compromised", "person", risk=Risk.DISRUPTIVE, permissions=(RISK,), cloud_only=False,
    licence="Microsoft Entra ID P2", undo=lambda item: Call(action="dismiss-risk", target=item.call.target), reverse="dismiss-risk",
)  # fmt: skip
async def confirm_compromised(on: Subject, _given: Any) -> list[Step]:
    """The person's risk becomes high, and the policies that go by it act at once."""
    from msgraph.generated.identity_protection.risky_users.confirm_compromised.confirm_compromised_post_request_body import (
        ConfirmCompromisedPostRequestBody,
    )

    if await _risk(on) == "confirmedCompromised":
        raise AlreadySo("The person counts as compromised already.")
    body = ConfirmCompromisedPostRequestBody(user_ids=[on.id])
    request = built(graph().identity_protection.risky_users.confirm_compromised.to_post_request_information(body))
    return [step("Confirm the person as compromised", request, _risk_proof(on, "confirmedCompromised"))]


@action(
    "dismiss-risk",
    "Dismiss the risk",
    "person",
    risk=Risk.LOW,
    permissions=(RISK,),
    cloud_only=False,
    licence="Microsoft Entra ID P2",
)
async def dismiss_risk(on: Subject, _given: Any) -> list[Step]:
    """What Microsoft found counts no more."""
    from msgraph.generated.identity_protection.risky_users.dismiss.dismiss_post_request_body import (
        DismissPostRequestBody,
    )

    state = await _risk(on)
    if state is None:
        raise Cannot("no-risk", "Identity Protection knows of no risk of this person.", "Nothing needs to be done.")
    if state == "dismissed":
        raise AlreadySo("The risk is dismissed already.")
    request = built(
        graph().identity_protection.risky_users.dismiss.to_post_request_information(
            DismissPostRequestBody(user_ids=[on.id])
        )
    )
    return [step("Dismiss the person's risk", request, _risk_proof(on, "dismissed"))]


async def _risk(on: Subject) -> str | None:
    found = await on.look.get(f"/identityProtection/riskyUsers/{on.id}?$select=id,riskState", RISK.name)
    state: str | None = on.noted("riskState", (found or {}).get("riskState"))
    return state
