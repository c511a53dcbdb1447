"""What is done to a tenant rather than to somebody in it."""

from typing import Annotated, Any

from pydantic import StringConstraints

from shared.actions.catalogue import AlreadySo, action
from shared.actions.requests import built, graph
from shared.actions.subject import Subject, is_, reads, step
from shared.connectors.base import Permission
from shared.domain.base import Model
from shared.domain.plan import Risk, Step

INVITE = Permission("User.Invite.All", ("User.ReadWrite.All", "Directory.ReadWrite.All"))
SETTINGS = Permission("ReportSettings.ReadWrite.All")


class Invitation(Model):
    """Who is invited."""

    mail: Annotated[str, StringConstraints(pattern=r"^[^\s@]{1,64}@[^\s@]{1,190}$")]
    """The mail address."""
    display_name: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    """The name that the guest is listed under."""
    redirect_url: Annotated[str, StringConstraints(pattern=r"^https://[^\s]{1,1000}$")] = "https://myapps.microsoft.com"
    """Where the guest goes after accepting."""
    send_message: bool = True
    """Microsoft sends the invitation by mail."""


@action(
    "invite-guest", "Invite a guest", "source", risk=Risk.LOW, permissions=(INVITE,), parameters=Invitation, same_again=False,
    note="It is taken back by deleting the guest.",
)  # fmt: skip
async def invite_guest(on: Subject, given: Invitation) -> list[Step]:
    """Somebody of another organisation gets a guest account, and an invitation."""
    from msgraph.generated.models.invitation import Invitation as Asked

    on.noted("mail", given.mail)
    body = Asked(
        invited_user_email_address=given.mail, invite_redirect_url=given.redirect_url,
        send_invitation_message=given.send_message, invited_user_display_name=given.display_name,
    )  # fmt: skip
    request = built(graph().invitations.to_post_request_information(body))
    proof = reads("/users/{answer:invitedUser.id}?$select=id", seconds=120)  # that it is there is enough
    return [step(f"Invite {given.mail}", request, proof)]


@action("reveal-report-names", "Show names in usage reports", "source", risk=Risk.LOW, permissions=(SETTINGS,))
async def reveal_report_names(on: Subject, _given: Any) -> list[Step]:
    """Microsoft's usage reports name people again, everywhere in the tenant. Reports show it after some hours."""
    from msgraph.generated.models.admin_report_settings import AdminReportSettings

    found = await on.look.get("/admin/reportSettings", "ReportSettings.Read.All")
    if on.noted("displayConcealedNames", (found or {}).get("displayConcealedNames")) is False:
        raise AlreadySo("Reports show names already.")
    body = AdminReportSettings(display_concealed_names=False)
    request = built(graph().admin.report_settings.to_patch_request_information(body))
    return [step("Show names in reports", request, reads("/admin/reportSettings", is_("displayConcealedNames", False)))]
