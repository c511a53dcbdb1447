"""Kill -9 in the middle of a run: the run ends well by itself, and the copy is the tenant."""

import time
from collections.abc import Callable

import pytest

from local.stack import Stack
from tests import expected, support


@pytest.mark.slow
@pytest.mark.parametrize("own_stack", [{"people": 10_000, "devices": 6_000}], indirect=True)
def test_a_killed_host_is_started_again_and_the_run_goes_on_within_a_minute(
    own_stack: Stack, say: Callable[[str], None]
) -> None:
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
    while not now["takeovers"]:
        assert time.monotonic() - killed < 60
        time.sleep(0.2)
        _, now = own_stack.api("GET", f"runs/{run['id']}")
    say(f"a run whose host was killed went on after {time.monotonic() - killed:.0f} s")
    ended = support.wait(own_stack, run["id"], 300)
    assert ended["state"] == "succeeded", ended
    assert ended["takeovers"] == 1
    rows = support.rows(own_stack, "Records")
    assert expected.differences("person", list(support.truth(own_stack, "users")), rows) == []
    assert expected.differences("device", list(support.truth(own_stack, "devices")), rows) == []
