import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.core.bits import pack
from edgekd.core.quantity import Quantity
from edgekd.ops.statistics import share_interval
from edgekd.report.across.given import Found

from .conftest import row


def share(hits, count):
    return Quantity(hits / count, "share", *share_interval(hits, count), count).as_dict()


@pytest.fixture
def beside(pair):
    """Return a function that compares one measure of `onnx` after an edit of the other run."""
    from edgekd.report.across.differing import differing

    def compare(
        name, change=lambda document: None, *, same_examples=True, base=None, examples=360, right=""
    ):
        runs = pair(change)
        sides = [Found(run, run.report.checks[0], _row(run)) for run in runs]
        if base:
            check = sides[0].check.model_copy(update={"examples": examples})
            old = sides[0].row.model_copy(update={"right": right})
            old.quantities[name] = Quantity(**base)
            sides[0] = Found(runs[0], check, old)
        return differing(name, *sides, same_examples=same_examples)

    return compare


def _row(run):
    found = next(one for one in run.report.checks[0].rows if one.program == "onnx")
    return found.model_copy(update={"quantities": dict(found.quantities)})


def later(document):
    document["checks"][0]["machines"][0]["measured_at"] = "2026-11-24T09:07:12+00:00"


def put(name, value):
    def change(document):
        later(document)
        row(document)["quantities"][name] = value

    return change


def test_two_scores_have_newcombes_interval(beside):
    """56 of 70 against 48 of 80: table II of the paper of 1998, method 10."""
    said = beside("accuracy", put("accuracy", share(56, 70)), base=share(48, 80))
    assert said.value.value == pytest.approx(0.2)
    assert (said.value.low, said.value.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert said.shown == "higher"
    assert said.words == "higher: 20.0 pt [5.24, 33.4]"


@settings(max_examples=40, deadline=None)
@given(hits=st.integers(0, 200), others=st.integers(0, 200))
def test_a_score_is_called_higher_where_the_interval_leaves_out_zero_alone(hits, others):
    from edgekd.report.across.differing import scores

    old, new = (Quantity(**share(n, 200)) for n in (hits, others))
    said = scores("B", old, new, same_examples=True)
    wanted = "higher" if said.value.low > 0 else "lower" if said.value.high < 0 else None
    assert said.shown == (wanted or "no difference shown")
    turned = scores("B", new, old, same_examples=True)
    assert turned.value.value == pytest.approx(-said.value.value)
    assert (turned.value.low, turned.value.high) == pytest.approx(
        (-said.value.high, -said.value.low)
    )


def answers(both, new_alone, old_alone, neither):
    """Return which examples old and new answered rightly, packed, by how often each happened."""
    kinds = [(1, 1)] * both + [(0, 1)] * new_alone + [(1, 0)] * old_alone + [(0, 0)] * neither
    return [pack([bool(one[side]) for one in kinds]) for side in (0, 1)]


def paired(beside, counts, **options):
    old, new = answers(*counts)
    total = sum(counts)

    def change(document):
        put("accuracy", share(counts[0] + counts[1], total))(document)
        document["checks"][0]["examples"] = total
        row(document)["right"] = new

    return beside(
        "accuracy", change, base=share(counts[0] + counts[2], total),
        examples=total, right=old, **options,
    )  # fmt: skip


def test_the_same_examples_are_compared_answer_by_answer(beside):
    """Bonett and Price (2012): (lost + 1, gained + 1) of count + 2, Wald; typed out by hand."""
    said = paired(beside, (700, 40, 15, 245))
    p, q, n = 41 / 1002, 16 / 1002, 1002
    half = 1.959964 * math.sqrt((p + q - (p - q) ** 2) / n)
    assert said.value.value == pytest.approx(0.025)
    assert (said.value.low, said.value.high) == pytest.approx((p - q - half, p - q + half))
    assert said.shown == "higher"
    assert said.words.endswith("] (paired)")


def test_only_accuracy_is_what_the_answers_say(beside):
    old, new = answers(200, 100, 0, 60)

    def change(document):
        put("agreement", share(300, 360))(document)
        row(document)["right"] = new

    said = beside("agreement", change, base=share(200, 360), right=old)
    assert "paired" not in said.words


def test_pairing_shows_what_two_scores_do_not(beside):
    alone = paired(beside, (700, 40, 15, 245), same_examples=False)
    assert alone.shown == "no difference shown"
    assert "paired" not in alone.words


@pytest.mark.parametrize("kept", ["", "gA==", "?"])
def test_without_the_answers_of_both_two_scores_are_compared(kept, beside):
    def change(document):
        put("accuracy", share(300, 360))(document)
        row(document)["right"] = kept

    assert "paired" not in beside("accuracy", change).words


def test_a_score_over_other_examples_says_so(beside):
    said = beside("accuracy", put("accuracy", share(300, 360)), same_examples=False)
    assert said.words.endswith("(perhaps on other examples)")


TIMED = ("latency_p50_ms", "latency_p90_ms", "speedup", "peak_rss_mib")


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize(("value", "words"), [(1e-5, "apart"), (None, "overlap"), (1e5, "apart")])
def test_times_of_two_runs_have_no_ratio_and_no_difference(name, value, words, beside):
    def change(document):
        later(document)
        old = row(document)["quantities"][name]
        if value:
            old |= {"value": value, "low": value * 0.99, "high": value * 1.01}

    said = beside(name, change)
    assert (said.value, said.shown) == (None, "not compared")
    assert said.words == f"other times; intervals {words}"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: row(d).update(valid=False), "invalid in B"),
        (lambda d: d["checks"][0]["machines"][0].update(emulated=True), "emulated"),
        (lambda d: d["checks"][0]["machines"][0]["facts"].update(cpu="M3"), "other machines"),
        (lambda d: row(d)["quantities"]["latency_p50_ms"].update(low=None), "no intervals"),
        (lambda d: row(d)["quantities"].pop("latency_p50_ms"), "not measured by B"),
        (lambda d: (row(d)["quantities"].clear(), row(d).update(failure="died")), "B failed"),
    ],
)
def test_what_forbids_to_look_at_two_times_is_said(change, words, beside):
    def edit(document):
        later(document)
        change(document)

    said = beside("latency_p50_ms", edit)
    assert said.shown == "not compared"
    assert words in said.words


