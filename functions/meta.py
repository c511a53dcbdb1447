"""Health, and the API's own description."""

from shared import settings as app_settings
from shared.api import Call, Reply, Routes, RouteTable
from shared.domain.health import Health
from shared.errors import Unavailable
from shared.names import Role
from shared.wiring import app


async def health(call: Call) -> Reply:
    """Open to everybody, so it says only ok or the code of the problem. Answers within two seconds."""
    try:
        settings = app_settings.load()
    except Unavailable as error:
        return Reply(Health(status="degraded", checks={"settings": error.code}), 503)
    authentication = "ok"
    if not settings.platform_auth and not settings.development_roles:
        authentication = "authentication-off"
    elif settings.platform_auth and not settings.tenants:
        authentication = "tenants-missing"
    checks = {"settings": "ok", "authentication": authentication, **await app().health.results()}
    healthy = all(value == "ok" for value in checks.values())
    return Reply(Health(status="ok" if healthy else "degraded", checks=checks), 200 if healthy else 503)


DOCS_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def routes(table: RouteTable) -> Routes:
    """What describes the app, its table of routes included."""
    group = Routes(tag="Meta", role=Role.READ)
    group.add("GET", "health", "Whether the app can work", health, role=None, returns=Health)

    @group.get("openapi.json", "This API as OpenAPI 3.1", waits_for="")
    def read_openapi(call: Call) -> Reply:
        from shared.api.openapi import document

        return Reply(document(table))

    @group.get("docs", "This API as a page", content_type="text/html", waits_for="")
    def read_docs(call: Call) -> Reply:
        from shared.api.docs_page import page

        headers = {"Content-Security-Policy": DOCS_POLICY}
        return Reply(page(table), headers=headers, content_type="text/html")

    return group
