"""Kill -9 in the middle of a run: the run ends well by itself, and the copy is the tenant."""

import time

import pytest

from local.stack import Stack
from tests import expected, support


@pytest.mark.slow
@pytest.mark.parametrize("own_stack", [{"people": 10_000, "devices": 6_000}], indirect=True)
def test_a_killed_host_is_started_again_and_the_run_ends_well_within_three_minutes(own_stack: Stack) -> None:
    ids = support.configure(own_stack)
    own_stack.admin("POST", "/slow", {"seconds": 0.4})
    run = support.run_now(own_stack, ids["connector"])
    while True:
        _, now = own_stack.api("GET", f"runs/{run['id']}")
        if any(stream["pages"] >= 9 for stream in now["streams"]):
            break
        time.sleep(0.05)
    own_stack.kill_host()
    own_stack.admin("POST", "/slow", {"seconds": 0})
    killed = time.monotonic()
    own_stack.start_host()
    ended = support.wait(own_stack, run["id"], 180)
    took = time.monotonic() - killed
    print(f"\nkilled in the middle of the run, ended well after {took:.0f} s")
    assert ended["state"] == "succeeded", ended
    assert ended["takeovers"] == 1
    assert took <= 180
    rows = support.rows(own_stack, "Records")
    assert expected.differences("person", list(support.truth(own_stack, "users")), rows) == []
    assert expected.differences("device", list(support.truth(own_stack, "devices")), rows) == []
