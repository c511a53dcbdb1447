"""Merge patch, validation that never shows a secret, certificates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.configuration import secrets
from shared.configuration.service import merge
from shared.domain.configuration import CredentialIn
from shared.errors import Invalid
from shared.validation import field_errors

CLIENT = "c11e0000-0000-4000-8000-000000000001"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def _without_nulls(value: object) -> object:
    return {k: _without_nulls(v) for k, v in value.items() if v is not None} if isinstance(value, dict) else value


@given(JSON, JSON)
def test_a_merge_patch_is_rfc_7396(target: object, change: object) -> None:
    merged = merge(target, change)
    if not isinstance(change, dict):
        assert merged == change
    else:
        assert isinstance(merged, dict)
        assert merge(merged, change) == merged
        for key, value in change.items():
            assert (key not in merged) if value is None else key in merged
    assert merge({}, target) == (_without_nulls(target) if isinstance(target, dict) else target)


def test_errors_never_show_what_was_sent() -> None:
    with pytest.raises(ValidationError) as error:
        CredentialIn.model_validate(
            {"name": "x", "clientSecret": {"hunter2": "hunter2"}, "type": "hunter2", "extra": "hunter2"}
        )
    shown = repr(field_errors(error.value))
    assert "hunter2" not in shown.replace("clientSecret", "") and "clientSecret" in shown and "extra" in shown
    assert "hunter2" not in str(error.value)


def test_a_client_secret_credential_needs_its_secret() -> None:
    model = CredentialIn.model_validate({"name": "x", "clientId": CLIENT})
    with pytest.raises(Invalid) as missing:
        secrets.prepare(model, has_pin=False, type_changed=False)
    assert missing.value.fields[0].field == "clientSecret"
    assert secrets.prepare(model, has_pin=True, type_changed=False) is None


def test_a_certificate_is_made_or_taken_and_its_facts_are_read() -> None:
    pem = secrets.make_certificate("Zoë")
    model = CredentialIn.model_validate({"name": "x", "clientId": CLIENT, "type": "certificate", "certificate": pem})
    prepared = secrets.prepare(model, has_pin=False, type_changed=False)
    assert prepared and prepared.pin.certificate and prepared.pin.certificate.subject == "CN=Rollcall Zoë"
    assert "PRIVATE" not in (prepared.pin.pem or "")
    other = secrets.make_certificate("other")
    swapped = pem[: pem.index("-----BEGIN PRIVATE")] + other[other.index("-----BEGIN PRIVATE") :]
    for bad in ("junk", pem.split("-----BEGIN PRIVATE")[0], swapped):
        broken = CredentialIn.model_validate(
            {"name": "x", "clientId": CLIENT, "type": "certificate", "certificate": bad}
        )
        with pytest.raises(Invalid) as refused:
            secrets.prepare(broken, has_pin=False, type_changed=False)
        assert refused.value.fields[0].field == "certificate"


def test_a_certificate_can_be_made_for_any_name() -> None:
    assert "CERTIFICATE" in secrets.make_certificate("Ж" * 120)
