"""One client of Microsoft Graph: msgraph-sdk's adapter for sign-in, middleware and telemetry, pages as bytes.

Parsing pages into the SDK's models costs 3-6 milliseconds a person, orjson on the bytes 8 microseconds. Retry is ours:
the SDK's handler repeats POST and DELETE and gives up at a Retry-After of 180 seconds.
"""

import functools
import random
import ssl
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import urlsplit

import orjson

from shared.clock import Clock
from shared.domain.run import Waits
from shared.errors import SourceProblem
from shared.graph.answers import Postponed, parse_error, refusal, sign_in_problem
from shared.tasks import RightOfWay

_ATTEMPTS = 8
_LONGEST_WAIT = 3600.0
_NO_HEADER_WAIT = 5.0
_STILL_THROTTLED_WAIT = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (lower-case names) and body of one response."""

    status: int
    headers: dict[str, str]
    content: bytes


class _Lost(Exception):
    """No usable answer: the connection broke, or the body did not come whole."""


@dataclass(eq=False)
class _Line:
    """Connections to Graph, and the SDK's adapter over them. `users`: requests under way."""

    adapter: Any
    http: Any
    transports: list[Any]
    users: int = 0

    async def close(self) -> None:
        await self.http.aclose()
        for transport in self.transports:  # the one that msgraph-core puts around httpx's does not pass the closing on
            await transport.aclose()


