"""Plain classes in place of the protobuf messages between host and worker (azure_functions_runtime takes any)."""

from types import SimpleNamespace
from typing import Any


class Kept:
    """Keeps the keyword arguments that the worker library gives it."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        return None


class StatusResult(Kept):
    Failure, Success, Cancelled = 0, 1, 2


class BindingInfo(Kept):
    """Direction and data type of a binding, numbered as in the protocol."""

    undefined = 0
    string, binary, stream = 1, 2, 3
    out, inout = 1, 2


setattr(BindingInfo, "in", 0)  # a keyword in Python, a name in the protocol


class OneOf:
    """A message with one field set."""

    def __init__(self, **fields: Any) -> None:
        self._which = next(iter(fields), None)
        self.__dict__.update(fields)

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802 - protobuf's name
        return self._which


class TypedData(OneOf):
    pass


class ParameterBinding(OneOf):
    def __init__(self, *, name: str = "", data: TypedData | None = None, **fields: Any) -> None:
        super().__init__(**({"data": data} if data is not None else fields))
        self.name = name
        self.data = data

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802
        return "data"


class SameSite:
    Lax, Strict, ExplicitNone = 1, 2, 3


setattr(SameSite, "None", 0)


class RpcHttpCookie(Kept):
    SameSite = SameSite


PROTOS = SimpleNamespace(
    StatusResult=StatusResult,
    BindingInfo=BindingInfo,
    TypedData=TypedData,
    ParameterBinding=ParameterBinding,
    RpcHttpCookie=RpcHttpCookie,
    **{
        name: type(name, (Kept,), {})
        for name in (
            "WorkerInitResponse",
            "WorkerMetadata",
            "FunctionMetadataResponse",
            "FunctionLoadResponse",
            "InvocationResponse",
            "RpcFunctionMetadata",
            "RpcRetryOptions",
            "RpcException",
            "RpcHttp",
            "NullableString",
            "NullableBool",
            "NullableDouble",
            "NullableTimestamp",
            "Timestamp",
            "FunctionEnvironmentReloadResponse",
        )
    },
)
