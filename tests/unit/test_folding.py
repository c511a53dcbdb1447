"""What people type and what names hold: found whatever the keyboard, and unique by what one can see."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.folding import LETTERS, enough, fold, unique_form, words

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
FOUND = [
    ("lukasz", "Łukasz Nowak"), ("soren", "Søren Kierkegaard"), ("Oconnor", "O\u2019Connor"), ("o'connor", "O\u2019Connor"),
    ("oconnor", "O'Connor"), ("o`connor", "O\u02bcConnor"), ("strasse", "Straße"), ("irmak", "Irmak"), ("irmak", "ırmak"),
    ("istanbul", "İstanbul"), ("dorde", "Đorđe"), ("aether", "Æther"), ("oeuvre", "Œuvre"), ("thor", "Þór"), ("gudrun", "Guðrún"),
    ("muller", "MÜLLER"), ("mu\u0308ller", "Müller"), ("zoe", "Zoë"), ("francois", "François"), ("hai", "Hải"), ("nguyen", "Nguyễn"),
    ("dang", "Đặng"), ("sztarszki", "Sztárszki"), ("strunz", "Štrunz"), ("aysegul", "Ayşegül"), ("anna", "\u200fAnna"),
    ("anna", "\u202aAnna\u202c"), ("anna", "An\u200bna"), ("anna", "\ufeffAnna"), ("anna", "An\u00adna"), ("anna smit", "Anna\u00a0Smit"),
    ("anna smit", "Anna\u3000Smit"), ("smit-jansen", "Smit\u2011Jansen"), ("smit-jansen", "Smit\u2013Jansen"), ("abc", "\uff21\uff22\uff23"),
    ("γιωργος", "ΓΙΏΡΓΟΣ"), ("еж", "Ёж"), ("fi", "\ufb01"), ("王", "王小明"), ("김", "김철수"), ("ｱ", "アンナ"),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "name"), FOUND)
def test_what_is_typed_begins_the_name(typed: str, name: str) -> None:
    assert fold(name).startswith(fold(typed)) and enough(fold(typed))


@pytest.mark.parametrize(("one", "other"), [("パパ", "ハハ"), ("й", "и"), ("が", "か"), ("л", "л̂x")])
def test_letters_of_their_own_are_no_accents(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(TEXT)
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_the_short_way_for_ascii_is_the_same(text: str) -> None:
    assert fold(text + "é") == " ".join((fold(text + "e")).split())


def test_the_table_folds_to_letters_that_it_leaves_alone() -> None:
    for code, to in LETTERS.items():
        assert to is None or str(to).translate(LETTERS) == to, chr(code)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Nowak, Łukasz", ["nowak", "lukasz"]), ("Smit-Jansen (Ext.)", ["smit", "jansen", "ext"]), ("J. R. R. Tolkien", ["j", "r", "r", "tolkien"]),
        ("DESKTOP-AB12", ["desktop", "ab12"]), ("svc_backup", ["svc", "backup"]), ("  ", []), ("---", []),
    ],
)  # fmt: skip
def test_the_words_of_a_name(name: str, expected: list[str]) -> None:
    assert words(fold(name)) == expected


@pytest.mark.parametrize("text", ["a", "ł", "1", "-", "ж", ""])
def test_one_letter_is_not_enough_where_letters_make_words(text: str) -> None:
    assert not enough(fold(text))


SAME = [
    ("Fabrikam", "FABRIKAM"), ("Fabrikam", "Fabrikam\u200b"), ("Fabrikam", "\u2060Fabrikam"), ("Fabrikam A", "Fabrikam\u00a0 A"),
    ("Fabrikam", "\uff26abrikam"), ("Straße", "STRASSE"), ("Fabrikam", "Fabrikam\u3164"), ("Müller", "Mu\u0308ller"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_names_that_look_the_same_are_the_same(one: str, other: str) -> None:
    assert unique_form(one) == unique_form(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("パパ商事", "ハハ商事"), ("и", "й"), ("Müller", "Muller"), ("Łódź", "Lodz"), ("A-B", "A B"), ("O'Neil", "ONeil")],
)
def test_names_that_look_different_are_different(one: str, other: str) -> None:
    assert unique_form(one) != unique_form(other)


@pytest.mark.parametrize("text", ["\u200b", "\u3164", "\u2800", "\u00ad\u2060", "\ufe0f", "\u115f\u1160"])
def test_an_invisible_name_is_none(text: str) -> None:
    assert unique_form(text) == ""


@given(TEXT)
def test_the_unique_form_is_stable(text: str) -> None:
    assert unique_form(unique_form(text)) == unique_form(text)
