"""The HTTP face of the simulated Graph: options and permissions checked, pages, delta, $batch, Graph's error shape."""

import base64
import json
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import orjson

from local.cloud.graph import description as d
from local.cloud.graph.acting import Acting
from local.cloud.graph.directory import Directory
from local.cloud.graph.facts import facts
from local.cloud.graph.people import KINDS
from local.cloud.graph.replies import GraphRefusal, GraphReply, GraphRequest, not_found
from local.cloud.graph.reports import MAKERS

DELTA_PAGE = 200
SIGN_IN_PAGE = 500
PAGE_TOKEN_SECONDS = 3600.0
_EXPAND_LIMIT = 20
_NOBODY = "00000000-0000-0000-0000-00000000dead"
_FILTER_SIGN_IN = re.compile(r"^signInActivity/lastSignInDateTime ge (\S+)$")
SIGN_IN_REQUESTS, SIGN_IN_WINDOW = 10, 60.0
REPORT_REQUESTS, REPORT_WINDOW = 14, 600.0
REPORT_FILES = "/report-files/"
_REPORT = re.compile(r"(get\w+)(?:\(period='(D\d+)'\)|\(\))?")
_FILTER_NAME = re.compile(r"^displayName eq '((?:[^']|'')*)'$")
_EXPAND = re.compile(r"^(\w+)(?:\(\$select=([\w,]+)\))?$")


