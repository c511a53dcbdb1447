"""A Graph for measurements: any number of users made on the fly, with latency and throttling on a switch. It knows what a
users stream asks for, and nothing else; correctness is measured against the simulated cloud.
"""

import argparse
import asyncio
import gzip
import json
import time
from typing import Any
from urllib.parse import quote, unquote

import orjson
from aiohttp import web

PAGE, DELTA_PAGE = 999, 200
_MADE_BEFORE = 200_000
_FIRST = ("Anna", "Ben", "Chloë", "Daan", "Émile", "Fatima", "Grzegorz", "Håkon")
_LAST = ("Müller", "de Vries", "O'Neill", "Kowalska", "García", "Smith", "Dubois", "Nowak", "MacDonald")


def _template() -> str:
    user = {
        "id": "@ID", "accountEnabled": True, "businessPhones": ["+31 20 555 @NUMBER"], "city": "Amsterdam",
        "companyName": "Contoso", "country": "NL", "createdDateTime": "2021-03-01T09:12:13Z", "creationType": None,
        "department": "Research & Development", "displayName": "@FIRST @LAST@GENERATION", "employeeHireDate": "2021-03-01T00:00:00Z",
        "employeeId": "E@NUMBER", "employeeOrgData": {"division": "D3", "costCenter": "4711"}, "employeeType": "Employee",
        "externalUserState": None, "externalUserStateChangeDateTime": None, "faxNumber": None, "givenName": "@FIRST",
        "jobTitle": "Engineer", "lastPasswordChangeDateTime": "2026-08-01T10:00:00Z", "mail": "user.@NUMBER@contoso.example",
        "mailNickname": "user.@NUMBER", "mobilePhone": "+31 6 1234 @NUMBER", "officeLocation": "4.17",
        "onPremisesDistinguishedName": "CN=@FIRST @LAST @NUMBER,OU=People,OU=Amsterdam,DC=corp,DC=contoso,DC=example",
        "onPremisesDomainName": "corp.contoso.example",
        "onPremisesExtensionAttributes": {f"extensionAttribute{n}": ("x" if n == 1 else None) for n in range(1, 16)},
        "onPremisesImmutableId": "imm@NUMBER==", "onPremisesLastSyncDateTime": "2026-11-01T05:00:00Z",
        "onPremisesSamAccountName": "u@NUMBER", "onPremisesSecurityIdentifier": "S-1-5-21-1004336348-1177238915-682003330-@NUMBER",
        "onPremisesSyncEnabled": True, "onPremisesUserPrincipalName": "u@NUMBER@corp.contoso.example",
        "otherMails": [], "passwordPolicies": "DisablePasswordExpiration", "postalCode": "1012 AB", "preferredLanguage": "nl-NL",
        "proxyAddresses": ["SMTP:user.@NUMBER@contoso.example", "smtp:user.@NUMBER@old.example"],
        "signInSessionsValidFromDateTime": "2021-03-01T09:12:13Z", "state": "Noord-Holland", "streetAddress": "Damrak 1",
        "surname": "@LAST", "usageLocation": "NL", "userPrincipalName": "user.@NUMBER@contoso.example", "userType": "Member",
    }  # fmt: skip
    text = json.dumps(user, ensure_ascii=False).replace("%", "%%")
    for name in ("ID", "NUMBER", "FIRST", "LAST", "GENERATION"):
        text = text.replace(f"@{name}", f"%({name})s")
    return text


TEMPLATE = _template()


_STATES = json.dumps(
    [
        {"skuId": sku, "assignedByGroup": group, "disabledPlans": [], "state": "Active", "error": "None", "lastUpdatedDateTime": "2026-03-01T08:00:00Z"}
        for sku, group in (("05e9a617-0261-4cee-bb44-138d3ef5d965", None), ("f30db892-07e9-47e9-837c-80727f46fd3d", "6d1c0000-0000-4000-8000-000000000001"))
    ]
)  # fmt: skip
"""What everybody holds."""


