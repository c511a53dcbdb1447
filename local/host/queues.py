"""Storage queue triggers and output bindings: base64, ten minutes of visibility renewed at half time, dequeue count, poison
queue.
"""

import asyncio
import base64
import contextlib
import json
import logging
import os
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from local.host.config import QueueOptions, resolve
from local.host.engine import Engine, Function, InvocationFailed, Outcome
from local.host.messages import TypedData

_log = logging.getLogger("host.queue")
VISIBILITY = 600
_API_VERSION = "2021-12-02"


def service(connection: str) -> QueueServiceClient:
    """The queue service of a connection setting: a connection string, or `<name>__queueServiceUri` with an identity."""
    text = os.environ.get(connection)
    if text:
        return QueueServiceClient.from_connection_string(text, api_version=_API_VERSION)
    uri = os.environ.get(f"{connection}__queueServiceUri")
    if not uri:
        raise KeyError(f"the connection {connection} is not configured")
    from azure.identity.aio import DefaultAzureCredential

    return QueueServiceClient(uri, credential=DefaultAzureCredential(), api_version=_API_VERSION)


class Queues:
    """Output bindings, and the clients that the listeners share."""

    def __init__(self, options: QueueOptions) -> None:
        self.options = options
        self._services: dict[str, QueueServiceClient] = {}

    def client(self, connection: str, queue: str) -> QueueClient:
        found = self._services.get(connection) or self._services.setdefault(connection, service(connection))
        return found.get_queue_client(queue)

    async def send(self, connection: str, queue: str, text: str) -> None:
        client = self.client(connection, queue)
        content = base64.b64encode(text.encode()).decode() if self.options.base64 else text
        try:
            await client.send_message(content, time_to_live=-1)
        except ResourceNotFoundError:
            with contextlib.suppress(ResourceExistsError):
                await client.create_queue()
            await client.send_message(content, time_to_live=-1)

    async def publish(self, function: Function, outcome: Outcome) -> None:
        """Sends what the function put into its queue output bindings."""
        for name, data in outcome.outputs.items():
            binding = function.outputs.get(name, {})
            if binding.get("type") != "queue" or data is None:
                continue
            kind = data.WhichOneof("data")
            value = getattr(data, kind)
            texts = (
                [t if isinstance(t, str) else json.dumps(t) for t in json.loads(value)]
                if kind == "json" and value.startswith("[")
                else [value]
            )
            for text in texts:
                await self.send(binding["connection"], resolve(binding["queueName"]), text)

    async def close(self) -> None:
        for client in self._services.values():
            await client.close()


class Listener:
    def __init__(self, engine: Engine, function: Function, queues: Queues) -> None:
        self._engine, self.function, self._queues = engine, function, queues
        self._connection = function.trigger["connection"]
        self.queue = resolve(function.trigger["queueName"])
        self._active: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Polls for ever; an unreachable service is retried, less and less often."""
        options = self._queues.options
        client = self._queues.client(self._connection, self.queue)
        wait = 0.1
        while True:
            while len(self._active) > options.new_batch_threshold:
                await asyncio.wait(self._active, return_when=asyncio.FIRST_COMPLETED)
            messages: list[QueueMessage] = []
            try:
                pages = client.receive_messages(max_messages=min(32, options.batch_size), visibility_timeout=VISIBILITY)
                messages = [message async for message in _first_page(pages)]
            except ResourceNotFoundError:
                pass
            except AzureError as error:
                _log.warning("queue %s can't be read: %s", self.queue, type(error).__name__)
                wait = min(wait * 2, 5.0)
            for message in messages:
                task = asyncio.create_task(self._process(client, message))
                self._active.add(task)
                task.add_done_callback(self._active.discard)
            wait = 0.05 if messages else min(wait * 1.5, max(options.poll_seconds, 0.1))
            if not messages:
                await asyncio.sleep(wait)

    async def _process(self, client: QueueClient, message: QueueMessage) -> None:
        renewal = asyncio.create_task(self._renew(client, message))
        try:
            await self._engine.invoke(self.function, TypedData(string=self._text(message)), _metadata(message))
        except InvocationFailed as error:
            _log.error("%s failed (attempt %s): %s\n%s", self.function.name, message.dequeue_count, error, error.trace)
            await self._stop(renewal)
            await self._give_back(client, message)
        else:
            await self._stop(renewal)
            with contextlib.suppress(AzureError):
                await client.delete_message(message)

    async def _stop(self, renewal: asyncio.Task[None]) -> None:
        renewal.cancel()
        await asyncio.gather(renewal, return_exceptions=True)

    async def _renew(self, client: QueueClient, message: QueueMessage) -> None:
        while True:
            await asyncio.sleep(VISIBILITY / 2)
            with contextlib.suppress(AzureError):
                updated = await client.update_message(message, visibility_timeout=VISIBILITY)
                message.pop_receipt = updated.pop_receipt

    async def _give_back(self, client: QueueClient, message: QueueMessage) -> None:
        """Visible again after the retry delay, or in the poison queue after the last attempt."""
        options = self._queues.options
        with contextlib.suppress(HttpResponseError):
            if (message.dequeue_count or 0) >= options.max_dequeue_count:
                await self._queues.send(self._connection, f"{self.queue}-poison", self._text(message))
                await client.delete_message(message)
                _log.error("a message of %s went to %s-poison", self.queue, self.queue)
            else:
                await client.update_message(message, visibility_timeout=round(options.retry_seconds))

    def _text(self, message: QueueMessage) -> str:
        content = str(message.content)
        return base64.b64decode(content).decode() if self._queues.options.base64 else content


async def _first_page(pages: Any) -> Any:
    async for page in pages.by_page():
        async for message in page:
            yield message
        return


def _metadata(message: QueueMessage) -> dict[str, TypedData]:
    def moment(value: Any) -> TypedData:
        return TypedData(json=json.dumps(value.isoformat() if value else None))

    return {
        "Id": TypedData(string=str(message.id)),
        "PopReceipt": TypedData(string=str(message.pop_receipt)),
        "QueueTrigger": TypedData(string=str(message.content)),
        "DequeueCount": TypedData(json=json.dumps(message.dequeue_count)),
        "InsertionTime": moment(message.inserted_on),
        "ExpirationTime": moment(message.expires_on),
        "NextVisibleTime": moment(message.next_visible_on),
    }
