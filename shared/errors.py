"""One error tree, sorted by what the reader can do about it.

RollcallError                500  our defect
|- BadRequest                400  send something else (malformed)
|- Invalid                   422  mend the named fields
|- Unauthenticated           401  sign in
|- Forbidden                 403  ask for the app role
|- NotFound                  404
|- MethodNotAllowed          405
|- Conflict                  409  a duplicate, or still in use
|- Changed                   412  read again, then send If-Match
|- MissingPrecondition       428  send If-Match
|- TooLarge                  413
|- UnsupportedMedia          415
|- Unavailable               503  a service or the platform's configuration: retry or mend it
|  |- OutOfTime              504  a service did not answer; nothing was changed
|  `- Unanswered             504  a service may have made the change or not: look
`- SourceProblem             (runs) why a run failed, with its remedy
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """One bad field: its JSON path (`schedule.timeZone`), a stable code and what is wrong with it."""

    field: str
    code: str
    message: str


class RollcallError(Exception):
    """Base of every error that reaches a user. `code` is stable; `remedy` says what to do next."""

    status = 500
    code = "internal-error"
    title = "Something went wrong on our side"
    remedy = "Try again. If it goes on, report the requestId to whoever runs this installation."

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        remedy: str | None = None,
        fields: tuple[FieldError, ...] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.remedy = remedy or type(self).remedy
        self.fields = fields
        self.headers = headers or {}


class BadRequest(RollcallError):
    status = 400
    code = "malformed-request"
    title = "The request could not be understood"
    remedy = "Send what the description at /api/v1/docs shows."


class Invalid(RollcallError):
    status = 422
    code = "invalid-fields"
    title = "Some fields are not valid"
    remedy = "Correct the fields listed under errors and send the request again; nothing was saved."


class Unauthenticated(RollcallError):
    status = 401
    code = "not-signed-in"
    title = "Nobody is signed in"
    remedy = "Sign in with an account or application of the organisation that owns this installation."


class Forbidden(RollcallError):
    status = 403
    code = "role-missing"
    title = "This is not allowed"
    remedy = "Ask an administrator of the Rollcall enterprise application to assign you the role named in the detail."
    who: object = None
    """The principal whose request it was, where it is not known otherwise."""


class NotFound(RollcallError):
    status = 404
    code = "not-found"
    title = "There is no such thing"
    remedy = "Check the id; list the collection to see what exists."


class MethodNotAllowed(RollcallError):
    status = 405
    code = "method-not-allowed"
    title = "This address does not take that method"
    remedy = "Use a method of the Allow header."


class Conflict(RollcallError):
    status = 409
    code = "conflict"
    title = "This clashes with what is there"
    remedy = "Read the current state and decide again."


class Changed(RollcallError):
    status = 412
    code = "changed-meanwhile"
    title = "Somebody changed this in the meantime"
    remedy = "Read it again, apply your change to the new version and send its ETag in If-Match."


class MissingPrecondition(RollcallError):
    status = 428
    code = "if-match-missing"
    title = "The version you are changing was not named"
    remedy = "Send the ETag that you read in the If-Match header, or * to overwrite whatever is there."


class TooLarge(RollcallError):
    status = 413
    code = "body-too-large"
    title = "The body is too large"
    remedy = "Send at most 1 MiB."


class UnsupportedMedia(RollcallError):
    status = 415
    code = "not-json"
    title = "The body is not JSON"
    remedy = "Send application/json."


class Unavailable(RollcallError):
    status = 503
    code = "unavailable"
    title = "A service that this needs can't be used now"
    remedy = "Try again in a minute."


class OutOfTime(Unavailable):
    status = 504
    code = "out-of-time"
    title = "This took too long"
    remedy = "Nothing was changed. Try again in a minute; /api/v1/health says which service does not answer."


class Unanswered(Unavailable):
    status = 504
    code = "outcome-unknown"
    title = "Whether this was done is not known"
    remedy = "Look whether it was done before you send it again."


class SourceProblem(RollcallError):
    """Why a run can't go on. `transient` problems may heal by themselves at the next run."""

    status = 502
    code = "source-problem"
    title = "The source refused"
    remedy = "See the detail."

    def __init__(self, detail: str, *, code: str, remedy: str, transient: bool = False) -> None:
        super().__init__(detail, code=code, remedy=remedy)
        self.transient = transient
        self.stream: str | None = None
        """Whose reading it ended, where it was one stream's."""


class LeaseLost(Exception):
    """Another worker has the run; this one must stop."""


class Refused(Exception):
    """Table Storage refused a request for good."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"Table Storage answered {status} {code}")
        self.status, self.code = status, code


def foreign_cursor() -> Invalid:
    """A list was asked to go on after something that is not a `next` value."""
    fields = (FieldError("after", "foreign", "is no cursor of this list"),)
    return Invalid(
        "The cursor was not issued by this API.", remedy="Start the list again without after.", fields=fields
    )
