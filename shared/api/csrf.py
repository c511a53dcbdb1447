"""Tokens that show that a form came from a page of ours: bound to the person who got the page, good for some hours, kept
nowhere.
"""

import base64
import hmac
from collections.abc import Callable
from urllib.parse import urlsplit

from shared.clock import Clock
from shared.errors import Forbidden
from shared.principal import Principal

FIELD = "csrf"
LIFETIME_SECONDS = 8 * 3600
_FOREIGN = ("cross-site", "same-site")


class CsrfTokens:
    """`key` gives the installation's key, at least 32 bytes that nobody else knows."""

    def __init__(self, key: Callable[[], bytes], clock: Clock) -> None:
        self._key, self._clock = key, clock

    def make(self, principal: Principal) -> str:
        """A token for the forms of a page that this principal gets."""
        return self._signed(principal, int(self._clock.now().timestamp()))

    def check(self, principal: Principal, token: str, headers: dict[str, str], url: str) -> None:
        """Raises Forbidden unless the form is one that this principal got from here lately."""
        origin = headers.get("origin")
        if headers.get("sec-fetch-site") in _FOREIGN or (origin and urlsplit(origin)[1] != urlsplit(url)[1]):
            raise _refused("The form was sent from another site.")
        made_at, _, _ = token.partition(".")
        if not (made_at.isascii() and made_at.isdecimal() and len(made_at) <= 12):
            raise _refused("The form carries no token of this page.")
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
