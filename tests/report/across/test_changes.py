import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.core.differences import ABSENT, differences
from edgekd.report.across.changes import changes


def stages(document, **by_name):
    for one in document["provenance"]["stages"]:
        one["identity"] |= by_name.get(one["name"], {})


def found(runs):
    return {(one.kind, one.path): one for one in changes(*runs).changes}


def test_a_run_beside_one_that_was_asked_for_the_same_has_no_change(pair):
    said = changes(*pair())
    assert (said.changes, said.only_base, said.only_other) == ([], [], [])


def test_an_option_that_changed_in_two_stages_is_told_once_with_both(pair):
    def longer(document):
        options = {"options": {"train": {"epochs": 30}}}
        stages(document, student=options, recovered=options)

    one = found(pair(longer))["configuration", "options.train"]
    assert one.stages == ["student", "recovered"]
    assert (one.base, one.other) == ("(absent)", "{'epochs': 30}")


def test_what_is_of_data_code_and_versions_stands_apart(pair):
    def other(document):
        stages(
            document,
            teacher={
                "files": {"0:train.csv": "f" * 64},
                "code": {"train/loop.py": "1", "train/step.py": "2", "mine.py": "3"},
                "libraries": {"torch": "2.14"},
                "seed": 5,
                "inputs": {"student": "other"},
            },
        )

    told = found(pair(other))
    assert {*told} == {
        ("data", "train.csv"), ("code", "edgekd/train"), ("code", "mine.py"),
        ("versions", "torch"), ("configuration", "seed"),
    }  # fmt: skip
    assert told["code", "edgekd/train"].stages == ["teacher"]  # once, for both of its files
    assert told["data", "train.csv"].other == "f" * 12
    assert (told["configuration", "seed"].base, told["configuration", "seed"].other) == ("0", "5")


def test_a_machine_is_told_and_its_load_of_the_moment_is_not(pair):
    def elsewhere(document):
        facts = document["checks"][0]["machines"][0]["facts"]
        facts |= {"cpu": "another", "load_average": "17", "frequency_mhz": "1", "os": "new"}
        for one in document["provenance"]["stages"]:
            one["host"]["cpu"] = "another"

    told = found(pair(elsewhere))
    assert {*told} == {
        ("machine", "target: cpu"), ("machine", "host: cpu"), ("versions", "target: os"),
    }  # fmt: skip
    assert told["machine", "target: cpu"].stages == ["cpu"]


def test_stages_that_one_run_alone_has_are_named(pair):
    def renamed(document):
        next(s for s in document["provenance"]["stages"] if s["name"] == "pruned")["name"] = "cut"

    said = changes(*pair(renamed))
    assert (said.only_base, said.only_other) == (["pruned"], ["cut"])


def test_the_files_of_a_benchmark_are_data(pair):
    def bench(document, digest):
        one = document["provenance"]["stages"][0]
        one |= {"kind": "bench", "identity": {"command": "edgekd bench m", "m.onnx": digest}}

    runs = pair(lambda document: bench(document, "b" * 64))
    first = json.loads(runs[0].report.model_dump_json())
    bench(first, "a" * 64)
    base = type(runs[0])("A", runs[0].folder, type(runs[0].report).model_validate(first))
    (one,) = changes(base, runs[1]).changes
    assert (one.kind, one.path, one.base, one.other) == ("data", "m.onnx", "a" * 12, "b" * 12)


LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "a.b"])
VALUES = st.recursive(
    LEAVES,
    lambda of: st.lists(of, max_size=3) | st.dictionaries(st.sampled_from("abc"), of, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(old=VALUES, new=VALUES)
def test_differences_turn_round_with_their_values_and_are_none_of_equals(old, new):
    there = {(path, repr(a), repr(b)) for path, a, b in differences(old, new)}
    back = {(path, repr(b), repr(a)) for path, a, b in differences(new, old)}
    assert there == back
    assert bool(there) == (old != new)
    assert [*differences(old, old)] == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"a": 1}, {}, [("a", 1, ABSENT)]),
        ([1, 2], [1, 3], [("[1]", 2, 3)]),
        ([1], [1, 2], [("", [1], [1, 2])]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, [("a[0].b", 1, 2)]),
    ],
)
def test_a_difference_has_the_path_of_its_leaf(old, new, told):
    assert [*differences(old, new)] == told
