"""The last step of azure-core's pipeline for bulk requests: its own step over aiohttp gets every request ready for forms,
streams and the attribute names of ten years ago, which takes longer than sending it does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.request import getproxies_environment

import aiohttp
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import AsyncHttpTransport

from shared.storage.timing import WRITE

# The service itself gives up reading after 30 s.
_READING = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=35)
_WRITING = aiohttp.ClientTimeout(total=WRITE, sock_connect=WRITE)


@dataclass(slots=True)
class Request:
    """One request with its whole body. The URL goes out as it is spelt."""

    method: str
    url: str
    headers: dict[str, str]
    content: bytes | None = None
    multipart_mixed_info: None = field(default=None, repr=False)
    """The pipeline asks for parts to put together; ours come put together."""

    def prepare_multipart_body(self) -> None:
        """The pipeline calls it."""


@dataclass(slots=True)
class Answer:
    """One answer with its whole body."""

    status_code: int
    reason: str | None
    headers: Mapping[str, str]
    content: bytes

    def text(self) -> str:
        """What azure-core's own errors quote."""
        return self.content.decode("utf-8", "replace")


class Transport(AsyncHttpTransport[Request, Answer]):
    """Sends over connections that it keeps. Belongs to the event loop that sends first."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        if self._session is None:
            # With the environment's settings aiohttp looks for proxies and opens .netrc for every request.
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Content-Type",),  # it is signed: only what we say ourselves
                trust_env=bool(getproxies_environment()),
            )

    async def close(self) -> None:
        session, self._session = self._session, None
        if session:
            await session.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()

    async def send(self, request: Request, **_options: Any) -> Answer:
        """Raises ServiceRequestError or ServiceResponseError where no whole answer came."""
        await self.open()
        assert self._session
        try:
            async with self._session.request(
                request.method, request.url, headers=request.headers, data=request.content, allow_redirects=False,
                timeout=_READING if request.method == "GET" else _WRITING,
            ) as answer:  # fmt: skip
                content = await answer.read()
                return Answer(answer.status, answer.reason, answer.headers, content)
        except aiohttp.ClientConnectorError as error:
            raise ServiceRequestError(str(error), error=error) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ServiceResponseError(str(error), error=error) from error
