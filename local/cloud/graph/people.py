"""People, devices and groups made from a seed, one at a time, never held: person 999,999 costs no more than person 1.

Object ids hold their own index, hidden by a keyed hash, so that an id is found without a table.
"""

import hashlib
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from local.cloud.graph import licences

EPOCH = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)  # "now" of the seed; mutations use the real clock
DOMAIN, SECOND_DOMAIN = "contoso.example", "fabrikam.example"
_FIRST = (
    "Anna Ben Chloë Daan Émile Fatima Grzegorz Håkon Iñaki Jürgen Kübra Léa Małgorzata Nguyễn Óscar Zoë "
    "Алексей Ольга Дмитрий Ελένη Γιώργος 伟 芳 さくら 健太 지우 محمد فاطمة अर्जुन प्रिया שרה ნინო"
).split()
_LAST = (
    "Müller de-Vries O'Neill Kowalska Østergård García Smith Dubois Yılmaz Trần Nowak Ödegaard "
    "Иванов Петрова Παπαδόπουλος 王 李 佐藤 鈴木 김 حسن शर्मा כהן ბერიძე MacDonald Řezníček"
).split()
EXTENSION = "extension_8f0c2d4a6b1e4c3f9a7d5e2b1c0f4a68_costCentre"
_JOBS = (
    "Engineer",
    "Account manager",
    "Nurse",
    "Teacher",
    "Controller",
    "Planner",
    "Analyst",
    "Fahrdienstleiter",
    "Director",
)
_DEPARTMENTS = (
    "Sales",
    "Finance",
    "Research & Development",
    "Operations",
    "Legal",
    "Human resources",
    "IT",
    "Zürich / West",
)
_PLACES = (
    ("Amsterdam", "Noord-Holland", "NL", "1012 AB", "Damrak 1"),
    ("München", "Bayern", "DE", "80331", "Marienplatz 8"),
    ("東京", "東京都", "JP", "100-0001", "千代田 1-1"),
    ("São Paulo", "SP", "BR", "01310-100", "Av. Paulista 1000"),
    ("Seattle", "WA", "US", "98101", "Pike St 85"),
    ("Αθήνα", "Αττική", "GR", "105 57", "Ερμού 2"),
)
_SYSTEMS = (("Windows", "10.0.26100.2033", "Lenovo", "ThinkPad X1"), ("Windows", "10.0.22631.4317", "Dell Inc.", "Latitude 7440"),
            ("MacMDM", "15.1", "Apple", "MacBook Pro"), ("IPhone", "18.1", "Apple", "iPhone 16"), ("AndroidForWork", "15", "Google", "Pixel 9"))  # fmt: skip
