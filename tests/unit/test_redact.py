"""The redactor: no handler sees a token, key or secret, also not in a traceback."""

import io
import logging

import pytest

from shared.redact import install, redact

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOiJodHRwczovL2dyYXBoIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"Authorization: Bearer {TOKEN}", TOKEN),
        ("AccountName=a;AccountKey=abc+/123==;x", "abc+/123=="),
        ("POST client_id=1&client_secret=p~Q8&scope=x", "p~Q8"),
        ("https://x/?se=1&sig=a%2Fb%3D", "a%2Fb%3D"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "MIIE"),
        ('{"clientSecret": "a\\"b"}', "a\\"),
        ('{"password":"x y"}', "x y"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert "[hidden]" in redact(text)


def test_ordinary_text_stays() -> None:
    text = "run 01a1~82 slice 1: succeeded, 1,000 of 1,000 read (AADSTS7000215)"
    assert redact(text) == text


def test_every_logger_passes_the_redactor_also_with_a_traceback() -> None:
    before = logging.getLogRecordFactory()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("some.library")
    logger.addHandler(handler)
    try:
        install()
        install()
        logger.warning("sent %s with %r", {"authorization": f"Bearer {TOKEN}"}, TOKEN)
        try:
            raise ValueError(f"bad token {TOKEN}")
        except ValueError:
            logger.exception("it failed for %s", TOKEN)
    finally:
        logger.removeHandler(handler)
        logging.setLogRecordFactory(before)
    assert TOKEN not in stream.getvalue()
    assert stream.getvalue().count("[hidden]") == 4 and "ValueError" in stream.getvalue()