class Graph:
    """`page_cap`: pages may hold fewer than $top asks for. `expire_page_tokens` makes every page token that was given out so far useless."""

    def __init__(self, directory: Directory, page_cap: int = 999) -> None:
        self.directory, self._cap = directory, page_cap
        self._expired_before = 0.0
        self._delta_floor = 0
        self.acting = Acting(directory)
        self._sign_ins: list[float] = []
        self._report_calls: list[float] = []
        self.limit_sign_ins = True
        self.thin: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda _way, item: item
        """Takes properties from an object of a page, as Graph may; the way is list or delta."""
        self.behind: set[tuple[str, int]] = set()
        """Objects, by kind and index, that the replica does not know yet which answers lists, counts and requests for one."""
        self.page_of: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda items: items
        """Orders, doubles or drops the objects of a list's page."""

    def expire_page_tokens(self) -> None:
        self._expired_before = time.time()

    def expire_delta_tokens(self) -> None:
        self._delta_floor = len(self.directory.log) + 1

    def answer(self, request: GraphRequest) -> GraphReply:
        try:
            return (
                self.acting.from_replica(lambda: self._route(request))
                if request.method == "GET"
                else self._route(request)
            )
        except GraphRefusal as refusal:
            return self.refuse(refusal.status, refusal.code, refusal.message)

    @staticmethod
    def refuse(status: int, code: str, message: str) -> GraphReply:
        inner = {
            "date": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "request-id": str(uuid.uuid4()),
            "client-request-id": str(uuid.uuid4()),
        }
        return GraphReply(status, {"error": {"code": code, "message": message, "innerError": inner}})

    def _route(self, request: GraphRequest) -> GraphReply:
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        if request.method == "POST" and parts == ["$batch"]:
            return self._batch(request)
        if (acted := self.acting.answer(request)) is not None:
            return acted
        if request.method != "GET":
            raise _bad_method(request)
        match parts:
            case [kind] if kind in KINDS:
                return self._list(request, kind)
            case [kind, "$count"] if kind in KINDS:
                return self._count(request, kind)
            case [kind, ("delta" | "delta()")] if kind in KINDS:
                return self._delta(request, kind)
            case [kind, object_id] if kind in KINDS:
                return self._one(request, kind, object_id)
            case ["devices", object_id, ("registeredOwners" | "registeredUsers")]:
                return self._owners(request, object_id)
            case ["users", object_id, "manager"]:
                return self._manager(request, object_id)
            case [
                "groups",
                object_id,
                ("transitiveMembers" | "members") as which,
                ("microsoft.graph.user" | "graph.user"),
            ]:
                return self._members(request, object_id, nested=which == "transitiveMembers")
            case ["organization" | "subscribedSkus" | "domains"] | ["directory", "subscriptions"]:
                return self._short(request, "/".join(parts))
            case ["organization" | "subscribedSkus" | "domains", object_id] | ["directory", "subscriptions", object_id]:
                return self._short_one(request, "/".join(parts[:-1]), object_id)
            case ["admin", "reportSettings"]:
                self._allow(request, d.REPORT_SETTINGS_READ)
                return GraphReply(200, {"displayConcealedNames": self.directory.reports.conceal})
            case ["reports", report]:
                return self._report(request, report)
            case ["directory", "deletedItems", ("microsoft.graph.user" | "graph.user")]:
                return self._deleted(request)
            case ["directory", "deletedItems", object_id]:
                return self._deleted_one(request, object_id)
        if facts().operation("GET", f"/{'/'.join(parts)}"):
            raise GraphRefusal(
                501, "NotSimulated", "Microsoft Graph has this address; local/cloud/graph/server.py has not."
            )
        raise GraphRefusal(
            404, "UnknownError" if not parts else "BadRequest", f"Resource not found for the segment '{parts[-1]}'."
        )

    def _allow(self, request: GraphRequest, wanted: frozenset[str]) -> None:
        if not request.roles & wanted:
            raise GraphRefusal(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")

    def _options(self, request: GraphRequest, allowed: frozenset[str]) -> None:
        for name in request.query:
            if name not in allowed:
                raise GraphRefusal(400, "BadRequest", f"Query option '{name}' is not allowed here.")

    def _select(
        self, request: GraphRequest, kind: str, *, links: frozenset[str] = frozenset(), single: bool = False
    ) -> list[str]:
        collection = d.COLLECTIONS[kind]
        text = request.query.get("$select")
        if text is None:
            return list(collection.default)
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name in collection.single_only and not single:
                raise GraphRefusal(501, "NotImplemented", f"'{name}' is not supported in a collection.")
            if name == "employeeLeaveDateTime" and not request.roles & d.LEAVE_DATE_READ:
                raise GraphRefusal(
                    403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."
                )
            if kind == "users" and name in self.directory.maker.extensions:
                continue
            if name not in collection.properties and name not in links and name not in collection.single_only:
                raise GraphRefusal(
                    400,
                    "BadRequest",
                    f"Could not find a property named '{name}' on type 'microsoft.graph.{KINDS[kind].singular if kind in KINDS else kind}'.",
                )
        return names

    def _expand(self, request: GraphRequest, kind: str) -> list[str]:
        text = request.query.get("$expand")
        if not text:
            return []
        if "consistencylevel" in request.headers:
            raise GraphRefusal(400, "Request_UnsupportedQuery", "$expand is not supported with advanced queries.")
        names = []
        for item in text.split(","):
            match = _EXPAND.match(item)
            if not match or match.group(1) not in d.COLLECTIONS[kind].expand or (match.group(2) or "id") != "id":
                raise GraphRefusal(400, "BadRequest", f"The expansion '{item}' is not simulated or does not exist.")
            names.append(match.group(1))
        return names

    def _list(self, request: GraphRequest, kind: str) -> GraphReply:
        collection = d.COLLECTIONS[kind]
        self._allow(request, collection.permissions)
        self._options(request, collection.options)
        select, expand = self._select(request, kind), self._expand(request, kind)
        if "$search" in request.query or "$orderby" in request.query:
            raise GraphRefusal(501, "NotImplemented", "This option is not simulated.")
        if "signInActivity" in select:
            self._allow_sign_ins(request)
        if "$filter" in request.query and "signInActivity" not in select:
            return self._filtered(request, kind, select)
        top = self._top(request, SIGN_IN_PAGE if "signInActivity" in select else 999)
        start = self._page_start(request, kind)
        indexes, following = self.directory.slice(kind, start, top)
        if "$filter" in request.query:
            indexes, following = self._signed_in(request.query["$filter"], kind, start, top)
        body: dict[str, Any] = {"@odata.context": f"{request.base}/$metadata#{kind}"}
        if following is not None:
            body["@odata.nextLink"] = self._link(request, f"/{kind}", "$skiptoken", self._token(kind, following))
        known = [index for index in indexes if (kind, index) not in self.behind]
        shown = [self.thin("list", self._shown(kind, index, select, expand)) for index in known]
        body["value"] = self.page_of(shown)
        return GraphReply(200, body)

    def _signed_in(self, text: str, kind: str, start: int, top: int) -> tuple[list[int], int | None]:
        """People whose last interactive attempt is not older; the filter can't be combined with any other."""
        match = _FILTER_SIGN_IN.match(text)
        if not match:
            raise GraphRefusal(400, "BadRequest", "signInActivity can't be combined with other filters.")
        found: list[int] = []
        for index in range(start, self.directory.size(kind)):
            activity = (self.directory.get(kind, index) or {}).get("signInActivity") or {}
            if (activity.get("lastSignInDateTime") or "") >= match.group(1):
                if len(found) == top:
                    return found, index
                found.append(index)
        return found, None

    def _allow_sign_ins(self, request: GraphRequest) -> None:
        if "AuditLog.Read.All" not in request.roles:
            raise GraphRefusal(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
        if not self.directory.premium:
            raise GraphRefusal(
                403,
                "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
                "Neither tenant is B2C or tenant doesn't have premium license",
            )
        now = time.monotonic()
        self._sign_ins = [at for at in self._sign_ins if now - at < SIGN_IN_WINDOW]
        if self.limit_sign_ins and len(self._sign_ins) >= SIGN_IN_REQUESTS:
            raise GraphRefusal(429, "TooManyRequests", "Too many requests for signInActivity.")
        self._sign_ins.append(now)

    def _top(self, request: GraphRequest, most: int) -> int:
        text = request.query.get("$top", "100")
        if not text.isdigit() or not 1 <= int(text) <= 999:
            raise GraphRefusal(
                400, "Request_BadRequest", "Invalid page size specified: must be between 1 and 999 inclusive."
            )
        return min(int(text), most, self._cap)

    def _token(self, kind: str, position: int) -> str:
        raw = json.dumps([kind, position, time.time()]).encode()
        return base64.urlsafe_b64encode(bytes(byte ^ 0x5A for byte in raw)).decode().rstrip("=")

    def _read_token(self, kind: str, token: str) -> tuple[int, float]:
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            made_for, position, made_at = json.loads(bytes(byte ^ 0x5A for byte in raw))
            if made_for != kind:
                raise ValueError("foreign")
            return int(position), float(made_at)
        except (ValueError, TypeError) as error:
            raise GraphRefusal(400, "BadRequest", "The token is malformed.") from error

    def _page_start(self, request: GraphRequest, kind: str) -> int:
        token = request.query.get("$skiptoken")
        if token is None:
            return 0
        position, made_at = self._read_token(kind, token)
        if made_at <= self._expired_before or time.time() - made_at > PAGE_TOKEN_SECONDS:
            raise GraphRefusal(400, "Directory_ExpiredPageToken", "The specified page token value has expired.")
        return position

    def _link(self, request: GraphRequest, path: str, name: str, token: str, *, drop: tuple[str, ...] = ()) -> str:
        kept = {k: v for k, v in request.query.items() if k not in ("$skiptoken", "$deltatoken", *drop)}
        query = "&".join(f"{k}={quote(v, safe='$,()=')}" for k, v in {**kept, name: token}.items())
        return f"{request.base}{path}?{query}"

    def same_page(self, request: GraphRequest) -> str:
        """A link with a new token to the page that the request asks for."""
        kind = request.path.strip("/").split("/")[0] if not request.path.endswith("user") else "members"
        changes = request.query.get("$deltatoken")
        kind = "deltapage" if changes else f"delta-{kind}" if request.path.endswith("delta") else kind
        token = request.query.get("$skiptoken")
        position = self._read_token(kind, token)[0] if token else 0
        link = self._link(request, request.path, "$skiptoken", self._token(kind, position))
        return f"{link}&$deltatoken={changes}" if changes else link

    def first_page(self, request: GraphRequest) -> str:
        """The link to the first page of what the request asks for."""
        kept = "&".join(f"{k}={quote(v, safe='$,()=')}" for k, v in request.query.items() if k != "$skiptoken")
        return f"{request.base}{request.path}?{kept}"

    def _shown(self, kind: str, index: int, select: list[str], expand: list[str]) -> dict[str, Any]:
        made = self.directory.get(kind, index)
        assert made is not None
        shown = {name: made.get(name) for name in dict.fromkeys(["id", *select])}
        if shown.get("signInActivity", 0) is None:
            del shown["signInActivity"]  # absent for people who never signed in
        for name in self.directory.maker.extensions & shown.keys():
            if shown[name] is None:
                del shown[name]  # an extension without a value is absent, too
        for name in expand:
            ids = self._linked(kind, name, index)
            entries = [{"@odata.type": "#microsoft.graph.user", "id": object_id} for object_id in ids[:_EXPAND_LIMIT]]
            if name == "manager":
                if entries:
                    shown["manager"] = entries[0]
            else:
                shown[name] = entries
        return shown

    def _linked(self, kind: str, name: str, index: int) -> list[str]:
        if name == "manager":
            manager = self.directory.manager_of(index)
            return [manager] if manager else []
        if kind == "devices":
            return self.directory.maker.owners_of(index)
        return [self.directory.maker.object_id("user", i) for i in self.directory.members(index, nested=False)]

    def _filtered(self, request: GraphRequest, kind: str, select: list[str]) -> GraphReply:
        match = _FILTER_NAME.match(request.query["$filter"])
        if not match or kind != "groups":
            raise GraphRefusal(501, "NotImplemented", "This filter is not simulated.")
        wanted = match.group(1).replace("''", "'")
        found = [
            i
            for i in range(self.directory.size(kind))
            if (g := self.directory.get(kind, i)) and g["displayName"] == wanted
        ]
        return GraphReply(200, {"value": [self._shown(kind, index, select, []) for index in found]})

    def _count(self, request: GraphRequest, kind: str) -> GraphReply:
        self._allow(request, d.COLLECTIONS[kind].permissions)
        self._options(request, frozenset({"$filter", "$search"}))
        if request.headers.get("consistencylevel", "").lower() != "eventual":
            raise GraphRefusal(
                400, "Request_BadRequest", "$count is not currently supported without ConsistencyLevel: eventual."
            )
        unknown = sum(known == kind and self.directory.get(kind, index) is not None for known, index in self.behind)
        return GraphReply(200, str(self.directory.count(kind) - unknown), "text/plain")

    def _one(self, request: GraphRequest, kind: str, object_id: str) -> GraphReply:
        self._allow(request, d.COLLECTIONS[kind].permissions)
        self._options(request, frozenset({"$select", "$expand"}))
        select = self._select(request, kind, single=True)
        index = self._named(object_id) if "@" in object_id else self.directory.index_of(kind, object_id)
        if index is None or self.directory.get(kind, index) is None or (kind, index) in self.behind:
            raise not_found(object_id)
        return GraphReply(200, self._shown(kind, index, select, self._expand(request, kind)))

    def _named(self, name: str) -> int | None:
        """The person with a sign-in name."""
        people = ((index, self.directory.get("users", index)) for index in range(self.directory.size("users")))
        return next((i for i, one in people if one and one["userPrincipalName"].lower() == name.lower()), None)

    def _owners(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._allow(request, d.COLLECTIONS["devices"].permissions)
        index = self.directory.index_of("devices", object_id)
        if index is None:
            raise not_found(object_id)
        owners = self.directory.maker.owners_of(index)
        return GraphReply(200, {"value": [{"@odata.type": "#microsoft.graph.user", "id": owner} for owner in owners]})

    def _manager(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._allow(request, d.COLLECTIONS["users"].permissions)
        index = self.directory.index_of("users", object_id)
        manager = self.directory.manager_of(index) if index is not None else None
        if manager is None:
            raise not_found("manager")
        return GraphReply(200, {"@odata.type": "#microsoft.graph.user", "id": manager})

    def _members(self, request: GraphRequest, object_id: str, *, nested: bool) -> GraphReply:
        self._allow(request, d.MEMBER_READ)
        self._options(request, frozenset("$select $top $skiptoken $count $filter".split()))
        select = self._select(request, "users")
        group = self.directory.index_of("groups", object_id)
        if group is None or self.directory.get("groups", group) is None:
            raise not_found(object_id)
        members = sorted(self.directory.members(group, nested=nested))
        start, top = self._page_start(request, "members"), self._top(request, 999)
        body: dict[str, Any] = {
            "value": [self._shown("users", index, select, []) for index in members[start : start + top]]
        }
        if start + top < len(members):
            body["@odata.nextLink"] = self._link(
                request, request.path, "$skiptoken", self._token("members", start + top)
            )
        return GraphReply(200, body)

    def _report(self, request: GraphRequest, text: str) -> GraphReply:
        """A redirection to the file, which needs no token."""
        self._allow(request, d.REPORTS_READ)
        match = _REPORT.fullmatch(text)
        if match is None or match[1] not in MAKERS:
            raise GraphRefusal(400, "BadRequest", f"Resource not found for the segment '{text}'.")
        now = time.monotonic()
        self._report_calls = [at for at in self._report_calls if now - at < REPORT_WINDOW]
        if self.limit_sign_ins and len(self._report_calls) >= REPORT_REQUESTS:
            raise GraphRefusal(429, "TooManyRequests", "Too many requests for reports.")
        self._report_calls.append(now)
        host = request.base.removesuffix("/v1.0")
        key = self.directory.reports.link(match[1], match[2] or "")
        return GraphReply(302, None, location=f"{host}{REPORT_FILES}{key}")

    def _short(self, request: GraphRequest, path: str) -> GraphReply:
        """A collection that one page holds."""
        items = self._all_of(request, path)
        shown = [self.thin("list", item) for item in items]
        return GraphReply(200, {"value": self.page_of(shown)})

    def _short_one(self, request: GraphRequest, path: str, object_id: str) -> GraphReply:
        found = next((item for item in self._all_of(request, path, single=True) if item["id"] == object_id), None)
        if found is None:
            raise not_found(object_id)
        return GraphReply(200, found)

    def _all_of(self, request: GraphRequest, path: str, *, single: bool = False) -> list[dict[str, Any]]:
        self._allow(request, d.COLLECTIONS[path].permissions)
        self._options(request, d.COLLECTIONS[path].options)
        select = dict.fromkeys(["id", *self._select(request, path, single=single)])
        return [{name: item.get(name) for name in select} for item in self.directory.short(path) or []]

    def _deleted(self, request: GraphRequest) -> GraphReply:
        self._allow(request, d.COLLECTIONS["users"].permissions)
        select = self._select(request, "users")
        return GraphReply(
            200,
            {
                "value": [
                    {name: user.get(name) for name in dict.fromkeys(["id", *select])}
                    for user in self.directory.deleted_users()
                ]
            },
        )

    def _deleted_one(self, request: GraphRequest, object_id: str) -> GraphReply:
        self._allow(request, d.COLLECTIONS["users"].permissions)
        user = self.directory.deleted_user(object_id)
        if user is None:
            raise not_found(object_id)
        shown = {name: user.get(name) for name in ("id", "deletedDateTime", "displayName", "userPrincipalName")}
        return GraphReply(200, {"@odata.type": "#microsoft.graph.user", **shown})

    def _delta(self, request: GraphRequest, kind: str) -> GraphReply:
        collection = d.COLLECTIONS[kind]
        self._allow(request, collection.permissions)
        self._options(request, d.DELTA_OPTIONS)
        select = self._select(request, kind, links=collection.delta_links)
        if bad := set(select) & collection.no_delta:
            raise GraphRefusal(
                400,
                "BadRequest",
                f"Invalid request for delta query: for this entity set, $expand/$select is not supported for the following properties: {', '.join(bad)}",
            )
        log, token = self.directory.log, request.query.get("$deltatoken")
        path = f"/{kind}/delta"
        if token == "latest":
            return GraphReply(
                200,
                {
                    "value": [],
                    "@odata.deltaLink": self._link(request, path, "$deltatoken", self._token("delta", len(log))),
                },
            )
        if token is None:
            return self._delta_first(request, kind, select, path)
        since, _ = self._read_token("delta", token)
        if since < self._delta_floor:
            raise GraphRefusal(
                410, "syncStateNotFound", "The sync state generation is not found; continuation token is too old."
            )
        touched, page = self.directory.touched(kind, since), min(DELTA_PAGE, self._cap)
        indexes = list(touched)
        offset = self._page_start(
            replace(request, query={k: v for k, v in request.query.items() if k == "$skiptoken"}), "deltapage"
        )
        body: dict[str, Any] = {
            "value": [
                self.thin("delta", self._delta_item(kind, index, select, changed=touched[index]))
                for index in indexes[offset : offset + page]
            ]
        }
        if offset + page < len(indexes):
            link = self._link(request, path, "$skiptoken", self._token("deltapage", offset + page))
            body["@odata.nextLink"] = f"{link}&$deltatoken={token}"
        else:
            body["@odata.deltaLink"] = self._link(request, path, "$deltatoken", self._token("delta", len(log)))
        return GraphReply(200, body)

    def _delta_first(self, request: GraphRequest, kind: str, select: list[str], path: str) -> GraphReply:
        start = self._page_start(request, f"delta-{kind}")
        indexes, following = self.directory.slice(kind, start, min(DELTA_PAGE, self._cap))
        body: dict[str, Any] = {
            "value": [self.thin("delta", self._delta_item(kind, index, select)) for index in indexes]
        }
        if following is not None:
            body["@odata.nextLink"] = self._link(request, path, "$skiptoken", self._token(f"delta-{kind}", following))
        else:
            body["@odata.deltaLink"] = self._link(
                request, path, "$deltatoken", self._token("delta", len(self.directory.log))
            )
        return GraphReply(200, body)

    def _delta_item(self, kind: str, index: int, select: list[str], *, changed: bool | None = None) -> dict[str, Any]:
        """`changed`: whether relations changed since the token; None in a first round, which brings all there are."""
        if self.directory.get(kind, index) is None:
            reason = "deleted" if self.directory.purged(kind, index) else "changed"
            return {"id": self.directory.maker.object_id(KINDS[kind].singular, index), "@removed": {"reason": reason}}
        links = [name for name in select if name in d.COLLECTIONS[kind].delta_links]
        shown = self._shown(kind, index, [name for name in select if name not in links], [])
        for name in links:
            entries: list[dict[str, Any]] = [
                {"@odata.type": "#microsoft.graph.user", "id": object_id}
                for object_id in self._linked(kind, name, index)
            ]
            if changed and not entries:  # taken away: named as removed
                entries = [{"@odata.type": "#microsoft.graph.user", "id": _NOBODY, "@removed": {"reason": "deleted"}}]
            if entries and changed is not False:
                shown[f"{name}@delta"] = entries
        return shown

    def _batch(self, request: GraphRequest) -> GraphReply:
        try:
            items = orjson.loads(request.body)["requests"]
            ids = [item["id"] for item in items]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise GraphRefusal(400, "BadRequest", "Invalid batch payload format.") from error
        if not 1 <= len(items) <= 20 or len(set(ids)) != len(ids):
            raise GraphRefusal(400, "BadRequest", "A batch holds 1 to 20 requests with unique ids.")
        responses = []
        for item in items:
            parts = urlsplit(item["url"])
            headers = {name.lower(): value for name, value in item.get("headers", {}).items()}
            inner = replace(
                request,
                method=item["method"],
                path=parts.path,
                query=dict(parse_qsl(parts.query)),
                headers=headers,
                body=b"",
            )
            reply = self.answer(inner)
            responses.append(
                {
                    "id": item["id"],
                    "status": reply.status,
                    "headers": {"Content-Type": reply.content_type},
                    "body": reply.body,
                }
            )
        return GraphReply(200, {"responses": responses})


def _bad_method(request: GraphRequest) -> GraphRefusal:
    return GraphRefusal(
        405, "Request_BadRequest", f"Specified HTTP method is not allowed for the request target ({request.method})."
    )
