"""Makes plans: looks at a target as it is now, and says what would be sent, what keeps it from being sent, and what to know
before. Nothing is changed by it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from shared.actions.book import ACTIONS
from shared.actions.catalogue import (
    GLOBAL_ADMINISTRATOR,
    PRIVILEGED_AUTHENTICATION,
    Action,
    Cannot,
    Role,
    TargetKind,
)
from shared.actions.credential import Acting
from shared.actions.subject import DEVICE, PERSON, Look, Subject
from shared.clock import Clock
from shared.domain.clouds import CloudName
from shared.domain.document import Document
from shared.domain.plan import Call, Item, Risk, State
from shared.domain.reason import Reason
from shared.domain.run import Waits
from shared.graph.client import GraphClient
from shared.graph.credentials import Claims, claims_of
from shared.validation import field_errors

READS = {"person": "User.Read.All", "device": "Device.Read.All"}
_DIRECTORY = "Directory.Read.All"
Clients = Callable[[Document, CloudName, str, Waits], GraphClient]


@dataclass(frozen=True)
class Tenant:
    """A tenant, signed in to with the credential that acts there."""

    client: GraphClient
    claims: Claims
    acting: Acting


@asynccontextmanager
async def signed_in(graph: Clients, acting: Acting, budget: Callable[[], float]) -> AsyncIterator[Tenant]:
    """Raises SourceProblem where the credential can't sign in."""
    settings = acting.settings
    client = await asyncio.to_thread(graph, acting.credential, settings.cloud, settings.tenant_id, Waits())
    client.budget = budget
    try:
        yield Tenant(client, claims_of(await client.token()), acting)
    finally:
        await client.close()


class Planner:
    """`outside`: why the copy leaves an object out, by source and object id; empty where it does not."""

    def __init__(self, outside: Callable[[str, str], str], clock: Clock) -> None:
        self._outside, self._clock = outside, clock

    async def item(self, tenant: Tenant, number: int, call: Call, author: str, *, now: bool = False) -> Item:
        """One action on one target, planned or with the reasons why not. `now`: its turn has come. Raises SourceProblem where Graph
        can't be asked.
        """
        if call.waits_for:
            waits = Reason(code="waits", message=call.waits_for, remedy="Say so once it is done.")
            return self._finished(
                Item(number=number, call=call, title=call.waits_for, state=State.HELD, reasons=[waits])
            )
        action = ACTIONS[call.action]
        item = Item(number=number, call=call, title=action.title, reversible=action.undo is not None)
        if call.at_its_turn and not now:
            item.state, item.warnings = State.PLANNED, [_AT_ITS_TURN]
            return self._finished(item)
        subject: Subject | None = None
        try:
            given = checked(action, call.parameters)
            permitted(action, given, tenant.claims)
            subject = await self.subject(Look(tenant.client), action.target, call.target, deleted=action.deleted)
            item.target_name = subject.name
            await self._guard(tenant, action, subject, author, item)
            assert action.plan
            item.steps = await action.plan(subject, given)
            item.state = State.PLANNED
        except Cannot as stands:
            item.state, item.reasons = State.REFUSED, [stands.reason]
        item.before = subject.before if subject else {}
        if action.risk is Risk.SEVERE:
            item.flags.append("severe")
        return self._finished(item)

    @staticmethod
    def _finished(item: Item) -> Item:
        item.digest = item.made()
        return item

    async def subject(
        self, look: Look, kind: TargetKind, target: str, *, deleted: bool = False, or_deleted: bool = False
    ) -> Subject:
        """The target as it is now. Raises Cannot where it is not there."""
        now = self._clock.now()
        if kind == "source":
            return Subject(look, "", {"displayName": "the tenant"}, now)
        if deleted:
            facts = await look.get(f"/directory/deletedItems/{target}", READS["person"])
        elif kind == "device":
            facts = await look.get(f"/devices/{target}?$select={DEVICE}", READS["device"])
        else:
            facts = await look.get(f"/users/{target}?$select={PERSON}", READS["person"])
        if facts is None and or_deleted:
            return await self.subject(look, kind, target, deleted=True)
        if facts is None:
            where = "among the deleted people" if deleted else "in the tenant"
            raise Cannot("target-gone", f"There is no such {kind} {where}.", "Check the object id.")
        return Subject(look, target, facts, now)

    async def _guard(self, tenant: Tenant, action: Action, on: Subject, author: str, item: Item) -> None:
        """Raises Cannot for what must not be done; adds what to know."""
        if action.cloud_only and action.target != "source" and on["onPremisesSyncEnabled"]:
            raise Cannot(
                "on-premises", "The object is mastered in Active Directory: the next synchronization would set it back, or Microsoft "
                "Graph refuses the change.", "Change it in Active Directory.",
            )  # fmt: skip
        if action.target == "person" and not action.deleted:
            if on.peek("onPremisesLastSyncDateTime") and not on.peek("onPremisesSyncEnabled"):
                item.warnings.append(_ONCE_SYNCED)
            await self._guard_person(tenant, action, on, author, item)
        missing = _not_shown(action.roles, tenant.claims)
        if missing:
            item.warnings.append(missing)

    async def _guard_person(self, tenant: Tenant, action: Action, on: Subject, author: str, item: Item) -> None:
        if action.takes_access and on.id == author:
            raise Cannot("self", "You would lock yourself out.", "Ask a colleague to do it.")
        source = tenant.acting.source.id
        if await asyncio.to_thread(self._outside, source, on.id) == "excluded-group":
            item.flags.append("service-account")
            item.warnings.append(_SERVICE_ACCOUNT)
        try:
            path = f"/users/{on.id}/memberOf/microsoft.graph.directoryRole?$select=id,displayName,roleTemplateId"
            roles = await on.look.all(path, _DIRECTORY)
        except Cannot:
            item.warnings.append(_ROLES_UNKNOWN)
            return
        if not roles:
            return
        item.flags.append("administrator")
        on.noted("roles", sorted(str(one.get("displayName")) for one in roles))
        named = ", ".join(sorted(str(one.get("displayName")) for one in roles))
        item.warnings.append(
            Reason(code="administrator", message=f"The person is an administrator: {named}.", remedy="Make sure that it is meant.")
        )  # fmt: skip
        if action.sensitive and (
            missing := _not_shown((PRIVILEGED_AUTHENTICATION, GLOBAL_ADMINISTRATOR), tenant.claims)
        ):
            item.warnings.append(missing)
        if action.takes_access:
            await self._last_administrator(on, roles, item)

    async def _last_administrator(self, on: Subject, roles: list[dict[str, Any]], item: Item) -> None:
        role = next((one for one in roles if one.get("roleTemplateId") == GLOBAL_ADMINISTRATOR.template), None)
        if role is None:
            return
        try:
            members = await on.look.all(f"/directoryRoles/{role['id']}/members", "RoleManagement.Read.Directory")
        except Cannot:
            item.warnings.append(_LAST_UNKNOWN)
            return
        others = [one for one in members if one.get("id") != on.id and one.get("accountEnabled") is not False]
        if not others:
            raise Cannot(
                "last-administrator", "The person is the last Global Administrator who can sign in.",
                "Give the role to somebody else first.",
            )  # fmt: skip


