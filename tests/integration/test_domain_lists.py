"""Lists of domains that match nobody, or nearly nobody: said, forecast, and held."""

from typing import Any

import pytest

from shared.domain.configuration import SourceIn
from tests.rig import TESTER, Rig

PEOPLE = 60


TENANT = (PEOPLE, 0, 25)
"""Of the shared rig: people, devices, objects a page."""


def _stored(rig: Rig) -> set[str]:
    return {row["RowKey"].partition("|")[0] for row in rig.entities("Records")}


def _mail_in(rig: Rig, domain: str) -> set[str]:
    people = [item for item in (rig.directory.get("users", index) for index in range(PEOPLE)) if item]
    return {item["id"] for item in people if (item["mail"] or "").lower().endswith(f"@{domain}")}


def _forecast(rig: Rig, domains: list[str]) -> Any:
    before = rig.app().config.get("source", "a")
    assert before
    return rig.app().forecasts.of("a", SourceIn.model_validate({**before.body, "domains": domains}))


def test_the_primary_mail_alone_decides(rig: Rig) -> None:
    rig.directory.change("users", 1, {"mail": None})
    rig.directory.change("users", 2, {"mail": "x@fabrikam.example", "userPrincipalName": "x@contoso.example"})
    connector = rig.configure(source={"domains": ["contoso.example"]})
    run = rig.run(connector)
    assert (run.state, run.problems) == ("succeeded", [])
    assert _stored(rig) == _mail_in(rig, "contoso.example")


def test_a_name_that_the_tenant_has_not_verified_is_a_finding_and_no_star(rig: Rig) -> None:
    connector = rig.configure(source={"domains": ["contoso.example", "contosso.example"]})
    run = rig.run(connector)
    assert [problem.code for problem in run.problems] == ["domain-not-verified"]
    assert "contosso.example" in run.problems[0].message
    assert _stored(rig) == _mail_in(rig, "contoso.example")


def test_without_the_permission_nothing_is_claimed(rig: Rig) -> None:
    rig.roles.remove("Organization.Read.All")
    connector = rig.configure(source={"domains": ["contosso.example"]})
    assert rig.run(connector).problems == []


@pytest.mark.parametrize("domains", [["contosso.example"], ["fabrikam.example"]], ids=["nobody", "few"])
def test_a_change_that_would_leave_nearly_nobody_is_forecast_and_held(rig: Rig, domains: list[str]) -> None:
    connector = rig.configure()
    rig.run(connector)
    told = _forecast(rig, domains)
    left = len(_mail_in(rig, domains[0]))
    assert (told.leave, told.streams[0].held) == (PEOPLE - left, True)
    assert "held" in told.explanation
    rig.change("source", "a", domains=domains)
    run = rig.run(connector)
    assert (run.state, run.streams[0].held, run.streams[0].left_scope) == ("held", PEOPLE - left, 0)
    assert len(_stored(rig)) == PEOPLE
    (hold,) = rig.app().removals.holds()
    assert hold.causes == {"domain": PEOPLE - left}
    assert rig.run(connector).streams[0].left_scope == 0  # it waits, round after round


def test_who_is_held_comes_back_where_the_owner_corrects_it(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.change("source", "a", domains=["contosso.example"])
    assert rig.run(connector).state == "held"
    rig.change("source", "a", domains=["*"])
    run = rig.run(connector)
    assert (run.state, run.streams[0].released, run.streams[0].held) == ("succeeded", PEOPLE, 0)
    assert rig.app().removals.holds() == [] and rig.entities("Tombstones") == []


def test_what_a_person_confirms_leaves(rig: Rig) -> None:
    connector = rig.configure()
    rig.run(connector)
    rig.change("source", "a", domains=["fabrikam.example"])
    rig.run(connector)
    (hold,) = rig.app().removals.holds()
    started = rig.app().removals.decide(hold.id, "confirmed", TESTER, [])
    assert started and rig.finish(started.id).state == "succeeded"
    assert _stored(rig) == _mail_in(rig, "fabrikam.example")


def test_a_change_within_the_removal_limit_goes_through(rig: Rig) -> None:
    for index in range(3):
        rig.directory.change("users", index, {"mail": f"x{index}@tailspin.example"})
    connector = rig.configure(source={"domains": ["contoso.example", "fabrikam.example", "tailspin.example"]})
    rig.run(connector)
    before = len(_stored(rig))
    told = _forecast(rig, ["contoso.example", "fabrikam.example"])
    assert (told.leave, told.streams[0].held) == (3, False)
    rig.change("source", "a", domains=["contoso.example", "fabrikam.example"])
    run = rig.run(connector)
    assert (run.state, run.streams[0].left_scope) == ("succeeded", 3) and len(_stored(rig)) == before - 3


def test_a_small_tenant_is_not_emptied_by_a_typing_error() -> None:
    rig = Rig(6, 0)
    try:
        connector = rig.configure()
        rig.run(connector)
        rig.change("source", "a", domains=["contosso.example"])
        assert rig.run(connector).state == "held" and len(_stored(rig)) == 6
    finally:
        rig.close()


def test_a_threshold_that_would_empty_the_copy_is_held(rig: Rig) -> None:
    for index in range(PEOPLE):
        rig.directory.change("users", index, {"createdDateTime": "2019-01-01T00:00:00Z", "signInActivity": None})
    connector = rig.configure()
    rig.run(connector)
    rig.clock.move(40 * 86400)
    rig.run(connector, job="sign-ins")
    rig.change("connector", connector, options={"collectDevices": False, "userThresholdDays": 30})
    run = rig.run(connector)
    assert run.state == "held" and len(_stored(rig)) == PEOPLE, run
