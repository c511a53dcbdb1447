"""Run by tests/integration/test_marker.py in a process of its own. A secret goes through every failure that the simulated cloud can make, errors that repeat what was sent among them, with every
logger at DEBUG and telemetry exported: it is found in the vault, and nowhere else.
"""

import asyncio
import base64
import io
import json
import logging
import os
import traceback
from typing import Any
from urllib.parse import quote, quote_plus

from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from functions.sync import shown
from local.cloud.faults import GRAPH_FAULTS, TARGETS
from local.stack import Stack
from shared import redact
from shared.clock import Clock
from shared.configuration.kinds import ConfigKind
from shared.domain.actor import Actor
from shared.settings import load
from shared.sync.runner import run_slice
from shared.wiring import App
from tests import support

MARKER = 'm4rk~er+/=% "\\ü-5f0c'
WRONG = "another-m4rk" + MARKER[::-1]
WHO = Actor("0b1ec7", "somebody")
SLOW = ("slow", "delay")


class Collector:
    """What leaves the process: log lines, log records and spans as telemetry exports them, and what the worker is told."""

    def __init__(self) -> None:
        self.lines, self.raised = io.StringIO(), io.StringIO()
        self.records = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self.spans = InMemorySpanExporter()
        logs = LoggerProvider()
        logs.add_log_record_processor(SimpleLogRecordProcessor(self.records))
        self.handlers: list[logging.Handler] = [logging.StreamHandler(self.lines), LoggingHandler(logging.DEBUG, logs)]
        traces = TracerProvider()
        traces.add_span_processor(SimpleSpanProcessor(self.spans))
        trace._set_tracer_provider(traces, log=False)

    def exported(self) -> dict[str, str]:
        return {
            "lines": self.lines.getvalue(), "raised": self.raised.getvalue(),
            "records": "\n".join(item.log_record.body.__repr__() + repr(item.log_record.attributes) for item in self.records.get_finished_logs()),
            "spans": "\n".join(span.to_json() for span in self.spans.get_finished_spans()),
        }  # fmt: skip


def listen() -> Collector:
    """With every logger at DEBUG."""
    made, root = Collector(), logging.getLogger()
    redact.install()
    for name in ("", "httpx", *logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.NOTSET if name else logging.DEBUG)
    for handler in made.handlers:
        root.addHandler(handler)
    return made


class Hasty(Clock):
    """Waits for nothing."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)

    def pause(self, seconds: float) -> None:
        """No time goes by."""


class User:
    """Configures and runs, whatever happens, and keeps what it was told."""

    def __init__(self, stack: Stack, collector: Collector) -> None:
        self.stack, self.collector = stack, collector
        self.app = App(load(os.environ), clock=Hasty())
        self.told: list[str] = []
        self.number = 0

    def kind(self, name: str) -> ConfigKind:
        return self.app.configuration.kinds[name]

    def attempt(self, call: Any) -> Any:
        try:
            made = call()
        except Exception as error:
            self.told.append(f"{error} {getattr(error, 'detail', '')} {getattr(error, 'remedy', '')}")
            logging.getLogger("rollcall.test").exception("failed")
            return None
        self.told.append(made.model_dump_json() if hasattr(made, "model_dump_json") else repr(made))
        return made

    def create(self, kind: str, /, **fields: Any) -> Any:
        model = self.kind(kind).model.model_validate(fields)
        return self.attempt(lambda: self.app.configuration.create(self.kind(kind), model, WHO))

    def credential(self, secret: str) -> Any:
        self.number += 1
        client = self.stack.addresses["clientId"]
        return self.create("credential", name=f"C{self.number}", clientId=client, clientSecret=secret)

    def run(self, connector: str) -> Any:
        found = self.attempt(lambda: self.app.dispatch.run_now(connector, WHO, full=True))
        if not found:
            return None
        run = found[0]
        for _ in range(4):
            message = {"run": run.id, "connector": connector, "slice": run.slice}
            try:
                asyncio.run(shown(run_slice(self.app.run_services, message)))
            except Exception:  # noqa: BLE001 - what the worker passes on to the host
                self.collector.raised.write(traceback.format_exc())
            run = self.attempt(lambda run=run: self.app.runs.get(run.id)) or run
            if run.state.closed:
                break
        return run


def _forms(secret: str) -> set[str]:
    return {
        secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1], base64.b64encode(secret.encode()).decode(), secret[:12],
    }  # fmt: skip


def try_everything(stack: Stack) -> None:
    """Raises AssertionError where the secret is found."""
    collector = listen()
    user = User(stack, collector)
    organization = user.create("organization", name="Contoso")
    group = user.create("sourceGroup", name="All", organizationId=organization.id)
    credential = user.credential(MARKER)
    tenant = stack.addresses["tenants"]["global"]
    source = user.create("source", name="S", sourceGroupId=group.id, tenantId=tenant, credentialId=credential.id)
    options = {"kind": "entra-id", "options": {"collectDevices": False, "collectSignIns": False}}
    connector = user.create("connector", name="D", sourceId=source.id, **options)
    assert user.run(connector.id).state == "succeeded"  # it is the right secret
    tried = 0
    kinds = {**TARGETS, "graph": (*GRAPH_FAULTS, "echo")}
    for target, kind in ((target, kind) for target, all_of in kinds.items() for kind in all_of if kind not in SLOW):
        stack.admin("POST", "/faults", {"target": target, "kind": kind, "every": 3, "most": 6, "seconds": 0})
        made = user.credential(MARKER)
        if made:
            user.attempt(
                lambda made=made: user.app.configuration.patch(
                    user.kind("credential"), made.id, {"clientSecret": WRONG}, None, WHO
                )
            )
        user.run(connector.id)
        stack.admin("DELETE", "/faults")
        tried += 1
    user.attempt(
        lambda: user.app.configuration.patch(user.kind("credential"), credential.id, {"clientSecret": WRONG}, None, WHO)
    )
    ended = user.run(connector.id)
    assert [problem.code for problem in ended.problems] == ["secret-wrong"]
    assert tried > 35
    tables = {
        name: repr(support.rows(stack, name)) for name in ("Config", "Schedule", "State", "Records", "Audit", "Holds")
    }
    logs = {file.name: file.read_text(errors="replace") for file in stack.log.iterdir()}
    commands = {f"command of {pid}": line for pid, line in _command_lines().items()}
    exported = collector.exported()
    assert len(exported["lines"]) > 100_000 and "DeltaToken" not in exported["spans"] and exported["spans"]
    for where, text in {**tables, **logs, **commands, **exported, "answers": "\n".join(user.told)}.items():
        found = [form for secret in (MARKER, WRONG) for form in _forms(secret) if form in text]
        assert not found, (where, found, text[max(0, text.find(found[0]) - 300) :][:600])
    for where, text in exported.items():
        assert "deltatoken=" not in text.replace("deltatoken=[hidden]", "").replace("$deltatoken=latest", ""), where
        assert "eyJ0eX" not in text and "X-IDENTITY-HEADER': 'local" not in text, where
    print(f"{tried} kinds of faults, {sum(map(len, exported.values())) // 1000:,} kB of logs and telemetry searched")


def _command_lines() -> dict[int, str]:
    import psutil

    return {process.pid: " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])}
