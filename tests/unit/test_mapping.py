"""The compiled mapping: empty is no column, times carry their type, nothing is invented."""

import pytest

from shared.connectors import REGISTRY
from shared.connectors.base import Joined, Kind, PartsOf, Report
from shared.connectors.catalogue import properties
from shared.connectors.entra_id import DEVICE_STREAM, DEVICES, PEOPLE, USERS
from shared.connectors.mappings import content_of, default_targets, mapped, problems, targets_of
from shared.mapping.attribute import RESERVED, Attribute, Type
from shared.mapping.compiled import compile_mapping, fingerprint, mark, selected
from shared.sync.sources import listing_of


def test_an_object_with_nothing_gives_no_column_but_the_flags_of_no_policy() -> None:
    assert compile_mapping(PEOPLE)({"id": "1"}) == {"PasswordNeverExpires": False, "WeakPasswordAllowed": False}
    assert compile_mapping(DEVICES)({"id": "1"}) == {}


def test_false_and_zero_are_values_and_never_is_not_a_time() -> None:
    mapper = compile_mapping(
        (
            Attribute("flag", "", Type.FLAG, ("f",)),
            Attribute("number", "", Type.NUMBER, ("n",)),
            Attribute("time", "", Type.TIME, ("t",)),
        )
    )
    assert mapper({"f": False, "n": 0, "t": "0001-01-01T00:00:00Z"}) == {"Flag": False, "Number": 0}
    assert mapper({"t": "2026-01-01T00:00:00Z"}) == {"Time": "2026-01-01T00:00:00Z", "Time@odata.type": "Edm.DateTime"}


def test_the_order_of_collections_does_not_matter() -> None:
    mapper = compile_mapping(PEOPLE)
    one = mapper({"proxyAddresses": ["smtp:b", "SMTP:a"], "otherMails": ["y", "x"]})
    assert one == mapper({"proxyAddresses": ["SMTP:a", "smtp:b"], "otherMails": ["x", "y"]})


@pytest.mark.parametrize(
    ("policies", "never", "weak"),
    [(None, False, False), ("None", False, False), ("DisablePasswordExpiration", True, False),
     ("DisablePasswordExpiration, DisableStrongPassword", True, True)],
)  # fmt: skip
def test_password_policies_are_decoded_and_kept_raw(policies: str | None, never: bool, weak: bool) -> None:
    columns = compile_mapping(PEOPLE)({"passwordPolicies": policies})
    assert (columns["PasswordNeverExpires"], columns["WeakPasswordAllowed"]) == (never, weak)
    assert columns.get("PasswordPolicies") == policies


def test_a_manager_comes_from_the_list_and_from_delta() -> None:
    mapper = compile_mapping(PEOPLE)
    assert mapper({"manager": {"id": "m"}})["ManagerId"] == "m"
    assert mapper({"manager": [{"id": "old", "@removed": {"reason": "deleted"}}, {"id": "m"}]})["ManagerId"] == "m"
    assert "ManagerId" not in mapper({"manager": None})


@pytest.mark.parametrize("name", ["partitionKey", "digest", "timestamp", "v"])
def test_columns_of_ours_can_not_be_mapped_to(name: str) -> None:
    with pytest.raises(ValueError, match="reserved"):
        compile_mapping((Attribute(name, "", Type.TEXT, ("x",)),))


def test_the_catalogue_is_sound() -> None:
    for attributes in (PEOPLE, DEVICES):
        columns = [attribute.column for attribute in attributes]
        assert len(set(columns)) == len(columns) and not RESERVED & set(columns)
        assert all(bool(attribute.source) != bool(attribute.missing) for attribute in attributes)
        assert all("__" not in column for column in columns)


def test_select_is_derived_and_a_fingerprint_names_the_mapping() -> None:
    assert selected(PEOPLE).count("passwordPolicies") == 1
    assert fingerprint("a", PEOPLE) != fingerprint("a", PEOPLE[:-1])
    assert fingerprint("a", PEOPLE) == fingerprint("a", PEOPLE)


def test_a_year_that_table_storage_does_not_know_is_kept_as_text() -> None:
    mapper = compile_mapping((Attribute("time", "", Type.TIME, ("t",)),))
    assert mapper({"t": "0202-05-01T00:00:00Z"}) == {"Time": "0202-05-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("written", "kept"),
    [("2026-01-01T01:02:03Z", "2026-01-01T01:02:03Z"), ("2026-01-01T01:02:03.1234567Z", "2026-01-01T01:02:03.1234567Z"),
     ("2026-W01-1T01:02:03Z", "2025-12-29T01:02:03Z"), ("2026-01-01T01:02:03,5Z", "2026-01-01T01:02:03.500000Z"),
     ("2026-01-01 01:02:03Z", "2026-01-01T01:02:03Z"), ("2026-01-01T01:02:03+02:00", "2025-12-31T23:02:03Z"),
     ("20260101T010203Z", "2026-01-01T01:02:03Z"), ("2026-01-01", "2026-01-01T00:00:00Z"),
     ("2026-01-01T01:02:03.123456789Z", "2026-01-01T01:02:03.123456Z")],
)  # fmt: skip
def test_every_form_of_a_time_is_stored_in_the_one_that_table_storage_takes(written: str, kept: str) -> None:
    assert compile_mapping((Attribute("time", "", Type.TIME, ("t",)),))({"t": written})["Time"] == kept


@pytest.mark.parametrize("kind", REGISTRY.kinds.values(), ids=list(REGISTRY.kinds))
def test_the_default_is_a_mapping_that_makes_the_kind_what_it_is(kind: Kind) -> None:
    targets = default_targets(kind)
    assert problems(kind, targets) == [] and mapped(kind, targets) == kind
    assert targets_of(content_of(targets)) == targets


@pytest.mark.parametrize("kind", REGISTRY.kinds.values(), ids=list(REGISTRY.kinds))
def test_what_is_mapped_is_selected_and_what_is_selected_is_mapped_and_catalogued(kind: Kind) -> None:
    for stream in kind.streams:
        known = properties(stream)
        if isinstance(stream.reader, Report):
            continue  # a file has the columns that it has
        read = {name for one in stream.attributes for name in one.properties}
        expanded = set(getattr(stream.reader, "expand", ()))
        asked = listing_of(stream).first.partition("$select=")[2].partition("&")[0].split(",")
        wanted = set(stream.reader.select) if isinstance(stream.reader, PartsOf) else read - expanded - {"id"}
        if isinstance(stream.reader, Joined):
            wanted |= {stream.reader.on, stream.reader.newest}
        assert set(asked) - {"id"} == wanted and read <= known.keys()


def test_every_property_that_can_be_named_is_one_of_the_sdks_models() -> None:
    from msgraph.generated.models.device import Device
    from msgraph.generated.models.user import User

    for model, stream in ((User(), USERS), (Device(), DEVICE_STREAM)):
        assert properties(stream).keys() <= model.get_field_deserializers().keys()


def test_the_marks_of_defaults_are_what_stored_states_hold() -> None:
    """A mark that changes makes every connector read everything once more: not by accident."""
    marks = {one.name: mark(one) for one in PEOPLE if one.mapped}
    assert (marks["displayName"], marks["phones"]) == (
        fingerprint("displayName", "text", ("displayName",), None),
        fingerprint("phones", "json", ("businessPhones", "mobilePhone", "faxNumber"), "phones"),
    )
