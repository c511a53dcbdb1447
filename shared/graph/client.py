"""One client of Microsoft Graph: msgraph-sdk's adapter for sign-in, middleware and telemetry, pages as bytes.

Parsing pages into the SDK's models costs 3-6 milliseconds a person, orjson on the bytes 8 microseconds. Retry is ours:
the SDK's handler repeats POST and DELETE and gives up at a Retry-After of 180 seconds.
"""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

import orjson

from shared.clock import Clock
from shared.domain.run import Waits
from shared.errors import SourceProblem
from shared.graph.answers import NotSent, OutcomeUnknown, Postponed, parse_error, refusal, sign_in_problem
from shared.graph.connection import Line, connect
from shared.graph.credentials import check_tenant
from shared.graph.lenient import BOM, NotJson, parse
from shared.graph.pacing import Pace
from shared.graph.waiting import ATTEMPTS, LONGEST_WAIT, STILL_THROTTLED_WAIT, backoff, retry_after, throttled_wait
from shared.tasks import RightOfWay, finished


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (lower-case names) and body of one response."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def outcome_unknown(self) -> bool:
        """Whether what was asked for may have been done or not: the service failed in the middle."""
        return self.status >= 500 or self.status in (408, 499)


class Lost(Exception):
    """No usable answer: the connection broke, or the body is no JSON. `sent`: the request may have arrived; `what`: what
    Graph did, in words.
    """

    def __init__(self, why: str, *, sent: bool = True, what: str = "broke the connection") -> None:
        super().__init__(why)
        self.sent, self.what = sent, what


