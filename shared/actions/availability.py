"""What can be done to somebody, and why something can't: by the action credential's token and what the copy knows."""

import asyncio
from collections.abc import Callable
from typing import Any

from shared.actions.book import ACTIONS, QUERIES
from shared.actions.catalogue import Action, Cannot
from shared.actions.credential import Acting, Credentials
from shared.actions.planner import Clients, permitted, signed_in
from shared.domain.offers import Available, CredentialCheck, Offer, PermissionVerdict
from shared.domain.reason import Reason
from shared.errors import Conflict, SourceProblem
from shared.graph.answers import Postponed
from shared.graph.credentials import Claims

_NO_DIFFERENCE = {
    "Directory.AccessAsUser.All": "It lets an application act as somebody who is signed in. For an application by itself it has no effect: remove it.",
    "Directory.ReadWrite.All": "It is far wider than needed, and allows neither to reset a password nor to delete a person. Grant the narrow permissions instead.",
    "User.ReadWrite.All": "It is needed for profiles, managers and reprocessing licences; it does not allow to reset a password. For all else there are narrower ones.",
    "User.ManageIdentities.All": "It is needed for change-identities only.",
}  # fmt: skip


class Availability:
    """`known`: what the copy says of an object, by source, kind and object id: the values of its record."""

    def __init__(
        self, credentials: Credentials, graph: Clients, known: Callable[[str, str, str], dict[str, Any]]
    ) -> None:
        self._credentials, self._graph, self._known = credentials, graph, known

    def of(self, source: str, kind: str, object_id: str) -> Available:
        self._credentials.source(source)
        known = self._known(source, kind, object_id)
        try:
            acting = self._credentials.acting(source)
            claims = self._claims(acting)
        except (Conflict, SourceProblem) as problem:
            off = Reason.of(problem)
            return Available(through=None, actions=_offers(kind, None, known, off), queries=_queries(kind, None, off))
        return Available(through=acting.through, actions=_offers(kind, claims, known), queries=_queries(kind, claims))

    def check(self, source: str) -> CredentialCheck:
        acting = self._credentials.acting(source)
        try:
            claims = self._claims(acting)
        except SourceProblem as problem:
            raise Conflict(problem.detail, code=problem.code, remedy=problem.remedy) from problem
        kinds = ("person", "device", "source")
        judged = [
            PermissionVerdict(permission=name, granted=name in claims.roles, verdict=verdict)
            for name, verdict in _NO_DIFFERENCE.items()
        ]
        return CredentialCheck(
            through=acting.through, application_id=claims.application_id, permissions=sorted(claims.roles),
            directory_roles=sorted(claims.directory_roles), judged=judged, warnings=self._warnings(acting, claims),
            actions=[one for kind in kinds for one in _offers(kind, claims, {})],
            queries=[one for kind in kinds for one in _queries(kind, claims)],
        )  # fmt: skip

    def _claims(self, acting: Acting) -> Claims:
        async def ask() -> Claims:
            async with signed_in(self._graph, acting, lambda: 5.0) as tenant:
                return tenant.claims

        try:
            return asyncio.run(ask())
        except Postponed as problem:
            raise SourceProblem(
                "Entra is busy.", code="sign-in-unreachable", remedy="Try again in a minute.", transient=True
            ) from problem

    def _warnings(self, acting: Acting, claims: Claims) -> list[Reason]:
        """Whether what reads the tenant could change it, too."""
        reading = self._credentials.reading(acting)
        if reading is None:
            return []
        try:
            reads = self._claims(reading)
        except SourceProblem:
            return []
        if reads.application_id == claims.application_id:
            return [_ACTS_AS_READER]
        wide = sorted(one for one in reads.roles if "ReadWrite" in one or one in _NARROW_WRITES)
        if not wide:
            return []
        return [
            Reason(code="reader-can-write", message=f"The token that reads the tenant could change it, too: {', '.join(wide)}.",
                   remedy="Remove these permissions from the app registration of the reading credential.")
        ]  # fmt: skip


_ACTS_AS_READER = Reason(
    code="acts-as-reader", message="The application that reads the tenant acts in it, too.",
    remedy="Register a second application for people actions.",
)  # fmt: skip
_NARROW_WRITES = (
    "User.EnableDisableAccount.All", "User.RevokeSessions.All", "User.DeleteRestore.All", "User.ManageIdentities.All", "User.Invite.All",
    "DeviceManagementManagedDevices.PrivilegedOperations.All",
)  # fmt: skip


def _offers(kind: str, claims: Claims | None, known: dict[str, Any], off: Reason | None = None) -> list[Offer]:
    found = []
    for name in sorted(ACTIONS):
        action = ACTIONS[name]
        if action.target == kind:
            reasons = [off] if off else _reasons(action, claims, known)
            found.append(Offer(name=name, title=action.title, available=not reasons, reasons=reasons, risk=action.risk))
    return found


def _reasons(action: Action, claims: Claims | None, known: dict[str, Any]) -> list[Reason]:
    reasons = []
    try:
        if claims:
            permitted(action, action.parameters.model_construct(), claims)
    except Cannot as stands:
        reasons.append(stands.reason)
    if action.cloud_only and known.get("onPremisesSynced"):
        reasons.append(
            Reason(code="on-premises", message="The object is mastered in Active Directory, as far as the copy knows.", remedy="Change it there.")
        )  # fmt: skip
    enabled = known.get("enabled")
    if enabled is not None and action.name in _SWITCHES and _SWITCHES[action.name] is enabled:
        reasons.append(
            Reason(
                code="already-so",
                message="It is so already, as far as the copy knows.",
                remedy="Nothing needs to be done.",
            )
        )
    if action.deleted and known:
        reasons.append(
            Reason(
                code="not-deleted",
                message="The person is not deleted, as far as the copy knows.",
                remedy="Nothing needs to be done.",
            )
        )
    return reasons


_SWITCHES = {"disable-sign-in": False, "enable-sign-in": True, "disable-device": False, "enable-device": True}


def _queries(kind: str, claims: Claims | None, off: Reason | None = None) -> list[Offer]:
    found = []
    for name in sorted(QUERIES):
        query = QUERIES[name]
        if query.target != kind:
            continue
        reasons = [off] if off else []
        if claims and not query.permission.granted(claims.roles):
            reasons.append(
                Reason(code="permission-missing", message=f"The action credential has not the application permission {query.permission.name}.",
                       remedy="Add it to its app registration and grant admin consent.")
            )  # fmt: skip
        found.append(Offer(name=name, title=query.title, available=not reasons, reasons=reasons))
    return found