def object_id(index: int) -> str:
    spread = (index * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    digits = f"{spread:016x}{index:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Server:
    def __init__(self, users: int, latency: float, throttle_every: int) -> None:
        self.users, self.latency, self.throttle_every = users, latency, throttle_every
        self.requests = self.throttled = self.early = self.pages = 0
        self.generation, self.mutated = 0, 0
        self.gone: set[int] = set()
        self._free_at = 0.0
        self._file: bytes | None = None
        self._zipped: dict[str, bytes] = {}
        self._made: dict[tuple[int, int], str] = {}
        if users <= _MADE_BEFORE:  # so that making pages takes nothing from the machine while it is measured
            for start in range(0, users, PAGE):
                self._page(start, min(start + PAGE, users))

    def _page(self, start: int, stop: int) -> str:
        span = (start, stop)
        body = self._made.get(span) or ",".join([self.user(n) for n in range(start, stop) if n not in self.gone])
        if self.users <= _MADE_BEFORE and not (self.gone or self.mutated):
            self._made[span] = body
        return body

    def user(self, index: int) -> str:
        step = self.users // self.mutated if self.mutated else 0
        changed = step and index % step == 0 and index // step < self.mutated
        return TEMPLATE % {
            "ID": object_id(index), "NUMBER": f"{index:07d}", "FIRST": _FIRST[index % 8], "LAST": _LAST[index % 9],
            "GENERATION": f" {self.generation}" if changed else "",
        }  # fmt: skip

    @staticmethod
    def _licences(start: int, stop: int) -> str:
        return ",".join([f'{{"id":"{object_id(n)}","licenseAssignmentStates":{_STATES}}}' for n in range(start, stop)])

    def _report(self) -> bytes:
        """A row for everybody, as getOffice365ActiveUserDetail has them."""
        if self._file is None:
            names = ("Exchange", "OneDrive", "SharePoint", "Skype For Business", "Yammer", "Teams")
            head = ["Report Refresh Date", "User Principal Name", "Display Name", "Is Deleted", "Deleted Date"]
            head += [f"Has {name} License" for name in names] + [f"{name} Last Activity Date" for name in names]
            head += [f"{name} License Assign Date" for name in names] + ["Assigned Products", "Report Period"]
            tail = (
                ",False,,"
                + ",".join(["True"] * 6 + ["2026-11-10"] * 4 + [""] * 2 + ["2024-03-01"] * 6)
                + ",MICROSOFT 365 E3+VISIO,30"
            )
            rows = [
                f"2026-11-18,user.{n:07d}@contoso.example,{_FIRST[n % 8]} {_LAST[n % 9]}{tail}"
                for n in range(self.users)
            ]
            self._file = ("\ufeff" + "\r\n".join([",".join(head), *rows]) + "\r\n").encode()
        return self._file

    def _changed(self) -> list[int]:
        step = self.users // self.mutated if self.mutated else 1
        return [n * step for n in range(self.mutated)]

    async def handle(self, request: web.Request) -> web.Response:
        self.requests += 1
        came = time.monotonic()
        if self.latency:
            await asyncio.sleep(self.latency)
        path = request.path.removeprefix("/v1.0")
        if path == "/users" and self.throttle_every:
            self.early += came < self._free_at
            self.pages += 1
            if self.pages % self.throttle_every == 0:
                self.throttled += 1
                self._free_at = time.monotonic() + 1.0
                return web.Response(
                    status=429, headers={"Retry-After": "1"}, body=b"{}", content_type="application/json"
                )
        base = f"http://{request.host}/v1.0"
        if path == "/users/$count":
            return web.Response(body=str(self.users - len(self.gone)).encode(), content_type="text/plain")
        if path == "/users/delta":
            return self._delta(request, base)
        if path == "/$batch":
            return self._batch(await request.read())
        if path.startswith("/reports/"):
            return web.Response(status=302, headers={"Location": f"http://{request.host}/files/report"})
        if path == "/files/report":
            return web.Response(body=self._report(), content_type="application/octet-stream")
        top = int(request.query.get("$top", PAGE))
        start = int(request.query.get("$skiptoken", 0))
        stop = min(start + top, self.users)
        licences = request.query.get("$select", "").endswith("licenseAssignmentStates")
        body = self._licences(start, stop) if licences else self._page(start, stop)
        link = ""
        if stop < self.users:
            query = {**request.query, "$skiptoken": str(stop)}
            text = "&".join(f"{k}={quote(v, safe='$,()=')}" for k, v in query.items())
            link = f'"@odata.nextLink":"{base}/users?{text}",'
        return self._sent(request, f'{{{link}"value":[{body}]}}')

    def _sent(self, request: web.Request, text: str) -> web.Response:
        """Compressed where the client takes it, as Graph does; what was compressed once is kept."""
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=text.encode(), content_type="application/json")
        body = self._zipped.get(request.raw_path)
        if body is None:
            body = gzip.compress(text.encode(), 1)
            if self.users <= _MADE_BEFORE:
                self._zipped[request.raw_path] = body
        headers = {"Content-Encoding": "gzip"}
        return web.Response(body=body, headers=headers, content_type="application/json")

    def _delta(self, request: web.Request, base: str) -> web.Response:
        token = request.query.get("$deltatoken", "latest")
        latest = f"{self.generation}.0"
        link = {"@odata.deltaLink": f"{base}/users/delta?$deltatoken={latest}"}
        if token == "latest":
            return web.json_response({**link, "value": []})
        generation, _, offset = token.partition(".")
        if int(generation) == self.generation and not (self.gone and generation == "0"):
            return web.json_response({**link, "value": []})
        at = int(offset or 0)
        changed = self._changed()
        items: list[Any] = [orjson.loads(self.user(n)) for n in changed if n not in self.gone]
        items += [{"id": object_id(n), "@removed": {"reason": "changed"}} for n in sorted(self.gone)]
        if at + DELTA_PAGE < len(items):
            link = {"@odata.nextLink": f"{base}/users/delta?$deltatoken={generation}.{at + DELTA_PAGE}"}
        return web.Response(
            body=orjson.dumps({**link, "value": items[at : at + DELTA_PAGE]}), content_type="application/json"
        )

    def _batch(self, body: bytes) -> web.Response:
        answers = []
        for item in orjson.loads(body)["requests"]:
            path = unquote(item["url"]).partition("?")[0]
            index = int(path.rpartition("/")[2].replace("-", "")[16:], 16)
            there = (index in self.gone) if path.startswith("/directory") else index not in self.gone
            answers.append({"id": item["id"], "status": 200 if there else 404, "body": {"id": object_id(index)}})
        return web.Response(body=orjson.dumps({"responses": answers}), content_type="application/json")

    async def admin(self, request: web.Request) -> web.Response:
        change = await request.json()
        if {"gone", "mutated", "generation"} & change.keys():
            self._made.clear()
            self._zipped.clear()
        for name, value in change.items():
            setattr(self, name, set(value) if name == "gone" else value)
        self.requests = self.throttled = self.early = self.pages = 0
        return web.Response(status=204)

    async def stats(self, _request: web.Request) -> web.Response:
        return web.json_response({"requests": self.requests, "throttled": self.throttled, "early": self.early})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0)
    parser.add_argument("--throttle-every", type=int, default=0)
    options = parser.parse_args()
    server = Server(options.users, options.latency, options.throttle_every)
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/admin", server.admin)
    app.router.add_get("/stats", server.stats)
    app.router.add_route("*", "/{path:.*}", server.handle)

    async def serve() -> None:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