def test_one_measurement_in_two_reports_is_called_one(beside):
    said = beside("latency_p50_ms")
    assert (said.shown, said.words) == ("same", "the same measurement")


@pytest.mark.parametrize(
    ("factor", "shown", "words"),
    [(1, "same", "the same"), (0.75, "smaller", "25.0 % smaller"), (2, "larger", "100 % larger")],
)
def test_sizes_are_compared_exactly(factor, shown, words, beside):
    def change(document):
        later(document)
        row(document)["quantities"]["size_mib"]["value"] *= factor

    said = beside("size_mib", change)
    assert (said.shown, said.words) == (shown, words)


def test_a_ratio_of_sizes_is_higher_and_not_larger(beside):
    def change(document):
        later(document)
        row(document)["quantities"]["size_ratio"]["value"] *= 1.5

    assert beside("size_ratio", change).words == "50.0 % higher"


def test_a_correlation_is_a_score_in_its_own_unit_even_where_times_are_invalid(beside):
    def change(document):
        put("rank_agreement", {"value": 0.6, "unit": "correlation", "low": 0.58, "high": 0.62})(
            document
        )
        row(document)["valid"] = False

    base = {"value": 0.8, "unit": "correlation", "low": 0.79, "high": 0.81}
    said = beside("rank_agreement", change, base=base)
    assert (said.shown, said.value.unit) == ("lower", "correlation")
    half = math.hypot(0.02, 0.01)
    assert (said.value.low, said.value.high) == pytest.approx((-0.2 - half, -0.2 + half))
