"""The stack that the wire tests share: Azurite, the simulated cloud and the Functions host, started once."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from _pytest.nodeid import NodeId
from hypothesis import HealthCheck, settings

from local.stack import Options, Stack

if TYPE_CHECKING:
    from tests.rig import Rig

pytest.register_assert_rewrite(
    "tests.contract.kinds", "tests.expected", "tests.support", "tests.infra.policies"
)  # they assert for test modules

# How long an example takes says how busy the machine is, no more.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a stack, or what their module starts, go to one process, which starts it once. The slow ones begin
    first, then those, so that no process is left alone with them at the end.
    """
    named: Counter[str] = Counter()
    for item in items:
        name = item.nodeid
        named[name] += 1
        alike = f"[{named[name]}]" if named[name] > 1 else ""  # generated tests: xdist would run one of them
        group = f"@{shared}" if (shared := _shared(item)) else ""
        if alike or group:
            # What xdist's own xdist_group does; it sets an attribute that pytest reads no more since 9.2.
            item._id = NodeId.parse(f"{name}{alike}{group}")
    items.sort(key=lambda item: (not _is_slow(item), not _shared(item)))


def _is_slow(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("slow", "prove"))


def _shared(item: pytest.Item) -> str:
    """Names what an item shares with others: a stack, or what its module starts."""
    fixtures = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    if any(fixture.scope == "module" for found in fixtures.values() for fixture in found):
        return item.nodeid.partition("::")[0]
    return next((name for name in ("stack", "_rough") if name in fixtures), "")


@pytest.fixture(scope="session", autouse=True)
def emulators() -> Iterator[None]:
    """The rigs' emulators, which go from one rig to the next, end with the session."""
    yield
    if rig := sys.modules.get("tests.rig"):
        rig.stop_emulators()


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
    sent = [text for report in reports for name, text in getattr(report, "user_properties", ()) if name == "generated"]
    if sent:
        terminalreporter.write_line(f"{len(sent)} generated requests to {len(set(sent))} operations")


def stopped(started: Stack) -> None:
    """Stops a stack, all of whose requests to Graph must have been ones that Microsoft describes."""
    try:
        if started.runs("cloud"):
            assert started.admin("GET", "/counters")["undescribed"] == []
    finally:
        started.stop()


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """160 people, 90 devices. Tests that change the tenant or switch faults on start one of their own."""
    started = Stack(Options(people=160, devices=90)).start()
    yield started
    stopped(started)


@pytest.fixture(scope="session")
def _rough() -> Iterator[Stack]:
    started = Stack(Options(people=160, devices=90, page_cap=40)).start()
    yield started
    stopped(started)


@pytest.fixture
def rough_stack(_rough: Stack) -> Iterator[Stack]:
    """A stack whose tests may change the tenant and switch faults on: these are off again for the next one."""
    yield _rough
    _rough.admin("DELETE", "/faults")
    _rough.admin("POST", "/slow", {"seconds": 0})
    _rough.admin("POST", f"/tenants/{_rough.addresses['tenants']['global']}", {"do": "premium", "on": True})


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


@pytest.fixture(scope="module")
def cloud() -> Iterator[Stack]:
    """The simulated cloud in a process of its own, without a function app: for tests whose app is in their own process."""
    started = Stack(Options(people=1)).start(host=False)
    yield started
    started.stop()


@pytest.fixture
def signed_in_cloud(cloud: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """That cloud, to which this process signs in with a managed identity."""
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, cloud.env[name])
    return cloud
