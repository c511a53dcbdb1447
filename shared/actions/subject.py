"""The target of an action, looked at with the action credential. What an action asks of it is what its plan rests on."""

from datetime import datetime
from typing import Any

from shared.actions.catalogue import Cannot
from shared.domain.plan import Check, Proof, Request, Step
from shared.graph.answers import Denied, Missing
from shared.graph.client import GraphClient

_MOST_PAGES = 20
PERSON = (
    "id,displayName,userPrincipalName,accountEnabled,userType,onPremisesSyncEnabled,onPremisesLastSyncDateTime,usageLocation,"
    "licenseAssignmentStates,assignedLicenses,signInSessionsValidFromDateTime,lastPasswordChangeDateTime,mail,mailNickname,"
    "givenName,surname,jobTitle,department,companyName,officeLocation,businessPhones,mobilePhone,faxNumber,otherMails,"
    "streetAddress,city,state,postalCode,country,preferredLanguage,employeeId,employeeType,employeeHireDate,identities"
)
DEVICE = "id,displayName,deviceId,accountEnabled,operatingSystem,trustType,onPremisesSyncEnabled"


class Look:
    """Live reads, each at most once."""

    def __init__(self, client: GraphClient) -> None:
        self.client = client
        self._read: dict[str, Any] = {}

    async def get(self, path: str, permission: str) -> dict[str, Any] | None:
        """An object; None where Graph has none. Raises Cannot where it may not be read."""
        if path not in self._read:
            try:
                self._read[path] = await self.client.get_json(path, permission)
            except Missing:
                self._read[path] = None
            except Denied as denied:
                raise _unreadable(denied) from denied
        found: dict[str, Any] | None = self._read[path]
        return found

    async def all(self, path: str, permission: str) -> list[dict[str, Any]]:
        """Every object of a list."""
        found: list[dict[str, Any]] = []
        following: str | None = path
        for _ in range(_MOST_PAGES):
            page = await self.get(following, permission) if following else None
            if page is None:
                break
            found += page.get("value") or []
            following = page.get("@odata.nextLink")
        if following:
            raise Cannot(
                "too-long", f"The list {path.partition('?')[0]} is longer than a plan looks at.", "Do it in the portal."
            )
        return found


def _unreadable(denied: Denied) -> Cannot:
    code = "licence-missing" if denied.reason == "licence" else "permission-missing"
    return Cannot(code, f"{denied.detail} Without it the plan can't be made.", denied.remedy)


class Subject:
    """`facts`: what Graph says of it now. Reading one by its name makes it part of the plan; `peek` does not."""

    def __init__(self, look: Look, object_id: str, facts: dict[str, Any], now: datetime) -> None:
        self.look, self.id, self.facts, self.now = look, object_id, facts, now
        self.before: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        value = self.facts.get(name)
        self.before[name] = value
        return value

    def peek(self, name: str) -> Any:
        return self.facts.get(name)

    @property
    def name(self) -> str:
        return str(self.facts.get("displayName") or self.facts.get("userPrincipalName") or self.id)

    def noted(self, name: str, value: Any) -> Any:
        """Something that was looked up beside it becomes part of the plan."""
        self.before[name] = value
        return value

    def reference(self, object_id: str) -> str:
        """How a request body names another object."""
        return f"{self.look.client.base_url}/directoryObjects/{object_id}"


def step(what: str, request: Request, proof: Proof, *, shows: str = "") -> Step:
    return Step(what=what, request=request, proof=proof, shows=shows)


def reads(path: str, *checks: Check, seconds: int = 30) -> Proof:
    """A proof by reading an object back."""
    return Proof(path=path, checks=list(checks), budget_seconds=seconds)


def answered() -> Proof:
    """Graph's own answer is all there is."""
    return Proof()


def is_(name: str, value: Any) -> Check:
    return Check(how="is", property=name, value=value)


def differs(name: str, before: Any) -> Check:
    return Check(how="differs", property=name, value=before)


def has(name: str, **entry: Any) -> Check:
    return Check(how="has", property=name, value=entry)


def lacks(name: str, **entry: Any) -> Check:
    return Check(how="lacks", property=name, value=entry)
