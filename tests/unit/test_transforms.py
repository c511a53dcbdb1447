"""Each transform by itself: what it makes of values, of nothing, and of what it does not expect."""

from typing import Any

import pytest

from shared.domain.base import Model
from shared.mapping.attribute import Attribute, Type, by
from shared.mapping.compiled import ODD, compile_mapping
from shared.mapping.paths import head, parts, reader
from shared.mapping.transforms import TRANSFORMS

ERROR = object()


@pytest.mark.parametrize(
    ("name", "parameters", "values", "made"),
    [
        ("firstOf", {}, [None, "", "b"], "b"), ("firstOf", {}, [False, "b"], False), ("firstOf", {}, [None, []], None),
        ("join", {"separator": ", "}, ["a", None, "b"], "a, b"), ("join", {}, [["x", "y"], "z"], "x y z"), ("join", {}, [None, ""], None),
        ("join", {}, [5], ERROR),
        ("split", {}, ["a, b,,c"], ["a", "b", "c"]), ("split", {"separator": "-", "part": 2}, ["a-b-c"], "b"),
        ("split", {"part": -1}, ["a,b"], "b"), ("split", {"part": 9}, ["a,b"], None), ("split", {}, [5], ERROR), ("split", {}, [" , "], None),
        ("lower", {}, ["ÀB"], "àb"), ("lower", {}, [["A", None, "B"]], ["a", "b"]), ("lower", {}, [{}], ERROR),
        ("upper", {}, ["straße"], "STRASSE"), ("title", {}, ["o'neill  van den berg"], "O'neill Van Den Berg"), ("trim", {}, [" a  b "], "a b"),
        ("replace", {"table": {"a": "x"}}, ["a"], "x"), ("replace", {"table": {"a": "x"}}, ["b"], "b"),
        ("replace", {"table": {"a": "x"}, "otherwise": "empty"}, ["b"], None), ("replace", {"table": {"A": "x"}, "ignoreCase": True}, ["a"], "x"),
        ("replace", {"table": {" a ": "x"}}, [" a "], "x"), ("replace", {"table": {"0012": "x"}}, ["0012"], "x"),
        ("capture", {"pattern": "E0*([0-9]+)"}, ["E0042"], "42"), ("capture", {"pattern": "[0-9]+"}, ["ab12"], "12"),
        ("capture", {"pattern": "x"}, ["ab"], None), ("capture", {"pattern": "(a)(b)", "group": 2}, ["ab"], "b"),
        ("toUtc", {}, ["2026-01-31T10:00:00+02:00"], "2026-01-31T08:00:00Z"), ("toUtc", {}, ["soon"], ERROR), ("toUtc", {}, [" "], None),
        ("toUtc", {"form": "%d.%m.%Y %H:%M", "timeZone": "Europe/Amsterdam"}, ["31.07.2026 10:00"], "2026-07-31T08:00:00Z"),
        ("toUtc", {"timeZone": "America/New_York"}, ["2026-01-31"], "2026-01-31T05:00:00Z"), ("toUtc", {}, [5], ERROR),
        ("flag", {}, ["Yes"], True), ("flag", {}, ["0"], False), ("flag", {}, ["perhaps"], ERROR), ("flag", {}, [True], True), ("flag", {}, [""], None),
        ("flag", {"true": ["ja"], "false": ["nein"]}, ["JA"], True),
        ("constant", {"value": "x"}, [], "x"), ("constant", {"value": 5}, [], 5), ("constant", {"value": True}, [], True),
        ("number", {}, ["1042"], 1042), ("number", {}, ["-3.5"], -3.5), ("number", {}, ["1_000"], ERROR), ("number", {}, ["nan"], ERROR),
        ("number", {}, ["1e400"], ERROR), ("number", {}, ["٣"], ERROR), ("number", {}, [True], ERROR), ("number", {}, [7], 7),
        ("text", {}, [True], "true"), ("text", {}, [4.0], "4"), ("text", {}, [[]], ERROR),
        ("json", {}, [{"b": 1, "a": [None]}], '{"a":[null],"b":1}'),
        ("hash", {"length": 8}, ["x"], "2d711642"), ("hash", {"salt": "s", "length": 8}, ["x"], "b40f3a4e"),
        ("e164", {"countryCode": "49"}, ["030 / 901 82-0"], "+4930901820"), ("e164", {"countryCode": "49"}, ["+31 (0)20 555 1234"], "+31205551234"),
        ("e164", {"countryCode": "49"}, ["0031 20 5551234 ext. 7"], "+31205551234"), ("e164", {"countryCode": "49"}, ["none"], ERROR),
        ("e164", {"countryCode": "39", "trunkPrefix": ""}, ["06 6982 1234"], "+390669821234"),
        ("drop", {}, ["x"], None),
    ],
)  # fmt: skip
def test_what_it_makes(name: str, parameters: dict[str, Any], values: list[Any], made: Any) -> None:
    function = TRANSFORMS[name].make(parameters)
    if made is ERROR:
        with pytest.raises(ODD):
            function(*values)
    elif name == "hash":
        assert len(function(*values)) == 8 and function(*values) != function("y")
    else:
        assert function(*values) == made


