"""Domain names as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.domain.configuration import SourceIn
from shared.domain.domains import domain_name, domain_of

GOOD = [
    ("contoso.example", "contoso.example"), ("CONTOSO.Example", "contoso.example"), ("  contoso.example ", "contoso.example"), ("*", "*"),
    ("bücher.example", "xn--bcher-kva.example"), ("xn--bcher-kva.example", "xn--bcher-kva.example"), ("con\u200btoso.example", "contoso.example"),
    ("contoso.example\u2060", "contoso.example"), ("\uff43ontoso.example", "contoso.example"), ("a.b.c.example", "a.b.c.example"),
    ("contoso。example", "contoso.example"),
]  # fmt: skip
SEVERAL = ["contoso.example,fabrikam.example", "a.example;b.example", "a.example b.example", "a.example|b.example", "a.example\tb.example", "a.example\nb.example"]  # fmt: skip
BAD = [
    "contoso.example.", "contoso..example", ".contoso.example", "contoso", "contoso.example:443", "https://contoso.example", "@contoso.example",
    "ann@contoso.example", "*.contoso.example", "contoso.example/x", "10.0.0.1", "-a.example", "a-.example", "a_b.example", "\u200b", "..", "a" * 64 + ".example",
]  # fmt: skip


@pytest.mark.parametrize(("text", "name"), GOOD)
def test_a_name_is_kept_in_the_form_that_is_compared(text: str, name: str) -> None:
    assert domain_name(text) == name


@pytest.mark.parametrize("text", SEVERAL)
def test_several_names_in_a_row_are_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(ValueError, match="one name a row"):
        domain_name(text)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_domain_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="domain"):
        domain_name(text)


def test_the_source_names_the_row_that_is_wrong() -> None:
    body = {"sourceGroupId": "1", "name": "x", "tenantId": "7e4a0000-0000-4000-8000-000000000001", "credentialId": "1"}
    with pytest.raises(ValidationError) as refused:
        SourceIn.model_validate({**body, "domains": ["contoso.example", "a.example;b.example"]})
    (error,) = refused.value.errors()
    assert error["loc"] == ("domains", 1) and "one name a row" in error["msg"]


@given(st.text(max_size=60))
def test_any_text_gives_a_name_or_a_reason(text: str) -> None:
    try:
        name = domain_name(text)
    except ValueError:
        return
    assert name == "*" or (name.isascii() and domain_name(name) == name and domain_of(f"ann@{name}") == name)


@pytest.mark.parametrize(
    ("address", "domain"),
    [("ann@CONTOSO.example", "contoso.example"), ("ann@bücher.example", "xn--bcher-kva.example"), ("a@b@c.example", "c.example"),
     (None, ""), (7, ""), ("", ""), ("ann@\ud800.example", "\ud800.example")],
)  # fmt: skip
def test_the_domain_of_an_address(address: object, domain: str) -> None:
    assert domain_of(address) == domain
