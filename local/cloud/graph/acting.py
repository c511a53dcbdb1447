"""Changes of the simulated tenant by an application, with Microsoft's rules: permission, role, administrators as targets, what
Active Directory masters, what replicas don't know yet. Every change that was made is counted.
"""

import copy
import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from local.cloud.graph import licences
from local.cloud.graph.directory import Directory
from local.cloud.graph.people import stamp
from local.cloud.graph.replies import GraphRefusal, GraphReply, GraphRequest, not_found

GLOBAL, USERS, PRIVILEGED = (
    "62e90394-69f5-4237-9190-012177145e10", "fe930be7-5e62-47db-91af-98c3a49a38b1", "7be44c8a-adaf-4e2a-84d6-ab2649e08a13",
)  # fmt: skip
CLOUD_DEVICES, INTUNE = "7698a772-787b-4ac8-901f-60d6b08affd2", "3a2c62db-5318-420d-8d74-23affee5d9d5"
ROLE_NAMES = {
    GLOBAL: "Global Administrator",
    USERS: "User Administrator",
    PRIVILEGED: "Privileged Authentication Administrator",
}
_ALL_USERS = frozenset(("User.ReadWrite.All",))
_DIRECTORY = frozenset(("User.ReadWrite.All", "Directory.ReadWrite.All"))
_WRITES = {
    "accountEnabled": _DIRECTORY | {"User.EnableDisableAccount.All"}, "passwordProfile": frozenset(("User-PasswordProfile.ReadWrite.All",)),
    "businessPhones": _DIRECTORY | {"User-Phone.ReadWrite.All"}, "mobilePhone": _DIRECTORY | {"User-Phone.ReadWrite.All"},
    "otherMails": _DIRECTORY | {"User-Mail.ReadWrite.All"}, "identities": _ALL_USERS | {"User.ManageIdentities.All"},
}  # fmt: skip
_SENSITIVE = frozenset(
    "accountEnabled businessPhones mobilePhone otherMails userPrincipalName passwordProfile identities".split()
)
_NOT_MASTERED = frozenset(("accountEnabled", "usageLocation"))
_METHODS = {
    "phoneMethods": "phone", "microsoftAuthenticatorMethods": "microsoftAuthenticator", "softwareOathMethods": "softwareOath",
    "fido2Methods": "fido2", "emailMethods": "email", "windowsHelloForBusinessMethods": "windowsHelloForBusiness",
    "platformCredentialMethods": "platformCredential", "externalAuthenticationMethods": "external",
    "temporaryAccessPassMethods": "temporaryAccessPass",
}  # fmt: skip
_GROUP_WRITES = frozenset(("GroupMember.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All"))
_DEVICE_FILTER = re.compile(r"^azureADDeviceId eq '([^']+)'$")
_NAME_FILTER = re.compile(r"^userPrincipalName eq '((?:[^']|'')*)'$")
_USER_FILTER = re.compile(r"^userId eq '([^']+)'$")
_ID = r"([^/]+)"


