"""One failed trial, seed or control does not end the others."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.errors import StageError
from edgekd.pipeline.remains import remains
from edgekd.pipeline.resolved import ResolvedStage

from .conftest import TINY

ONE_DIVERGES = (
    TINY
    + """\
sweep:
  student: {list: [{train.learning_rate: 0.01}, {train.learning_rate: 1.0e+30}, {seed: 3}]}
"""
)


def test_a_trial_that_fails_ends_only_what_rests_on_it(tiny, capsys):
    events = []
    result = tiny(ONE_DIVERGES, listener=events.append)
    assert list(result.ran) == [
        "teacher",
        "teacher.outputs",
        "student.1",
        "student.3",
        "smaller.1",
        "smaller.3",
    ]
    assert result.exit_code == StageError.exit_code
    assert "not finite" in result.failed["student.2"]
    assert result.failed["smaller.2"] == "it rests on what failed: student.2."
    told = [(e.event, e.stage) for e in events if e.event in ("stage_failed", "stage_left_out")]
    assert told == [("stage_failed", "student.2"), ("stage_left_out", "smaller.2")]
    assert events[-1].failed == dict(result.failed)
    assert json.loads(events[-1].line())["exit_code"] == 1
    (compared,) = result.comparisons
    assert [arm["words"] != "failed" for arm in compared["arms"]] == [True, False, True]
    assert list(tiny(ONE_DIVERGES).ran) == [], "it is tried again and fails again"
    mended = tiny(ONE_DIVERGES, sets=["sweep.student.list[1].train.learning_rate=0.02"])
    assert list(mended.ran) == ["student.2", "smaller.2"]
    assert (mended.exit_code, dict(mended.failed)) == (0, {})


def test_a_stage_that_is_alone_ends_the_run(tiny):
    with pytest.raises(StageError, match="not finite"):
        tiny(ONE_DIVERGES, sets=["stages.teacher.train.learning_rate=1e30"])


BETWEEN = {"program": {"b.2": "b.2.onnx", "c": "c.onnx"}, "outputs": {"t": "t.outputs"}}


def stage(options, inputs):
    return ResolvedStage(
        name="s", kind="k", makes="model", options=options, inputs=inputs, seed=0, implied_by="",
        instead=BETWEEN, remarks=(),
        reads_data=True, computes=True, named=True, stops=False, shared=False,
        measures=False, judges=(), code={},
        libraries={}, files=(), paths=(), targets={},
    )  # fmt: skip


def test_what_failed_leaves_lists_and_inputs():
    check = stage({"of": ["$a", "$b.2"], "one": "$c"}, ("a", "b.2.onnx", "c", "beside"))
    left = remains(check, {"b.2.onnx", "b.2", "beside", "elsewhere"})
    assert left.options == {"of": ["$a"], "one": "$c"}
    assert left.inputs == ("a", "c")


@pytest.mark.parametrize("failed", [{"c"}, {"a", "b"}, {"c.onnx"}])
def test_a_single_value_and_a_whole_list_leave_nothing(failed):
    inputs = ("a", "b", "c", "c.onnx")
    assert remains(stage({"of": ["$a", "$b"], "one": {"deep": "$c"}}, inputs), failed) is None


def test_a_teacher_whose_kept_outputs_failed_teaches_no_more():
    taught = stage({"teacher": "$t", "model": "$a"}, ("t.outputs", "a"))
    assert remains(taught, {"t.outputs"}) is None
    assert remains(taught, {"t"}) is taught  # it is not asked again


@given(st.sets(st.sampled_from("abcd")), st.sets(st.sampled_from("abcdef")))
def test_a_stage_is_the_same_where_nothing_that_it_reads_failed(names, failed):
    one = stage({"of": [f"${name}" for name in sorted(names)]}, tuple(sorted(names)))
    left = remains(one, failed)
    if not names & failed:
        assert left is one
    elif names <= failed:
        assert left is None
    else:
        assert left.options["of"] == [f"${name}" for name in sorted(names - failed)]
        assert {*left.inputs} == names - failed
