"""Reading YAML: values, places, and nothing else."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgekd.core.errors import RequestError
from edgekd.core.refs import as_read
from edgekd.pipeline.document import override, parse_document, read_text, spell

KEYS = st.text(st.characters(categories=["Ll", "Lu", "Nd"]), min_size=1, max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), max_size=12)
)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(KEYS, v, max_size=4), max_leaves=20
)


@given(value=st.dictionaries(KEYS, VALUES, min_size=1, max_size=5))
def test_a_json_document_reads_as_what_it_says(value):
    assert parse_document(json.dumps(value), "f").value == as_read(value)


@given(text=st.text(max_size=200))
@example("a: !!python/object/apply:os.system ['true']")
@example("? [a]\n: b")
@example("&a [*a, *a]")
@example("a: 1\n\tb: 2")
@example("<<: 3")
@example('a: "\\ud800"')
@example('"\\udc00": 1')
def test_any_text_is_read_or_refused(text):
    try:
        parse_document(text, "f")
    except RequestError as error:
        refused = str(error)
        assert refused


def test_each_value_has_the_line_of_its_key():
    document = parse_document("a: 1\nb:\n  c:\n    - x\n    - y\n", "f.yaml")
    assert document.place(("b", "c")) == "f.yaml:3"
    assert document.place(("b", "c", 1)) == "f.yaml:5"
    assert document.place(("b", "c", 1, "deeper")) == "f.yaml:5"


def test_numbers_words_and_dates_are_what_they_look_like():
    document = parse_document("[1e-3, 0x10, 1_000, on, 2026-11-22, 'true', ~, 0o9, .5]", "f")
    assert document.value == (0.001, 16, 1000, "on", "2026-11-22", "true", None, "0o9", 0.5)


def test_merged_mappings_give_way_to_own_keys():
    document = parse_document("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n", "f")
    assert document.value["b"] == {"x": 1, "y": 3}


def test_an_override_replaces_one_value_and_keeps_the_rest():
    document = parse_document("a: {b: [1, {c: 2}], d: 3}", "f")
    changed = override(document, ["a.b[1].c=[4, 5]", "a.e.f=true"])
    assert changed.value == {"a": {"b": (1, {"c": (4, 5)}), "d": 3, "e": {"f": True}}}
    assert changed.place(("a", "b", 1, "c")) == "--set a.b[1].c=[4, 5]"
    assert document.value == {"a": {"b": (1, {"c": 2}), "d": 3}}


def test_an_override_gives_options_to_a_plugin_named_alone():
    document = parse_document("a: {t: kd}", "f")
    assert override(document, ["a.t.temperature=2"]).value["a"]["t"] == {
        "kind": "kd",
        "temperature": 2,
    }


def test_a_place_is_spelled_as_in_code():
    assert spell(("stages", "s", "objective", 0, "kind")) == "stages.s.objective[0].kind"


def test_an_override_of_the_whole_is_no_path():
    with pytest.raises(RequestError, match="PATH=VALUE"):
        override(parse_document("a: 1", "f"), ["=3"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &a {<<: *a}", "anchors and aliases"),
        ("a: &a {<<: [*a, *a]}", "anchors and aliases"),
        ("seed: 0x" + "f" * 5000, "more than 64 bits"),
        ("seed: 99999999999999999999", "more than 64 bits"),
    ],
    ids=["merged into itself", "merged into itself twice", "hexadecimal", "decimal"],
)
def test_a_value_without_end_is_refused(text, words):
    with pytest.raises(RequestError, match=words):
        parse_document(text, "x.yaml")


def test_merges_that_multiply_are_refused():
    levels = "\n".join(
        f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 9)
    )
    with pytest.raises(RequestError, match="anchors and aliases"):
        parse_document(f"a0: &a0 {{}}\n{levels}\n", "x.yaml")


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("a[²]=1", "is not a path"),
        (f"a[{'9' * 50}]=1", "is not a path"),
        (f"a{'.a' * 3000}=1", "3001 steps"),
        ("a=\udcff", "not UTF-8"),
    ],
    ids=["other digits", "far too long an index", "far too many steps", "half a character"],
)
def test_an_odd_path_of_an_override_is_refused(assignment, words):
    with pytest.raises(RequestError, match=words) as caught:
        override(parse_document("a: {b: 1}", "x.yaml"), [assignment])
    str(caught.value).encode("utf-8")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null"])
def test_a_device_is_not_read(path):
    with pytest.raises(RequestError, match="a device"):
        read_text(Path(path))
