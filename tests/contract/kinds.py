"""The contract of a connector kind: what every kind must do, shown over HTTP on Microsoft's worker and in the rig.

A test module makes subjects, one for each kind, and takes the tests of this module in (`from tests.contract.kinds import *`).
Nothing here knows a kind: streams, jobs, options and routes come from what the subject's kind declares.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from local.bootstrap import ROOT
from local.stack import Options, Stack
from shared.connectors.base import DirectoryList, Job, Kind, Stream
from tests import support
from tests.conftest import stopped
from tests.rig import TESTER, Rig

_APP = """
import azure.functions as func
from functions import blueprints
from shared.connectors.registry import Registry
from {module} import {name}

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for blueprint in blueprints(Registry(subject.kind for subject in {name})):
    app.register_functions(blueprint)
"""
DAY = 86400


@dataclass(frozen=True)
class Subject:
    """A kind, and what a test must know of it: `truth` maps a stream to the simulated tenant's collection, `change` renames
    one object of a stream in the tenant; `roles`: the application permissions that all of its streams need; `options`:
    what switches on the streams that are off by default.
    """

    kind: Kind
    truth: dict[str, str]
    change: dict[str, Any]
    roles: list[str]
    bad_options: dict[str, Any]
    source: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def own(self) -> list[tuple[Job, Stream]]:
        """Streams that make records of their own."""
        return [(job, stream) for job in self.kind.jobs for stream in job.streams if not stream.leader]

    def __str__(self) -> str:
        return self.kind.name


def served(subjects: list[Subject], module: str, name: str, folder: Path) -> Iterator[Stack]:
    """The local stack, whose function app has the subjects' kinds."""
    (folder / "function_app.py").write_text(_APP.format(module=module, name=name))
    (folder / "host.json").write_text((ROOT / "host.json").read_text())
    stack = Stack(Options(people=120, devices=60, app=folder)).start()
    roles = sorted({role for subject in subjects for role in subject.roles})
    app = {
        "client_id": stack.addresses["clientId"], "tenant_id": stack.addresses["tenants"]["global"], "roles": roles,
        "secrets": {stack.secret: 4_102_444_800.0},
    }  # fmt: skip
    stack.admin("POST", "/apps", app)
    yield stack
    stopped(stack)


def _configure(stack: Stack, subject: Subject, **connector: Any) -> dict[str, str]:
    return support.configure(
        stack, source=subject.source, connector={"kind": subject.kind.name, "options": subject.options, **connector}
    )


