"""What Microsoft Graph and Entra say when they say no, and what an administrator does about it.

Codes: https://learn.microsoft.com/graph/errors and https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

import re
from dataclasses import dataclass
from typing import Any

import orjson

from shared.errors import SourceProblem
from shared.graph.lenient import BOM


class Postponed(Exception):
    """Graph asked for a longer wait than this slice has: checkpoint, and go on after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"wait {seconds:.0f} s")
        self.seconds = seconds


class PageTokenExpired(Exception):
    """The enumeration must begin again: Graph dropped its page token."""


class ResyncNeeded(Exception):
    """The delta link can no longer be used."""


class Missing(SourceProblem):
    """404: Graph has no such object."""

    def __init__(self) -> None:
        super().__init__("Microsoft Graph has no such object.", code="graph-not-found", remedy="Check the id.")


class NotSent(SourceProblem):
    """A request that must not be repeated was certainly not sent."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"Microsoft Graph could not be reached ({why}); nothing was sent.",
            code="graph-not-sent",
            remedy="Nothing was changed. Check the function app's outbound network, then try again.",
            transient=True,
        )


class OutcomeUnknown(SourceProblem):
    """The answer to a request that must not be repeated was lost: it may have been carried out or not."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The answer of Microsoft Graph was lost ({why}).",
            code="graph-outcome-unknown",
            remedy="It may have been carried out: look at the object before you ask for it again.",
        )


@dataclass(frozen=True)
class GraphError:
    """Graph's error body: the outer code, and the deepest inner one."""

    status: int
    code: str
    inner: str
    message: str


class Denied(SourceProblem):
    """403: a permission or a licence is missing. `reason` is the one of the records: permission or licence."""

    def __init__(self, detail: str, *, code: str, remedy: str, reason: str) -> None:
        super().__init__(detail, code=code, remedy=remedy)
        self.reason = reason


def parse_error(status: int, content: bytes) -> GraphError:
    """Graph's error shape; anything else gives empty codes."""
    try:
        error: dict[str, Any] = orjson.loads(content.removeprefix(BOM))["error"]
        inner: Any = error.get("innerError") or error.get("innererror") or {}
        deepest = ""
        while isinstance(inner, dict):
            deepest = inner.get("code") or deepest
            inner = inner.get("innerError") or inner.get("innererror")
        return GraphError(status, str(error.get("code", "")), deepest, str(error.get("message", ""))[:300])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return GraphError(status, "", "", "")


def parse_code(body: Any) -> str:
    """The code in a parsed error body; empty where it is none of Graph's."""
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("code", "")) if isinstance(error, dict) else ""


GONE_CODES = frozenset(("Request_ResourceNotFound", "ResourceNotFound", "itemNotFound"))
"""What Graph says of an object that is not there. Other 404s come from what stands before it."""
_EXPIRED = {"Directory_ExpiredPageToken"}
_RESYNC = {"syncStateNotFound", "SyncStateNotFound", "resyncRequired", "Directory_ResyncRequired"}
_NO_INTUNE = "not applicable to target tenant"
"""Intune's words, with a 400 or 403, where the tenant has no active licence of it."""
_NO_PREMIUM = "Authentication_RequestFromNonPremiumTenantOrB2CTenant"


def refusal(error: GraphError, permission: str) -> Exception:
    """The exception for an answer that no retry mends. `permission`: what the request needs."""
    codes = {error.code, error.inner}
    if codes & _EXPIRED:
        return PageTokenExpired()
    if error.status == 410 or codes & _RESYNC:
        return ResyncNeeded()
    if error.status == 403 and _NO_PREMIUM in codes:
        return Denied(
            "Microsoft Graph gives this only to tenants with Entra ID P1 or P2.",
            code="graph-licence-missing",
            remedy="Nothing is wrong with the connector: the values are marked as missing for the reason licence.",
            reason="licence",
        )
    if error.status in (400, 403) and _NO_INTUNE in error.message.lower():
        return Denied(
            "The tenant has no active licence of Microsoft Intune.",
            code="graph-licence-missing",
            remedy="Nothing is wrong with the connector: the values are marked as missing for the reason licence.",
            reason="licence",
        )
    if error.status == 403:
        return Denied(
            f"Microsoft Graph denied the request ({error.code or 403}): the application permission {permission} "
            "is not granted.",
            code="graph-permission-missing",
            remedy=f"In the app registration add the application permission {permission} of Microsoft Graph, then grant "
            "admin consent.",
            reason="permission",
        )
    if error.status == 404 and error.code in GONE_CODES:
        return Missing()
    if error.status == 401:
        return SourceProblem(
            "Microsoft Graph accepted neither the token nor a fresh one.",
            code="graph-token-refused",
            remedy="Check that the source's cloud and tenant id are right.",
        )
    return SourceProblem(
        f"Microsoft Graph refused a request: {error.status} {error.code or '(no code)'}.",
        code="graph-refused",
        remedy="This is a defect or a change at Microsoft: report the code and the run's id.",
    )


