"""Protection against cross-site request forgery: a browser sends the session cookie with requests that other sites cause.

Every changing request is refused when the browser says that another site caused it. Forms also carry a token, bound to the
person who got the page, valid for some hours and stored nowhere.
"""

import base64
import hmac
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, urlsplit

from shared.clock import Clock
from shared.errors import Forbidden
from shared.principal import Principal

FIELD = "csrf"
LIFETIME_SECONDS = 8 * 3600
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_OTHER_SITES = ("cross-site", "same-site")


def require_own_site(method: str, headers: Mapping[str, str], url: str) -> None:
    """Raises Forbidden for a changing request that another site caused in somebody's browser.

    `Sec-Fetch-Site` decides where it is sent: no script can set it, and a reverse proxy, which changes the host, leaves it
    alone. Without it, `Origin` must be the host of `url`. Neither header: not a browser. `Authorization`: a browser adds a
    bearer token only on behalf of a site that CORS allows, so no cookie is being abused.
    """
    if method in _SAFE_METHODS or "authorization" in headers:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site in _OTHER_SITES or (origin and not site and not _same(urlsplit(origin), urlsplit(url))):
        raise Forbidden(
            "The request was caused by another site, so it was not carried out.",
            code="cross-site",
            remedy="Call the API from the app's own address, or with a bearer token in the Authorization header.",
        )


def _same(origin: SplitResult, url: SplitResult) -> bool:
    """Where a proxy ends TLS the app is called by http, whatever the browser used; the reverse does not happen."""
    return origin.netloc == url.netloc and (origin.scheme == "https" or url.scheme != "https")


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
