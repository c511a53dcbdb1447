"""What a person signs in with: passwords, authentication methods, temporary access passes."""

from typing import Annotated, Any
from urllib.parse import quote

from pydantic import Field

from shared.actions.catalogue import USER_ADMINISTRATOR, Cannot, action
from shared.actions.requests import PASSWORD, built, graph
from shared.actions.subject import Subject, differs, has, lacks, reads, step
from shared.connectors.base import Permission
from shared.domain.base import Model
from shared.domain.plan import Risk, Step

PASSWORDS = Permission("User-PasswordProfile.ReadWrite.All")
METHODS = Permission("UserAuthenticationMethod.ReadWrite.All")
PASSES = Permission("UserAuthMethod-TAP.ReadWrite.All", ("UserAuthenticationMethod.ReadWrite.All",))
_PASS = "#microsoft.graph.temporaryAccessPassAuthenticationMethod"  # noqa: S105 - the name of a type


class NewPassword(Model):
    """How the new password is made, and what follows."""

    given: bool = False
    """The caller sends the password when the plan is submitted. Otherwise Rollcall makes one and shows it once."""
    force_change: bool = True
    """The person has to choose another one at the next sign-in. It is always said to Microsoft Graph, which forces it where
    nothing is said."""
    with_mfa: bool = False
    """That change asks for multifactor authentication."""


@action(
    "reset-password", "Reset the password", "person", risk=Risk.DISRUPTIVE, permissions=(PASSWORDS,), parameters=NewPassword,
    same_again=False, sensitive=True, takes_access=True, roles=(USER_ADMINISTRATOR,),
    note="The password can't be taken back. Sessions that are open go on until they are revoked.",
)  # fmt: skip
async def reset_password(on: Subject, given: NewPassword) -> list[Step]:
    """The account gets a new password, which is shown once and kept nowhere."""
    from msgraph.generated.models.password_profile import PasswordProfile
    from msgraph.generated.models.user import User

    if given.with_mfa and not given.force_change:
        raise Cannot("contradiction", "withMfa goes with forceChange only.", "Set forceChange, or leave withMfa out.")
    if "#ext#" in str(on.peek("userPrincipalName")).lower():
        raise Cannot(
            "no-password-here", "The person signs in with an account of another organisation, whose password is not this tenant's.",
            "Disable the sign-in and revoke the sessions.",
        )  # fmt: skip
    profile = PasswordProfile(
        password=PASSWORD,
        force_change_password_next_sign_in=given.force_change,
        force_change_password_next_sign_in_with_mfa=given.with_mfa,
    )
    request = built(graph().users.by_user_id(on.id).to_patch_request_information(User(password_profile=profile)))
    path = f"/users/{on.id}?$select=lastPasswordChangeDateTime"
    proof = reads(path, differs("lastPasswordChangeDateTime", on["lastPasswordChangeDateTime"]))
    return [step("Set a new password", request, proof)]


_KINDS = {
    "phone": "phone_methods", "microsoftAuthenticator": "microsoft_authenticator_methods", "softwareOath": "software_oath_methods",
    "fido2": "fido2_methods", "email": "email_methods", "windowsHelloForBusiness": "windows_hello_for_business_methods",
    "platformCredential": "platform_credential_methods", "external": "external_authentication_methods",
    "temporaryAccessPass": "temporary_access_pass_methods",
}  # fmt: skip
"""Kinds of methods, and where msgraph-sdk has them."""
_LIKELY = ("phone", "microsoftAuthenticator")
"""The default is one of these as a rule, the later the likelier. Microsoft Graph does not delete it while there are others."""
_DEFAULTS = {
    "sms": "phone", "voiceMobile": "phone", "voiceAlternateMobile": "phone", "voiceOffice": "phone",
    "push": "microsoftAuthenticator", "oath": "softwareOath",
}  # fmt: skip
"""What the registration report calls a default method."""
_REGISTERED = (
    "id,isSystemPreferredAuthenticationMethodEnabled,systemPreferredAuthenticationMethods,"
    "userPreferredMethodForSecondaryAuthentication"
)


def kind_of(method: dict[str, Any]) -> str:
    """phone, fido2, password, ..."""
    return str(method.get("@odata.type", "")).removeprefix("#microsoft.graph.").removesuffix("AuthenticationMethod")


