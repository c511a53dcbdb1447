"""Search as people type: by any word of the name, by several, in any script, with marks that nobody sees."""

from collections.abc import Iterator

import pytest

from shared.connectors.record_types import DEVICE, PERSON
from shared.domain import folding
from shared.errors import Invalid
from tests.rig import Rig

NAMES = [
    "Łukasz Nowak", "Søren Kierkegaard", "Séan O\u2019Connor", "Groß, Jürgen", "Irmak Işık", "Đorđe Đukić", "Ægir Þórsson",
    "\u200fAnna Smit-Jansen", "王小明", "パパ 商事", "Maciej Grzegorzewski", "Mackenzie Grzyb", "J. R. R. Tolkien", "Нурлан Сергей",
]  # fmt: skip


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    made = Rig(30, 4, page_cap=25)
    for index, name in enumerate(NAMES):
        made.directory.change("users", index, {"displayName": name})
    made.directory.change("devices", 0, {"displayName": "DESKTOP-QX71"})
    made.run(made.configure())
    yield made
    made.close()


def _found(rig: Rig, text: str) -> set[str]:
    cards = rig.app().records.search(PERSON, text, source=None, limit=50).items
    return {card.display_name or "" for card in cards} & set(NAMES)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("lukasz", {"Łukasz Nowak"}), ("nowak", {"Łukasz Nowak"}), ("Nowak Łuk", {"Łukasz Nowak"}), ("soren", {"Søren Kierkegaard"}),
        ("kierke", {"Søren Kierkegaard"}), ("Oconnor", {"Séan O\u2019Connor"}), ("o'con", {"Séan O\u2019Connor"}), ("sean oc", {"Séan O\u2019Connor"}),
        ("gross", {"Groß, Jürgen"}), ("jurgen gr", {"Groß, Jürgen"}), ("ısık", {"Irmak Işık"}), ("isik", {"Irmak Işık"}), ("dukic", {"Đorđe Đukić"}),
        ("aegir", {"Ægir Þórsson"}), ("thors", {"Ægir Þórsson"}), ("anna", {"\u200fAnna Smit-Jansen"}), ("jansen", {"\u200fAnna Smit-Jansen"}),
        ("smit-jan", {"\u200fAnna Smit-Jansen"}), ("王", {"王小明"}), ("王小", {"王小明"}), ("パ", {"パパ 商事"}), ("商", {"パパ 商事"}), ("ハハ", set()),
        ("mac grze", {"Maciej Grzegorzewski"}), ("mac grz", {"Maciej Grzegorzewski", "Mackenzie Grzyb"}), ("tolkien j", {"J. R. R. Tolkien"}),
        ("сергей", {"Нурлан Сергей"}), ("серг", {"Нурлан Сергей"}), ("wak", set()), ("nowak soren", set()),
    ],
)  # fmt: skip
def test_what_is_typed_is_found(rig: Rig, text: str, names: set[str]) -> None:
    assert _found(rig, text) == names


def test_a_device_is_found_by_the_end_of_its_name(rig: Rig) -> None:
    cards = rig.app().records.search(DEVICE, "qx7", source=None, limit=5).items
    assert [card.display_name for card in cards] == ["DESKTOP-QX71"]


@pytest.mark.parametrize("text", ["a", "\u200b", "ł", " "])
def test_one_letter_is_too_little(rig: Rig, text: str) -> None:
    with pytest.raises(Invalid):
        rig.app().records.search(PERSON, text, source=None, limit=5)


def test_a_list_by_name_brings_everybody_once(rig: Rig) -> None:
    cards = rig.app().records.by_name(PERSON, source=None, after=None, limit=100).items
    assert len(cards) == len({card.id for card in cards}) == 30


def test_another_folding_fills_its_look_up_rows_in_one_pass_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(30, 4, page_cap=25)
    try:
        connector = rig.configure()
        for module in ("shared.storage.keys", "shared.sync.stream"):
            monkeypatch.setattr(f"{module}.FOLDING", folding.VERSION - 1)
        rig.run(connector)
        monkeypatch.undo()
        name = str((rig.directory.get("users", 3) or {})["displayName"])
        assert rig.app().records.search(PERSON, name, source=None, limit=5).items == []
        run = rig.run(connector)
        assert (run.state, run.streams[0].reason, run.streams[0].changed) == ("succeeded", "lookups-changed", 0)
        found = rig.app().records.search(PERSON, name, source=None, limit=50).items
        assert name in {card.display_name for card in found}
        assert rig.app().records.by_name(PERSON, source=None, after=None, limit=100).items[29:]
        assert rig.run(connector).streams[0].mode == "delta"
    finally:
        rig.close()