def _all(stack: Stack, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    following = ""
    while True:
        status, page = stack.api("GET", f"{path}{'&' if '?' in path else '?'}limit=50{following}")
        assert status == 200, page
        items += page["items"]
        if not page["next"]:
            return items
        following = f"&after={page['next']}"


@pytest.fixture(scope="module")
def collected(kinds_stack: Stack, subjects: list[Subject]) -> dict[str, dict[str, str]]:
    """Each kind's connector, all of whose jobs have run once."""
    made = {}
    for subject in subjects:
        ids = made[subject.kind.name] = _configure(kinds_stack, subject)
        for job in subject.kind.jobs:
            run = support.run_and_wait(kinds_stack, ids["connector"], job=job.name)
            assert run["state"] == "succeeded" and run["job"] == job.name, run
    return made


# Configuration


def test_its_options_are_validated_and_read_back(kinds_stack: Stack, subject: Subject) -> None:
    ids = _configure(kinds_stack, subject)
    _, read = kinds_stack.api("GET", f"connectors/{ids['connector']}")
    assert read["kind"] == subject.kind.name
    defaults = json.loads(subject.kind.options().model_dump_json(by_alias=True))
    assert read["options"] == defaults | subject.options
    body = {"name": "Bad", "sourceId": ids["source"], "kind": subject.kind.name, "options": subject.bad_options}
    status, problem = kinds_stack.api("POST", "connectors", body)
    assert status == 422
    assert {error["field"] for error in problem["errors"]} == {f"options.{name}" for name in subject.bad_options}


def test_a_kind_that_is_not_there_is_refused(kinds_stack: Stack, subject: Subject) -> None:
    ids = _configure(kinds_stack, subject)
    body = {"name": "Bad", "sourceId": ids["source"], "kind": f"{subject.kind.name}-of-tomorrow"}
    status, problem = kinds_stack.api("POST", "connectors", body)
    assert status == 422 and problem["errors"][0]["field"] == "kind"


def test_switching_a_stream_off_takes_its_job_and_its_permission_away(kinds_stack: Stack, subject: Subject) -> None:
    switchable = [job for job in subject.kind.jobs[1:] if all(stream.switch for stream in job.streams)]
    assert switchable, "a suite that switches nothing off shows nothing"
    job = switchable[0]
    ids = _configure(kinds_stack, subject)
    path = f"connectors/{ids['connector']}"

    def jobs() -> set[str]:
        return {entry["name"] for entry in kinds_stack.api("GET", path)[1]["jobs"]}

    def needed() -> set[str]:
        return {entry["permission"] for entry in _all(kinds_stack, f"{path}/permissions")}

    assert jobs() == {entry.name for entry in subject.kind.jobs}
    before = needed()
    fields = subject.kind.options.model_fields
    change = {"options": {fields[stream.switch].alias: False for stream in job.streams}}
    status, _ = kinds_stack.api("PATCH", path, change, {"If-Match": "*"})
    assert status == 200 and job.name not in jobs()
    others = {p.name for one in subject.kind.jobs if one is not job for s in one.streams for p in s.permissions}
    assert needed() == others and needed() < before
    status, problem = kinds_stack.api("POST", f"{path}/runs?job={job.name}")
    assert (status, problem["code"]) == (409, "job-off")
    status, problem = kinds_stack.api("POST", f"{path}/runs?job=nothing-of-that-name")
    assert (status, problem["errors"][0]["field"]) == (422, "job")


def test_the_description_holds_its_options_and_record_routes(kinds_stack: Stack, subject: Subject) -> None:
    _, described = kinds_stack.api("GET", "openapi.json")
    assert list(OpenAPIV31SpecValidator(described).iter_errors()) == []
    assert subject.kind.options.__name__ in described["components"]["schemas"]
    assert subject.kind.name in json.dumps(described["components"]["schemas"]["ConnectorIn"]["properties"]["kind"])
    for _, stream in subject.own:
        plural = stream.record_type.plural
        wanted = {f"/api/v1/{plural}", f"/api/v1/{plural}/{{id}}"}
        wanted |= {f"/api/v1/{plural}/search"} if stream.record_type.lookups else set()
        assert wanted | {f"/api/v1/{plural}/{{id}}/changes"} <= set(described["paths"])
        model = described["components"]["schemas"][stream.record_type.schema]
        assert {relation.name for relation in stream.record_type.relations} <= set(model["properties"])


# Runs and what they bring


def test_a_run_names_its_streams_and_proves_them(
    kinds_stack: Stack, subject: Subject, collected: dict[str, dict[str, str]]
) -> None:
    connector = collected[subject.kind.name]["connector"]
    for job in subject.kind.jobs:
        run = _all(kinds_stack, f"connectors/{connector}/runs?job={job.name}")[-1]
        assert [stream["name"] for stream in run["streams"]] == [stream.name for stream in job.streams]
        _, receipt = kinds_stack.api("GET", f"runs/{run['id']}/receipt")
        assert {entry["stream"]: entry["complete"] for entry in receipt["streams"]} == {
            s.name: True for s in job.streams
        }
        assert set(receipt["permissionsNeeded"]) == {p.name for stream in job.streams for p in stream.permissions}
        assert receipt["missingStreams"] == {}


def test_the_copy_holds_each_object_of_the_tenant_once(
    kinds_stack: Stack, subject: Subject, collected: dict[str, dict[str, str]]
) -> None:
    source = collected[subject.kind.name]["source"]
    for _, stream in subject.own:
        wanted = {item["id"] for item in support.truth(kinds_stack, subject.truth[stream.name])}
        cards = _all(kinds_stack, f"{stream.record_type.plural}?source={source}")
        assert sorted(card["id"] for card in cards) == sorted(f"{source}~{object_id}" for object_id in wanted)
        if not stream.record_type.lookups:
            assert kinds_stack.api("GET", f"{stream.record_type.plural}?orderBy=name")[0] == 422
            continue
        by_name = _all(kinds_stack, f"{stream.record_type.plural}?source={source}&orderBy=name")
        assert {card["id"] for card in by_name} == {card["id"] for card in cards if card["displayName"]}


def test_a_record_has_each_attribute_with_its_provenance(
    kinds_stack: Stack, subject: Subject, collected: dict[str, dict[str, str]]
) -> None:
    ids = collected[subject.kind.name]
    for _, stream in subject.own:
        card = _all(kinds_stack, f"{stream.record_type.plural}?source={ids['source']}")[0]
        status, record = kinds_stack.api("GET", f"{stream.record_type.plural}/{card['id']}")
        assert status == 200
        described = [stream, *(other for other in subject.kind.streams if other.leader == stream.name)]
        assert set(record["values"]) == {a.name for one in described for a in one.attributes}
        for one in described:
            for attribute in one.attributes:
                value = record["values"][attribute.name]
                assert (value["stream"], value["connectorId"]) == (one.name, ids["connector"])
                assert value["missing"] or value["asOf"], attribute.name
        status, problem = kinds_stack.api("GET", f"{stream.record_type.plural}/{ids['source']}~nobody")
        assert (status, problem["code"]) == (404, "not-found")


def test_it_is_found_by_the_beginning_of_its_name(
    kinds_stack: Stack, subject: Subject, collected: dict[str, dict[str, str]]
) -> None:
    source = collected[subject.kind.name]["source"]
    for _, stream in subject.own:
        plural = stream.record_type.plural
        if not stream.record_type.lookups:
            continue
        card = next(card for card in _all(kinds_stack, f"{plural}?source={source}") if card["displayName"].isascii())
        text = card["displayName"][:6].replace(" ", "%20")
        _, found = kinds_stack.api("GET", f"{plural}/search?text={text}&source={source}&limit=100")
        assert card["id"] in {entry["id"] for entry in found["items"]}


def test_a_change_in_the_tenant_is_a_change_in_the_journal(
    kinds_stack: Stack, subject: Subject, collected: dict[str, dict[str, str]]
) -> None:
    ids = collected[subject.kind.name]
    job, stream = next((job, s) for job, s in subject.own if isinstance(s.reader, DirectoryList))
    victim = next(iter(support.truth(kinds_stack, subject.truth[stream.name])))["id"]
    support.mutate(kinds_stack, "set", kind=subject.truth[stream.name], ids=[victim], properties=subject.change)
    run = support.run_and_wait(kinds_stack, ids["connector"], job=job.name)
    counts = support.stream(run, stream.name)
    assert (counts["mode"], counts["changed"]) == ("delta", 1), counts
    entry = _all(kinds_stack, f"{stream.record_type.plural}/{ids['source']}~{victim}/changes")[0]
    assert (entry["kind"], entry["runId"], entry["recordType"]) == ("changed", run["id"], stream.record_type.name)
    before = len(_all(kinds_stack, f"{stream.record_type.plural}/{ids['source']}~{victim}/changes"))
    again = support.run_and_wait(kinds_stack, ids["connector"], job=job.name)
    assert support.stream(again, stream.name)["changed"] == 0
    assert len(_all(kinds_stack, f"{stream.record_type.plural}/{ids['source']}~{victim}/changes")) == before


def test_a_forecast_counts_who_would_leave_by_domain(
    kinds_stack: Stack, subject: Subject, collected: dict[str, dict[str, str]]
) -> None:
    ids = collected[subject.kind.name]
    status, told = kinds_stack.api("POST", f"sources/{ids['source']}/forecast", {"domains": ["nobody.example"]})
    assert status == 200, told
    for _, stream in subject.own:
        counted = next(entry for entry in told["streams"] if entry["stream"] == stream.name)
        assert counted["leave"] == (counted["records"] if stream.address else 0)


# In the rig: time, permissions and storage in the test's hands


def _in_rig(subject: Subject, check: Callable[[Rig, str], None]) -> None:
    from shared.connectors.registry import Registry

    rig = Rig(16, 8, page_cap=5)
    try:
        rig.registry, rig.roles = Registry((subject.kind,)), list(subject.roles)
        rig.graph.limit_sign_ins = False
        check(rig, rig.configure(kind=subject.kind.name, source=subject.source, options=subject.options))
    finally:
        rig.close()


def test_a_second_read_of_everything_writes_no_record(subject: Subject) -> None:
    def check(rig: Rig, connector: str) -> None:
        for job in subject.kind.jobs:
            assert rig.run(connector, job=job.name).state == "succeeded"
        before = rig.snapshot()["Records"]
        for job in subject.kind.jobs:
            run = rig.run(connector, job=job.name, full=True)
            assert all(s.new == s.changed == s.removed == 0 for s in run.streams), run.streams
        assert rig.snapshot()["Records"] == before

    _in_rig(subject, check)


def test_a_denied_permission_quarantines_or_marks_as_declared(subject: Subject) -> None:
    def check(rig: Rig, connector: str) -> None:
        rig.app().tick.run()
        rig.roles = []
        for _ in range(3):
            for job in subject.kind.jobs:
                run = rig.run(connector, job=job.name)
                fails = any(stream.denial.value == "fails" for stream in job.streams)
                assert run.state == ("failed" if fails else "succeeded"), run
                assert {problem.code for problem in run.problems} == {"graph-permission-missing"}
        document = rig.app().config.get("connector", connector)
        assert document
        for state in rig.app().timetable.describe(document):
            streams = next(job.streams for job in subject.kind.jobs if job.name == state.name)
            fails = any(stream.denial.value == "fails" for stream in streams)
            assert bool(state.quarantine) == fails, state
        rig.roles = list(subject.roles)
        for job in subject.kind.jobs:
            assert rig.run(connector, job=job.name).state == "succeeded"
        assert not any(state.quarantine for state in rig.app().timetable.describe(document))

    _in_rig(subject, check)


def test_deletion_leaves_nothing_of_it(subject: Subject) -> None:
    def check(rig: Rig, connector: str) -> None:
        for job in subject.kind.jobs:
            rig.run(connector, job=job.name)
        rig.change("connector", connector, deleting=True)
        document = rig.app().config.get("connector", connector)
        assert document
        rig.slice_seconds = 0.0
        run = rig.begun(lambda: rig.app().dispatch.delete_records(document, TESTER))
        assert run.state == "succeeded" and run.deleted_rows > 10
        stored = rig.snapshot()
        for table in ("Records", "Lookup", "OutOfScope", "Tombstones", "Holds", "Changes"):
            assert stored.get(table, {}) == {}, table
        assert all(key[0].endswith("-delete") for key in stored["State"] if key[0].startswith(connector))
        assert rig.app().config.get("connector", connector) is None

    _in_rig(subject, check)


def test_old_runs_of_its_jobs_are_purged(subject: Subject) -> None:
    def check(rig: Rig, connector: str) -> None:
        for job in subject.kind.jobs:
            rig.run(connector, job=job.name)
        rig.change("connector", connector, active=False)
        rig.app().tick.run()

        def runs() -> set[str]:
            return {row["PartitionKey"] for row in rig.entities("State") if row["RowKey"].startswith("run|")}

        assert runs() == {f"{connector}-{job.name}" for job in subject.kind.jobs}
        for _ in range(100 // 7):  # the purge is made on time, or it is put off
            rig.clock.move(7 * DAY)
            for run in rig.app().tick.run():
                assert rig.finish(run).state == "succeeded"
        assert {track for track in runs() if track.startswith(connector)} == set()

    _in_rig(subject, check)


def test_a_leaver_is_removed_with_a_tombstone_and_only_with_proof(subject: Subject) -> None:
    def check(rig: Rig, connector: str) -> None:
        job, stream = next((job, s) for job, s in subject.own if isinstance(s.reader, DirectoryList))
        assert rig.run(connector, job=job.name).state == "succeeded"
        collection = subject.truth[stream.name]
        before = {row["RowKey"] for row in rig.entities("Records")}
        rig.fault("short-list", match=rf"/{collection}\?")
        rig.run(connector, job=job.name, full=True)
        rig.faults.clear()
        assert {row["RowKey"] for row in rig.entities("Records")} == before, "a list that ends too early removes nobody"
        rig.directory.leave(collection, [1], purge=True)
        run = rig.run(connector, job=job.name, full=True)
        assert [sum(s.removed for s in run.streams), sum(s.pending for s in run.streams)] == [0, 1], run.streams
        rig.clock.move(25 * 3600)  # absence alone needs a second answer, and an object that is no newcomer
        run = rig.run(connector, job=job.name, full=True)
        assert sum(s.removed for s in run.streams) == 1, run.streams
        (stone,) = rig.entities("Tombstones")
        assert (stone["RecordType"], stone["Reason"]) == (stream.record_type.name, "gone")
        assert len(before - {row["RowKey"] for row in rig.entities("Records")}) == 1

    _in_rig(subject, check)


def test_a_run_that_is_cut_off_ends_as_an_undisturbed_one(subject: Subject) -> None:
    """Each job's first run, cut at every fifth write, at most at four of them."""

    def check(rig: Rig, connector: str) -> None:
        for job in subject.kind.jobs:
            rig.cut.arm(0, applied=False)
            rig.run(connector, job=job.name)
            writes, wanted = rig.cut.writes, _content(rig)
            for at in range(2, writes + 1, max(5, writes // 4 | 1)):
                rig.stored.restore({"Config": rig.snapshot()["Config"]}, drop=True)
                rig.cut.arm(at, applied=at % 2 == 0)
                assert rig.run(connector, job=job.name).state == "succeeded"
                rig.cut.heal()
                assert _content(rig) == wanted, (job.name, at)
            rig.stored.restore({"Config": rig.snapshot()["Config"]}, drop=True)

    _in_rig(subject, check)


def _content(rig: Rig) -> dict[str, set[str]]:
    """Which rows there are, whatever run wrote them."""
    stored = rig.snapshot()
    return {table: {"|".join(key) for key in stored.get(table, {})} for table in ("Records", "Lookup")}
