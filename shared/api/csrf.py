"""Protection against cross-site request forgery: a browser sends the session cookie with requests that other sites cause.

Every changing request is refused when the browser says that another site caused it. Forms also carry a token, bound to the
person who got the page, valid for some hours and stored nowhere.
"""

import base64
import hmac
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from shared.clock import Clock
from shared.errors import Forbidden
from shared.principal import Principal

FIELD = "csrf"
LIFETIME_SECONDS = 8 * 3600
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_OTHER_SITES = ("cross-site", "same-site")
_OWN_SITE = ("same-origin", "none")


def require_own_site(method: str, headers: Mapping[str, str], url: str) -> None:
    """Raises Forbidden for a changing request that another site caused in somebody's browser.

    `Sec-Fetch-Site` decides where it is sent: no script can set it, and a reverse proxy, which changes the host, leaves it
    alone. Without it, `Origin` must be the host of `url`. Neither header: not a browser. A bearer token: a browser adds one
    only on behalf of a site that CORS allows, so no cookie is being abused. A password it adds by itself, like a cookie.
    """
    if method in _SAFE_METHODS or headers.get("authorization", "").lower().startswith("bearer "):
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site in _OTHER_SITES or (origin and not site and not _same(origin, url)):
        raise Forbidden(
            "The request was caused by another site, so it was not carried out.",
            code="cross-site",
            remedy="Call the API from the app's own address, or with a bearer token in the Authorization header.",
        )


def require_no_form(method: str, headers: Mapping[str, str]) -> None:
    """Raises Forbidden for a POST that a form of any site could have sent, from a browser that does not tell which one:
    a browser asks before it sends JSON, or a header of its own, elsewhere.
    """
    if method != "POST" or headers.get("authorization", "").lower().startswith("bearer "):
        return
    if headers.get("sec-fetch-site") in _OWN_SITE:
        return
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and "x-requested-with" not in headers:
        raise Forbidden(
            "A form of another site could have sent this request, so it was not carried out.",
            code="simple-request",
            remedy="Send Content-Type: application/json, or a header X-Requested-With with any value.",
        )


def _same(origin: str, url: str) -> bool:
    """Where a proxy ends TLS the app is called by http, whatever the browser used; the reverse does not happen."""
    try:
        one, other = urlsplit(origin), urlsplit(url)
    except ValueError:  # brackets that hold no address
        return False
    return one.netloc == other.netloc and (one.scheme == "https" or other.scheme != "https")


class CsrfTokens:
    """`key` gives the installation's key, at least 32 bytes that nobody else knows."""

    def __init__(self, key: Callable[[], bytes], clock: Clock) -> None:
        self._key, self._clock = key, clock

    def make(self, principal: Principal) -> str:
        """A token for the forms of a page that this principal gets."""
        return self._signed(principal, int(self._clock.now().timestamp()))

    def check(self, principal: Principal, token: str) -> None:
        """Raises Forbidden unless this principal got the token within its lifetime."""
        made_at, _, _ = token.partition(".")
        if not (made_at.isascii() and made_at.isdecimal() and len(made_at) <= 12):
            raise _refused("The form carries no valid token.")
        if not hmac.compare_digest(token.encode(), self._signed(principal, int(made_at)).encode()):
            raise _refused("The form's token belongs to somebody else, or was changed.")
        age = self._clock.now().timestamp() - int(made_at)
        if not -60 <= age <= LIFETIME_SECONDS:
            raise _refused("The form is too old.")

    def _signed(self, principal: Principal, made_at: int) -> str:
        text = f"{made_at}|{principal.id}".encode()
        mark = base64.urlsafe_b64encode(hmac.digest(self._key(), text, "sha256")).decode().rstrip("=")
        return f"{made_at}.{mark}"


def _refused(detail: str) -> Forbidden:
    return Forbidden(detail, code="csrf-invalid", remedy="Open the page again and send its form; nothing was changed.")
