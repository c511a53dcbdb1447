"""The stack that the wire tests share: Azurite, the simulated cloud and the Functions host, started once."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from local.stack import Options, Stack

if TYPE_CHECKING:
    from tests.rig import Rig

pytest.register_assert_rewrite(
    "tests.contract.kinds", "tests.expected", "tests.support"
)  # they assert for test modules

# How long an example takes says how busy the machine is, no more.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones begin first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None and item.get_closest_marker("prove") is None)


@pytest.fixture
def say(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Shows a line at the end of the session: how much a test tried."""
    return lambda text: record_property("said", text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    for report in reports:
        for name, text in getattr(report, "user_properties", ()):
            if name == "said" and report.when == "call":
                terminalreporter.write_line(str(text))


def stopped(started: Stack) -> None:
    """Stops a stack, all of whose requests to Graph must have been ones that Microsoft describes."""
    try:
        if started.runs("cloud"):
            assert started.admin("GET", "/counters")["undescribed"] == []
    finally:
        started.stop()


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """400 people, 240 devices. Tests that change the tenant or switch faults on start one of their own."""
    started = Stack(Options(people=400, devices=240)).start()
    yield started
    stopped(started)


@pytest.fixture
def own_stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack for one test; options through `@pytest.mark.parametrize("own_stack", [{...}], indirect=True)`."""
    options = dict(getattr(request, "param", {}))
    started = Stack(Options(**options)).start()
    yield started
    stopped(started)


@pytest.fixture(scope="module")
def shared_rig(request: pytest.FixtureRequest) -> "Iterator[Rig]":
    from tests.rig import Rig

    people, devices, page_cap = getattr(request.module, "TENANT", (24, 0, 8))
    made = Rig(people, devices, page_cap=page_cap)
    yield made
    made.close()


@pytest.fixture
def rig(shared_rig: "Rig") -> "Rig":
    """A tenant in this process, as new for every test: 24 people, eight a page, or what the module calls TENANT."""
    shared_rig.reset()
    return shared_rig