def checked(action: Action, parameters: dict[str, Any]) -> Any:
    """The parameters. Raises Cannot that names what is wrong."""
    try:
        return action.given(parameters)
    except ValidationError as error:
        said = "; ".join(f"{one.field} {one.message}" for one in field_errors(error))
        raise Cannot("parameters", f"The parameters are not valid: {said}.", "Correct them.") from error


def permitted(action: Action, given: Any, claims: Claims) -> None:
    """Raises Cannot where the token has not what Microsoft asks for."""
    missing = [one.name for one in action.permissions(given) if not one.granted(claims.roles)]
    if missing:
        raise Cannot(
            "permission-missing", f"The action credential has not the application permission {' and '.join(missing)}.",
            "Add it to the app registration of the action credential and grant admin consent.",
        )  # fmt: skip


def _not_shown(roles: tuple[Role, ...], claims: Claims) -> Reason | None:
    """A role that the token does not show may be there all the same: Microsoft Graph decides."""
    if not roles or any(role.template in claims.directory_roles for role in (*roles, GLOBAL_ADMINISTRATOR)):
        return None
    named = " or ".join(role.title for role in roles)
    return Reason(
        code="role-not-shown", message=f"The application needs the role {named}, which its token does not show.",
        remedy="Assign the role to the app's service principal in Microsoft Entra; Microsoft Graph refuses the request without it.",
    )  # fmt: skip


_AT_ITS_TURN = Reason(
    code="at-its-turn", message="This is planned when its turn comes: the person has to be restored first.",
    remedy="Nothing needs to be done; it stops for a person where it can't be done then.",
)  # fmt: skip
_ONCE_SYNCED = Reason(
    code="once-synced", message="The account was synchronized from Active Directory once: Microsoft Graph may refuse some attributes.",
    remedy="Nothing needs to be done; a refusal changes nothing.",
)  # fmt: skip
_SERVICE_ACCOUNT = Reason(
    code="service-account", message="The account is in one of the source's groups of service accounts.",
    remedy="Make sure that nothing signs in with it any more.",
)  # fmt: skip
_ROLES_UNKNOWN = Reason(
    code="roles-unknown", message="Whether the person is an administrator is not known: the directory roles may not be read.",
    remedy="Grant Directory.Read.All to the action credential to have it looked at. Microsoft Graph protects administrators by itself.",
)  # fmt: skip
_LAST_UNKNOWN = Reason(
    code="last-administrator-unknown", message="Whether the person is the last Global Administrator is not known.",
    remedy="Look at the role's members first, or grant RoleManagement.Read.Directory to the action credential.",
)  # fmt: skip