class Acting:
    """`now`: seconds since 1970. `lag`: so long reads show what was before a change; `flapping`: only every other read does.
    `refuse_passwords`: so many are found too weak.
    """

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.now: Callable[[], float] = time.time
        self.lag, self.flapping, self.refuse_passwords = 0.0, False, 0
        self.weak: set[str] = set()
        """People whose next password is found too weak."""
        self.ignores_filters = False
        """Intune answers with all devices, whatever was asked for."""
        self.intune, self.managed_page = True, 1000
        self.managed_too: list[dict[str, Any]] = []
        """Entries of Intune besides one for each managed device."""
        self.pass_minutes = (10, 43200)
        """What the tenant's policy allows a pass to last."""
        self.needs: dict[str, str] = {}
        """Products that can't be held without another one, by SKU id."""
        self.roles: dict[str, set[str]] = {}
        self.methods: dict[str, list[dict[str, Any]]] = {}
        self.risks: dict[str, str] = {}
        self.actions: dict[str, list[dict[str, Any]]] = {}
        """What Intune was asked for, by managed device."""
        self.default_method: dict[str, str] = {}
        self.made: list[str] = []
        """METHOD and path of every change that was made."""
        self.asked: list[str] = []
        """METHOD and path of every request for a change."""
        self._old: tuple[float, Any] | None = None
        self._reads = 0
        self._routes = [(method, re.compile(path), do) for method, path, do in self._table()]

    # What replicas don't know yet

    def _state(self) -> list[tuple[Any, str]]:
        at = self.directory
        return [
            (at, name) for name in ("_changed", "_gone", "_purged", "_members", "_hired", "log")
        ] + [(self, name) for name in ("roles", "methods", "risks", "actions")] + [(at.reports, "conceal")]  # fmt: skip

    def remember(self) -> None:
        """Before a change: reads go on showing this for a while."""
        if self.lag:
            self._old = self.now() + self.lag, [copy.deepcopy(getattr(one, name)) for one, name in self._state()]

    def from_replica[T](self, read: Callable[[], T]) -> T:
        """A read, from a replica that may be late."""
        self._reads += 1
        if self._old is None or self.now() >= self._old[0] or (self.flapping and self._reads % 2):
            return read()
        current = [getattr(one, name) for one, name in self._state()]
        for (one, name), value in zip(self._state(), self._old[1], strict=True):
            setattr(one, name, value)
        try:
            return read()
        finally:
            for (one, name), value in zip(self._state(), current, strict=True):
                setattr(one, name, value)

    # Requests

    def answer(self, request: GraphRequest) -> GraphReply | None:
        """None: not one of these addresses."""
        if request.method != "GET":
            self.asked.append(f"{request.method} {request.path}")
        for method, pattern, do in self._routes:
            if method == request.method and (found := pattern.fullmatch(request.path)):
                if method != "GET":
                    self.remember()
                reply: GraphReply = do(request, *found.groups())
                if method != "GET":
                    self.made.append(f"{method} {request.path}")
                return reply
        return None

    def _table(self) -> list[tuple[str, str, Callable[..., GraphReply]]]:
        user, method = f"/users/{_ID}", r"/authentication/(\w+Methods)"
        return [
            ("PATCH", user, self._patch_user), ("DELETE", user, self._delete_user),
            ("POST", f"{user}/revokeSignInSessions", self._revoke), ("POST", f"{user}/assignLicense", self._assign),
            ("POST", f"{user}/reprocessLicenseAssignment", self._reprocess),
            ("PUT", rf"{user}/manager/\$ref", self._set_manager), ("DELETE", rf"{user}/manager/\$ref", self._remove_manager),
            ("GET", f"{user}/memberOf/microsoft.graph.group", self._groups), ("GET", f"{user}/memberOf/microsoft.graph.directoryRole", self._roles),
            ("GET", f"{user}/authentication/methods", self._list_methods), ("DELETE", f"{user}{method}/{_ID}", self._delete_method),
            ("POST", f"{user}/authentication/temporaryAccessPassMethods", self._pass),
            ("GET", f"{user}/licenseDetails", self._details), ("GET", f"{user}/(ownedDevices|registeredDevices)", self._devices_of),
            ("POST", rf"/groups/{_ID}/members/\$ref", self._add_member), ("DELETE", rf"/groups/{_ID}/members/{_ID}/\$ref", self._remove_member),
            ("POST", f"/directory/deletedItems/{_ID}/restore", self._restore),
            ("GET", f"/directoryRoles/{_ID}/members", self._role_members),
            ("GET", f"/identityProtection/riskyUsers/{_ID}", self._risk), ("POST", "/identityProtection/riskyUsers/(confirmCompromised|dismiss)", self._set_risk),
            ("POST", "/invitations", self._invite), ("PATCH", "/admin/reportSettings", self._report_settings),
            ("PATCH", f"/devices/{_ID}", self._patch_device), ("DELETE", f"/devices/{_ID}", self._delete_device),
            ("GET", "/deviceManagement/managedDevices", self._managed), ("GET", f"/deviceManagement/managedDevices/{_ID}", self._managed_one),
            ("POST", f"/deviceManagement/managedDevices/{_ID}/(syncDevice|remoteLock|retire)", self._managed_action),
            ("GET", "/auditLogs/signIns", self._sign_ins),
            ("GET", "/reports/authenticationMethods/userRegistrationDetails", self._registered),
        ]  # fmt: skip

    # People

    def _user(self, object_id: str) -> tuple[int, dict[str, Any]]:
        index = self.directory.index_of("users", object_id)
        made = self.directory.get("users", index) if index is not None else None
        if index is None or made is None:
            raise not_found(object_id)
        return index, made

    def _need(self, request: GraphRequest, wanted: frozenset[str]) -> None:
        if not request.roles & wanted:
            raise _denied()

    def _guard_admin(self, request: GraphRequest, object_id: str) -> None:
        """What Microsoft asks for where the target is an administrator."""
        if any(object_id in members for members in self.roles.values()) and not request.wids & {PRIVILEGED, GLOBAL}:
            raise _denied()

    def _patch_user(self, request: GraphRequest, object_id: str) -> GraphReply:
        index, made = self._user(object_id)
        body = {name: value for name, value in orjson.loads(request.body).items() if not name.startswith("@")}
        for name in body:
            self._need(request, _WRITES.get(name, _DIRECTORY))
        if set(body) & _SENSITIVE:
            self._guard_admin(request, object_id)
        if "passwordProfile" in body and not request.wids & {USERS, PRIVILEGED, GLOBAL}:
            raise _denied()
        if made["onPremisesSyncEnabled"] and set(body) - _NOT_MASTERED:
            raise _bad(
                "Unable to update the specified properties for on-premises mastered Directory Sync objects or objects currently undergoing migration."
            )
        if made.get("mastered") and set(body) & set(made["mastered"]):
            raise _bad(
                "Unable to update the specified properties for objects that have originated within an external service."
            )
        if (name := body.get("userPrincipalName")) and self._holder(name, object_id):
            raise _bad("Another object with the same value for property userPrincipalName already exists.")
        if "passwordProfile" in body and "#EXT#" in made["userPrincipalName"]:
            raise _bad("Property passwordProfile can't be set for an invited user.")
        profile = body.pop("passwordProfile", None)
        if profile and profile.get("password"):
            if self.refuse_passwords > 0 or object_id in self.weak:
                self.refuse_passwords = max(0, self.refuse_passwords - 1)
                self.weak.discard(object_id)
                raise _bad(
                    "The specified password does not comply with password complexity requirements. Please provide a different password."
                )
            body["lastPasswordChangeDateTime"] = self._stamp()
        self.directory.change("users", index, body)
        return _nothing()

    def _holder(self, name: str, other: str) -> bool:
        people = (self.directory.get("users", i) for i in range(self.directory.size("users")))
        return any(one and one["userPrincipalName"].lower() == name.lower() and one["id"] != other for one in people)

    def _stamp(self) -> str:
        return stamp(datetime.fromtimestamp(self.now(), UTC))

    def _revoke(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._need(request, _DIRECTORY | {"User.RevokeSessions.All"})
        index, _ = self._user(object_id)
        self.directory.change("users", index, {"signInSessionsValidFromDateTime": self._stamp()})
        return _reply(200, {"@odata.context": f"{request.base}/$metadata#Edm.Boolean", "value": True})

    def _delete_user(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._need(request, _ALL_USERS | {"User.DeleteRestore.All"})
        index, _ = self._user(object_id)
        self._guard_admin(request, object_id)
        self.directory.leave("users", [index])
        self.directory._gone["users"][index] = self._stamp()  # noqa: SLF001 - by this clock
        return _nothing()

    def _restore(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._need(request, _ALL_USERS | {"User.DeleteRestore.All"})
        index = self.directory.index_of("users", object_id)
        gone = self.directory.deleted_user(object_id)
        if index is None or gone is None:
            raise not_found(object_id)
        if self._holder(gone["userPrincipalName"], object_id):
            raise _bad("Restore failed: another object has the same userPrincipalName.")
        self.directory.restore("users", [index])
        return _reply(200, {"@odata.type": "#microsoft.graph.user", "id": object_id})

    def _set_manager(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._need(request, _DIRECTORY)
        index, _ = self._user(object_id)
        manager = orjson.loads(request.body)["@odata.id"].rpartition("/")[2]
        self._user(manager)
        self.directory.change("users", index, {"_manager": manager})
        return _nothing()

    def _remove_manager(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._need(request, _DIRECTORY)
        index, _ = self._user(object_id)
        if self.directory.manager_of(index) is None:
            raise not_found("manager")
        self.directory.change("users", index, {"_manager": None})
        return _nothing()

    # Groups and roles

    def _groups(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._need(request, frozenset(("Directory.Read.All", "Directory.ReadWrite.All")))
        index, _ = self._user(object_id)
        names = request.query.get("$select", "id,displayName").split(",")
        rows = []
        for number in range(self.directory.size("groups")):
            group = self.directory.get("groups", number)
            if group and index in self.directory.direct_members(number)[0]:
                rows.append({name: group.get(name) for name in names})
        return _reply(200, {"value": rows})

    def _roles(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._need(request, frozenset(("Directory.Read.All", "Directory.ReadWrite.All")))
        self._user(object_id)
        held = [template for template, members in self.roles.items() if object_id in members]
        return _reply(
            200,
            {"value": [{"id": _role_id(one), "displayName": ROLE_NAMES[one], "roleTemplateId": one} for one in held]},
        )

    def _role_members(self, request: GraphRequest, role: str) -> GraphReply:
        self._need(request, frozenset(("RoleManagement.Read.Directory", "RoleManagement.ReadWrite.Directory")))
        template = next(one for one in ROLE_NAMES if _role_id(one) == role)
        found = [self._user(one)[1] for one in sorted(self.roles.get(template, ()))]
        return _reply(200, {"value": [{"id": one["id"], "accountEnabled": one["accountEnabled"]} for one in found]})

    def _group(self, request: GraphRequest, object_id: str) -> int:
        self._need(request, _GROUP_WRITES)
        index = self.directory.index_of("groups", object_id)
        group = self.directory.get("groups", index) if index is not None else None
        if index is None or group is None:
            raise not_found(object_id)
        if "DynamicMembership" in (group.get("groupTypes") or []):
            raise _bad("Insufficient privileges: members of a dynamic group are given by its rule.")
        if group.get("onPremisesSyncEnabled"):
            raise _bad(
                "Unable to update the specified properties for on-premises mastered Directory Sync objects or objects currently undergoing migration."
            )
        if group.get("mailEnabled") and "Unified" not in (group.get("groupTypes") or []):
            raise _bad("Cannot Update a mail-enabled security groups and or distribution list.")
        if group.get("isAssignableToRole") and "RoleManagement.ReadWrite.Directory" not in request.roles:
            raise _denied()
        return index

    def _add_member(self, request: GraphRequest, object_id: str) -> GraphReply:
        group = self._group(request, object_id)
        index, _ = self._user(orjson.loads(request.body)["@odata.id"].rpartition("/")[2])
        people = self.directory.direct_members(group)[0]
        if index in people:
            raise _bad(
                "One or more added object references already exist for the following modified properties: 'members'."
            )
        self.directory.set_members(group, [*people, index])
        return _nothing()

    def _remove_member(self, request: GraphRequest, object_id: str, member: str) -> GraphReply:
        group = self._group(request, object_id)
        index, _ = self._user(member)
        people = self.directory.direct_members(group)[0]
        if index not in people:
            raise not_found(member)
        self.directory.set_members(group, [one for one in people if one != index])
        return _nothing()

    # Licences

    def _assign(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._need(request, _DIRECTORY | {"LicenseAssignment.ReadWrite.All"})
        index, made = self._user(object_id)
        body = orjson.loads(request.body)
        if not {"addLicenses", "removeLicenses"} <= body.keys():
            raise _bad("One or more parameters of the operation 'assignLicense' are missing from the request payload.")
        states = list(made["licenseAssignmentStates"])
        for sku in body["removeLicenses"]:
            held = [one for one in states if one["skuId"] == sku]
            if held and all(one["assignedByGroup"] for one in held):
                raise _bad(
                    "User license is inherited from a group membership and it cannot be removed directly from the user."
                )
            if not held:
                raise _bad("User does not have a corresponding license.")
            states = [one for one in states if one["skuId"] != sku or one["assignedByGroup"]]
        for added in body["addLicenses"]:
            if not made["usageLocation"]:
                raise _bad("License assignment cannot be done for user with invalid usage location.")
            states = [one for one in states if one["skuId"] != added["skuId"] or one["assignedByGroup"]]
            states.append(
                {"skuId": added["skuId"], "assignedByGroup": None, "disabledPlans": added.get("disabledPlans", []), "error": "None",
                 "state": "Active", "lastUpdatedDateTime": self._stamp()}
            )  # fmt: skip
        left = {one["skuId"] for one in states}
        if lonely := [sku for sku, base in self.needs.items() if sku in left and base not in left]:
            raise _bad(
                f"License assignment failed because service plan {lonely[0]} depends on the service plan(s) {self.needs[lonely[0]]}"
            )
        self.directory.change(
            "users", index, {"licenseAssignmentStates": states, "assignedLicenses": licences.held(states)}
        )
        return _reply(200, {"id": object_id})

    def _reprocess(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._need(request, _DIRECTORY)
        self._user(object_id)
        return _reply(200, {"id": object_id})

    def _details(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._need(
            request,
            frozenset(("LicenseAssignment.Read.All", "User.Read.All", "Directory.Read.All", "User.ReadWrite.All")),
        )
        _, made = self._user(object_id)
        parts = {one.sku: one.part for one in licences.PRODUCTS}
        rows = [
            {"id": one["skuId"], "skuId": one["skuId"], "skuPartNumber": parts.get(one["skuId"]), "servicePlans": []}
            for one in made["assignedLicenses"]
        ]
        return _reply(200, {"value": rows})

    # Authentication methods

    def methods_of(self, object_id: str) -> list[dict[str, Any]]:
        """Everybody has a password and a telephone, most an authenticator, which is the default."""
        if object_id not in self.methods:
            self.methods[object_id] = [
                _method("password", "28c10230-6103-485e-b985-444c60001490"), _method("phone", "3179e48a-750b-4051-897c-87b9720928f7", phoneNumber="+31 6 1234 5678"),
                _method("microsoftAuthenticator", str(uuid.uuid5(uuid.NAMESPACE_URL, object_id)), displayName="Phone"),
            ]  # fmt: skip
        return self.methods[object_id]

    def _list_methods(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._need(request, frozenset(("UserAuthenticationMethod.Read.All", "UserAuthenticationMethod.ReadWrite.All")))
        self._user(object_id)
        return _reply(
            200,
            {
                "value": [
                    {n: v for n, v in one.items() if n != "temporaryAccessPass"} for one in self.methods_of(object_id)
                ]
            },
        )

    def _delete_method(self, request: GraphRequest, object_id: str, collection: str, method: str) -> GraphReply:
        self._need(request, frozenset(("UserAuthenticationMethod.ReadWrite.All",)))
        self._user(object_id)
        self._guard_admin(request, object_id)
        held = self.methods_of(object_id)
        kind = f"#microsoft.graph.{_METHODS[collection]}AuthenticationMethod"
        found = next((one for one in held if one["id"] == method and one["@odata.type"] == kind), None)
        if found is None:
            raise not_found(method)
        others = [one for one in held if one is not found and "password" not in one["@odata.type"]]
        if others and self.default_method.get(object_id, "microsoftAuthenticator") == _METHODS[collection]:
            raise _bad("Default authentication method cannot be deleted while other methods exist.")
        self.methods[object_id] = [one for one in held if one is not found]
        return _nothing()

    def _registered(self, request: GraphRequest) -> GraphReply:
        self._need(request, frozenset(("AuditLog.Read.All",)))
        match = _NAME_FILTER.match(request.query.get("$filter", ""))
        people = (self.directory.get("users", i) for i in range(self.directory.size("users")))
        found = [one for one in people if one and match and one["userPrincipalName"] == match[1].replace("''", "'")]
        words = {"phone": "sms", "softwareOath": "oath"}
        default = [self.default_method.get(one["id"], "microsoftAuthenticator") for one in found]
        return _reply(
            200, {"value": [
                {"id": one["id"], "isSystemPreferredAuthenticationMethodEnabled": False,
                 "systemPreferredAuthenticationMethods": [],
                 "userPreferredMethodForSecondaryAuthentication": words.get(kind, "push")}
                for one, kind in zip(found, default, strict=True)
            ]},
        )  # fmt: skip

    def _pass(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._need(request, frozenset(("UserAuthMethod-TAP.ReadWrite.All", "UserAuthenticationMethod.ReadWrite.All")))
        self._user(object_id)
        self._guard_admin(request, object_id)
        body = orjson.loads(request.body)
        least, most = self.pass_minutes
        if not least <= body.get("lifetimeInMinutes", 60) <= most:
            raise _bad(f"Invalid LifetimeInMinutes specified. The valid range between {least} and {most}.")
        kept = [one for one in self.methods_of(object_id) if "temporaryAccessPass" not in one["@odata.type"]]
        made = _method("temporaryAccessPass", str(uuid.uuid4()), lifetimeInMinutes=body.get("lifetimeInMinutes"),
                       isUsableOnce=body.get("isUsableOnce"), temporaryAccessPass=f"tap-{uuid.uuid4().hex[:12]}")  # fmt: skip
        self.methods[object_id] = [*kept, made]
        return _reply(201, made)

    # Risk, guests, settings

    def _risk(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._need(request, frozenset(("IdentityRiskyUser.Read.All", "IdentityRiskyUser.ReadWrite.All")))
        self._premium()
        if object_id not in self.risks:
            raise not_found(object_id)
        return _reply(200, {"id": object_id, "riskState": self.risks[object_id]})

    def _set_risk(self, request: GraphRequest, how: str) -> GraphReply:
        self._need(request, frozenset(("IdentityRiskyUser.ReadWrite.All",)))
        self._premium()
        for object_id in orjson.loads(request.body)["userIds"]:
            self._user(object_id)
            self.risks[object_id] = "confirmedCompromised" if how == "confirmCompromised" else "dismissed"
        return _nothing()

    def _premium(self) -> None:
        if not self.directory.premium:
            raise GraphRefusal(
                403,
                "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
                "Neither tenant is B2C or tenant doesn't have premium license",
            )

    def _invite(self, request: GraphRequest) -> GraphReply:
        self._need(request, _DIRECTORY | {"User.Invite.All"})
        body = orjson.loads(request.body)
        (object_id,) = self.directory.hire(1)
        index, _ = self._user(object_id)
        mail = body["invitedUserEmailAddress"]
        self.directory.change(
            "users",
            index,
            {"mail": mail, "userType": "Guest", "displayName": body.get("invitedUserDisplayName") or mail},
        )
        return _reply(201, {"id": str(uuid.uuid4()), "status": "PendingAcceptance", "invitedUser": {"id": object_id}})

    def _report_settings(self, request: GraphRequest) -> GraphReply:
        self._need(request, frozenset(("ReportSettings.ReadWrite.All",)))
        self.directory.reports.conceal = bool(orjson.loads(request.body)["displayConcealedNames"])
        return _nothing()

    # Devices

    def _device(self, object_id: str) -> tuple[int, dict[str, Any]]:
        index = self.directory.index_of("devices", object_id)
        made = self.directory.get("devices", index) if index is not None else None
        if index is None or made is None:
            raise not_found(object_id)
        return index, made

    def _patch_device(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._need(request, frozenset(("Device.ReadWrite.All", "Directory.ReadWrite.All")))
        if not request.wids & {CLOUD_DEVICES, INTUNE, GLOBAL}:
            raise _denied()
        index, made = self._device(object_id)
        body = orjson.loads(request.body)
        if made["onPremisesSyncEnabled"]:
            raise _bad(
                "Unable to update the specified properties for on-premises mastered Directory Sync objects or objects currently undergoing migration."
            )
        self.directory.change(
            "devices", index, {name: value for name, value in body.items() if not name.startswith("@")}
        )
        return _nothing()

    def _delete_device(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._need(request, frozenset(("Device.ReadWrite.All",)))
        index, _ = self._device(object_id)
        self.directory.leave("devices", [index], purge=True)
        return _nothing()

    def _devices_of(self, request: GraphRequest, object_id: str, _link: str) -> GraphReply:
        self._need(
            request, frozenset(("User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"))
        )
        self._user(object_id)
        found = [
            self.directory.get("devices", i)
            for i in range(self.directory.size("devices"))
            if object_id in self.directory.maker.owners_of(i)
        ]
        return _reply(200, {"value": [{"@odata.type": "#microsoft.graph.device", **one} for one in found if one]})

    def managed_rows(self) -> dict[str, dict[str, Any]]:
        rows = {}
        for index in range(self.directory.size("devices")):
            made = self.directory.get("devices", index)
            if made and made["isManaged"]:
                managed = self.directory.maker.object_id("managed", index)
                rows[managed] = {
                    "id": managed, "deviceName": made["displayName"], "azureADDeviceId": made["deviceId"],
                    "complianceState": "compliant" if made["isCompliant"] else "noncompliant", "osVersion": made["operatingSystemVersion"],
                    "enrolledDateTime": made["registrationDateTime"], "lastSyncDateTime": made["approximateLastSignInDateTime"],
                    "managedDeviceOwnerType": (made["deviceOwnership"] or "unknown").lower(), "managementAgent": "mdm",
                    "isEncrypted": index % 3 > 0, "isSupervised": False, "jailBroken": "Unknown", "serialNumber": f"SN{index:08}",
                    "complianceGracePeriodExpirationDateTime": made["complianceExpirationDateTime"], "wiFiMacAddress": f"02{index:010X}",
                    "imei": "", "totalStorageSpaceInBytes": 256 * 2**30, "freeStorageSpaceInBytes": (index % 200) * 2**30,
                    "userId": (self.directory.maker.owners_of(index) or [""])[0], "partnerReportedThreatState": "unknown",
                    "deviceActionResults": self.actions.get(managed, []),
                }  # fmt: skip
        return rows | {one["id"]: one for one in self.managed_too}

    def _managed(self, request: GraphRequest) -> GraphReply:
        self._need(request, _INTUNE_READ)
        if not self.intune:
            raise GraphRefusal(400, "BadRequest", "Request not applicable to target tenant.")
        match = None if self.ignores_filters else _DEVICE_FILTER.match(request.query.get("$filter", ""))
        rows = [one for one in self.managed_rows().values() if match is None or one["azureADDeviceId"] == match[1]]
        begin = int(request.query.get("$skiptoken", "0"))
        names = request.query.get("$select", "id")
        page = [{name: one.get(name) for name in names.split(",")} for one in rows[begin : begin + self.managed_page]]
        body: dict[str, Any] = {"value": page}
        if len(rows) > begin + self.managed_page:
            base = f"{request.base}/deviceManagement/managedDevices"
            body["@odata.nextLink"] = f"{base}?$select={names}&$skiptoken={begin + self.managed_page}"
        return _reply(200, body)

    def _managed_one(self, request: GraphRequest, managed: str) -> GraphReply:
        self._need(request, _INTUNE_READ)
        row = self.managed_rows().get(managed)
        if row is None:
            raise not_found(managed)
        return _reply(200, row)

    def _managed_action(self, request: GraphRequest, managed: str, name: str) -> GraphReply:
        self._need(request, frozenset(("DeviceManagementManagedDevices.PrivilegedOperations.All",)))
        if managed not in self.managed_rows():
            raise not_found(managed)
        self.actions.setdefault(managed, []).append(
            {"actionName": name, "actionState": "pending", "startDateTime": self._stamp()}
        )
        return _nothing()

    def _sign_ins(self, request: GraphRequest) -> GraphReply:
        self._need(request, frozenset(("AuditLog.Read.All",)))
        match = _USER_FILTER.match(request.query.get("$filter", ""))
        if match is None:
            raise _bad("This filter is not simulated.")
        _, made = self._user(match[1])
        last = (made["signInActivity"] or {}).get("lastSignInDateTime")
        rows = (
            [{"id": "1", "createdDateTime": last, "appDisplayName": "Office 365", "ipAddress": "192.0.2.7"}]
            if last
            else []
        )
        return _reply(200, {"value": rows})


_INTUNE_READ = frozenset(
    (
        "DeviceManagementManagedDevices.Read.All",
        "DeviceManagementManagedDevices.ReadWrite.All",
        "DeviceManagementManagedDevices.PrivilegedOperations.All",
    )
)


def _role_id(template: str) -> str:
    """A role's object has an id of its own in each tenant."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, template))


def _method(kind: str, method_id: str, **more: Any) -> dict[str, Any]:
    return {"@odata.type": f"#microsoft.graph.{kind}AuthenticationMethod", "id": method_id, **more}


def _reply(status: int, body: Any) -> GraphReply:
    return GraphReply(status, body)


def _nothing() -> GraphReply:
    return _reply(204, b"")


def _denied() -> Exception:
    return GraphRefusal(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")


def _bad(message: str) -> Exception:
    return GraphRefusal(400, "Request_BadRequest", message)
