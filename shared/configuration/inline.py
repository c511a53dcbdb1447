"""A connector as the form of one has it: tenant, and the applications that read and act with their secrets, on the connector
itself. Its source and its credentials are found, or proposed to be made with it. A known tenant stays one source, and a known
application one credential.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr
from pydantic.alias_generators import to_snake

from shared.configuration.saving import secret_of
from shared.connectors.registry import Registry
from shared.domain.base import Model, new_id
from shared.domain.clouds import CloudName
from shared.domain.configuration import (
    Connector,
    ConnectorIn,
    ConnectorSettings,
    CredentialIn,
    OrganizationIn,
    SourceGroupIn,
    SourceIn,
)
from shared.domain.document import Document
from shared.domain.folding import unique_form
from shared.errors import Conflict, FieldError, Invalid, SourceProblem, Unavailable
from shared.redact import known_secret
from shared.storage.config import ConfigStore
from shared.validation import read_as
from shared.vault import Vault

_NEW = "Default"
"""The organization and the source group of an installation that has none."""
_SHOWN = 10


@dataclass(frozen=True)
class Draft:
    """An object that is to be saved with the connector; `before`: as it is, where it is there."""

    kind: str
    id: str
    model: Model
    before: Document | None = None


@dataclass
class Resolved:
    """The connector with the ids of everything that it uses, and what has to be saved with it, in this order."""

    connector: Connector
    drafts: list[Draft] = field(default_factory=list)


@dataclass(frozen=True)
class _Use:
    """What an application is for, by the names of the fields that say so."""

    client: str
    secret: str
    credential: str
    verb: str

    def of(self, given: ConnectorIn) -> "_Application":
        return _Application(
            self,
            getattr(given, to_snake(self.client)),
            getattr(given, to_snake(self.secret)),
            getattr(given, to_snake(self.credential)),
        )


_READING = _Use("clientId", "clientSecret", "credentialId", "reads")
_ACTING = _Use("actionClientId", "actionClientSecret", "actionCredentialId", "acts")


@dataclass(frozen=True)
class _Application:
    """What a connector says of an application: any of the three, or nothing."""

    use: _Use
    client_id: str | None
    client_secret: SecretStr | None
    credential_id: str | None

    @property
    def inline(self) -> bool:
        return bool(self.client_id or self.client_secret)

    def changed(self, before: Document | None) -> bool:
        return self.credential_id != (before.body.get(self.use.credential) if before else None)

    def fits(self, credential: Document) -> bool:
        """Whether it is of the application, and of a type that a secret goes with."""
        if credential.body.get("clientId") != self.client_id:
            return False
        return self.client_secret is None or credential.body.get("type") == "client-secret"


@dataclass
class _Place:
    """Where the connector reads: a source that is there, or what a new one needs."""

    id: str
    organization: str
    source: Document | None = None
    group: str = ""
    drafts: list[Draft] = field(default_factory=list)


class Inline:
    """`vault` is made on first use: most requests need none."""

    def __init__(self, registry: Registry, store: ConfigStore, vault: Callable[[], Vault]) -> None:
        self._registry, self._store, self._vault = registry, store, vault

    def resolve(self, given: ConnectorIn, before: Document | None = None) -> Resolved:
        """`before`: the connector as it is. Raises Invalid where the fields contradict each other or what is stored, Conflict
        where a new connector brings another secret than a known application's, Unavailable. Nothing is written here.
        """
        source_id = given.source_id or (before.source_id if before else None)
        reading, acting = _READING.of(given), _ACTING.of(given)
        asked = (given.tenant_id, given.cloud, given.source_group_id, reading.inline, acting.inline)
        if source_id and not any(asked):
            return Resolved(self._connector(given, source_id, given.credential_id, given.action_credential_id))
        place = self._known(given, source_id) if source_id else self._found(given)
        if place is None:  # a source that is not there: said where references are checked
            return Resolved(self._connector(given, str(source_id), given.credential_id, given.action_credential_id))
        credential, drafts = self._credential(reading, before, place)
        actor = given.action_credential_id
        if acting.inline:
            actor, more = self._credential(acting, before, place, drafts)
            if actor == credential and not given.reading_credential_acts:
                raise _one_for_both()
            drafts = [*drafts, *more]
        if place.source:
            source = place.source.body
            own = None if credential == source.get("credentialId") else credential
            if acting.inline and actor == source.get("actionCredentialId"):
                actor = None
            return Resolved(self._connector(given, place.id, own, actor), drafts)
        assert given.tenant_id
        made = SourceIn(
            name=self._free("source", place.group, given.tenant_id), source_group_id=place.group, tenant_id=given.tenant_id,
            cloud=given.cloud or CloudName.GLOBAL, credential_id=credential,
        )  # fmt: skip
        return Resolved(
            self._connector(given, place.id, None, actor), [*place.drafts, *drafts, Draft("source", place.id, made)]
        )

    def _connector(self, given: ConnectorIn, source: str, credential: str | None, actor: str | None) -> Connector:
        kept = {name: getattr(given, name) for name in ConnectorSettings.model_fields}
        return self._registry.connector_stored.model_validate(
            {**kept, "source_id": source, "credential_id": credential, "action_credential_id": actor}
        )

    def _known(self, given: ConnectorIn, source_id: str) -> _Place | None:
        """The source that the connector names, or has. Raises Invalid where other fields say something else of it."""
        source = self._store.get("source", source_id)
        if source is None:
            return None
        wrong = [
            FieldError(name, "other", f"is not that of the source {source.name!r} ({source.id})")
            for name, value in (("tenantId", given.tenant_id), ("cloud", given.cloud), ("sourceGroupId", given.source_group_id))
            if value and value != source.body.get(name)
        ]  # fmt: skip
        if wrong:
            raise Invalid("A connector reads the tenant of its source.", fields=tuple(wrong))
        return self._place(source)

    def _place(self, source: Document) -> _Place:
        group = self._store.get("sourceGroup", str(source.body.get("sourceGroupId")))
        return _Place(source.id, str(group.body.get("organizationId")) if group else "", source)

    def _found(self, given: ConnectorIn) -> _Place:
        """The one source of the tenant, or what a new one needs."""
        if not given.tenant_id:
            missing = FieldError("sourceId", "missing", "is needed, or tenantId with clientId and clientSecret instead")
            raise Invalid("A connector needs its source.", fields=(missing,))
        tenant = {"tenantId": given.tenant_id, "cloud": given.cloud or CloudName.GLOBAL}
        known = [one for one in self._store.all("source") if tenant.items() <= one.body.items()]
        fitting = [one for one in known if given.source_group_id in (None, one.body.get("sourceGroupId"))]
        if len(fitting) == 1:
            return self._place(fitting[0])
        if known:
            named = ", ".join(f"{one.name!r} ({one.id})" for one in (fitting or known)[:_SHOWN])
            code, why = (
                ("ambiguous", "is read by several sources")
                if fitting
                else ("other", "is read by a source of another group")
            )
            wrong = FieldError(
                "tenantId" if fitting else "sourceGroupId", code, f"{why}: {named}; name one as sourceId"
            )
            raise Invalid("The tenant is known already.", fields=(wrong,))
        return self._new_place(given.source_group_id)

    def _new_place(self, group_id: str | None) -> _Place:
        """A source group for a new source: the named one, the only one, or a new one."""
        if group_id:
            group = self._store.get("sourceGroup", group_id)
            if group is None:
                unknown = FieldError("sourceGroupId", "unknown", "there is no source group with this id")
                raise Invalid("A reference does not exist.", fields=(unknown,))
            return _Place(new_id(), str(group.body.get("organizationId")), group=group.id)
        groups, organizations = self._store.all("sourceGroup"), self._store.all("organization")
        if len(groups) == 1:
            return _Place(new_id(), str(groups[0].body.get("organizationId")), group=groups[0].id)
        if groups or len(organizations) > 1:
            named = ", ".join(f"{one.name!r} ({one.id})" for one in groups[:_SHOWN])
            why = f"is needed, for this tenant is new: {named}" if groups else "is needed; create a source group first"
            missing = FieldError("sourceGroupId", "missing", why)
            raise Invalid("A new tenant needs a source group.", fields=(missing,))
        drafts = [] if organizations else [Draft("organization", new_id(), OrganizationIn(name=_NEW))]
        organization = organizations[0].id if organizations else drafts[0].id
        made = Draft("sourceGroup", new_id(), SourceGroupIn(name=_NEW, organization_id=organization))
        return _Place(new_id(), organization, group=made.id, drafts=[*drafts, made])

    def _credential(
        self, given: _Application, before: Document | None, place: _Place, made_with: Sequence[Draft] = ()
    ) -> tuple[str, list[Draft]]:
        """The id of the credential that the connector uses so, and the credential where it is new or gets another secret.
        `made_with`: what is to be saved already.
        """
        use, source = given.use, place.source.body if place.source else {}
        named = given.credential_id or str(source.get(use.credential) or "")
        present = self._store.get("credential", named) if named else None
        if given.client_id is None:
            return named, self._unnamed(given, before, present, named, made_with)
        if self._contradicts(given, before, present, source):
            wrong = FieldError(use.client, "other", f"is not that of the credential {named}")
            raise Invalid(f"{use.client} and {use.credential} name two applications.", fields=(wrong,))
        explicit = bool(given.credential_id) and given.changed(before)
        if explicit and present is None:  # said where references are checked
            return named, []
        for candidate in [present] if explicit else self._candidates(given, present, source, place.organization):
            if candidate and (explicit or given.fits(candidate)):
                return candidate.id, self._secret(given, before, candidate, made_with)
        return self._new(given, given.client_id, place, made_with)

    def _unnamed(
        self,
        given: _Application,
        before: Document | None,
        present: Document | None,
        named: str,
        made_with: Sequence[Draft],
    ) -> list[Draft]:
        """The credential that is used without a word about its application, with its secret where that is given."""
        use = given.use
        if not named:
            why = "is needed, for this tenant is new" if use is _READING else f"is needed with {use.secret}"
            raise Invalid(
                f"Whatever {use.verb} needs an application.", fields=(FieldError(use.client, "missing", why),)
            )
        if given.client_secret and present and present.body.get("type") != "client-secret":
            why = f"the credential {present.name!r} has none: its type is {present.body.get('type')}"
            raise Invalid("The credential has no client secret.", fields=(FieldError(use.secret, "other-type", why),))
        return self._secret(given, before, present, made_with)

    def _new(
        self, given: _Application, client_id: str, place: _Place, made_with: Sequence[Draft]
    ) -> tuple[str, list[Draft]]:
        """A credential for an application that has none; the one that is to be made anyway, where that is of the application."""
        for draft in made_with:
            if isinstance(draft.model, CredentialIn) and draft.model.client_id == client_id:
                _check_same(given, draft.model)
                return draft.id, []
        if given.client_secret is None:
            why = "is needed: there is no credential of this application yet"
            raise Invalid("A new application needs its secret.", fields=(FieldError(given.use.secret, "missing", why),))
        credential = CredentialIn(
            name=self._free("credential", place.organization, client_id), organization_id=place.organization or None,
            client_id=client_id, client_secret=given.client_secret,
        )  # fmt: skip
        made = Draft("credential", new_id(), credential)
        return made.id, [made]

    def _contradicts(
        self, given: _Application, before: Document | None, present: Document | None, source: dict[str, object]
    ) -> bool:
        """Whether the ids of an application and of a credential were both given, and are of two applications. In a change the one
        that differs from what is stored counts.
        """
        if not given.credential_id or not given.changed(before) or present is None:
            return False
        if present.body.get("clientId") == given.client_id:
            return False
        name = given.use.credential
        named = (before.body.get(name) or source.get(name)) if before else None
        was = self._store.get("credential", str(named)) if named else None
        return was is None or was.body.get("clientId") != given.client_id

    def _candidates(
        self, given: _Application, present: Document | None, source: dict[str, object], organization: str
    ) -> Iterator[Document | None]:
        """Credentials that the connector may use, those that it and its source have first."""
        yield present
        yield self._store.get("credential", str(source.get(given.use.credential) or ""))
        for one in self._store.all("credential"):
            if one.body.get("organizationId") in (None, organization):
                yield one

    def _secret(
        self, given: _Application, before: Document | None, credential: Document | None, made_with: Sequence[Draft] = ()
    ) -> list[Draft]:
        """The credential with its new secret; nothing where it stays. A new connector does not replace a secret that others
        read with: it may only repeat it.
        """
        if given.client_secret is None or credential is None:
            return []
        for draft in made_with:
            if draft.id == credential.id and isinstance(draft.model, CredentialIn):
                _check_same(given, draft.model)
                return []
        secret = given.client_secret.get_secret_value()
        known_secret(secret)
        if before is None and (stored := self._stored(credential)) is not None:
            if stored == secret:
                return []
            raise Conflict(
                f"The credential {credential.name!r} ({credential.id}) is of the same application and has another secret.",
                code="secret-differs",
                remedy=f"Leave {given.use.secret} out to use the stored one. To replace it, for everybody who uses that credential, "
                "change the credential first (PATCH /api/v1/credentials/{id}).",
                fields=(FieldError(given.use.secret, "differs", "is not the one that is stored for this application"),),
            )
        stored_credential = read_as("credential", credential, CredentialIn)
        changed = stored_credential.model_copy(update={"client_secret": given.client_secret, "secret_expires_on": None})
        return [Draft("credential", credential.id, changed, credential)]

    def _stored(self, credential: Document) -> str | None:
        """The secret in the vault; None where it is gone."""
        name = secret_of(credential)
        if not name:
            return None
        try:
            return self._vault().get(name)
        except SourceProblem as problem:
            if problem.code == "secret-missing":
                return None
            raise Unavailable(problem.detail, code=problem.code, remedy=problem.remedy) from problem

    def _free(self, kind: str, scope: str, name: str) -> str:
        """The name, or the name with a number where another object has it."""
        taken = {unique_form(one.name) for one in self._store.all(kind) if one.scope == scope}
        names = [name, *(f"{name} ({n})" for n in range(2, len(taken) + 2))]
        return next(one for one in names if unique_form(one) not in taken)


def _check_same(given: _Application, reading: CredentialIn) -> None:
    """Raises Invalid where one application would get two secrets."""
    if given.client_secret not in (None, reading.client_secret):
        wrong = FieldError(given.use.secret, "differs", "is not the secret that the same application reads with")
        raise Invalid("One application has two secrets here.", fields=(wrong,))


def _one_for_both() -> Invalid:
    wrong = FieldError(_ACTING.client, "reads", "is the application that reads, and may not act too")
    return Invalid(
        "One application would read and act.",
        remedy="Register a second application for people actions, or allow it with readingCredentialActs.",
        fields=(wrong,),
    )


def others_who_use(store: ConfigStore, credential: str, connector: Document) -> list[str]:
    """What else signs in with a credential: `name (id)` of connectors, also through their sources."""
    found: dict[str, str] = {}
    for kind, name, user in store.users_of(f"credential.{credential}"):
        if kind == "connector":
            found[user] = name
            continue
        source = store.get("source", user)
        fields = [
            one for one in (_READING.credential, _ACTING.credential) if source and source.body.get(one) == credential
        ]
        for source_user, user_name, user_id in store.users_of(f"source.{user}"):
            document = store.get("connector", user_id) if source_user == "connector" else None
            if document and any(not document.body.get(one) for one in fields):
                found[user_id] = user_name
    found.pop(connector.id, None)
    return [f"{name!r} ({user})" for user, name in found.items()]
