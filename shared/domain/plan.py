"""A person action as a record with a life of its own: planned, approved where that is needed, sent, proved, undone."""

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

import orjson

from shared.domain.base import Model
from shared.domain.reason import Reason

MOST_TARGETS = 2000
"""Targets of one plan."""


class Risk(StrEnum):
    """How bad it is if it was a mistake."""

    LOW = "low"
    """Nobody loses anything."""
    DISRUPTIVE = "disruptive"
    """Somebody can't go on working until it is undone."""
    SEVERE = "severe"
    """Something is lost for good, or for all of somebody's work."""


class State(StrEnum):
    """Of a plan, of one of its items, of one request."""

    PLANNING = "planning"
    """The targets are being looked at."""
    PLANNED = "planned"
    """Nothing was sent."""
    WAITING = "waiting-for-approval"
    """Somebody else has to agree."""
    APPROVED = "approved"
    """Its author may have it carried out."""
    DENIED = "denied"
    """Somebody refused it. Nothing was sent."""
    EXPIRED = "expired"
    """Nobody agreed, or carried it out, in time. Nothing was sent."""
    HELD = "held"
    """An item that waits for a person, or for its date."""
    SENT = "sent"
    """A request left, or may have left. What came of it is being looked at."""
    PAUSED = "paused"
    """No further item is begun until somebody says so."""
    CONFIRMED = "confirmed"
    """Read back three times in a row: it is so."""
    CONTRADICTED = "contradicted"
    """Read back over an hour: it is not so."""
    REFUSED = "refused"
    """Not sent, or Microsoft Graph said no: nothing was changed by it."""
    UNKNOWN = "unknown"
    """Neither shown nor contradicted in time. It is looked at for 24 hours, then a person says what is true."""
    CANCELLED = "cancelled"
    """Not begun, because somebody cancelled it."""
    MIXED = "mixed"
    """A plan of which some was done and some not: `counts` says how much."""


OVER = frozenset(
    (State.CONFIRMED, State.CONTRADICTED, State.REFUSED, State.CANCELLED, State.DENIED, State.EXPIRED, State.MIXED)
)
"""States that nothing changes any more."""
READ_BACK = frozenset((State.SENT, State.UNKNOWN))
"""Of a request: what came of it is still looked at."""


class Call(Model):
    """An action that is asked for, on one target."""

    action: str
    """Its name in the catalogue."""
    target: str
    """Object id; of an action on the tenant itself: empty."""
    parameters: dict[str, Any] = {}
    """What it is given. Never a secret."""
    not_before: datetime | None = None
    """Not begun earlier, UTC. The plan is made again then, and compared."""
    waits_for: str = ""
    """Something that is not Microsoft Graph's to do: a person says when it is done."""
    at_its_turn: bool = False
    """Planned when its turn comes: what it is done to is only there then, such as somebody who has to be restored first."""


class Request(Model):
    """A request to Microsoft Graph, exactly as it is sent, but for what is secret."""

    method: str
    """POST, PATCH, PUT or DELETE."""
    path: str
    """Below the version."""
    body: Any = None
    """JSON. What is secret stands there as {password}."""


class Check(Model):
    """What a read-back has to show."""

    how: Literal["is", "differs", "has", "lacks", "gone"]
    """is: a property has the value; differs: it has another one than before; has, lacks: a list holds an entry with these
    properties, or none; gone: Graph has no such object."""
    property: str = ""
    """Its path, with points between the names."""
    value: Any = None
    """What it is compared with."""


class Proof(Model):
    """How it is shown that a request was carried out."""

    path: str = ""
    """What is read, by id. Empty: only Graph's own answer can show it."""
    checks: list[Check] = []
    """All of them have to hold."""
    budget_seconds: int = 30
    """After this long without a proof the outcome is called unknown."""

    @property
    def readable(self) -> bool:
        """Whether anything can be read: not where only Graph's answer says what."""
        return bool(self.path) and "{answer:" not in self.path


class Step(Model):
    """One request, and what came of it."""

    what: str
    """In words."""
    request: Request
    """What is sent."""
    proof: Proof
    """How it is proved."""
    shows: str = ""
    """The property of Graph's answer that is shown to the caller once, and kept nowhere."""
    state: State = State.PLANNED
    """planned, sent, confirmed, contradicted, refused, unknown or cancelled."""
    sent_at: datetime | None = None
    """When it was about to be sent, UTC. Written before it leaves."""
    attempts: int = 0
    """How often a request left: twice only where Graph refused the first for the password that was generated."""
    answered: bool = False
    """Whether Graph said that it did it."""
    status: int | None = None
    """HTTP status of the answer; null: none came."""
    request_ids: list[str] = []
    """Graph's ids of the requests, for Microsoft's support."""
    result: str = ""
    """Id of what was made by it."""
    reason: Reason | None = None
    """Why it was refused, or is not known."""
    looks: int = 0
    """How often it was read back."""
    alike: int = 0
    """How many of the last looks in a row said the same."""
    holds: bool | None = None
    """What the last look said."""
    next_look_at: datetime | None = None
    """When it is read back next."""
    settled_at: datetime | None = None
    """When it was known what came of it."""
    settled_by: str = ""
    """Object id of the person who said so; empty: it was read back."""


