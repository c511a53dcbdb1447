"""What is kept about the service-account groups, and when it is of no use."""

from typing import Any

from aiohttp import web

from shared.sync.groups import Pause, excluded_people
from tests.served import run, served

GROUP = "11111111-0000-4000-8000-000000000001"
_PERMISSION = "GroupMember.Read.All"
_NO_PAUSE = Pause(lambda: False, lambda _kept: None)


def test_a_link_of_another_tenant_or_other_groups_is_never_followed() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        url = f"{request.scheme}://{request.host}"
        if request.path.endswith("/groups/delta"):
            return web.json_response({"value": [], "@odata.deltaLink": f"{url}/groups/delta?$deltatoken=mine"})
        return web.json_response({"value": [{"id": f"22222222-0000-4000-8000-{len(asked):012}"}]})

    async def go() -> None:
        async with served(answer) as client:

            async def read(tenant: str, names: list[str], kept: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
                asked.clear()
                client.tenant_id = tenant
                found = await excluded_people(client, names, "users", _PERMISSION, kept, _NO_PAUSE, anew=False)
                assert len(found.people) == len(names)
                return found.keep, [path.partition("deltatoken=")[2] or "members" for path in asked]

            kept, first = await read("one", [GROUP], {})
            assert first == ["latest", "members"]
            again, unchanged = await read("one", [GROUP], kept)
            assert unchanged == ["mine"] and again["people"] == kept["people"]
            assert (await read("two", [GROUP], kept))[1] == ["latest", "members"]
            other = "11111111-0000-4000-8000-000000000002"
            assert (await read("one", [GROUP, other], kept))[1] == ["latest", "members", "members"]

    run(go)


def test_a_tenant_without_delta_of_groups_has_its_members_read_every_time() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/groups/delta"):
            error = {"error": {"code": "Request_UnsupportedQuery", "message": "Not supported for this tenant."}}
            return web.json_response(error, status=400)
        return web.json_response({"value": [{"id": "22222222-0000-4000-8000-000000000001"}]})

    async def go() -> None:
        async with served(answer) as client:
            kept: dict[str, Any] = {}
            for _ in range(2):
                found = await excluded_people(client, [GROUP], "users", _PERMISSION, kept, _NO_PAUSE, anew=False)
                kept = found.keep
                assert len(found.people) == 1 and kept["link"] == ""

    run(go)
