"""A tenant in this process, as new for every test."""

from collections.abc import Iterator

import pytest

from tests.rig import Rig


@pytest.fixture(scope="module")
def shared_rig() -> Iterator[Rig]:
    made = Rig(24, page_cap=8)
    yield made
    made.close()


@pytest.fixture
def rig(shared_rig: Rig) -> Rig:
    """24 people, eight a page."""
    shared_rig.reset()
    return shared_rig
