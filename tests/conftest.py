"""The stack that the wire tests share: Azurite, the simulated cloud and the Functions host, started once."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from local.stack import Options, Stack

if TYPE_CHECKING:
    from tests.rig import Rig

# How long an example takes says how busy the machine is, no more.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")
SHARED = Path(__file__).resolve().parents[2] / "shared"
JOURNALS = Path(__file__).resolve().parents[1] / ".local" / "graph-journals"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-journals", action="store_true", help="look at the requests of the session before")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Every simulated Graph of this session writes what it was asked here; a test looks at all of it at the end."""
    if not hasattr(session.config, "workerinput") and not session.config.getoption("--keep-journals"):
        JOURNALS.mkdir(parents=True, exist_ok=True)
        for old in JOURNALS.glob("*.jsonl"):
            old.unlink()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones begin first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


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


_numbers = iter(range(1_000_000))


def journal() -> Path:
    return JOURNALS / f"{os.getpid()}-{next(_numbers)}.jsonl"


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """400 people, 240 devices. Tests that change the tenant or switch faults on start one of their own."""
    started = Stack(Options(people=400, devices=240, journal=journal())).start()
    yield started
    started.stop()


@pytest.fixture
def own_stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack for one test; options through `@pytest.mark.parametrize("own_stack", [{...}], indirect=True)`."""
    options = dict(getattr(request, "param", {}))
    started = Stack(Options(journal=journal(), **options)).start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def shared_rig() -> "Iterator[Rig]":
    from tests.rig import Rig

    made = Rig(24, page_cap=8)
    yield made
    made.close()


@pytest.fixture
def rig(shared_rig: "Rig") -> "Rig":
    """A tenant in this process, as new for every test: 24 people, eight a page."""
    shared_rig.reset()
    return shared_rig
