"""host.json and app settings, as the real host reads them."""

import datetime as dt
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

_SETTING = re.compile(r"%([^%]+)%")


@dataclass(frozen=True)
class QueueOptions:
    """Defaults of the Storage queue extension."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    retry_seconds: float = 0.0
    poll_seconds: float = 1.0
    base64: bool = True


@dataclass(frozen=True)
class HostConfig:
    route_prefix: str
    queues: QueueOptions


def load(app: Path) -> HostConfig:
    data = json.loads((app / "host.json").read_text())
    extensions = data.get("extensions", {})
    queues = extensions.get("queues", {})
    batch = int(queues.get("batchSize", 16))
    return HostConfig(
        route_prefix=extensions.get("http", {}).get("routePrefix", "api").strip("/"),
        queues=QueueOptions(
            batch_size=batch,
            new_batch_threshold=int(queues.get("newBatchThreshold", batch // 2)),
            max_dequeue_count=int(queues.get("maxDequeueCount", 5)),
            retry_seconds=span(queues.get("visibilityTimeout", "00:00:00")),
            poll_seconds=min(1.0, span(queues.get("maxPollingInterval", "00:01:00"))),
            base64=queues.get("messageEncoding", "base64").lower() == "base64",
        ),
    )


def span(text: str) -> float:
    """Seconds of an hh:mm:ss text."""
    hours, minutes, seconds = text.split(":")
    return dt.timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds)).total_seconds()


def resolve(text: str) -> str:
    """Replaces %NAME% by the app setting. Raises KeyError naming a setting that is not there."""
    return _SETTING.sub(lambda match: os.environ[match.group(1)], text)


def disabled(name: str) -> bool:
    """Whether the app setting AzureWebJobs.<name>.Disabled is on."""
    return os.environ.get(
        f"AzureWebJobs.{name}.Disabled", os.environ.get(f"AzureWebJobs__{name}__Disabled", "")
    ).lower() in ("true", "1")
