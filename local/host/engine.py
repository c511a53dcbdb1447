"""Loads an app and invokes its functions through Microsoft's worker library. One app a process: its registry is global."""

import json
import logging
import sys
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as runtime

from local.host.messages import PROTOS, Kept, ParameterBinding, StatusResult, TypedData

_log = logging.getLogger("host")


class HostError(Exception):
    """The app can't be loaded; the text says why, as the worker library put it."""


@dataclass(frozen=True)
class Function:
    """`bindings` as in function.json."""

    id: str
    name: str
    bindings: list[dict[str, Any]]

    @property
    def trigger(self) -> dict[str, Any]:
        return next(binding for binding in self.bindings if binding["type"].lower().endswith("trigger"))

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        return {b["name"]: b for b in self.bindings if b.get("direction", "").upper() == "OUT"}


class InvocationFailed(Exception):
    """The function raised; the text is `Type: message`."""

    def __init__(self, message: str, trace: str) -> None:
        super().__init__(message)
        self.trace = trace


@dataclass(frozen=True)
class Outcome:
    """`value`: what the function returned (HTTP), `outputs`: by binding name."""

    value: Any
    outputs: dict[str, Any]


def _request(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(request=SimpleNamespace(**fields), properties={"protos": PROTOS, "host": "127.0.0.1"})


class Engine:
    """`publish` sends what a function put into its output bindings, once it has ended well."""

    def __init__(self, app: Path) -> None:
        self._app = app
        self.publish: Callable[[Function, Outcome], Awaitable[None]] | None = None

    async def load(self) -> list[Function]:
        """Indexes the app. Raises HostError with the worker library's own message."""
        packages = self._app / ".python_packages" / "lib" / "site-packages"  # what the real worker puts first too
        for folder in (packages, self._app):
            if folder.is_dir() and str(folder) not in sys.path:
                sys.path.insert(0, str(folder))
        runtime.start_threadpool_executor()
        init = SimpleNamespace(capabilities={}, function_app_directory=str(self._app))
        answer = await runtime.worker_init_request(_request(worker_init_request=init))
        if answer.result.status != StatusResult.Success:
            raise HostError(f"{answer.result.exception.message}\n{answer.result.exception.stack_trace}")
        listed = await runtime.functions_metadata_request(_request(functions_metadata_request=Kept()))
        functions = [
            Function(entry.function_id, entry.name, [json.loads(raw) for raw in entry.raw_bindings])
            for entry in listed.function_metadata_results or []
        ]
        if not functions:
            raise HostError("the app has no functions")
        for function in functions:
            load = SimpleNamespace(function_id=function.id)
            await runtime.function_load_request(_request(function_load_request=load))
        return functions

    async def invoke(
        self, function: Function, data: TypedData, metadata: dict[str, TypedData] | None = None
    ) -> Outcome:
        """Raises InvocationFailed."""
        message = SimpleNamespace(
            invocation_id=str(uuid.uuid4()),
            function_id=function.id,
            input_data=[ParameterBinding(name=function.trigger["name"], data=data)],
            trigger_metadata=metadata or {},
            trace_context=SimpleNamespace(trace_parent="", trace_state="", attributes={}),
            retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
        )
        answer = await runtime.invocation_request(_request(invocation_request=message))
        if answer.result.status != StatusResult.Success:
            raise InvocationFailed(answer.result.exception.message, answer.result.exception.stack_trace or "")
        outputs = {binding.name: binding.data for binding in answer.output_data or []}
        outcome = Outcome(answer.return_value, outputs)
        if self.publish and outputs:
            await self.publish(function, outcome)
        return outcome

    def stop(self) -> None:
        runtime.stop_threadpool_executor()