class Item(Model):
    """One action on one target."""

    number: int
    """Its place in the plan, from 1."""
    call: Call
    """What is asked for."""
    title: str = ""
    """The action, in words."""
    target_name: str = ""
    """The target's display name when it was planned."""
    state: State = State.PLANNING
    """As its requests are."""
    before: dict[str, Any] = {}
    """What the plan rests on, as it was: the same has to be true when it is carried out."""
    steps: list[Step] = []
    """The requests, in order."""
    digest: str = ""
    """Of requests, proofs and before-state."""
    reasons: list[Reason] = []
    """Why it can't be done, was not begun, or waits."""
    warnings: list[Reason] = []
    """What to know before it is done."""
    flags: list[str] = []
    """What a policy may ask an approval for: administrator, service-account, severe."""
    reversible: bool = False
    """Whether it can be undone from the before-state."""
    acknowledged: bool = False
    """Somebody knows that it was not done: what comes after it may go on."""

    @property
    def open(self) -> bool:
        """Whether a request of it was sent and its outcome is not known."""
        return any(step.state in READ_BACK for step in self.steps)

    def made(self) -> str:
        """The digest of what is planned."""
        planned = [
            [step.request.model_dump(mode="json"), step.proof.model_dump(mode="json"), step.shows]
            for step in self.steps
        ]
        content = [self.call.action, self.call.target, self.call.parameters, self.before, planned, sorted(self.flags)]
        return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def of_steps(self) -> State:
        """The state that follows from the requests."""
        states = [step.state for step in self.steps]
        for state in (State.SENT, State.PLANNED, State.UNKNOWN, State.CONTRADICTED, State.REFUSED, State.CANCELLED):
            if state in states:
                begun = state is State.PLANNED and any(step.sent_at for step in self.steps)
                return State.SENT if begun else state
        return State.CONFIRMED


class ApprovalNeeded(Model):
    """Why somebody else has to agree, and who may."""

    rule: str
    """The rule of the source's policy."""
    role: str
    """App role that whoever agrees has to have, besides Rollcall.Act."""


class Approval(Model):
    """Somebody's answer."""

    by_id: str
    """Object id."""
    by_name: str
    """The name at that time."""
    at: datetime
    """UTC."""
    role: str
    """For which role it counts."""
    digest: str
    """Of the plan that was looked at."""
    comment: str = ""
    """What was said to it."""


class Through(Model):
    """The credential that acts, and why it is this one."""

    credential_id: str
    """Its id."""
    credential_name: str
    """Its name."""
    because: str
    """The connector or source that names it, and the rule by which that comes first."""


class Plan(Model):
    """What is to be done, by whom, and how far it got."""

    id: str
    """`{source}~{key}`."""
    source_id: str
    """The source whose tenant it changes."""
    form: Literal["single", "bulk", "composed", "undo"] = "single"
    """One action on one target; one on many; many on one; or the reverse of an earlier plan."""
    action: str
    """The action's name."""
    title: str = ""
    """In words."""
    state: State = State.PLANNING
    """How far it got."""
    risk: Risk = Risk.LOW
    """Of the riskiest of its items."""
    by_id: str
    """Object id of its author."""
    by_name: str
    """The author's name at that time."""
    by_application: bool = False
    """Whether an application asked for it rather than a person."""
    created_at: datetime
    """UTC."""
    submit_until: datetime | None = None
    """Its token can be submitted until then, UTC."""
    digest: str = ""
    """Of everything that is planned: an approval names it."""
    items: int = 0
    """How many items it has."""
    counts: dict[str, int] = {}
    """Items by state."""
    through: Through | None = None
    """The credential that acts."""
    justification: str = ""
    """What its author said to it."""
    approvals_needed: list[ApprovalNeeded] = []
    """What still needs somebody's consent, once it is submitted."""
    approvals: list[Approval] = []
    """Who agreed."""
    decide_until: datetime | None = None
    """Approved, or carried out once it is approved, until then; afterwards it expires."""
    submitted_at: datetime | None = None
    """UTC."""
    finished_at: datetime | None = None
    """UTC."""
    paused_because: str = ""
    """Why no further item is begun."""
    undo_of: str = ""
    """The plan that it takes back."""
    warnings: list[Reason] = []
    """What to know about it as a whole."""


class StoredPlan(Plan):
    """A plan with what nobody is shown."""

    token_hash: str = ""
    """SHA-256 of the token that submits it."""
    cancelled: bool = False
    """Nothing further is begun."""
    paused_at: int = 0
    """The item behind which it stopped by itself; 0: somebody paused it."""

    @property
    def worked_on(self) -> bool:
        """Whether workers have anything to do with it."""
        return self.state in (State.PLANNING, State.SENT, State.PAUSED, State.UNKNOWN)
