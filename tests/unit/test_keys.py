"""Keys: folding, look-up ranges, what may stand in a key."""

import re
import uuid

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.folding import fold
from shared.storage import keys

FORBIDDEN = re.compile(r"[/\\#?\x00-\x1f\x7f-\x9f]")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=0, max_size=60)


@given(TEXT, st.integers(2, 30))
def test_every_prefix_of_a_name_finds_it(name: str, length: int) -> None:
    folded = fold(name)
    prefix = fold(folded[:length])
    if len(prefix) < 2 or not folded.startswith(prefix):
        return
    low, high = keys.lookup_range(prefix)
    row = keys.lookup_keys("name", folded, keys.lookup_end("source", "object", "c"))[1]
    assert keys.lookup_partition("name", folded) == keys.lookup_partition("name", prefix)
    assert low <= row < high


@given(TEXT)
def test_folding_is_stable_and_keys_hold_no_forbidden_character(name: str) -> None:
    folded = fold(name)
    assert fold(folded) == folded
    for key in (
        keys.lookup_partition("name", folded),
        *keys.lookup_keys("name", folded, keys.lookup_end("s", "o", "c")),
        keys.config_name("k", "s", name),
    ):
        assert not FORBIDDEN.search(key) and len(key) <= 512


def test_case_accents_and_blanks_do_not_count() -> None:
    assert fold("  Zoë  MÜLLER ") == fold("zoe muller") == "zoe muller"
    assert fold("ΓΙΏΡΓΟΣ") == fold("γιωργοσ")


@given(st.lists(TEXT, min_size=2, max_size=8))
def test_rows_sort_as_the_folded_text_does(names: list[str]) -> None:
    folded = sorted({fold(name) for name in names}, key=lambda text: text.encode())
    rows = [
        (text.encode().hex()[:2], keys.lookup_keys("name", text, keys.lookup_end("s", "o", "c"))[1]) for text in folded
    ]
    assert rows == sorted(rows)


def test_a_shard_is_one_of_64_whatever_the_id() -> None:
    for object_id in ("AB12-3", "zz", "9", "名"):
        assert re.fullmatch(r"[0-3][0-9a-f]", keys.shard(object_id))
    assert keys.shard("AB12-3") == keys.shard("ab12-3")


@given(st.lists(st.uuids(), min_size=2, max_size=50))
def test_partitions_are_in_the_order_of_ids(ids: list[uuid.UUID]) -> None:
    shards = [keys.shard(str(object_id)) for object_id in sorted(ids)]
    assert shards == sorted(shards)
