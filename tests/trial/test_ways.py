"""Ways of running a program: taken in turns, and counted over fresh processes."""

import pytest

from edgekd.devices.answers import Failure, Streamed
from edgekd.trial.ways import Ways, per_second


def test_all_batches_with_all_streams_in_either_order_without_those_that_failed():
    ways = Ways((1, 8), (1, 2), threads=4)
    assert ways.left(backwards=False) == [(1, 1), (1, 2), (8, 1), (8, 2)]
    ways.note((8, 1), Failure("ended with exit status 1 while warming up", ["ValueError: one"]))
    assert ways.left(backwards=True) == [(8, 2), (1, 2), (1, 1)]
    for way in ways.left(backwards=False):
        ways.note(way, Streamed(100.0 * way[0], 1.0, 2 * way[0]))
    rates = ways.rates()
    assert [(r.samples_a_call, r.streams, r.threads) for r in rates] == [
        (2, 1, 4), (2, 2, 4), (8, 1, 4), (16, 2, 4),
    ]  # fmt: skip
    assert rates[2].per_s is None
    assert rates[2].failure == "ended with exit status 1 while warming up ValueError: one"


def test_the_interval_is_over_restarts_and_one_has_none():
    found = per_second([100.0, 400.0])
    assert (found.value, found.unit, found.n) == (pytest.approx(200), "samples/s", 2)
    assert found.low is not None
    assert found.high is not None
    assert found.low * found.high == pytest.approx(200**2)  # symmetric in the logarithm
    # Student's t of one degree of freedom, 12.706, times the standard error of log 100 and log 400
    assert found.high / 200 == pytest.approx(2**12.706, rel=1e-6)
    alone = per_second([100.0])
    assert (alone.low, alone.high) == (None, None)