class GraphClient:
    """`budget` gives the seconds that this slice still has; `waits` is counted up for the run's report; `pace`, where there
    is one, is asked before each request.
    """

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
        self._checked = ""
        """The token that was seen to be of this tenant."""
        self._clock, self.waits = clock, waits
        self.budget: Callable[[], float] = lambda: LONGEST_WAIT
        self.pace: Pace | None = None
        self.way = RightOfWay()
        """Held while a request is being sent or an answer read, for others on this loop to look at."""
        self._line: Line | None = None

    async def token(self) -> str:
        """A token for Graph, of this tenant. Raises SourceProblem with the remedy for Entra's refusal, and for another
        tenant's token.
        """
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
                if self.tenant_id and token != self._checked:
                    check_tenant(token, self.tenant_id)
                    self._checked = token
                return token
        raise AssertionError

    async def get_json(self, url: str, permission: str, headers: dict[str, str] | None = None) -> Any:
        """GET and parse. `url`: a path below the version, or a link that Graph gave. `permission`: what it needs."""
        return (await self._request("GET", url, permission, headers, None, _parsed))[0]

    async def get_mended(self, url: str, permission: str) -> tuple[Any, bool]:
        """GET and parse, and whether characters had to be replaced."""
        return await self._request("GET", url, permission, None, None, _parsed)

    async def get_bytes(self, url: str, permission: str) -> bytes:
        """GET of a page that is parsed later: a whole JSON object, by the look of its end."""
        return await self._request("GET", url, permission, None, None, _whole)

    async def get_answer(self, url: str, permission: str) -> Answer:
        """GET of what may be a redirection: the answer as it is."""
        return await self._request("GET", url, permission, None, None, lambda answer: answer, redirects=True)

    async def post_json(self, url: str, permission: str, body: Any) -> Any:
        """POST of a request that only reads ($batch); it is repeated like a GET."""
        return (await self._request("POST", url, permission, None, body, _parsed))[0]

    async def send_once(self, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """A request that must not be repeated: it leaves at most once, whatever comes back. `body`: JSON data, or bytes of the
        type that `headers` name. Gives the answer, also a refusal. Raises NotSent where it certainly did not leave,
        OutcomeUnknown where the answer was lost.
        """
        import httpx

        url = self._absolute(url)
        token = await self.token()
        if self.pace:
            await self.pace.turn()
        self.waits.requests += 1
        sent = {
            "Authorization": f"Bearer {token}", "Accept": "application/json", "client-request-id": str(uuid.uuid4()),
            **({} if body is None else {"Content-Type": "application/json"}), **(headers or {}),
        }  # fmt: skip
        content = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        # A connection of its own: a kept one that Graph closes just now would make the outcome unknown.
        line = self._connect()
        try:
            # Past the SDK's adapter, which sends again where a token is challenged.
            response = await line.http.request(method, url, headers=sent, content=content)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotSent(type(error).__name__) from error
        except (httpx.HTTPError, OSError) as error:
            raise OutcomeUnknown(type(error).__name__) from error
        finally:
            self.way.release()
            await line.close()
        if response.status_code == 401:
            await self._renew_token()
        if response.status_code == 429:
            self.waits.throttled += 1
            if self.pace:
                asked = retry_after({"retry-after": response.headers.get("retry-after", "")}, self._clock)
                await self.pace.throttled(throttled_wait(0) if asked is None else asked)
        return Answer(response.status_code, dict(response.headers), response.content)

    async def _request[T](
        self,
        method: str,
        url: str,
        permission: str,
        headers: dict[str, str] | None,
        body: Any,
        read: Callable[[Answer], T],
        *,
        redirects: bool = False,
    ) -> T:
        url = self._absolute(url)
        try:
            fresh_token = False
            for attempt in range(ATTEMPTS):
                if self.pace:
                    await self.pace.turn()
                self.waits.requests += 1
                try:
                    answer = await self._send(method, url, headers or {}, body)
                    if answer.status < 300 or (redirects and answer.status < 400):
                        return read(answer)
                except Lost as lost:
                    await self._renew_connections()
                    await self._back_off(attempt, lost)
                    continue
                if answer.status == 401 and not fresh_token:
                    fresh_token = True
                    await self._renew_token()
                elif answer.status == 429:
                    await self._throttled(answer, attempt)
                elif answer.status >= 500 and answer.status != 501:
                    await self._renew_connections()  # Microsoft: retry over a new connection, perhaps to another host
                    if (wait := retry_after(answer.headers, self._clock)) is not None:
                        await self._wait(wait, retry=True)
                    else:
                        await self._back_off(attempt, None, answer.status)
                else:
                    error = parse_error(answer.status, answer.content)
                    if answer.status != 404 or error.code:
                        raise refusal(error, permission)
                    await self._back_off(attempt, None, 404)  # not Graph's own: something before it
            raise _unavailable("kept failing")
        finally:
            self.way.release()

    def _absolute(self, url: str) -> str:
        """Tokens go to the configured Graph host only, whatever a link says."""
        if url.startswith("/"):
            return self.base_url + url
        if not is_link(url):
            raise SourceProblem(
                "Microsoft Graph sent a link that is no address.",
                code="graph-malformed",
                remedy="Nothing was lost and nobody was removed; the next run tries again by itself.",
                transient=True,
            )
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
        request.http_method = Method[method]
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
            raise Lost(type(error).__name__) from error
        except AzureError as error:
            problem = sign_in_problem(error)
            if problem.transient:
                raise Lost("sign-in", sent=False) from error
            raise problem from error
        finally:
            await self._leave(line)
        response.stream = httpx.ByteStream(b"")  # the old one refers back to the response: neither would be freed
        return Answer(response.status_code, dict(response.headers), response.content)

    def _connect(self) -> Line:
        return connect(self.base_url, self._credential, self._scope, self.way)

    async def _leave(self, line: Line) -> None:
        """A request is over; connections that were renewed meanwhile close behind their last one."""
        line.users -= 1
        if line is not self._line and not line.users:
            await line.close()

    async def _renew_connections(self) -> None:
        """The next request goes over new ones; the old ones close behind their last request."""
        line, self._line = self._line, None
        if line and not line.users:
            await line.close()

    async def _renew_token(self) -> None:
        """A new credential has no cached token: azure-identity keeps one until it expires, Graph may refuse it earlier."""
        await self._renew_connections()
        old, self._credential = self._credential, self._make_credential()
        await finished(old.close())

    async def _throttled(self, answer: Answer, attempt: int) -> None:
        """Throttling is no failure: after the last attempt the run goes on later."""
        self.waits.throttled += 1
        asked = retry_after(answer.headers, self._clock)
        last = attempt == ATTEMPTS - 1
        wait = max(STILL_THROTTLED_WAIT, asked or 0.0) if last else throttled_wait(attempt) if asked is None else asked
        if self.pace:
            await self.pace.throttled(wait)
        if last:
            await self._postpone(wait)
        await self._wait(wait, retry=False)

    async def _back_off(self, attempt: int, cause: Lost | None, status: int | None = None) -> None:
        if attempt == ATTEMPTS - 1:
            raise _unavailable(cause.what if cause else f"answered {status}") from cause
        await self._wait(backoff(attempt), retry=True)

    async def wait_again(self, attempt: int) -> None:
        """Waits before what came is asked for once more."""
        await self._wait(backoff(attempt), retry=True)

    async def wait_throttled(self, seconds: float) -> None:
        """Waits as Graph asked for inside an answer (the parts of a batch are throttled one by one)."""
        self.waits.throttled += 1
        await self._wait(seconds, retry=False)

    async def _wait(self, seconds: float, *, retry: bool) -> None:
        """Waits within the slice, or postpones the run."""
        seconds = min(seconds, LONGEST_WAIT)
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
        seconds = min(seconds, LONGEST_WAIT)
        self.waits.throttle_seconds = round(self.waits.throttle_seconds + seconds, 3)
        raise Postponed(seconds)

    async def close(self) -> None:
        try:
            await self._renew_connections()
        finally:
            await finished(self._credential.close())


_NO_ADDRESS = re.compile("[\x00-\x20\x7f-\x9f\ud800-\udfff]")


def is_link(text: object) -> bool:
    """Whether a link can be followed at all: text that is an address."""
    try:
        parts = urlsplit(text) if isinstance(text, str) else None
        return bool(parts and parts.hostname and parts.port != 0 and not _NO_ADDRESS.search(str(text)))
    except ValueError:  # brackets that hold no address, a port that is no number
        return False


_NOT_JSON = "answered what is not JSON"


def _parsed(answer: Answer) -> tuple[Any, bool]:
    try:
        return parse(answer.content)
    except NotJson as error:
        raise Lost("not JSON", what=_NOT_JSON) from error


def _whole(answer: Answer) -> bytes:
    if not answer.content.rstrip().endswith(b"}"):
        raise Lost("not JSON", what=_NOT_JSON)
    return answer.content.removeprefix(BOM)


def _unavailable(what: str) -> SourceProblem:
    return SourceProblem(
        f"Microsoft Graph {what} {ATTEMPTS} times in a row.",
        code="graph-unavailable",
        remedy="Nothing was lost and nobody was removed; the next run tries again by itself.",
        transient=True,
    )