@action(
    "require-mfa-registration", "Require a new registration of authentication methods", "person", risk=Risk.DISRUPTIVE,
    permissions=(METHODS,), same_again=False, sensitive=True, cloud_only=False,
    note="Microsoft Graph has no such request: the methods are deleted one by one. They can't be put back.",
)  # fmt: skip
async def require_mfa_registration(on: Subject, _given: Any) -> list[Step]:
    """All methods but the password go, each with a result of its own; at the next sign-in the person registers anew."""
    methods = await on.look.all(f"/users/{on.id}/authentication/methods", METHODS.name)
    last = [*_LIKELY, await _default(on)]
    found = [(kind_of(one), str(one.get("id"))) for one in methods if kind_of(one) in _KINDS]
    found.sort(key=lambda one: (max((place for place, kind in enumerate(last) if kind == one[0]), default=-1), one))
    on.noted("methods", [f"{kind} {method}" for kind, method in found])
    if not found:
        raise Cannot("no-methods", "There is no method but the password.", "Nothing needs to be done.")
    authentication = graph().users.by_user_id(on.id).authentication
    steps = []
    for kind, method in found:
        collection = getattr(authentication, _KINDS[kind])
        by = next(name for name in dir(collection) if name.startswith("by_"))
        request = built(getattr(collection, by)(method).to_delete_request_information())
        proof = reads(f"/users/{on.id}/authentication/methods", lacks("value", id=method), seconds=120)
        steps.append(step(f"Remove the method {kind}", request, proof))
    return steps


async def _default(on: Subject) -> str:
    """The kind of the default method, as the registration report knows it; empty where it may not be read, or does not say."""
    name = quote(str(on.peek("userPrincipalName")).replace("'", "''"), safe="@'")
    path = f"/reports/authenticationMethods/userRegistrationDetails?$filter=userPrincipalName eq '{name}'&$select={_REGISTERED}"
    try:
        rows = await on.look.all(path, "AuditLog.Read.All")
    except Cannot:
        return ""
    found: dict[str, Any] = next((one for one in rows if one.get("id") == on.id), {})
    system = found.get("systemPreferredAuthenticationMethods") or []
    chosen = found.get("userPreferredMethodForSecondaryAuthentication")
    if found.get("isSystemPreferredAuthenticationMethodEnabled") and system:
        chosen = system[0]
    return _DEFAULTS.get(str(chosen), "")


class Pass(Model):
    """What the pass is good for."""

    lifetime_in_minutes: Annotated[int, Field(ge=10, le=43200)] = 60
    """10 minutes to 30 days; the tenant's policy may allow less."""
    usable_once: bool = True
    """It can be used once only."""


@action(
    "temporary-access-pass", "Give a temporary access pass", "person", risk=Risk.DISRUPTIVE, permissions=(PASSES,), parameters=Pass,
    same_again=False, sensitive=True, cloud_only=False, shown_once=True,
    note="A pass that is there already is replaced. The tenant's authentication methods policy has to allow passes.",
)  # fmt: skip
async def temporary_access_pass(on: Subject, given: Pass) -> list[Step]:
    """A code to sign in with instead of the password, for some time. It is shown once and kept nowhere."""
    from msgraph.generated.models.temporary_access_pass_authentication_method import (
        TemporaryAccessPassAuthenticationMethod,
    )

    methods = await on.look.all(f"/users/{on.id}/authentication/methods", METHODS.name)
    held = on.noted("passes", [str(one.get("id")) for one in methods if one.get("@odata.type") == _PASS])
    body = TemporaryAccessPassAuthenticationMethod(
        lifetime_in_minutes=given.lifetime_in_minutes, is_usable_once=given.usable_once
    )
    builder = graph().users.by_user_id(on.id).authentication.temporary_access_pass_methods
    checks = [has("value", **{"@odata.type": _PASS}), *(lacks("value", id=one) for one in held)]
    proof = reads(f"/users/{on.id}/authentication/methods", *checks, seconds=120)
    request = built(builder.to_post_request_information(body))
    return [step("Make a temporary access pass", request, proof, shows="temporaryAccessPass")]
