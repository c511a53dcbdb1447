"""The packed index against Python's own dict and set."""

import uuid

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.sync.index import IdSet, Index, packed

IDS = st.lists(st.uuids().map(str) | st.text("abc|é-", min_size=1, max_size=6), max_size=80)


@settings(max_examples=200)
@given(IDS, IDS)
def test_an_id_set_is_a_set(added: list[str], asked: list[str]) -> None:
    ours, theirs = IdSet(), set()
    for object_id in added:
        assert ours.add(object_id) == (object_id not in theirs)
        theirs.add(object_id)
    assert len(ours) == len(theirs)
    for object_id in [*added, *asked]:
        assert (object_id in ours) == (object_id in theirs)


def test_an_id_set_grows() -> None:
    ids = [str(uuid.UUID(int=n * 7919)) for n in range(20_000)]
    ours = IdSet()
    assert all(ours.add(object_id) for object_id in ids)
    assert not any(ours.add(object_id) for object_id in ids)


@settings(max_examples=200)
@given(st.dictionaries(st.uuids().map(str), st.integers(0, 2**64 - 1), max_size=60), st.data())
def test_an_index_finds_what_was_loaded_and_keeps_what_was_seen(stored: dict[str, int], data: st.DataObject) -> None:
    index = Index()
    index.load((object_id, digest, digest % 1000) for object_id, digest in stored.items())
    index.start()
    seen = data.draw(st.lists(st.sampled_from(sorted(stored)), max_size=30)) if stored else []
    for object_id in seen:
        index.mark(index.find(object_id))
    assert index.seen_count == len(set(seen))
    resumed = Index()
    resumed.load((object_id, digest, 0) for object_id, digest in sorted(stored.items()))
    resumed.start(bytes(index.seen))
    for object_id, digest in stored.items():
        place = resumed.find(object_id)
        assert resumed.digest(place) == digest
        assert resumed.mark(place) == (object_id not in seen)
    assert index.find(str(uuid.uuid4())) == -1


def test_packed_ids_sort_as_their_text() -> None:
    ids = sorted(str(uuid.uuid4()) for _ in range(200))
    assert sorted(ids, key=packed) == ids
