"""Requests made up from the API's own description, valid and not: whatever is sent, the answer is one that the description has, and
nothing is a defect of ours.

`make check` sends a sample; all of it: ROLLCALL_GENERATED=200 python -m pytest tests/contract/test_generated.py
"""

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS
from schemathesis.specs.openapi.checks import (
    ensure_resource_availability,
    ignored_auth,
    positive_data_acceptance,
    unsupported_method,
    use_after_free,
)

from functions import route_table
from local.stack import Options, Stack
from shared.api.openapi import document
from tests import support

pytestmark = pytest.mark.slow
EXAMPLES = int(os.environ.get("ROLLCALL_GENERATED", "4"))
LEFT_OUT = {
    # A made-up body names objects that are not there, or a name that is taken: a good form is not yet a good request.
    positive_data_acceptance: "references and names depend on what is stored",
    # It sends a request without the Authorization header and expects 401; the development token is no part of the description.
    ignored_auth: "tests/contract/test_trust.py and test_routes.py try every route without and with wrong principals",
    # The Functions host answers methods that it does not know itself, with 404. Those that it knows are tried in test_surfaces.py.
    unsupported_method: "QUERY never reaches the app",
    use_after_free: "needs sequences of requests; tests/integration/test_api.py has them",
    ensure_resource_availability: "needs sequences of requests; tests/integration/test_api.py has them",
}


@schemathesis.serializer("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
def workbook(_context: Any, value: Any) -> bytes:
    """A made-up file is no workbook: its bytes as they are."""
    return bytes(value) if isinstance(value, bytes) else str(value).encode(errors="replace")


REFUSED = ["4xx", "5xx"]  # 428 and 412 (RFC 6585, 9110) among them
CONFIG = {
    "checks": {name: {"expected-statuses": REFUSED} for name in ("missing_required_header", "negative_data_rejection")}
}
schema = schemathesis.openapi.from_dict(
    document(route_table()), config=schemathesis.config.SchemathesisConfig.from_dict(CONFIG)
)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    started = Stack(Options(people=12, devices=5, settings={"ROLLCALL_TICK": "0 0 0 1 1 *"})).start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def known(stack: Stack) -> dict[str, str]:
    """Ids that are there, by the first part of an address."""
    ids = support.configure(stack)
    run = support.run_and_wait(stack, ids["connector"])
    plural = {
        "organization": "organizations",
        "sourceGroup": "source-groups",
        "credential": "credentials",
        "source": "sources",
        "connector": "connectors",
    }
    people = stack.api("GET", "people?limit=1")[1]["items"]
    return {
        **{plural[kind]: object_id for kind, object_id in ids.items()}, "runs": run["id"], "people": people[0]["id"],
        "connector-servers": "cloud", "holds": f"{ids['connector']}~users",
    }  # fmt: skip


@schema.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
def test_whatever_is_sent_is_answered_as_described(
    case: Any, stack: Stack, known: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(repr(case.path_parameters) + repr(case.body))
    kind = case.path.removeprefix("/api/v1/").split("/")[0]
    if case.path_parameters and kind in known and chance.random() < 0.6:
        case.path_parameters = {**case.path_parameters, "id": known[kind]}
    record_property("generated", case.operation.label)
    checks = [check for check in CHECKS.get_all() if check not in LEFT_OUT]
    case.call_and_validate(
        base_url=stack.url, headers={"Authorization": f"Bearer {stack.token}"}, checks=checks, timeout=30
    )  # fmt: skip
