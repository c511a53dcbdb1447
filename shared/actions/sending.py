"""One request, sent at most once. Its intent is stored before it leaves; what comes back is sorted into done, refused, and not known."""

import secrets
import string
from dataclasses import dataclass
from typing import Any

import orjson

from shared.actions.proof import placed
from shared.actions.requests import has_secret, with_secret
from shared.clock import Clock
from shared.domain.plan import State, Step
from shared.domain.reason import Reason
from shared.errors import SourceProblem
from shared.graph.answers import OutcomeUnknown, parse_error
from shared.graph.client import Answer, GraphClient
from shared.redact import HIDDEN, redact

_CLASSES = (
    string.ascii_lowercase.replace("l", ""),
    string.ascii_uppercase.replace("O", "").replace("I", ""),
    "23456789",
    "-+=!%*?#",
)
_LENGTH = 20
_MOST_ATTEMPTS = 2


def new_password() -> str:
    """20 characters of four classes, without those that are taken for each other."""
    chosen = [secrets.choice(one) for one in _CLASSES]
    chosen += [secrets.choice("".join(_CLASSES)) for _ in range(_LENGTH - len(chosen))]
    secrets.SystemRandom().shuffle(chosen)
    return "".join(chosen)


@dataclass
class Secrets:
    """What must not be stored: a password that the caller gave, and what the caller is shown once."""

    given: str = ""
    shown: dict[str, str] | None = None
    """None: nobody is there to be shown anything."""
    password: str = ""

    def for_(self, step: Step) -> str:
        """The password that goes into a request; a new one at each attempt, unless the caller gave it."""
        if not has_secret(step.request.body):
            return ""
        self.password = self.given or new_password()
        return self.password

    def show(self, step: Step, answer: Any = None) -> None:
        """What was accepted is shown."""
        if self.shown is None:
            return
        if has_secret(step.request.body) and not self.given:
            self.shown["password"] = self.password
        if step.shows and isinstance(answer, dict) and answer.get(step.shows):
            self.shown[step.shows] = str(answer[step.shows])


async def send(client: GraphClient, step: Step, secret: str) -> Answer | None:
    """The answer; None where it was lost. Raises SourceProblem where nothing left."""
    body = with_secret(step.request.body, secret) if secret else step.request.body
    try:
        return await client.send_once(step.request.method, step.request.path, body)
    except OutcomeUnknown:
        return None


def note_answer(step: Step, answer: Answer | None, clock: Clock, held: Secrets) -> bool:
    """Writes down what came back. Gives whether the step is to be sent anew with another password."""
    now = clock.now()
    if answer is None or answer.outcome_unknown:
        step.status = answer.status if answer else None
        step.reason = _LOST
        if not step.proof.readable:
            step.state, step.next_look_at = State.UNKNOWN, None
        return False
    step.status = answer.status
    if request_id := answer.headers.get("request-id"):
        step.request_ids.append(request_id)
    if answer.status < 300:
        body = _json(answer.content)
        step.answered, step.proof = True, placed(step.proof, body)
        step.result = _made(body)
        held.show(step, body)
        if not step.proof.readable:
            step.state, step.settled_at, step.next_look_at = State.CONFIRMED, now, None
        return False
    step.state, step.settled_at, step.next_look_at = State.REFUSED, now, None
    step.reason = refused(answer, held.password)
    again = answer.status == 400 and has_secret(step.request.body) and not held.given and step.attempts < _MOST_ATTEMPTS
    if again:
        step.state, step.settled_at = State.PLANNED, None
    return again


def refused_before(step: Step, problem: SourceProblem, clock: Clock) -> None:
    """Nothing left: Graph could not be reached, or the sign-in was refused."""
    step.state, step.settled_at, step.next_look_at = State.REFUSED, clock.now(), None
    step.reason = Reason.of(problem)


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content) if content else None
    except orjson.JSONDecodeError:
        return None


def _made(body: Any) -> str:
    """The id of what the request made."""
    if not isinstance(body, dict):
        return ""
    invited = body.get("invitedUser")
    return str((invited.get("id") if isinstance(invited, dict) else None) or body.get("id") or "")[:100]


def refused(answer: Answer, secret: str) -> Reason:
    """Why Graph refused, and what to do. A refusal is definite: nothing was changed. What it says may repeat what it was sent."""
    error = parse_error(answer.status, answer.content)
    code = error.code or str(answer.status)
    text = redact(_without(error.message, secret))
    said = f" It says: {text.rstrip('.')}." if text else ""
    if answer.status == 429:
        return Reason(
            code="throttled",
            message="Microsoft Graph had too many requests, and did nothing.",
            remedy="Plan it again in some minutes.",
        )
    if answer.status == 403:
        return Reason(
            code="role-missing", message=f"Microsoft Graph denied it ({code}).{said}",
            remedy="The permission is granted: the app's service principal needs a directory role, and for an administrator as target "
            "a higher one (Privileged Authentication Administrator).",
        )  # fmt: skip
    if answer.status == 404:
        return Reason(
            code="not-found",
            message=f"The object is not there ({code}).{said}",
            remedy="Plan it again to see what is there.",
        )
    if answer.status == 401:
        return Reason(
            code="token-refused",
            message="Microsoft Graph did not accept the token.",
            remedy="Check the action credential, then plan it again.",
        )
    if _MASTERED in error.message.lower() or "on-premises" in error.message.lower():
        return Reason(
            code="on-premises",
            message=f"The value is mastered elsewhere ({code}).{said}",
            remedy="Change it in Active Directory.",
        )
    return Reason(
        code="refused",
        message=f"Microsoft Graph refused it: {answer.status} {code}.{said}",
        remedy="Correct what it names, then plan it again.",
    )


def _without(text: str, secret: str) -> str:
    """The text without the secret, also where the text was cut off inside of it."""
    if not secret:
        return text
    text = text.replace(secret, HIDDEN)
    cut = next((length for length in range(len(secret) - 1, 2, -1) if text.endswith(secret[:length])), 0)
    return text[:-cut] + HIDDEN if cut else text


_MASTERED = "mastered"
_LOST = Reason(
    code="answer-lost", message="No usable answer came: it may have been done or not.",
    remedy="It is not sent again. The object is read back; look here later.",
)  # fmt: skip
