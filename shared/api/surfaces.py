"""What differs between surfaces: where their routes stand, how a body is read, how an error is shown."""

from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape

import azure.functions as func

from shared.api.answering import problem
from shared.api.csrf import CsrfTokens
from shared.errors import RollcallError
from shared.redact import redact

PREFIX = "api/v1"
PAGES_PREFIX = "console"


@dataclass(frozen=True, eq=False)
class Surface:
    """`catch_all`: the addresses below which an unknown one is explained; `forms`: bodies are forms, which carry a token
    where `csrf` says how tokens are made; `headers`: what every answer carries.
    """

    prefix: str
    catch_all: str
    show_problem: Callable[[RollcallError, str], func.HttpResponse]
    headers: dict[str, str] = field(default_factory=dict)
    forms: bool = False
    csrf: CsrfTokens | None = None


JSON = Surface(PREFIX, "api", problem)

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}


def pages(csrf: CsrfTokens) -> Surface:
    """Pages for people: HTML, forms, errors that can be read."""
    return Surface(PAGES_PREFIX, PAGES_PREFIX, problem_page, PAGE_HEADERS, forms=True, csrf=csrf)


def problem_page(error: RollcallError, request_id: str) -> func.HttpResponse:
    """The same as problem+json says, as a page."""
    fields = "".join(f"<li><code>{escape(f.field)}</code> {escape(f.message)}</li>" for f in error.fields)
    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(error.title)}</title>'
        f"<main><h1>{escape(error.title)}</h1><p>{escape(redact(error.detail))}</p><p>{escape(error.remedy)}</p>"
        f"{f'<ul>{fields}</ul>' if fields else ''}"
        f"<p><small>{escape(error.code)}, request {escape(request_id)}</small></p></main></html>"
    )
    headers = {
        "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Request-Id": request_id,
        **PAGE_HEADERS, **error.headers,
    }  # fmt: skip
    return func.HttpResponse(
        body=body, status_code=error.status, headers=headers, mimetype="text/html", charset="utf-8"
    )
