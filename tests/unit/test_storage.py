"""Storage: connection strings, signing, wide texts, batches within the service's limits, refusal of newer rows."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.connectors.record_types import PERSON
from shared.errors import Refused, Unavailable
from shared.storage import bulk
from shared.storage.connection import from_connection_string
from shared.storage.layout import CURRENT, Layout
from shared.storage.lookups import card_tail, lookup_rows
from shared.storage.wide import LIMIT, join, split


def test_connection_strings_in_all_their_forms() -> None:
    local = from_connection_string("UseDevelopmentStorage=true")
    assert local.table_endpoint == "http://127.0.0.1:10002/devstoreaccount1"
    real = from_connection_string(
        "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5;EndpointSuffix=core.chinacloudapi.cn"
    )
    assert real.table_endpoint == "https://acc.table.core.chinacloudapi.cn"


@pytest.mark.parametrize(
    "text", ["AccountName=acc", "AccountKey=a2V5", "nonsense", "AccountName=acc;AccountKey=*secret*"]
)
def test_a_bad_connection_string_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(Unavailable) as refused:
        from_connection_string(text)
    assert "secret" not in str(refused.value)


@settings(max_examples=60)
@given(
    st.dictionaries(st.sampled_from(["A", "Body", "C"]), st.text(max_size=40) | st.integers() | st.booleans()),
    st.sampled_from(["x", "é", "😀", "名"]),
    st.integers(0, 3),
)
def test_a_long_text_comes_back_whole(row: dict[str, Any], character: str, times: int) -> None:
    row = {**row, "Long": character * (LIMIT * times // 2 + 7)}
    wide = split(row)
    assert all(len(v.encode("utf-16-le")) // 2 <= LIMIT for v in wide.values() if isinstance(v, str))
    assert join(wide) == row


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(2, 900_000), max_size=230))
def test_batches_keep_order_and_the_services_limits(sizes: list[int]) -> None:
    rows = [("p", str(n), b"x" * size) for n, size in enumerate(sizes[:30])]
    rows += [("p", str(n), b"{}") for n in range(len(rows), len(sizes))]
    batches = list(bulk._batches(rows))
    assert [row for batch in batches for row in batch] == rows
    for batch in batches:
        assert 1 <= len(batch) <= 100
        assert len(bulk._batch_body("https://acc.table.core.windows.net/Records", batch, "b" * 32)) <= 4 * 1024 * 1024


def test_an_entity_above_the_limit_is_refused_before_it_is_sent() -> None:
    with pytest.raises(Refused) as refused:
        list(bulk._batches([("p", "k", b"x" * 1024 * 1024)]))
    assert refused.value.code == "EntityTooLarge"


def test_a_row_of_a_newer_version_is_refused() -> None:
    assert CURRENT.load("Records", {"V": 1}) == {"V": 1}
    for version in (2, "1", None):
        with pytest.raises(Unavailable) as refused:
            CURRENT.load("Records", {"V": version})
        assert refused.value.code == "schema-too-new"
    with pytest.raises(Unavailable) as refused:
        Layout(3, {2: {}, 3: {}}).load("Records", {"V": 1})
    assert refused.value.code == "schema-too-old"


LONG = "maximiliana.vandenberg-hohenzollern.of.the.northern.office.of.contoso"


@settings(max_examples=60)
@given(
    st.sampled_from(["", "A", "a", "\u00e9", " ", LONG, LONG.title()]),
    st.sampled_from(["", "a", "@x", f"{LONG}@x", LONG]),
)
def test_no_two_search_rows_of_a_record_have_one_key(sign_in_name: str, mail: str) -> None:
    """Table Storage refuses a whole batch that holds a row twice."""
    card = {"DisplayName": "Ada", "SignInName": sign_in_name, "Mail": mail}
    rows = lookup_rows(PERSON.lookups, "s", "c", [("o", card, card_tail("s", "o", card))])
    assert len({(partition, key) for partition, key, _ in rows}) == len(rows) >= 1
    assert all(orjson.loads(body)["RowKey"] == key for _, key, body in rows)
    assert len(rows) <= 3
