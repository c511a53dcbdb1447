"""A forecast says what a changed scope does; saving it then does just that."""

from typing import Any

from local.stack import Stack
from tests import support

ANY = {"If-Match": "*"}


def _forecast(stack: Stack, path: str, change: dict[str, Any]) -> dict[str, Any]:
    status, told = stack.api("POST", f"{path}/forecast", change)
    assert status == 200, told
    return dict(told)


def test_a_forecast_of_domains_is_what_saving_them_does(stack: Stack) -> None:
    ids = support.configure(stack, connector={"removalLimit": {"count": 5000, "percent": 100}})
    support.run_and_wait(stack, ids["connector"])
    before = stack.api("GET", f"sources/{ids['source']}")[1]
    change = {"domains": ["fabrikam.example"]}
    told = _forecast(stack, f"sources/{ids['source']}", change)
    (users,) = [stream for stream in told["streams"] if stream["stream"] == "users"]
    assert (
        users["records"] == stack.options.people and told["leave"] == users["leave"] == users["causes"]["domain"] > 60
    )
    assert "would leave" in told["explanation"] and told["notCounted"] == []
    assert stack.api("GET", f"sources/{ids['source']}")[1] == before
    assert _forecast(stack, f"sources/{ids['source']}", {"domains": ["*"]})["leave"] == 0
    stack.api("PATCH", f"sources/{ids['source']}", change, ANY)
    run = support.run_and_wait(stack, ids["connector"])
    assert support.stream(run)["leftScope"] == users["leave"]


def test_a_forecast_of_thresholds_is_what_saving_them_does(stack: Stack) -> None:
    ids = support.configure(stack, connector={"removalLimit": {"count": 5000, "percent": 100}})
    support.run_and_wait(stack, ids["connector"])
    support.run_and_wait(stack, ids["connector"], job="sign-ins")
    change = {"options": {"deviceThresholdDays": 90, "userThresholdDays": 200}}
    told = _forecast(stack, f"connectors/{ids['connector']}", change)
    leave = {stream["stream"]: stream["leave"] for stream in told["streams"]}
    assert leave["devices"] > 0 and leave["users"] > 0, told
    stack.api("PATCH", f"connectors/{ids['connector']}", change, ANY)
    run = support.run_and_wait(stack, ids["connector"])
    assert {stream["name"]: stream["leftScope"] for stream in run["streams"]} == leave


def test_what_a_forecast_can_not_tell_is_said(stack: Stack) -> None:
    ids = support.configure(stack)
    told = _forecast(stack, f"sources/{ids['source']}", {"excludedGroups": ["Service accounts"]})
    assert told["notCounted"] == ["excludedGroups"]
    assert "only the next run" in told["explanation"]
    told = _forecast(stack, f"connectors/{ids['connector']}", {"options": {"userThresholdDays": 200}})
    assert told["notCounted"] == ["userThresholdDays"], "nobody's sign-ins were read yet"
    assert "only the next run" in told["explanation"]
    status, problem = stack.api(
        "POST", f"connectors/{ids['connector']}/forecast", {"options": {"userThresholdDays": -1}}
    )
    assert status == 422 and problem["errors"][0]["field"] == "options.userThresholdDays", problem
    assert stack.api("POST", "sources/0000/forecast", {})[0] == 404
