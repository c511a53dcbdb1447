"""The redactor: no handler sees a token, key or secret: not in a message, a traceback, what caused it, nor beside the message."""

import base64
import io
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.redact import HIDDEN, clean, install, known_secret, redact
from shared.settings import load
from shared.storage.connection import from_connection_string

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOiJodHRwczovL2dyYXBoIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
PEM = "-----BEGIN {} KEY-----\nMIIEabc\n-----END {} KEY-----"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"Authorization: Bearer {TOKEN}", TOKEN),
        ("AccountName=a;AccountKey=abc+/123==;x", "abc+/123=="),
        ("POST client_id=1&client_secret=p~Q8&scope=x", "p~Q8"),
        ("client_assertion=abc.def.ghi&x=1", "abc.def.ghi"),
        ("https://x/?se=1&sig=a%2Fb%3D", "a%2Fb%3D"),
        ("SharedAccessSignature=sv=1&sig=a%2Fb%3D", "a%2Fb%3D"),
        (PEM.format("PRIVATE", "PRIVATE"), "MIIE"),
        (PEM.format("RSA PRIVATE", "RSA PRIVATE"), "MIIE"),
        (PEM.format("ENCRYPTED PRIVATE", "ENCRYPTED PRIVATE"), "MIIE"),
        (repr(PEM.format("EC PRIVATE", "EC PRIVATE")), "MIIE"),
        ("-----BEGIN PRIVATE KEY-----\\nMIIEcut off", "MIIE"),
        ('{"clientSecret": "a\\"b"}', "a\\"),
        ("{'clientSecret': 'p~Q8 x'}", "p~Q8"),
        ("{'client_secret': \"p~Q8 x\"}", "p~Q8"),
        ('{"client_secret":"p~Q8 x"}', "p~Q8"),
        ("CredentialIn(client_secret=SecretStr('p~Q8'), x=1)", "p~Q8"),
        ("client_secret='p~Q8' scope='x'", "p~Q8"),
        ('{"password":"x y"}', "x y"),
        ('{"value": "p~Q8 x", "id": "https://v.vault.azure.net/secrets/credential-1/2"}', "p~Q8"),
        ("{'value': 'p~Q8 x', 'attributes': {'recoveryLevel': 'Recoverable'}}", "p~Q8"),
        ("Authorization: SharedKey account:YWJjZGVm+/0=", "YWJjZGVm+/0="),
        ("'Authorization': 'SharedKeyLite account:YWJjZGVm+/0='", "YWJjZGVm+/0="),
        ("Authorization: Basic bG9jYWw6dG9rZW4=", "bG9jYWw6dG9rZW4="),
        ("X-IDENTITY-HEADER: 0f4c-secret-header", "0f4c-secret-header"),
        ("{'X-IDENTITY-HEADER': '0f4c-secret-header'}", "0f4c-secret-header"),
        ("[(b'x-identity-header', b'0f4c-secret-header')]", "0f4c-secret-header"),
        ("GET /v1.0/users/delta?$deltatoken=AbC-_1 done", "AbC-_1"),
        ("GET /v1.0/users?%24skiptoken=AbC-_1&$top=1", "AbC-_1"),
        ("Cookie: AppServiceAuthSession=abcdef; x=y", "abcdef"),
        ('{"access_token": "opaque-token", "expires_in": 1}', "opaque-token"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_hidden(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert HIDDEN in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "run 01a1~82 slice 1: succeeded, 1,000 of 1,000 read (AADSTS7000215)",
        "The client secret is wrong. Enter the secret's value (not its id) on the credential.",
        "audit head 01a2 20261127 3 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        '{"odata.error": {"code": "ServerBusy", "message": {"value": "Injected fault."}}}',
        "the secret credential-01a2-9fce is still in the vault (vault-error); the timer removes it",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text


@given(st.text(min_size=8, max_size=60).filter(lambda text: text.strip() == text))
def test_a_secret_that_is_known_is_hidden_however_it_is_written(secret: str) -> None:
    secret = secret.encode("utf-8", "replace").decode()
    known_secret(secret)
    forms: list[Callable[[str], str]] = [
        str, lambda text: quote(text, safe=""), quote_plus, json.dumps, repr, lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: base64.b64encode(text.encode()).decode(),
    ]  # fmt: skip
    for form in forms:
        assert secret not in redact(f"before {form(secret)} after"), form
        assert form(secret)[1:-1] not in redact(f"before {form(secret)} after"), form


@pytest.fixture
def heard() -> Iterator[io.StringIO]:
    before = logging.Logger.makeRecord
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s %(beside)s", defaults={"beside": ""}))
    logger = logging.getLogger("some.library")
    logger.addHandler(handler)
    install()
    install()
    yield stream
    logger.removeHandler(handler)
    logging.Logger.makeRecord = before  # type: ignore[method-assign]


def test_every_logger_passes_the_redactor_also_with_a_traceback(heard: io.StringIO) -> None:
    logger = logging.getLogger("some.library")
    logger.warning("sent %s with %r", {"authorization": f"Bearer {TOKEN}"}, TOKEN)
    try:
        raise ValueError(f"bad token {TOKEN}")
    except ValueError:
        logger.exception("it failed for %s", TOKEN)
    said = heard.getvalue()
    assert TOKEN not in said
    assert said.count(HIDDEN) == 4 and "ValueError" in said and "test_redact" in said


def test_what_a_record_carries_besides_passes_too(heard: io.StringIO) -> None:
    logger = logging.getLogger("some.library")
    for beside in (TOKEN, TOKEN.encode(), {"a": [TOKEN]}, {"password": "short"}, (TOKEN,), ValueError(TOKEN), {TOKEN}):
        logger.warning("x", extra={"beside": beside})
        logger.warning("malformed %d", TOKEN)
    logger.warning("x", stack_info=True)
    assert TOKEN not in heard.getvalue() and "short" not in heard.getvalue()


def test_an_exception_for_telemetry_has_no_secret_in_text_causes_or_local_variables() -> None:
    def inner(password: str) -> None:
        local = f"client_secret={password}"
        raise KeyError(local)

    try:
        try:
            inner(base64.b64decode("cH5ROC12YWx1ZQ==").decode())
        except KeyError as error:
            raise RuntimeError(f"Bearer {TOKEN}") from error
    except RuntimeError as error:
        kind, shown, trace = clean(error)
    text = "".join(traceback.format_exception(kind, shown, trace))
    assert "p~Q8" not in text and TOKEN not in text
    assert "RuntimeError" in text and "KeyError" in text and "in inner" in text
    seen, current = [], [shown, shown.__cause__]
    for one in current:
        frame = one.__traceback__ if one else None
        while frame:
            seen.append(repr(frame.tb_frame.f_locals) if "inner" in frame.tb_frame.f_code.co_name else "")
            frame = frame.tb_next
    assert not any("p~Q8" in text for text in seen)


def test_what_holds_a_key_does_not_show_it() -> None:
    text = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2VjcmV0LWtleS0x"
    settings = load({"RollcallStorage": text})
    assert "c2VjcmV0LWtleS0x" not in repr(settings) + repr(from_connection_string(text))
