"""How the rows of one object become one record: whose value counts, how fresh it is, and why one is missing."""

from datetime import datetime
from typing import Any

from shared.clock import parse_iso
from shared.connectors.entra_id import SIGN_INS, USERS
from shared.domain.checkpoint import StreamState
from shared.domain.records import Value
from shared.records.merging import added_values, merged, own_values

SEEN, CHANGED, READ = "2026-11-01T08:00:00Z", "2026-11-10T08:00:00Z", "2026-11-26T08:00:00Z"


def _row(**columns: Any) -> dict[str, Any]:
    return {"RowKey": "1|c|users", "ChangedAt": CHANGED, "FirstSeenAt": SEEN, **columns}


def _at(text: str) -> datetime:
    return parse_iso(text)


def test_an_unchanged_value_is_as_fresh_as_the_last_complete_read() -> None:
    values = own_values(USERS, StreamState(completed_at=READ, full_at=SEEN), "c", _row(City="Utrecht"))
    assert (values["city"].value, values["city"].as_of, values["city"].missing) == ("Utrecht", _at(READ), None)
    assert (values["state"].value, values["state"].missing) == (None, None), "empty at the source"


def test_what_the_read_did_not_bring_is_only_as_fresh_as_its_last_change() -> None:
    for state in (StreamState(completed_at=READ, unseen=["1"]), StreamState(completed_at=READ, many_unseen=True)):
        assert own_values(USERS, state, "c", _row())["city"].as_of == _at(CHANGED)


def test_a_value_that_graph_does_not_have_or_that_was_not_asked_for_says_so() -> None:
    values = own_values(USERS, StreamState(completed_at=READ, attributes=["displayName"]), "c", _row(City="Utrecht"))
    assert values["expiresAt"].missing == "not-provided"
    assert (values["city"].missing, values["city"].value) == ("not-requested", None)
    denied = own_values(
        USERS, StreamState(completed_at=READ, missing={"city": "permission"}), "c", _row(City="Utrecht")
    )
    assert (denied["city"].missing, denied["city"].as_of) == ("permission", None)


def test_an_attempt_is_told_apart_from_a_successful_logon() -> None:
    row = {"ChangedAt": CHANGED, "LastLogonAt": CHANGED, "LastLogonKind": "attempt"}
    values = added_values(SIGN_INS, StreamState(full_at=READ, completed_at=READ), "c", row, _row())
    assert values["lastLogonAt"].value == "2026-11-10T08:00:00Z" and "may have failed" in (
        values["lastLogonAt"].note or ""
    )
    assert (
        added_values(SIGN_INS, StreamState(full_at=READ), "c", {**row, "LastLogonKind": "successful"}, _row())[
            "lastLogonAt"
        ].note
        is None
    )


def test_no_sign_in_is_known_only_by_a_pass_that_began_after_we_first_saw_the_person() -> None:
    known = added_values(SIGN_INS, StreamState(full_at=READ, completed_at=READ), "c", {}, _row())["lastLogonAt"]
    assert (known.value, known.missing, known.as_of) == (None, None, _at(READ))
    earlier = StreamState(full_at="2026-10-01T08:00:00Z", completed_at=READ)
    unknown = added_values(SIGN_INS, earlier, "c", {}, _row())["lastLogonAt"]
    assert (unknown.missing, unknown.note) == ("not-requested", SIGN_INS.unread_note)
    denied = StreamState(missing={"lastLogonAt": "licence"})
    assert added_values(SIGN_INS, denied, "c", {}, _row())["lastLogonAt"].missing == "licence"


def test_of_two_rows_the_first_value_counts_and_a_missing_one_gives_way() -> None:
    one = {"mail": Value(value="a@x.example"), "city": Value(missing="permission")}
    other = {"mail": Value(value="b@x.example"), "city": Value(value="Utrecht"), "state": Value(value=None)}
    values = merged([one, other])
    assert [values[name].value for name in ("mail", "city", "state")] == ["a@x.example", "Utrecht", None]
