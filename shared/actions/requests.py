"""Requests from msgraph-sdk's typed builders, so that no address or property is spelt by hand. They are only built here: what is
planned is stored as it is, and sent once, past every retry of the SDK.

https://learn.microsoft.com/graph/sdks/create-requests
"""

import functools
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from shared.domain.plan import Request

if TYPE_CHECKING:
    from kiota_abstractions.request_information import RequestInformation
    from msgraph.graph_service_client import GraphServiceClient

PASSWORD = "{password}"  # noqa: S105 - what stands in its place
"""Stands in a stored body where a password goes."""


@functools.cache
def graph() -> "GraphServiceClient":
    """The SDK's builders. They sign in nowhere and send nothing."""
    from kiota_abstractions.authentication.anonymous_authentication_provider import AnonymousAuthenticationProvider
    from msgraph.graph_request_adapter import GraphRequestAdapter
    from msgraph.graph_service_client import GraphServiceClient

    return GraphServiceClient(request_adapter=GraphRequestAdapter(AnonymousAuthenticationProvider()))


def built(information: "RequestInformation") -> Request:
    """What the SDK would send."""
    method = information.http_method
    body = orjson.loads(information.content) if information.content else None
    parts = urlsplit(information.url)
    path = parts.path.removeprefix("/v1.0") + (f"?{parts.query}" if parts.query else "")
    return Request(method=str(getattr(method, "value", method)), path=path, body=body)


def with_secret(body: Any, secret: str) -> Any:
    """The body with the password where it goes."""
    if isinstance(body, dict):
        return {name: with_secret(value, secret) for name, value in body.items()}
    return secret if body == PASSWORD else body


def has_secret(body: Any) -> bool:
    """Whether a password goes into the body."""
    return any(has_secret(value) for value in body.values()) if isinstance(body, dict) else body == PASSWORD
