"""Connections to Graph: msgraph-sdk's adapter and middleware over one httpx client, without the SDK's own repetition."""

import functools
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from shared.tasks import RightOfWay, finished


@dataclass(eq=False)
class Line:
    """Connections, and the SDK's adapter over them. `users`: requests under way."""

    adapter: Any
    http: Any
    transports: list[Any]
    users: int = 0

    async def close(self) -> None:
        """Closes every connection, even if the caller is cancelled at the first of them."""
        await finished(self._close())

    async def _close(self) -> None:
        await self.http.aclose()
        for transport in self.transports:  # the one that msgraph-core puts around httpx's does not pass the closing on
            await transport.aclose()


def connect(base_url: str, credential: Any, scope: str, way: RightOfWay) -> Line:
    """Every middleware of the SDK but its retry and redirect handlers. `way` is held while something is sent or read."""
    import httpx
    from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
    from kiota_http.middleware.options import RedirectHandlerOption, RetryHandlerOption, UrlReplaceHandlerOption
    from msgraph.graph_request_adapter import GraphRequestAdapter
    from msgraph_core.graph_client_factory import GraphClientFactory

    async def trace(event: str, _info: Any) -> None:
        """The line's own events: between the last byte sent and the first of the answer nobody has to stand back."""
        if event.endswith("send_request_body.complete"):
            way.release()
        elif event.endswith("receive_response_headers.complete"):
            way.claim()

    async def follow(request: Any) -> None:
        request.extensions["trace"] = trace

    plain = httpx.AsyncClient(
        timeout=httpx.Timeout(100.0, connect=15.0), verify=trust(), event_hooks={"request": [follow]}
    )
    own = [transport for transport in (plain._transport, *plain._mounts.values()) if transport]  # noqa: SLF001 - no other way
    http = GraphClientFactory.create_with_default_middleware(
        client=plain,
        options={
            RetryHandlerOption.get_key(): RetryHandlerOption(max_retries=0, should_retry=False),
            RedirectHandlerOption.get_key(): RedirectHandlerOption(should_redirect=False),
            UrlReplaceHandlerOption.get_key(): UrlReplaceHandlerOption(enabled=False),  # it puts addresses into traces
        },
    )
    provider = AzureIdentityAuthenticationProvider(
        credential, scopes=[scope], allowed_hosts=[urlsplit(base_url).hostname or ""]
    )
    adapter = GraphRequestAdapter(provider, client=http)
    adapter.base_url = base_url
    adapter.observability_options.include_euii_attributes = False  # links carry tokens, which traces must not
    return Line(adapter, http, own)


@functools.cache
def trust() -> ssl.SSLContext:
    """Whom to trust, read once: it takes 50 milliseconds, and connections are renewed after each 503."""
    import httpx

    return httpx.create_ssl_context()
