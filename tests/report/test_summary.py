import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.quantity import Quantity
from edgekd.core.results import Gate
from edgekd.report.summary import verdict_of


def gate(verdict):
    return Gate(
        name="size_mib", limit="<= 1", program="p", target="cpu",
        measured=Quantity(1.0, "MiB"), verdict=verdict, reason="",
    )  # fmt: skip


@given(st.lists(st.sampled_from(["pass", "fail", "inconclusive"])))
def test_the_worst_gate_decides(verdicts):
    found, words = verdict_of([gate(verdict) for verdict in verdicts])
    order = ["not_judged", "pass", "inconclusive", "fail"]
    assert found == max(verdicts, key=order.index, default="not_judged")
    begins = {"pass": "Contract kept", "not_judged": "No contract"}.get(found, "Contract not")
    assert words.startswith(begins)


def test_gates_that_may_be_inconclusive_do_not_break_the_contract():
    gates = [gate("pass"), gate("inconclusive"), gate("inconclusive")]
    assert verdict_of(gates, gates) == (
        "pass", "Contract kept, 2 gates inconclusive and allowed",
    )  # fmt: skip
    assert verdict_of([*gates, gate("fail")], gates)[0] == "fail"


def test_what_one_check_allows_does_not_excuse_another():
    lenient, strict = [gate("inconclusive")], [gate("inconclusive")]
    assert verdict_of(lenient + strict, lenient)[0] == "inconclusive"


def test_the_sentence_says_what_was_made_what_it_costs_and_what_was_lost(passing):
    sentence = passing.headline.sentence
    assert sentence.startswith("pte (int8, executorch) takes ")
    for part in ("at p90 on cpu", "MiB", "x [", "as fast", "of accuracy lost"):
        assert part in sentence


def test_the_fastest_candidate_with_the_best_verdict_is_chosen(make, passing):
    assert passing.headline.program == "pte"
    only_onnx = {"accuracy_drop": "<= 0.038"}
    assert make(limits=only_onnx).headline.program == "onnx"


@pytest.mark.parametrize("limits", [{}, {"size_mib": "<= 0.1"}])
def test_the_latency_shown_is_that_of_the_contract_else_p90(make, limits):
    labels = [figure.label for figure in make(limits=limits).headline.figures]
    assert "Latency p90" in labels
