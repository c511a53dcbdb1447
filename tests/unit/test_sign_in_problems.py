"""What Entra's refusals mean: what may pass is tried again, what only a person can mend says what to do."""

import pytest

from shared.graph.answers import sign_in_problem


@pytest.mark.parametrize(
    ("number", "code", "transient"),
    [
        (70021, "federation-new", True), (700213, "federation-unknown", False), (7000215, "secret-wrong", False),
        (90033, "sign-in-unreachable", True), (65001, "consent-missing", False), (123456, "sign-in-refused", False),
    ],
)  # fmt: skip
def test_a_refusal_is_told_by_its_number(number: int, code: str, transient: bool) -> None:
    problem = sign_in_problem(ValueError(f"AADSTS{number}: something"))
    assert (problem.code, problem.transient) == (code, transient) and problem.remedy


def test_an_unmatched_federation_shows_what_has_to_match() -> None:
    """A new one is unknown for a minute or two: no quarantine then, but the same three things to compare."""
    for number in (70021, 700213):
        remedy = sign_in_problem(ValueError(f"AADSTS{number}")).remedy
        assert all(
            word in remedy for word in ("issuer", "subject", "audience api://AzureADTokenExchange", "lower case")
        )
