"""A connector as the form of one has it, with tenant, client and secret on it: what is found, what is made, and what is refused.
The vault is the simulated one, behind TLS; the rows are Azurite's.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from azure.keyvault.secrets import SecretClient

from local.stack import Stack
from shared.configuration.kinds import ConfigKind, config_kinds
from shared.domain.document import Document
from shared.errors import Changed, Conflict, Invalid, RollcallError, Unavailable
from shared.wiring import App
from tests import rig as rigs
from tests import support
from tests.rig import TESTER, Rig

TENANT_ID = rigs.TENANT
CLIENT, OTHER_CLIENT = "c11e0000-0000-4000-8000-000000000001", "c11e0000-0000-4000-8000-000000000002"
SECRET = "the-first-s3cret"
FORM = {"tenantId": TENANT_ID, "clientId": CLIENT, "clientSecret": SECRET}
ACT = {"actionClientId": OTHER_CLIENT, "actionClientSecret": "the-acting-s3cret"}


class Form:
    """An installation without any configuration."""

    def __init__(self, rig: Rig, stack: Stack) -> None:
        self.rig, self.stack = rig, stack
        options = {"verify_challenge_resource": False, "connection_verify": str(stack.folder / "bundle.pem")}
        self.client = SecretClient(stack.addresses["vault"], support.IdentityToken(stack), **options)
        self.kinds: dict[str, ConfigKind] = config_kinds(rig.registry)

    def app(self) -> App:
        return self.rig.app()

    def post(self, name: str = "People", kind: str = "connector", *, once: str = "", **fields: Any) -> Any:
        model = self.kinds[kind].model.model_validate({"name": name, **fields})
        return self.app().configuration.create(self.kinds[kind], model, TESTER, object_id=once)

    def patch(self, connector: str, **change: Any) -> Any:
        return self.app().configuration.patch(self.kinds["connector"], connector, change, None, TESTER)

    def all(self, kind: str) -> list[Document]:
        return [one for one in self.rig.beside().config.all(kind) if one.id != "cloud"]

    def secrets(self) -> dict[str, str]:
        """Of every credential that has one: what the vault holds for it."""
        pins = {one.id: one.system.get("pin") for one in self.all("credential")}
        return {one: str(self.client.get_secret(pin["name"]).value) for one, pin in pins.items() if pin}

    def nothing_is_left_over(self) -> None:
        enabled = {str(one.name) for one in self.client.list_properties_of_secrets() if one.enabled}
        assert enabled == {str(one.system["pin"]["name"]) for one in self.all("credential") if one.system.get("pin")}
        assert self.rig.beside().config.secrets.left() == []

    def counts(self) -> dict[str, int]:
        return {
            kind: len(self.all(kind)) for kind in ("organization", "sourceGroup", "source", "credential", "connector")
        }


@pytest.fixture
def form(rig: Rig, signed_in_cloud: Stack) -> Iterator[Form]:
    rig.vault = signed_in_cloud.addresses["vault"]
    made = Form(rig, signed_in_cloud)
    for one in made.client.list_properties_of_secrets():
        if one.enabled:
            made.client.begin_delete_secret(str(one.name))
    yield made
    rig.faults.clear()
    signed_in_cloud.admin("DELETE", "/faults")
    made.client.close()
    rig.vault = None


def refused(call: Any) -> RollcallError:
    with pytest.raises(RollcallError) as caught:
        call()
    return caught.value


def test_one_form_is_all_that_an_empty_installation_needs(form: Form) -> None:
    made = form.post("People and devices", **FORM)
    assert (made.tenant_id, made.client_id, made.cloud, made.has_secret) == (TENANT_ID, CLIENT, "global", True)
    assert form.counts() == {"organization": 1, "sourceGroup": 1, "source": 1, "credential": 1, "connector": 1}
    (source,), (credential,), (group,) = form.all("source"), form.all("credential"), form.all("sourceGroup")
    assert (source.body["credentialId"], source.body["sourceGroupId"]) == (credential.id, group.id)
    assert credential.body["organizationId"] == group.body["organizationId"], "it serves this customer and no other"
    assert made.source_id == source.id
    assert made.credential_id is None, "the source's is the connector's"
    assert form.secrets() == {credential.id: SECRET}
    form.nothing_is_left_over()
    read = form.app().configuration.get(form.kinds["connector"], made.id)
    assert (read.tenant_id, read.client_id, read.has_secret) == (TENANT_ID, CLIENT, True)  # type: ignore[attr-defined]


def test_a_second_connector_of_the_tenant_joins_its_source_and_its_credential(form: Form) -> None:
    first = form.post(**FORM)
    second = form.post("Licences", kind="connector", **{**FORM, "tenantId": TENANT_ID.upper()})
    third = form.post("Also", tenantId=TENANT_ID)
    assert first.source_id == second.source_id == third.source_id
    assert form.counts() == {"organization": 1, "sourceGroup": 1, "source": 1, "credential": 1, "connector": 3}


def test_another_application_of_a_known_tenant_reads_for_its_connector_alone(form: Form) -> None:
    first = form.post(**FORM)
    second = form.post("Licences", tenantId=TENANT_ID, clientId=OTHER_CLIENT, clientSecret="another-s3cret")
    assert second.source_id == first.source_id
    assert (second.client_id, first.client_id) == (OTHER_CLIENT, CLIENT)
    assert second.credential_id
    assert second.credential_id != form.all("source")[0].body["credentialId"]
    assert sorted(form.secrets().values()) == ["another-s3cret", SECRET]
    back = form.patch(second.id, clientId=CLIENT)
    assert (back.client_id, back.credential_id) == (CLIENT, None)
    again = form.patch(second.id, clientId=OTHER_CLIENT)
    assert again.credential_id == second.credential_id, "a known application is not made twice"
    form.nothing_is_left_over()


def test_a_secret_that_differs_replaces_nobody_elses(form: Form) -> None:
    form.post(**FORM)
    error = refused(lambda: form.post("Licences", **{**FORM, "clientSecret": "mistyped"}))
    assert (error.code, error.fields[0].field) == ("secret-differs", "clientSecret")
    assert "mistyped" not in str(error.__dict__)
    assert form.counts()["connector"] == 1
    assert list(form.secrets().values()) == [SECRET]


def test_a_secret_that_is_gone_from_the_vault_is_written_anew(form: Form) -> None:
    form.post(**FORM)
    form.client.begin_delete_secret(str(form.all("credential")[0].system["pin"]["name"]))
    form.post("Licences", **{**FORM, "clientSecret": "a-new-one"})
    assert list(form.secrets().values()) == ["a-new-one"]
    assert form.counts()["credential"] == 1


def test_a_changed_secret_is_everybodys_who_uses_it_and_says_so(form: Form) -> None:
    first = form.post(**FORM)
    alone = form.patch(first.id, clientSecret="alone")
    assert alone.warnings == []
    other = form.post("Licences", tenantId=TENANT_ID)
    before = form.all("connector")
    changed = form.patch(first.id, clientSecret="rotated", name="Renamed")
    said = next(one for one in changed.warnings if one.code == "secret-shared")
    assert other.id in said.message
    assert first.id not in said.message
    assert list(form.secrets().values()) == ["rotated"]
    assert changed.name == "Renamed"
    assert [one for one in form.all("connector") if one.id == other.id] == [one for one in before if one.id == other.id]
    form.nothing_is_left_over()
    history = form.app().configuration.history(form.kinds["connector"], first.id, after=None, limit=10)[0]
    assert any(change.field == "clientSecret" and change.after == "set" for change in history[0].changes)


def test_a_change_that_is_refused_rotates_nothing(form: Form) -> None:
    first = form.post(**FORM)
    form.post("Licences", tenantId=TENANT_ID)
    error = refused(lambda: form.patch(first.id, clientSecret="rotated", name="licences"))
    assert error.code == "name-taken"
    assert list(form.secrets().values()) == [SECRET]
    form.nothing_is_left_over()
    error = refused(
        lambda: form.app().configuration.patch(
            form.kinds["connector"], first.id, {"clientSecret": "rotated"}, frozenset({9}), TESTER
        )
    )
    assert isinstance(error, Changed)
    assert list(form.secrets().values()) == [SECRET]


def test_a_form_that_is_refused_leaves_nothing_behind(form: Form) -> None:
    before = form.counts()
    for wrong in ({"mappingId": "nowhere"}, {"actionCredentialId": "nowhere"}, {"connectorServerId": "nowhere"}):
        assert isinstance(refused(lambda wrong=wrong: form.post(**FORM, **wrong)), Invalid)
    assert form.counts() == before
    form.nothing_is_left_over()


def test_the_vault_down_saves_nothing(form: Form) -> None:
    form.stack.admin("POST", "/faults", {"target": "vault", "kind": "503", "every": 1, "seconds": 0})
    assert isinstance(refused(lambda: form.post(**FORM)), Unavailable)
    form.stack.admin("DELETE", "/faults")
    assert form.counts() == {"organization": 0, "sourceGroup": 0, "source": 0, "credential": 0, "connector": 0}


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize(
    ("cut", "acts"), [*((cut, False) for cut in range(1, 6)), *((cut, True) for cut in range(1, 8))]
)
def test_cut_off_anywhere_it_is_all_there_or_nothing_is(form: Form, cut: int, *, acts: bool, applied: bool) -> None:
    given = FORM | (ACT if acts else {})
    nothing = form.counts()
    everything = dict.fromkeys(nothing, 1) | {"credential": 2 if acts else 1}
    form.rig.cut.arm(cut, applied=applied)
    with contextlib.suppress(RollcallError):
        form.post(once="c1", **given)
    form.rig.cut.heal()
    assert form.counts() in (nothing, everything)
    form.rig.clock.move(7200)
    made = form.post(once="c1", **given)
    assert made.id == "c1"
    assert form.counts() == everything
    form.rig.clock.move(7200)
    form.rig.app().tick.run()
    form.nothing_is_left_over()


def test_two_forms_at_once_make_one_source(form: Form) -> None:
    form.rig.crowded = True
    apps = [form.app() for _ in range(4)]
    failed: list[BaseException] = []

    def post(number: int) -> None:
        model = form.kinds["connector"].model.model_validate({"name": f"Connector {number}", **FORM})
        for _ in range(20):
            try:
                apps[number].configuration.create(form.kinds["connector"], model, TESTER)
            except Conflict as error:
                if error.code != "busy":
                    failed.append(error)
                    return
            else:
                return

    threads = [threading.Thread(target=post, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    form.rig.crowded = False
    assert not failed
    assert form.counts() == {"organization": 1, "sourceGroup": 1, "source": 1, "credential": 1, "connector": 4}
    form.nothing_is_left_over()


def test_a_new_tenant_goes_where_it_was_told_to(form: Form) -> None:
    organization = form.post("Fabrikam", "organization").id
    groups = [form.post(name, "sourceGroup", organizationId=organization).id for name in ("North", "South")]
    error = refused(lambda: form.post(**FORM))
    assert [(one.field, one.code) for one in error.fields] == [("sourceGroupId", "missing")]
    assert all(group in error.fields[0].message for group in groups)
    form.post(**FORM, sourceGroupId=groups[1])
    assert form.all("source")[0].body["sourceGroupId"] == groups[1]
    error = refused(lambda: form.post("Licences", **FORM, sourceGroupId=groups[0]))
    assert [(one.field, one.code) for one in error.fields] == [("sourceGroupId", "other")]


def test_another_customers_credential_is_not_found(form: Form) -> None:
    """One application of two customers is two credentials, unless it belongs to nobody."""
    customers = [form.post(name, "organization").id for name in ("Fabrikam", "Northwind")]
    groups = [form.post("Head office", "sourceGroup", organizationId=one).id for one in customers]
    other_tenant = TENANT_ID[:-1] + "9"
    form.post(**FORM, sourceGroupId=groups[0])
    form.post(**{**FORM, "tenantId": other_tenant}, sourceGroupId=groups[1])
    assert [one.body["organizationId"] for one in form.all("credential")] == customers
    shared = form.post("For all", "credential", clientId=OTHER_CLIENT, clientSecret="shared-s3cret").id
    made = form.post("Licences", tenantId=other_tenant, clientId=OTHER_CLIENT)
    assert made.credential_id == shared


CONTRADICTIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"tenantId": TENANT_ID[:-1] + "9"}, "tenantId", "other"),
    ({"cloud": "china"}, "cloud", "other"),
    ({"sourceGroupId": "elsewhere"}, "sourceGroupId", "other"),
    ({"clientId": OTHER_CLIENT}, "clientSecret", "missing"),
]


@pytest.mark.parametrize(("change", "field", "code"), CONTRADICTIONS, ids=[str(one[1]) for one in CONTRADICTIONS])
def test_what_contradicts_the_source_is_refused_by_its_name(
    form: Form, change: dict[str, Any], field: str, code: str
) -> None:
    made = form.post(**FORM)
    for call in (lambda: form.patch(made.id, **change), lambda: form.post("B", sourceId=made.source_id, **change)):
        error = refused(call)
        assert [(one.field, one.code) for one in error.fields] == [(field, code)]
    assert form.counts()["connector"] == 1


def test_fields_that_are_missing_are_named(form: Form) -> None:
    cases = [
        ({}, "sourceId"),
        ({"tenantId": TENANT_ID}, "clientId"),
        ({"tenantId": TENANT_ID, "clientSecret": "x"}, "clientId"),
        ({"tenantId": TENANT_ID, "clientId": CLIENT}, "clientSecret"),
        ({"clientId": CLIENT, "clientSecret": "x"}, "sourceId"),
    ]
    for given, field in cases:
        error = refused(lambda given=given: form.post(**given))
        assert [(one.field, one.code) for one in error.fields] == [(field, "missing")]
    assert set(form.counts().values()) == {0}


def test_credential_and_client_of_two_applications_contradict_each_other(form: Form) -> None:
    made = form.post(**FORM)
    other = form.post("Other", "credential", clientId=OTHER_CLIENT, clientSecret="other-s3cret").id
    error = refused(
        lambda: form.post(
            "B", sourceId=made.source_id, credentialId=other, clientId="c11e0000-0000-4000-8000-000000000003"
        )
    )
    assert [(one.field, one.code) for one in error.fields] == [("clientId", "other")]
    stale = form.patch(made.id, credentialId=other, clientId=CLIENT)  # what was read, with one field changed
    assert (stale.credential_id, stale.client_id) == (other, OTHER_CLIENT)


def test_a_secret_for_what_has_none_is_refused(form: Form) -> None:
    made = form.post(**FORM)
    federated = form.post("Federated", "credential", type="federated", clientId=OTHER_CLIENT).id
    error = refused(lambda: form.patch(made.id, credentialId=federated, clientSecret="x"))
    assert [(one.field, one.code) for one in error.fields] == [("clientSecret", "other-type")]


def test_the_own_credential_of_a_connector_is_what_its_runs_sign_in_with(form: Form) -> None:
    first = form.post(**FORM)
    second = form.post("Licences", tenantId=TENANT_ID, clientId=OTHER_CLIENT, clientSecret="another-s3cret")
    app = form.app()
    marks = [app.dispatch.credential_mark(form.rig.beside().config.get("connector", one.id)) for one in (first, second)]  # type: ignore[arg-type]
    assert [mark.partition(".")[0] for mark in marks] == [
        form.all("source")[0].body["credentialId"], second.credential_id
    ]  # fmt: skip
    acting = refused(lambda: form.patch(second.id, actionCredentialId=second.credential_id))
    assert acting.fields[0].field == "actionCredentialId", "the credential that reads does not act"


def test_no_secret_in_any_answer_or_row(form: Form) -> None:
    made = form.post(**FORM)
    rotated = form.patch(made.id, clientSecret="rotated-s3cret")
    page = form.app().configuration.page(form.kinds["connector"], after=None, limit=10)
    stored = str(list(form.rig.entities("Config")))
    for text in (made.model_dump_json(), rotated.model_dump_json(), str(page), stored):
        assert SECRET not in text
        assert "rotated-s3cret" not in text


@pytest.mark.parametrize("own_stack", [{"people": 20}], indirect=True)
def test_over_http_the_form_is_posted_run_and_rotated(own_stack: Stack) -> None:
    stack = own_stack
    tenant = stack.addresses["tenants"]["global"]
    form = {
        "name": "By form", "tenantId": tenant, "clientId": stack.addresses["clientId"], "clientSecret": stack.secret,
        "options": {"collectDevices": False, "collectSignIns": False},
    }  # fmt: skip
    status, problem = stack.api("POST", "connectors", {**form, "tenantId": "nonsense"})
    assert (status, [one["field"] for one in problem["errors"]]) == (422, ["tenantId"])
    status, made = stack.api("POST", "connectors", form)
    assert status == 201, made
    assert (made["tenantId"], made["clientId"], made["hasSecret"]) == (tenant, form["clientId"], True)
    assert support.run_and_wait(stack, made["id"])["state"] == "succeeded"
    address = f"connectors/{made['id']}"
    status, wrong = stack.api("PATCH", address, {"clientSecret": "mistyped-s3cret"}, headers={"If-Match": "*"})
    assert status == 200, wrong
    failed = support.run_and_wait(stack, made["id"])
    assert failed["state"] == "failed" and failed["problems"][0]["remedy"], failed
    assert stack.api("PATCH", address, {"clientSecret": stack.secret}, headers={"If-Match": "*"})[0] == 200
    assert support.run_and_wait(stack, made["id"])["state"] == "succeeded"
    for answer in (
        made,
        wrong,
        failed,
        *(stack.api("GET", path)[1] for path in (address, "history?limit=100", "credentials")),
    ):
        assert stack.secret not in str(answer) and "mistyped-s3cret" not in str(answer)


def test_a_form_with_action_details_makes_both_credentials_in_one_go(form: Form) -> None:
    made = form.post(**FORM, **ACT)
    assert (made.client_id, made.action_client_id, made.has_action_secret) == (CLIENT, OTHER_CLIENT, True)
    assert form.counts() == {"organization": 1, "sourceGroup": 1, "source": 1, "credential": 2, "connector": 1}
    assert made.action_credential_id
    assert form.secrets()[made.action_credential_id] == "the-acting-s3cret"
    assert sorted(form.secrets().values()) == sorted([SECRET, "the-acting-s3cret"])
    form.nothing_is_left_over()
    shown = form.app().configuration.get(form.kinds["connector"], made.id).model_dump_json()
    assert "s3cret" not in shown
    second = form.post("Licences", tenantId=TENANT_ID, **ACT)
    assert second.action_credential_id == made.action_credential_id, "a known application is not made twice"
    assert form.counts()["credential"] == 2


def test_action_details_are_added_rotated_and_taken_back_later(form: Form) -> None:
    made = form.post(**FORM)
    assert (made.action_client_id, made.action_credential_id, made.has_action_secret) == (None, None, False)
    acts = form.patch(made.id, **ACT)
    assert acts.action_client_id == OTHER_CLIENT
    assert form.secrets()[acts.action_credential_id] == "the-acting-s3cret"
    rotated = form.patch(made.id, actionClientSecret="rotated-s3cret")
    assert rotated.action_credential_id == acts.action_credential_id
    assert form.secrets()[acts.action_credential_id] == "rotated-s3cret"
    assert SECRET in form.secrets().values(), "the reading one stays"
    history = form.app().configuration.history(form.kinds["connector"], made.id, after=None, limit=1)[0]
    assert any(change.field == "actionClientSecret" and change.after == "set" for change in history[0].changes)
    assert "s3cret" not in str(history)
    both = form.patch(made.id, clientSecret="read-2-s3cret", actionClientSecret="act-2-s3cret")
    assert sorted(form.secrets().values()) == ["act-2-s3cret", "read-2-s3cret"]
    assert not [one for one in both.warnings if one.code == "secret-shared"]
    form.nothing_is_left_over()
    off = form.patch(made.id, actionCredentialId=None)
    assert (off.action_client_id, off.action_credential_id) == (None, None)


def test_the_sources_action_credential_stays_the_sources(form: Form) -> None:
    made = form.post(**FORM, **ACT)
    form.app().configuration.patch(
        form.kinds["source"], made.source_id, {"actionCredentialId": made.action_credential_id}, None, TESTER
    )
    again = form.patch(made.id, **ACT)
    assert (again.action_credential_id, again.action_client_id) == (None, OTHER_CLIENT)
    second = form.post("Licences", tenantId=TENANT_ID)
    assert second.action_client_id == OTHER_CLIENT
    rotated = form.patch(second.id, actionClientSecret="rotated-s3cret")
    shared = next(one for one in rotated.warnings if one.code == "secret-shared")
    assert "'People'" in shared.message
    assert "rotated-s3cret" in form.secrets().values()


@pytest.mark.parametrize(
    ("given", "field", "code"),
    [
        ({"actionClientId": OTHER_CLIENT}, "actionClientSecret", "missing"),
        ({"actionClientSecret": "x-s3cret"}, "actionClientId", "missing"),
        ({"actionClientId": CLIENT, "actionClientSecret": SECRET}, "actionClientId", "reads"),
        ({"actionClientId": CLIENT, "actionClientSecret": "other"}, "actionClientSecret", "differs"),
        ({"actionClientId": "not an id"}, "actionClientId", "invalid"),
    ],
)
def test_action_details_that_do_not_do_are_refused_by_field_and_nothing_is_saved(
    form: Form, given: dict[str, str], field: str, code: str
) -> None:
    if code == "invalid":
        with pytest.raises(ValueError, match=field):
            form.post(**FORM, **given)
    else:
        error = refused(lambda: form.post(**FORM, **given))
        assert [(one.field, one.code) for one in error.fields] == [(field, code)]
    assert set(form.counts().values()) == {0}
    form.nothing_is_left_over()


def test_one_application_for_both_where_the_owner_allows_it(form: Form) -> None:
    made = form.post(**FORM, actionClientId=CLIENT, readingCredentialActs=True)
    assert (made.client_id, made.action_client_id) == (CLIENT, CLIENT)
    assert form.counts()["credential"] == 1
    assert [one.code for one in made.warnings] == ["acts-as-reader"]
    form.patch(made.id, clientSecret="both-s3cret", actionClientSecret="both-s3cret")
    assert list(form.secrets().values()) == ["both-s3cret"]
    error = refused(lambda: form.patch(made.id, clientSecret="one-s3cret", actionClientSecret="two-s3cret"))
    assert [(one.field, one.code) for one in error.fields] == [("actionClientSecret", "differs")]
    assert list(form.secrets().values()) == ["both-s3cret"]
    form.nothing_is_left_over()


def test_of_two_secrets_for_a_form_none_stays_where_it_is_not_saved(form: Form) -> None:
    form.post(**FORM)
    error = refused(lambda: form.post("People", **FORM, **ACT))
    assert error.code == "name-taken"
    assert form.counts()["credential"] == 1
    form.nothing_is_left_over()
