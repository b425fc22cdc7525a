"""YAML as Kubernetes reads it."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.errors import InputError
from mnp_core.sources.yamlevents import MOST_ALIASED
from mnp_core.sources.yamltext import DEEPEST, decode_yaml


def decode(text):
    return [document.value for document in decode_yaml(text, "f.yaml")]


def value_of(text):
    (value,) = decode(f"v: {text}\n")
    return value["v"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("web", "web"),
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("yes", True),
        ("Off", False),
        ('"yes"', "yes"),
        ("!!str yes", "yes"),
        ("! yes", "yes"),
        ('!!int "7"', 7),
        ("0", 0),
        ("-12", -12),
        ("1_000", 1000),
        ("0x1F", 31),
        ("017", 15),
        ("0o17", 15),
        ("0b101", 5),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("08", 8.0),
        (".5", 0.5),
        ("'80'", "80"),
        ("|\n  a\n  b", "a\nb\n"),
    ],
)
def test_scalars_mean_the_same_as_to_kubectl(text, value):
    found = value_of(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01",
        "12:30:45",
        "02:00:00:00:00:01",
        "=",
        ".nan",
        "-.inf",
        "1e999",
        "0x",
        "+",
        "1.2.3.4",
        "0x_",
    ],
)
def test_values_of_yaml_alone_stay_text(text):
    assert value_of(text) == text


def test_huge_numbers_lose_precision_rather_than_cost_memory():
    assert value_of("1" * 300) == pytest.approx(float("1" * 300))
    assert value_of("1" * 5000) == "1" * 5000


def test_keys_are_text_as_written():
    assert decode("{80: a, true: b, 1.5: c, '': d, ~: e}") == [{"80": "a", "true": "b", "1.5": "c", "": "d", "~": "e"}]


def test_documents_are_numbered_also_empty_ones():
    found = [(each.number, each.value) for each in decode_yaml("a: 1\n---\n---\n# nothing\n---\n- x\n...\n", "f")]
    assert found == [(1, {"a": 1}), (2, None), (3, None), (4, ["x"])]
    assert decode("") == []


def test_anchors_aliases_and_merge_keys():
    text = """
    base: &base {a: 1, b: 2}
    other: &other {b: 3, c: 4}
    one: {<<: *base, b: 9}
    two: {<<: [*base, *other]}
    three: *base
    list: [&x 7, *x]
    """
    (found,) = decode(text)
    assert found["one"] == {"a": 1, "b": 9}
    assert found["two"] == {"a": 1, "b": 2, "c": 4}
    assert found["three"] == found["base"]
    assert found["list"] == [7, 7]


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 12)
)
MERGE_BOMB = "a0: &a0 {k: v}\n" + "".join(
    f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 10)}]}}\n" for level in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a: [1\n", "not YAML", 2),
        ("a: 1\n---\na: b: c\n", "not YAML", 3),
        ("a: 1\nb: \t- x\n  - y\n", "not YAML", 2),
        ("a: 1\nb: 2\na: 3\n", "the key a stands twice", 3),
        ("{[a]: 1}", "a key must be text", 1),
        ("{{a: b}: 1}", "a key must be text", 1),
        ("x: &x a\n*x : 1\n", "a key must be text", 2),
        ("a: *b\n", "there is no anchor &b", 1),
        ("a: &a [*a]\n", "lies inside", 1),
        ("a: &a\n  <<: *a\n", "lies inside", 2),
        ("<<: 7\n", "can be merged", 2),
        ("a: !!python/object/apply:os.system [x]\n", "the tag", 1),
        ("a: !!binary aGk=\n", "the tag", 1),
        ("a: !mine {}\n", "the tag", 1),
        (BOMB, f"more than {MOST_ALIASED:,}", 5),
        (MERGE_BOMB, f"more than {MOST_ALIASED:,}", 6),
        ("[" * 1_000_000, f"more than {DEEPEST} levels", 1),
        ("- " * 1_000, f"more than {DEEPEST} levels", 1),
        ("a: 1\nb: \x07\n", "not YAML", None),
    ],
    ids=range(19),
)
def test_impossible_object_is_refused_with_its_place(text, message, line):
    with pytest.raises(InputError, match=message) as caught:
        decode(text)
    number = text.count("---") + 1
    assert caught.value.where.startswith(f"f.yaml, document {number}")
    if line is not None:
        assert caught.value.where.endswith(f", line {line}")


FINITE = st.floats(allow_nan=False, allow_infinity=False)
NUMBER = re.compile(r"[-+]?[.0-9_]+([eE][-+]?[0-9]+)?")
TEXT = st.text().filter(lambda text: not NUMBER.fullmatch(text))
"""PyYAML writes 0E0 without quotes, which by YAML 1.1 is text; we read as kubectl does, to which it is a number."""
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**62), 2**62), FINITE, TEXT),
    lambda children: st.one_of(st.lists(children), st.dictionaries(TEXT, children)),
    max_leaves=20,
)


@given(JSON)
def test_dumped_text_is_read(value):
    assert decode(yaml.safe_dump(value)) == [value]


@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"#%@,? \n\t0~<")))
def test_any_text_is_read_or_refused(text):
    try:
        decode(text)
    except InputError as error:
        assert error.where.startswith("f.yaml, document ")  # noqa: PT017 # any other error is let through
