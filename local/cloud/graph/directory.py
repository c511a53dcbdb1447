"""The tenant as it is now: the seed's objects, what was changed since, and a log of changes for delta."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.cloud.graph import licences
from local.cloud.graph.people import DOMAIN, EPOCH, KINDS, SECOND_DOMAIN, Maker, stamp
from local.cloud.graph.reports import Reports

_DELETED_AT_START = 5


class Directory:
    def __init__(self, tenant_id: str, seed: int, people: int, devices: int, store: Path | None = None) -> None:
        self.tenant_id, self.maker = tenant_id, Maker(seed, people, devices)
        self.premium = True
        self.reports = Reports(self._everybody, lambda: datetime.now(UTC).date())
        self._store = store
        self._changed: dict[str, dict[int, dict[str, Any]]] = {kind: {} for kind in KINDS}
        self._gone: dict[str, dict[int, str]] = {kind: {} for kind in KINDS}  # index -> deletedDateTime
        self._purged: set[tuple[str, int]] = set()
        self._hired = 0
        self._members: dict[int, list[int]] = {}
        self._counted: tuple[tuple[int, int], Counter[str]] | None = None
        # (kind, index, whether relations changed or the object came anew), in order; a delta token is a position in it
        self.log: list[tuple[str, int, bool]] = []
        if store and store.exists():
            self._load(json.loads(store.read_text()))

    def _load(self, saved: dict[str, Any]) -> None:
        for kind in KINDS:
            self._changed[kind] = {int(i): change for i, change in saved["changed"].get(kind, {}).items()}
            self._gone[kind] = {int(i): at for i, at in saved["gone"].get(kind, {}).items()}
        self._members = {int(group): people for group, people in saved.get("members", {}).items()}
        self._purged = {(kind, index) for kind, index in saved["purged"]}
        self._hired, self.log = saved["hired"], [(kind, index, links) for kind, index, links in saved["log"]]

    def touched(self, kind: str, since: int) -> dict[int, bool]:
        """Indexes that the log names from there on, and whether their relations changed."""
        found: dict[int, bool] = {}
        for logged, index, links in self.log[since:]:
            if logged == kind:
                found[index] = found.get(index, False) or links
        return found

    def save(self) -> None:
        if self._store:
            state = {
                "changed": self._changed, "gone": self._gone, "purged": sorted(self._purged), "hired": self._hired, "log": self.log,
                "members": self._members,
            }  # fmt: skip
            self._store.write_text(json.dumps(state))

    def size(self, kind: str) -> int:
        """How many indexes there are, the gone ones included."""
        return KINDS[kind].size(self.maker) + (self._hired if kind == "users" else 0)

    def count(self, kind: str) -> int:
        return self.size(kind) - len(self._gone[kind])

    def get(self, kind: str, index: int) -> dict[str, Any] | None:
        """The object, or None where it is gone or never was."""
        if not 0 <= index < self.size(kind) or index in self._gone[kind]:
            return None
        return self._make(kind, index)

    def _make(self, kind: str, index: int) -> dict[str, Any]:
        made = KINDS[kind].make(self.maker, index)
        made.update(self._changed[kind].get(index, {}))
        return made

    def index_of(self, kind: str, object_id: str) -> int | None:
        index = self.maker.index_of(KINDS[kind].singular, object_id)
        return index if index is not None and index < self.size(kind) else None

    def slice(self, kind: str, start: int, count: int) -> tuple[list[int], int | None]:
        """Up to `count` indexes from `start` on, and where the next page starts."""
        gone, size = self._gone[kind], self.size(kind)
        found: list[int] = []
        index = start
        while index < size and len(found) < count:
            if index not in gone:
                found.append(index)
            index += 1
        return found, index if any(i not in gone for i in range(index, min(size, index + len(gone) + 1))) else None

    def manager_of(self, index: int) -> str | None:
        changed = self._changed["users"].get(index, {})
        manager = changed["_manager"] if "_manager" in changed else self.maker.manager_of(index)
        if manager is None:
            return None
        at = self.maker.index_of("user", manager)
        return None if at is not None and ("users", at) in self._purged else manager

    def members(self, group: int, *, nested: bool) -> Iterator[int]:
        """Indexes of the people in a group, each once; those of nested groups too."""
        seen: set[int] = set()
        todo, done = [group], set()
        while todo:
            current = todo.pop()
            if current in done:
                continue
            done.add(current)
            people, groups = self.direct_members(current)
            for person in people:
                if person not in seen and person not in self._gone["users"]:
                    seen.add(person)
                    yield person
            if nested:
                todo += groups

    def deleted_users(self) -> list[dict[str, Any]]:
        """Soft-deleted people: some from the start, and everybody who left and was not purged."""
        early = [self._early(number) for number in range(_DELETED_AT_START)]
        late = [self._deleted(index) for index in self._gone["users"]]
        return early + [user for user in late if user]

    def _deleted(self, index: int) -> dict[str, Any] | None:
        at = self._gone["users"].get(index)
        if at is None or ("users", index) in self._purged:
            return None
        return {**self._make("users", index), "deletedDateTime": at}

    def deleted_user(self, object_id: str) -> dict[str, Any] | None:
        """One of the soft-deleted people."""
        index = self.index_of("users", object_id)
        if index is not None:
            return self._deleted(index)
        number = self.maker.index_of("deleted", object_id)
        return self._early(number) if number is not None and number < _DELETED_AT_START else None

    def _early(self, number: int) -> dict[str, Any]:
        return {**self.maker.person(number, "deleted"), "deletedDateTime": "2026-10-20T08:00:00Z"}

    def purged(self, kind: str, index: int) -> bool:
        return (kind, index) in self._purged

    def hire(self, count: int) -> list[str]:
        first = self.size("users")
        self._hired += count
        for index in range(first, first + count):
            self._changed["users"][index] = {"createdDateTime": stamp(datetime.now(UTC)), "signInActivity": None}
            self.log.append(("users", index, True))
        return [self.maker.object_id("user", index) for index in range(first, first + count)]

    def leave(self, kind: str, indexes: list[int], *, purge: bool = False) -> None:
        at = stamp(datetime.now(UTC))
        for index in indexes:
            self._gone[kind].setdefault(index, at)
            if purge:
                self._purged.add((kind, index))
            self.log.append((kind, index, False))

    def restore(self, kind: str, indexes: list[int]) -> None:
        for index in indexes:
            if (kind, index) not in self._purged and index in self._gone[kind]:
                del self._gone[kind][index]
                self.log.append((kind, index, True))

    def change(self, kind: str, index: int, properties: dict[str, Any]) -> None:
        """`_manager` sets the manager's id, None takes it away. A sign-in alone is nothing that delta reports."""
        self._changed[kind].setdefault(index, {}).update(properties)
        if set(properties) != {"signInActivity"}:
            self.log.append((kind, index, "_manager" in properties))

    def set_members(self, group: int, people: list[int]) -> None:
        """Gives a group other direct members."""
        self._members[group] = people
        self.log.append(("groups", group, True))

    def direct_members(self, group: int) -> tuple[list[int], list[int]]:
        people, groups = self.maker.members_of(group)
        return self._members.get(group, people), groups

    def some(self, kind: str, count: int, salt: int) -> list[int]:
        """Indexes of objects that are there, chosen by the salt."""
        there = [i for i in range(self.size(kind)) if i not in self._gone[kind]]
        return random.Random(salt).sample(there, min(count, len(there)))

    def organization(self) -> dict[str, Any]:
        domains = [
            {"name": name, "isDefault": name == DOMAIN, "isInitial": False, "type": "Managed", "capabilities": "Email"}
            for name in (one["id"] for one in self.domains() if one["isVerified"])
        ]
        return {"id": self.tenant_id, "displayName": "Contoso", "verifiedDomains": domains, "onPremisesSyncEnabled": True,
                "onPremisesLastSyncDateTime": stamp(EPOCH), "tenantType": "AAD", "countryLetterCode": "NL", "city": "Amsterdam",
                "defaultUsageLocation": "NL", "technicalNotificationMails": [f"it@{DOMAIN}"],
                "createdDateTime": "2014-03-01T09:00:00Z"}  # fmt: skip

    def _everybody(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """People with the bytes that they are made of."""
        for index in range(self.size("users")):
            if person := self.get("users", index):
                yield self.maker.bytes_of("user", index), person

    def _consumed(self) -> Counter[str]:
        """How many people hold each product; a person who holds it twice takes one seat."""
        state = (self.size("users"), len(self.log))
        if self._counted is None or self._counted[0] != state:
            people = (self.get("users", index) for index in range(self.size("users")))
            held = Counter(one["skuId"] for person in people if person for one in person["assignedLicenses"])
            self._counted = state, held
        return self._counted[1]

    def skus(self) -> list[dict[str, Any]]:
        return licences.skus(self.tenant_id, self._consumed())

    def subscriptions(self) -> list[dict[str, Any]]:
        return licences.subscriptions(self.tenant_id, self._consumed())

    def assignments(self) -> list[dict[str, Any]]:
        """Each way in which a person got a product."""
        return [
            {
                "id": f"{person['id']}.{one['skuId']}.{one['assignedByGroup'] or 'direct'}",
                "personId": person["id"],
                **one,
            }
            for index in range(self.size("users"))
            if (person := self.get("users", index))
            for one in person["licenseAssignmentStates"]
        ]

    def activations(self) -> list[dict[str, Any]]:
        """Each product that a person activated, as the report has it."""
        ids = {person["userPrincipalName"]: person["id"] for _, person in self._everybody()}
        rows = self.reports.rows("getOffice365ActivationsUserDetail", "")
        return [
            {"id": f"{ids[row['User Principal Name']]}.{row['Product Type'].lower().replace(' ', '-')}", **row}
            for row in rows
        ]

    def short(self, name: str) -> list[dict[str, Any]] | None:
        """A collection that one page holds, by its address; None for others."""
        made = {
            "organization": lambda: [self.organization()], "subscribedSkus": self.skus, "domains": self.domains,
            "directory/subscriptions": self.subscriptions, "assignments": self.assignments, "activations": self.activations,
        }.get(name)  # fmt: skip
        return made() if made else None

    def domains(self) -> list[dict[str, Any]]:
        """Two managed ones, a subdomain, one whose people sign in elsewhere, one without a rule, and one that nobody verified."""

        def made(name: str, days: int | None = 90, **more: Any) -> dict[str, Any]:
            return {
                "id": name, "authenticationType": "Managed", "isAdminManaged": True, "isDefault": name == DOMAIN, "isInitial": False,
                "isRoot": True, "isVerified": True, "supportedServices": ["Email"], "passwordValidityPeriodInDays": days,
                "passwordNotificationWindowInDays": 14, **more,
            }  # fmt: skip

        return [
            made(DOMAIN),
            made(SECOND_DOMAIN, 2147483647),
            made(f"europe.{DOMAIN}", None, isRoot=False),
            made("federated.example", 2147483647, authenticationType="Federated"),
            made("added.example", None),
            made("claimed.example", None, isRoot=False, isVerified=False),
        ]