_FEDERATION = (
    "add a federated credential for the function app's identity to the app registration: issuer "
    "https://login.microsoftonline.com/TENANT/v2.0 with the id of the function app's tenant in lower case, subject the object id of "
    "its identity, audience api://AzureADTokenExchange. All three are compared letter by letter."
)

# AADSTS number -> (our code, what it means, what to do)
_SIGN_IN: dict[int, tuple[str, str, str]] = {
    7000215: ("secret-wrong", "the client secret is wrong", "Enter the secret's value (not its id) on the credential."),
    7000222: (
        "secret-expired",
        "the client secret has expired",
        "Make a new client secret and enter it on the credential.",
    ),
    7000218: ("secret-missing", "no client secret or certificate was sent", "Enter the secret on the credential."),
    700016: (
        "application-unknown",
        "the tenant does not know the application",
        "Check client id and tenant id; an app registered elsewhere needs admin consent in this tenant.",
    ),
    700011: ("application-unknown", "the tenant does not know the application", "Check client id and tenant id."),
    90002: ("tenant-unknown", "there is no such tenant", "Check the directory (tenant) id and the source's cloud."),
    900023: ("tenant-unknown", "the tenant id is malformed", "Check the directory (tenant) id."),
    900382: ("cloud-wrong", "the tenant lives in another cloud", "Choose the tenant's cloud on the source."),
    90038: ("cloud-wrong", "the tenant lives in another cloud", "Choose the tenant's cloud on the source."),
    700027: (
        "certificate-unknown",
        "the certificate is not registered with the application",
        "Upload the credential's certificate to the app registration (GET /api/v1/credentials/{id}/certificate).",
    ),
    700024: (
        "assertion-time",
        "the signed assertion is outside its time range",
        "Check the clock of the function app.",
    ),
    70021: (
        "federation-new",
        "no federated credential matches yet",
        "A new one is known after a minute or two, and the run is tried again by itself. If it goes on: " + _FEDERATION,
    ),
    700213: ("federation-unknown", "no federated credential matches", _FEDERATION),
    53003: (
        "blocked-by-policy",
        "a Conditional Access policy blocks the sign-in",
        "Let the policy for workload identities allow the function app's outbound addresses.",
    ),
    7000112: ("application-disabled", "the application is disabled", "Enable the enterprise application."),
    500011: ("cloud-wrong", "Microsoft Graph is not known in this tenant", "Choose the tenant's cloud on the source."),
    65001: ("consent-missing", "nobody has consented", "Grant admin consent in the app registration."),
}
_MAY_PASS = {70021}
_TRANSIENT = {50196, 90055, 90024, 90012, 90033, 90006, 90090}
_NUMBER = re.compile(r"AADSTS(\d+)")


def sign_in_problem(error: Exception) -> SourceProblem:
    """What a failed token request means. The text of the error itself is not repeated."""
    match = _NUMBER.search(str(error))
    number = int(match.group(1)) if match else 0
    if number in _SIGN_IN:
        code, meaning, remedy = _SIGN_IN[number]
        return SourceProblem(
            f"Entra refused the sign-in: {meaning} (AADSTS{number}).",
            code=code,
            remedy=remedy,
            transient=number in _MAY_PASS,
        )
    if number and number not in _TRANSIENT:
        return SourceProblem(
            f"Entra refused the sign-in (AADSTS{number}).",
            code="sign-in-refused",
            remedy=f"Look up AADSTS{number} at https://login.microsoftonline.com/error?code={number}.",
        )
    return SourceProblem(
        "Entra's sign-in service can't be reached, or is busy.",
        code="sign-in-unreachable",
        remedy="The next run tries again by itself. If it goes on, check the function app's outbound network.",
        transient=True,
    )
