"""The simplest that nothing is shown to be better than is recommended."""

from edgekd.recommend.candidates import Candidate
from edgekd.recommend.verdict import Learned, judge

NOISE = (0.0, 0.001, -0.001, 0.002, -0.002)


def arm(name, mean, control=False, wobble=NOISE, failure=""):
    scores = {} if failure else {s: mean + w for s, w in enumerate(wobble)}
    loss = {"objective": [name]}
    return Learned(Candidate(name, loss, control), scores, 1.0, failure)


LABELS = arm("labels alone", 0.80, control=True)
OTHER = (0.001, -0.002, 0.0, -0.001, 0.002)


def test_labels_alone_where_nothing_is_shown_to_be_better():
    found = judge(
        [LABELS, arm("kd", 0.8005, wobble=OTHER), arm("pld", 0.79, wobble=OTHER)], "share"
    )
    assert found.taken is LABELS
    assert found.why.startswith("nothing is shown to be better than labels alone; the best by the")
    assert "kd, is 0.050 points higher (p = " in found.why


def test_the_best_of_those_that_are_shown_to_be_better():
    plain = arm("plain KD", 0.82, control=True, wobble=OTHER)
    best = arm("kd", 0.85, wobble=(0.002, 0.001, 0.0, 0.0, -0.001))
    found = judge([LABELS, plain, best, arm("pld", 0.83)], "share")
    assert found.taken is best
    assert "5.0 points higher" in found.why
    assert "than plain KD" in found.why


def test_plain_kd_where_nothing_is_shown_to_be_better_than_it():
    plain = arm("plain KD", 0.82, control=True, wobble=OTHER)
    found = judge([LABELS, plain, arm("kd", 0.8203, wobble=OTHER[::-1])], "share")
    assert found.taken is plain
    assert "nothing is shown to be better than it" in found.why


def test_one_that_failed_is_neither_taken_nor_tested():
    found = judge([LABELS, arm("kd", 0.9, failure="diverged")], "share")
    assert found.taken is LABELS
    assert found.why == "nothing is shown to be better than labels alone: nothing else has a score"
    assert found.against == {}
