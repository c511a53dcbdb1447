"""No secret without an owner: each has a name of its own in the vault, a row that names it before it is written, and a row that says
that it is to go once nobody uses it. Whatever did not come to its end the timer ends.
"""

import contextlib
import logging
from collections.abc import Callable, Iterable
from datetime import timedelta

from shared.clock import Clock, parse_iso
from shared.configuration.secrets import Pin, Prepared, new_secret_name
from shared.domain.document import Document
from shared.domain.pending import Pending
from shared.errors import Unavailable
from shared.redact import known_secret
from shared.storage import keys
from shared.storage.config import ConfigStore
from shared.storage.secret_rows import EXPIRES_AFTER, Intention
from shared.vault import Vault

_log = logging.getLogger("rollcall.secrets")


class Keeper:
    """`vault` is made on first use: most requests need none."""

    def __init__(self, store: ConfigStore, vault: Callable[[], Vault], clock: Clock) -> None:
        self._store, self._vault, self._clock = store, vault, clock

    def write(self, document: Document, prepared: Prepared, *, new: bool) -> tuple[Pin, Intention]:
        """Puts the secret into the vault: what pins it, and the intention that the pinning transaction fulfils. Raises NameTaken,
        and Unavailable where it could not be written.
        """
        known_secret(prepared.value)
        name = new_secret_name(document.id)
        intention = self._store.reserve(document, name, self._clock.now(), new=new)
        try:
            self._vault().put(name, prepared.value, content_type=prepared.content_type, expires_on=prepared.expires_on)
        except BaseException:
            self._expire(intention, EXPIRES_AFTER)  # it may still be under way
            raise
        return prepared.pin.model_copy(update={"name": name}), intention

    def abandon(self, intention: Intention | None) -> None:
        """The change failed. Where it was saved all the same its intention is gone, and nothing happens here."""
        if intention and self._expire(intention, timedelta()):
            self.retire([intention.secret])

    def _expire(self, intention: Intention, wait: timedelta) -> bool:
        with contextlib.suppress(Unavailable):
            return self._store.secrets.expire(intention.secret, self._clock.now() + wait)
        _log.warning("the secret %s has no owner; the timer sees to it", intention.secret)
        return False

    def retire(self, names: Iterable[str]) -> list[Pending]:
        """Takes secrets out of use that were retired; what could not be done."""
        left: list[Pending] = []
        for name in names:
            try:
                self._remove(name)
            except Unavailable as error:
                _log.warning("the secret %s is still in the vault (%s); the timer removes it", name, error.code)
                left.append(
                    Pending(code="old-secret", message="The old secret is still in the vault; the timer removes it.")
                )
        return left

    def sweep(self) -> None:
        """The timer's turn: ends what requests left behind. Raises Unavailable where the vault can't be used."""
        now = self._clock.now()
        for row in self._store.secrets.left():
            key = str(row["RowKey"])
            if key.startswith(keys.retirement("")):
                if parse_iso(str(row["NotBefore"])) <= now:
                    self._remove(key.removeprefix(keys.retirement("")))
            elif parse_iso(str(row["At"])) < now - EXPIRES_AFTER:
                name = key.removeprefix(keys.intention(""))
                if self._store.secrets.expire(name, now):
                    self._remove(name)

    def _remove(self, name: str) -> None:
        self._vault().retire(name)
        self._store.secrets.gone(name)
