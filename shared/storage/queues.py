"""Sending work: Put Message with a visibility timeout, through azure-core (azure-storage-queue takes 0.76 s to import,
and the queue output binding knows no delay). A queue is created when the service says that it is not there.
"""

import base64
from typing import Any

import orjson
from azure.core import PipelineClient
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy, UserAgentPolicy
from azure.core.rest import HttpRequest, HttpResponse

from shared.errors import Unavailable
from shared.storage.connection import SCOPE, QueueKeyPolicy, StorageConnection

_VERSION = "2021-12-02"


class Queues:
    """The queues of one storage account. `credential` is a sync token credential, None with an account key; `transport` the
    last step of azure-core's pipeline.
    """

    def __init__(self, connection: StorageConnection, credential: Any, transport: Any, retries: int = 3) -> None:
        sign: Any
        if connection.account_key is None:
            sign = BearerTokenCredentialPolicy(credential, SCOPE)
        else:
            sign = QueueKeyPolicy(connection.account, connection.account_key)
        retry = RetryPolicy(retry_total=retries, retry_backoff_factor=0.3)
        self._endpoint = connection.queue_endpoint
        self._client: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(
            base_url=self._endpoint, policies=[UserAgentPolicy("rollcall"), retry, sign], transport=transport
        )

    def close(self) -> None:
        self._client.close()

    def send(self, queue: str, message: dict[str, Any], delay_seconds: float = 0) -> None:
        """Puts a JSON message, seen by workers after the delay. Raises Unavailable."""
        text = base64.b64encode(orjson.dumps(message)).decode()
        url = f"{self._endpoint}/{queue}/messages?visibilitytimeout={max(0, round(delay_seconds))}&messagettl=-1"
        body = f"<QueueMessage><MessageText>{text}</MessageText></QueueMessage>"
        for _ in range(2):
            status = self._send("POST", url, body)
            if status == 404:
                self._send("PUT", f"{self._endpoint}/{queue}", "")
                continue
            _check(status)
            return
        raise Unavailable("The queue could not be made.", code="storage-busy")

    def probe(self, queue: str) -> None:
        """Raises Unavailable where the queue service doesn't answer, or refuses us."""
        status = self._send("GET", f"{self._endpoint}/{queue}?comp=metadata", "", retry_total=0)
        if status != 404:
            _check(status)

    def _send(self, method: str, url: str, body: str, **options: Any) -> int:
        headers = {"x-ms-version": _VERSION, "Content-Length": str(len(body)), "Content-Type": "application/xml"}
        try:
            response = self._client.send_request(
                HttpRequest(method, url, headers=headers, content=body.encode()), **options
            )
        except ClientAuthenticationError as error:
            raise _denied() from error
        except AzureError as error:
            raise Unavailable(
                "Queue Storage can't be reached.",
                code="storage-unreachable",
                remedy="Check the storage account's network rules and the RollcallStorage setting, then try again.",
            ) from error
        return response.status_code


def _check(status: int) -> None:
    if status == 403:
        raise _denied()
    if status >= 300:
        raise Unavailable(f"The queue service answered {status}.", code="storage-busy")


def _denied() -> Unavailable:
    return Unavailable(
        "Queue Storage refused the function app's identity.",
        code="storage-denied",
        remedy="Give the function app's identity the role Storage Queue Data Contributor, and check the storage account's "
        "network rules.",
    )