def test_every_transform_says_what_it_does_and_has_its_parameters_as_a_model() -> None:
    for name, one in TRANSFORMS.items():
        assert one.meaning.endswith(".") and one.name == name, name
        assert issubclass(one.parameters, Model) and one.parameters.__doc__
        assert all(field.description for field in one.parameters.model_fields.values()), name


def test_a_pattern_that_explodes_elsewhere_takes_linear_time() -> None:
    function = TRANSFORMS["capture"].make({"pattern": "^(a+)+$"})
    assert function("a" * 100_000 + "b") is None


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "(", "((a{0,1000}){0,1000}){0,1000}", "a" * 501])
def test_a_pattern_that_re2_does_not_take_is_refused_when_it_is_made(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern"):
        TRANSFORMS["capture"].make({"pattern": pattern})


@pytest.mark.parametrize(
    ("path", "item", "value"),
    [
        ("a", {"a": 1}, 1), ("a.b", {"a": {"b": 2}}, 2), ("a.b", {"a": None}, None), ("a.b", {}, None), ("a[1]", {"a": ["x", "y"]}, "y"),
        ("a[5]", {"a": ["x"]}, None), ("a[*].b", {"a": [{"b": 1}, {}, {"b": 3}, None]}, [1, 3]), ("a[*]", {"a": []}, None),
        ("a[*].b[*]", {"a": [{"b": [1, 2]}, {"b": [3]}]}, [1, 2, 3]), ("a.b", {"a": "text"}, TypeError), ("a[0]", {"a": {}}, TypeError),
    ],
)  # fmt: skip
def test_paths_reach_into_structures_and_lists(path: str, item: dict[str, Any], value: Any) -> None:
    assert head(path) == "a"
    if value is TypeError:
        with pytest.raises(TypeError):
            reader(path)(item)
    else:
        assert reader(path)(item) == value


@pytest.mark.parametrize(
    "path", ["", ".", "a.", "a..b", "a[", "a[-1]", "a[x]", "1a", "a b", "a/b", "a" * 301, "a.b.c.d.e.f.g.h.i", "a'b"]
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="names of properties"):
        parts(path)


def test_steps_follow_one_another_and_what_one_can_make_nothing_of_is_malformed_there_alone() -> None:
    attribute = Attribute("x", "", Type.NUMBER, ("a",), (*by("capture", pattern="([0-9]+)"), *by("number")))
    mapper = compile_mapping((attribute,))
    assert mapper({"a": "E0042"}) == {"X": 42} and mapper({"a": "none"}) == {} and mapper({}) == {}
    assert compile_mapping((Attribute("y", "", Type.JSON, ("b",)),))({"b": False}) == {"Y": "false"}


def test_a_name_of_a_mapping_never_becomes_code() -> None:
    """What the compiler splices are columns, which are letters and digits."""
    for name in ("x'] = 1; import os #", "a b", "é", "__class__"):
        with pytest.raises(ValueError, match="letters and digits"):
            compile_mapping((Attribute(name, "", Type.TEXT, ("a",)),))
    with pytest.raises(ValueError, match="no transform"):
        compile_mapping((Attribute("x", "", Type.TEXT, ("a",), by("exec")),))
    assert compile_mapping((Attribute("x", "", Type.TEXT, ("a' or 'x",)),))({"a' or 'x": "v"}) == {"X": "v"}
