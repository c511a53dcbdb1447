"""Reading Graph's answers: Retry-After in all its forms, error shapes, what the token says."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import Clock
from shared.domain.clouds import CLOUDS, CloudName
from shared.domain.run import Waits
from shared.errors import SourceProblem
from shared.graph.answers import (
    Denied,
    Missing,
    PageTokenExpired,
    Postponed,
    ResyncNeeded,
    parse_error,
    refusal,
    sign_in_problem,
)  # fmt: skip
from shared.graph.client import GraphClient
from shared.graph.credentials import Claims, SignIn, claims_of
from shared.graph.waiting import retry_after


class StoppedClock(Clock):
    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), (" 1.5 ", 1.5), ("0", 0.0), ("-3", 0.0), ("inf", None), ("nan", None), ("9" * 400, None), (None, None), ("", None), ("soon", None),
     (format_datetime(datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC), usegmt=True), 30.0),
     (format_datetime(datetime(2026, 11, 21, 11, 0, tzinfo=UTC), usegmt=True), 0.0)],
)  # fmt: skip
def test_retry_after_may_be_seconds_a_date_or_nothing(header: str | None, seconds: float | None) -> None:
    headers = {} if header is None else {"retry-after": header}
    assert retry_after(headers, StoppedClock()) == seconds


@given(st.binary(max_size=200))
def test_any_body_is_an_error_without_a_code(content: bytes) -> None:
    assert parse_error(500, content).status == 500


def test_the_deepest_inner_code_counts() -> None:
    body = b'{"error":{"code":"a","message":"m","innerError":{"code":"b","innererror":{"code":"c"}}}}'
    assert (parse_error(400, body).code, parse_error(400, body).inner) == ("a", "c")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(400, "Directory_ExpiredPageToken", PageTokenExpired), (410, "syncStateNotFound", ResyncNeeded), (404, "Request_ResourceNotFound", Missing),
     (403, "Authorization_RequestDenied", Denied), (401, "InvalidAuthenticationToken", SourceProblem), (400, "BadRequest", SourceProblem)],
)  # fmt: skip
def test_each_refusal_has_its_meaning(status: int, code: str, kind: type[Exception]) -> None:
    error = parse_error(status, b'{"error":{"code":"' + code.encode() + b'"}}')
    assert type(refusal(error, "User.Read.All")) is kind


def test_a_missing_licence_is_not_a_missing_permission() -> None:
    body = b'{"error":{"code":"Authentication_RequestFromNonPremiumTenantOrB2CTenant"}}'
    denied = refusal(parse_error(403, body), "AuditLog.Read.All")
    assert isinstance(denied, Denied) and denied.reason == "licence"
    denied = refusal(parse_error(403, b'{"error":{"code":"x"}}'), "AuditLog.Read.All")
    assert isinstance(denied, Denied) and denied.reason == "permission" and "AuditLog.Read.All" in denied.detail


def test_sign_in_errors_keep_their_number_and_drop_their_text() -> None:
    problem = sign_in_problem(ValueError("AADSTS7000215: Invalid client secret 'hunter2' provided"))
    assert problem.code == "secret-wrong" and "hunter2" not in problem.detail + problem.remedy
    assert sign_in_problem(ValueError("connection refused")).transient
    assert not sign_in_problem(ValueError("AADSTS123456: new")).transient


def test_a_token_goes_to_the_configured_host_only() -> None:
    client = GraphClient("https://graph.microsoft.com/v1.0", lambda: None, "s", StoppedClock(), Waits())
    assert client._absolute("/users") == "https://graph.microsoft.com/v1.0/users"
    assert client._absolute("https://graph.microsoft.com/v1.0/users?$skiptoken=x")
    for url in (
        "https://graph.microsoft.com.evil.example/v1.0/users",
        "http://graph.microsoft.com/v1.0/users",
        "https://evil.example/",
    ):
        with pytest.raises(SourceProblem, match="another host"):
            client._absolute(url)


def test_a_wait_that_does_not_fit_the_slice_postpones_the_run() -> None:
    clock = StoppedClock()
    client = GraphClient("https://g/v1.0", lambda: None, "s", clock, Waits())
    client.budget = lambda: 10.0
    asyncio.run(client._wait(3, retry=False))
    with pytest.raises(Postponed) as postponed:
        asyncio.run(client._wait(timedelta(hours=9).total_seconds(), retry=False))
    assert clock.slept == [3] and postponed.value.seconds == 3600
    assert client.waits.throttle_seconds == 3603  # a wait outside of the worker is one too


def test_a_token_that_is_none_has_no_roles() -> None:
    assert claims_of("not.a.token") == Claims() == claims_of("")


def test_a_sign_in_does_not_show_its_secret() -> None:
    sign_in = SignIn("client-secret", "t", "c", CLOUDS[CloudName.GLOBAL], False, "hunter2")
    assert "hunter2" not in repr(sign_in)