class GraphClient:
    """`budget` gives the seconds that this slice still has; `waits` is counted up for the run's report."""

    def __init__(
        self,
        base_url: str,
        make_credential: Callable[[], Any],
        scope: str,
        clock: Clock,
        waits: Waits,
        tenant_id: str = "",
    ) -> None:
        self.tenant_id = tenant_id
        self.base_url = base_url.rstrip("/")
        self._host = urlsplit(self.base_url)[:2]
        self._make_credential, self._scope = make_credential, scope
        self._credential = make_credential()
        self._clock, self.waits = clock, waits
        self.budget: Callable[[], float] = lambda: _LONGEST_WAIT
        self.way = RightOfWay()
        """Held while a request is being sent or an answer read, for others on this loop to look at."""
        self._line: _Line | None = None
        self.pace = None

    async def token(self) -> str:
        """A token for Graph. Raises SourceProblem with the remedy for Entra's refusal."""
        from azure.core.exceptions import AzureError

        for attempt in range(4):
            try:
                token: str = (await self._credential.get_token(self._scope, enable_cae=True)).token
            except (AzureError, ValueError) as error:
                problem = sign_in_problem(error)
                if not problem.transient or attempt == 3:
                    raise problem from error
                await self._wait(1.0 * 2**attempt, retry=True)
            else:
                return token
        raise AssertionError

    async def get_json(self, url: str, permission: str, headers: dict[str, str] | None = None) -> Any:
        """GET and parse. `url`: a path below the version, or a link that Graph gave. `permission`: what it needs."""
        return await self._request("GET", url, permission, headers, None, _parsed)

    async def get_bytes(self, url: str, permission: str) -> bytes:
        """GET of a page that is parsed later: a whole JSON object, by the look of its end."""
        return await self._request("GET", url, permission, None, None, _whole)

    async def post_json(self, url: str, permission: str, body: Any) -> Any:
        """POST of a request that only reads ($batch); it is repeated like a GET."""
        return await self._request("POST", url, permission, None, body, _parsed)

    async def _request[T](
        self,
        method: str,
        url: str,
        permission: str,
        headers: dict[str, str] | None,
        body: Any,
        read: Callable[[Answer], T],
    ) -> T:
        url = self._absolute(url)
        try:
            fresh_token = False
            for attempt in range(_ATTEMPTS):
                if self.pace:
                    await self.pace.turn()
                self.waits.requests += 1
                try:
                    answer = await self._send(method, url, headers or {}, body)
                    if answer.status < 300:
                        return read(answer)
                except _Lost as lost:
                    await self._renew_connections()
                    await self._back_off(attempt, lost)
                    continue
                if answer.status == 401 and not fresh_token:
                    fresh_token = True
                    await self._renew_token()
                elif answer.status == 429:
                    self.waits.throttled += 1
                    if attempt == _ATTEMPTS - 1:  # throttling is no failure: the run goes on later
                        await self._postpone(max(_STILL_THROTTLED_WAIT, _retry_after(answer, self._clock) or 0.0))
                    await self._throttled(answer, attempt)
                elif answer.status >= 500 and answer.status != 501:
                    await self._renew_connections()  # Microsoft: retry over a new connection, perhaps to another host
                    if (wait := _retry_after(answer, self._clock)) is not None:
                        await self._wait(wait, retry=True)
                    else:
                        await self._back_off(attempt, None, answer.status)
                else:
                    raise refusal(parse_error(answer.status, answer.content), permission)
            raise _unavailable("kept failing")
        finally:
            self.way.release()

    def _absolute(self, url: str) -> str:
        """Tokens go to the configured Graph host only, whatever a link says."""
        if url.startswith("/"):
            return self.base_url + url
        if urlsplit(url)[:2] != self._host:
            raise SourceProblem(
                "Microsoft Graph sent a link to another host; it was not followed and got no token.",
                code="graph-foreign-link",
                remedy="Check the function app's network for a proxy that rewrites answers; then run again.",
            )
        return url

    async def _send(self, method: str, url: str, headers: dict[str, str], body: Any) -> Answer:
        import httpx
        from azure.core.exceptions import AzureError
        from kiota_abstractions.method import Method
        from kiota_abstractions.native_response_handler import NativeResponseHandler
        from kiota_abstractions.request_information import RequestInformation
        from kiota_http.middleware.options import ResponseHandlerOption

        self.way.claim()
        line = self._line = self._line or self._connect()
        request = RequestInformation()
        request.http_method = Method.GET if method == "GET" else Method.POST
        request.url = url
        request.headers.add("client-request-id", str(uuid.uuid4()))
        for name, value in {"Accept": "application/json", **headers}.items():
            request.headers.add(name, value)
        if body is not None:
            request.content = orjson.dumps(body)
            request.headers.add("Content-Type", "application/json")
        request.add_request_options([ResponseHandlerOption(NativeResponseHandler())])
        line.users += 1
        try:
            response = await line.adapter.send_primitive_async(request, "bytes", {})
        except httpx.HTTPError as error:
            raise _Lost(type(error).__name__) from error
        except AzureError as error:
            problem = sign_in_problem(error)
            if problem.transient:
                raise _Lost("sign-in") from error
            raise problem from error
        finally:
            line.users -= 1
            if line is not self._line and not line.users:
                await line.close()
        return Answer(response.status_code, dict(response.headers), response.content)

    def _connect(self) -> _Line:
        """Builds HTTP client and adapter: every middleware of the SDK but its retry and redirect handlers."""
        import httpx
        from kiota_authentication_azure.azure_identity_authentication_provider import (
            AzureIdentityAuthenticationProvider,
        )
        from kiota_http.middleware.options import RedirectHandlerOption, RetryHandlerOption
        from msgraph.graph_request_adapter import GraphRequestAdapter
        from msgraph_core.graph_client_factory import GraphClientFactory

        plain = httpx.AsyncClient(
            timeout=httpx.Timeout(100.0, connect=15.0), verify=_trust(), event_hooks={"request": [self._follow]}
        )
        own = [transport for transport in (plain._transport, *plain._mounts.values()) if transport]  # noqa: SLF001 - no other way
        http = GraphClientFactory.create_with_default_middleware(
            client=plain,
            options={
                RetryHandlerOption.get_key(): RetryHandlerOption(max_retries=0, should_retry=False),
                RedirectHandlerOption.get_key(): RedirectHandlerOption(should_redirect=False),
            },
        )
        provider = AzureIdentityAuthenticationProvider(
            self._credential, scopes=[self._scope], allowed_hosts=[urlsplit(self.base_url).hostname or ""]
        )
        adapter = GraphRequestAdapter(provider, client=http)
        adapter.base_url = self.base_url
        return _Line(adapter, http, own)

    async def _follow(self, request: Any) -> None:
        request.extensions["trace"] = self._trace

    async def _trace(self, event: str, _info: Any) -> None:
        """The line's own events: between the last byte sent and the first of the answer nobody has to stand back."""
        if event.endswith("send_request_body.complete"):
            self.way.release()
        elif event.endswith("receive_response_headers.complete"):
            self.way.claim()

    async def _renew_connections(self) -> None:
        """The next request goes over new ones; the old ones close behind their last request."""
        line, self._line = self._line, None
        if line and not line.users:
            await line.close()

    async def _renew_token(self) -> None:
        """A new credential has no cached token: azure-identity keeps one until it expires, Graph may refuse it earlier."""
        await self._renew_connections()
        await self._credential.close()
        self._credential = self._make_credential()

    async def _throttled(self, answer: Answer, attempt: int) -> None:
        wait = _retry_after(answer, self._clock)
        if wait is None:
            wait = min(120.0, _NO_HEADER_WAIT * 2**attempt) * (0.8 + 0.4 * random.random())  # noqa: S311 - jitter
        await self._wait(wait, retry=False)

    async def _back_off(self, attempt: int, cause: Exception | None, status: int | None = None) -> None:
        if attempt == _ATTEMPTS - 1:
            raise _unavailable(f"answered {status}" if status else "broke the connection") from cause
        await self._wait(min(60.0, 0.5 * 2**attempt) * (0.5 + random.random()), retry=True)  # noqa: S311 - jitter

    async def wait_throttled(self, seconds: float) -> None:
        """Waits as Graph asked for inside an answer (the parts of a batch are throttled one by one)."""
        self.waits.throttled += 1
        await self._wait(seconds, retry=False)

    async def _wait(self, seconds: float, *, retry: bool) -> None:
        """Waits within the slice, or postpones the run."""
        seconds = min(seconds, _LONGEST_WAIT)
        if seconds > self.budget():
            await self._postpone(seconds)
        if retry:
            self.waits.retries += 1
            self.waits.retry_seconds = round(self.waits.retry_seconds + seconds, 3)
        else:
            self.waits.throttle_seconds = round(self.waits.throttle_seconds + seconds, 3)
        self.way.release()
        await self._clock.sleep(seconds)

    async def _postpone(self, seconds: float) -> NoReturn:
        """The run waits outside of a worker, and its report says so."""
        seconds = min(seconds, _LONGEST_WAIT)
        self.waits.throttle_seconds = round(self.waits.throttle_seconds + seconds, 3)
        raise Postponed(seconds)

    async def close(self) -> None:
        await self._renew_connections()
        await self._credential.close()


@functools.cache
def _trust() -> ssl.SSLContext:
    """Whom to trust, read once: it takes 50 milliseconds, and connections are renewed after each 503."""
    import httpx

    return httpx.create_ssl_context()


def _parsed(answer: Answer) -> Any:
    try:
        return orjson.loads(answer.content)
    except orjson.JSONDecodeError as error:
        raise _Lost("incomplete body") from error


def _whole(answer: Answer) -> bytes:
    if not answer.content.rstrip().endswith(b"}"):
        raise _Lost("incomplete body")
    return answer.content


def _retry_after(answer: Answer, clock: Clock) -> float | None:
    """Seconds; the header may hold seconds, a date, or be missing or unreadable (None)."""
    text = answer.headers.get("retry-after")
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - clock.now()).total_seconds())
    except (ValueError, TypeError):
        return None


def _unavailable(what: str) -> SourceProblem:
    return SourceProblem(
        f"Microsoft Graph {what} {_ATTEMPTS} times in a row.",
        code="graph-unavailable",
        remedy="Nothing was lost and nobody was removed; the next run tries again by itself.",
        transient=True,
    )
