"""Links as Microsoft Graph sends them now and then: what is no address is none, and is never followed."""

import pytest

from shared.clock import Clock
from shared.domain.run import Waits
from shared.errors import SourceProblem
from shared.graph.client import GraphClient, is_link

GOOD = ["https://graph.microsoft.com/v1.0/users?$skiptoken=x", "https://graph.microsoft.com/v1.0/users?x=ä"]
BAD = [
    "https://[::1", "https://graph.microsoft.com:abc/x", "https://graph.microsoft.com/a\x01b", "https://graph.microsoft.com/a b",
    "", "users?$skiptoken=x", "https://", "https://graph.microsoft.com/\ud800", "https://graph.microsoft.com:99999/x", 5, None,
    ["https://graph.microsoft.com"], "https://graph.microsoft.com/a\nb", "\x00",
]  # fmt: skip


@pytest.mark.parametrize("link", GOOD)
def test_an_address_is_a_link(link: str) -> None:
    assert is_link(link)


@pytest.mark.parametrize("link", BAD)
def test_anything_else_is_none_and_says_so(link: object) -> None:
    assert not is_link(link)
    client = GraphClient("https://graph.microsoft.com/v1.0", lambda: None, "x", Clock(), Waits())
    if isinstance(link, str) and link:
        with pytest.raises(SourceProblem) as refused:
            client._absolute(link)
        assert refused.value.code == "graph-malformed" and refused.value.transient


def test_a_link_to_another_host_gets_no_token() -> None:
    client = GraphClient("https://graph.microsoft.com/v1.0", lambda: None, "x", Clock(), Waits())
    for link in (
        "https://graph.attacker.example/v1.0/users",
        "http://graph.microsoft.com/v1.0/users",
        "https://graph.microsoft.com.evil.example/",
    ):
        with pytest.raises(SourceProblem) as refused:
            client._absolute(link)
        assert refused.value.code == "graph-foreign-link"
    assert client._absolute("//evil.example/x").startswith("https://graph.microsoft.com/v1.0")