_SUITES = (licences.E5, licences.E3, licences.BUSINESS)


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def ascii_name(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "".join(c for c in plain.lower() if c.isalnum())


class Maker:
    """Objects of one tenant. `people` and `devices` are how many the seed has."""

    def __init__(self, seed: int, people: int, devices: int) -> None:
        self.seed, self.people, self.devices = seed, people, devices
        self.extensions = {EXTENSION}
        """Directory extensions that applications of the tenant define for people."""
        self.groups = max(4, people // 25)

    def bytes_of(self, kind: str, index: int) -> bytes:
        return hashlib.blake2b(f"{self.seed}|{kind}|{index}".encode()).digest()

    def _mask(self, kind: str, head: bytes) -> int:
        key = f"{self.seed}|{kind}|id|".encode()
        return int.from_bytes(hashlib.blake2b(key + head, digest_size=8).digest())

    def object_id(self, kind: str, index: int) -> str:
        head = hashlib.blake2b(f"{self.seed}|{kind}|{index}".encode(), digest_size=8).digest()
        digits = head.hex() + f"{index ^ self._mask(kind, head):016x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def index_of(self, kind: str, object_id: str) -> int | None:
        """The index behind an id, None for an id of nobody."""
        digits = object_id.replace("-", "").lower()
        try:
            head, tail = bytes.fromhex(digits[:16]), int(digits[16:], 16)
        except ValueError:
            return None
        if len(digits) != 32:
            return None
        index = tail ^ self._mask(kind, head)
        return index if index < 2**40 and self.object_id(kind, index) == object_id.lower() else None

    def person(self, index: int, kind: str = "user") -> dict[str, Any]:
        """Every property of one person; what the directory leaves empty is null."""
        b = self.bytes_of(kind, index)
        first, last = _FIRST[b[0] % len(_FIRST)], _LAST[b[1] % len(_LAST)]
        guest, synced = b[2] < 20, b[3] < 128 and b[2] >= 20
        city, state, country, post, street = _PLACES[b[4] % len(_PLACES)]
        alias = f"{ascii_name(first) or 'p'}.{ascii_name(last) or 'x'}{index}"
        domain = DOMAIN if b[5] < 200 else SECOND_DOMAIN
        upn = f"{alias}_partner.example#EXT#@{DOMAIN}" if guest else f"{alias}@{domain}"
        mail = None if b[6] < 12 else (f"{alias}@partner.example" if guest else f"{alias}@{domain}")
        created = None if b[7] < 8 else stamp(EPOCH - timedelta(days=b[8] * 14 + b[9] / 8, seconds=b[10] * 300))
        phones = [f"+31 20 555 {index % 10000:04d}"] if b[11] < 170 else []
        signed = EPOCH - timedelta(days=b[13] * 1.5, seconds=b[14] * 60)
        suite = _SUITES[b[15] % len(_SUITES)] if b[15] < 200 else None
        states = licences.states_of(b, guest, suite, self.object_id("group", 2 + b[39] % 2))
        sam = ascii_name(last)[:6] + str(index)
        return {
            "id": self.object_id(kind, index),
            "deletedDateTime": None,
            "accountEnabled": b[16] >= 18,
            "ageGroup": None,
            "assignedLicenses": licences.held(states),
            "licenseAssignmentStates": states,
            "businessPhones": phones,
            "city": city if b[17] < 230 else None,
            "companyName": "Contoso" if not guest else "Partner & Sons",
            "country": country,
            "createdDateTime": created,
            "creationType": "Invitation" if guest else None,
            "department": _DEPARTMENTS[b[18] % len(_DEPARTMENTS)] if not guest else None,
            "displayName": f"{first} {last.replace('-', ' ')}",
            "employeeHireDate": stamp(EPOCH - timedelta(days=b[19] * 20)) if b[19] < 200 else None,
            "employeeId": f"E{index:06d}" if not guest else None,
            "employeeLeaveDateTime": stamp(EPOCH + timedelta(days=b[2])) if 20 <= b[19] < 40 else None,
            EXTENSION: f"{b[20] % 9}00{b[21] % 10}" if b[20] < 120 else None,
            "employeeOrgData": {"division": f"D{b[20] % 5}", "costCenter": f"{b[20] * 10}"} if b[20] < 150 else None,
            "employeeType": None if guest else ("Employee", "Contractor", "Vendor")[b[21] % 3],
            "externalUserState": ("Accepted" if b[22] < 200 else "PendingAcceptance") if guest else None,
            "externalUserStateChangeDateTime": created if guest else None,
            "faxNumber": f"+31 20 556 {index % 10000:04d}" if b[23] < 10 else None,
            "givenName": first,
            "jobTitle": _JOBS[b[24] % len(_JOBS)] if b[24] < 240 else None,
            "lastPasswordChangeDateTime": created,
            "mail": mail,
            "mailNickname": alias,
            "mobilePhone": f"+31 6 1234 {index % 10000:04d}" if b[25] < 150 else None,
            "officeLocation": f"{b[26] % 9}.{b[27] % 40:02d}" if b[26] < 200 else None,
            "onPremisesDistinguishedName": f"CN={first} {last},OU=People,DC=corp,DC=contoso,DC=example" if synced else None,
            "onPremisesDomainName": "corp.contoso.example" if synced else None,
            "onPremisesExtensionAttributes": {
                f"extensionAttribute{n}": (f"x{b[28] % 7}" if n == 1 and b[28] < 90 else None) for n in range(1, 16)
            },
            "onPremisesImmutableId": f"imm{index}==" if synced else None,
            "onPremisesLastSyncDateTime": stamp(EPOCH - timedelta(minutes=b[29])) if synced else None,
            "onPremisesSamAccountName": sam if synced else None,
            "onPremisesSecurityIdentifier": f"S-1-5-21-1004336348-1177238915-682003330-{index + 1000}" if synced else None,
            "onPremisesSyncEnabled": True if synced else None,
            "onPremisesUserPrincipalName": f"{sam}@corp.contoso.example" if synced else None,
            "otherMails": [f"{alias}@home.example"] if b[30] < 30 else [],
            "passwordPolicies": ("None", "DisablePasswordExpiration", "DisablePasswordExpiration, DisableStrongPassword")[b[31] % 3] if b[31] < 120 else None,
            "postalCode": post,
            "preferredLanguage": ("nl-NL", "de-DE", "en-US", None)[b[32] % 4],
            "proxyAddresses": [f"SMTP:{mail}", f"smtp:{alias}@old.example"] if mail else [],
            "signInActivity": None if b[12] < 25 else {
                "lastSignInDateTime": stamp(signed + timedelta(hours=1)),
                "lastSignInRequestId": self.object_id("signin", index),
                "lastNonInteractiveSignInDateTime": stamp(signed - timedelta(hours=3)),
                "lastNonInteractiveSignInRequestId": self.object_id("signin2", index),
                "lastSuccessfulSignInDateTime": stamp(signed) if b[12] >= 50 else None,
                "lastSuccessfulSignInRequestId": self.object_id("signin", index) if b[12] >= 50 else None,
            },
            "signInSessionsValidFromDateTime": created,
            "state": state,
            "streetAddress": street if b[33] < 200 else None,
            "surname": last,
            "usageLocation": country if states else None,
            "userPrincipalName": upn,
            "userType": "Guest" if guest else "Member",
        }  # fmt: skip

    def manager_of(self, index: int) -> str | None:
        """The manager's id. A few people have none, a few one who was deleted."""
        b = self.bytes_of("user", index)
        if index == 0 or b[2] < 20 or b[34] < 8:
            return None
        if b[34] < 11:
            return self.object_id("deleted", index % 5)
        return self.object_id("user", (index - 1) // 8)

    def device(self, index: int) -> dict[str, Any]:
        b = self.bytes_of("device", index)
        system, version, maker, model = _SYSTEMS[b[0] % len(_SYSTEMS)]
        joined = ("AzureAd", "ServerAd", "Workplace")[b[1] % 3]
        managed = b[2] < 180
        registered = EPOCH - timedelta(days=b[3] * 6 + 1, seconds=b[4] * 60)
        return {
            "id": self.object_id("device", index),
            "deletedDateTime": None,
            "accountEnabled": b[5] >= 10,
            "approximateLastSignInDateTime": None if b[6] < 10 else stamp(EPOCH - timedelta(days=b[6], seconds=b[7])),
            "complianceExpirationDateTime": stamp(EPOCH + timedelta(days=b[8])) if managed else None,
            "deviceId": self.object_id("devid", index),
            "deviceOwnership": ("Company", "Personal")[b[9] % 2] if managed else None,
            "displayName": f"{('DESKTOP', 'LAPTOP', 'PHONE')[b[10] % 3]}-{index:06X}",
            "enrollmentProfileName": "Autopilot" if b[11] < 40 else None,
            "enrollmentType": "AzureDomainJoined" if managed else None,
            "isCompliant": (b[12] < 200) if managed else None,
            "isManaged": True if managed else None,
            "isRooted": False if system in ("IPhone", "AndroidForWork") else None,
            "managementType": "MDM" if managed else None,
            "manufacturer": maker,
            "mdmAppId": "0000000a-0000-0000-c000-000000000000" if managed else None,
            "model": model,
            "onPremisesLastSyncDateTime": stamp(EPOCH - timedelta(minutes=b[13])) if joined == "ServerAd" else None,
            "onPremisesSecurityIdentifier": f"S-1-5-21-1004336348-1177238915-682003330-{index + 900000}" if joined == "ServerAd" else None,
            "onPremisesSyncEnabled": True if joined == "ServerAd" else None,
            "operatingSystem": system,
            "operatingSystemVersion": version,
            "profileType": "RegisteredDevice",
            "registrationDateTime": stamp(registered),
            "trustType": joined,
        }  # fmt: skip

    def owners_of(self, index: int) -> list[str]:
        """Most devices have one owner, some none, a few a whole team (more than $expand shows)."""
        b = self.bytes_of("device", index)
        if b[14] < 20 or not self.people:
            return []
        count = 25 if index % 500 == 7 else 2 if b[14] < 40 else 1
        start = int.from_bytes(b[15:19]) % self.people
        return [self.object_id("user", (start + n) % self.people) for n in range(min(count, self.people))]

    def group(self, index: int) -> dict[str, Any]:
        names = {0: "Service accounts", 1: "Service accounts nested", 2: "Doubled name", 3: "Doubled name"}
        return {
            "id": self.object_id("group", index),
            "deletedDateTime": None,
            "createdDateTime": stamp(EPOCH - timedelta(days=400 + index % 300)),
            "description": None,
            "displayName": names.get(index, f"Team {index}"),
            "groupTypes": [],
            "mailEnabled": False,
            "mailNickname": f"group{index}",
            "securityEnabled": True,
            "visibility": None,
        }

    def members_of(self, index: int) -> tuple[list[int], list[int]]:
        """Direct members: people and groups, by index. Group 1 is nested in group 0."""
        step = max(1, self.people // 40)
        if index == 0:
            return list(range(0, self.people, step * 4)), [1]
        if index == 1:
            return list(range(step, self.people, step * 4)), []
        start = (index * 25) % max(1, self.people)
        return list(range(start, min(start + 25, self.people))), []


@dataclass(frozen=True)
class Made:
    """A collection of directory objects: the singular, which its ids are made with, how many the seed has, and one of them. What
    may be asked of the address stands in description.COLLECTIONS.
    """

    singular: str
    size: Callable[[Maker], int]
    make: Callable[[Maker, int], dict[str, Any]]


KINDS = {
    "users": Made("user", lambda maker: maker.people, Maker.person),
    "devices": Made("device", lambda maker: maker.devices, Maker.device),
    "groups": Made("group", lambda maker: maker.groups, Maker.group),
}
"""Collections with a list, a count, a delta and single objects, by their address."""
