"""Samples a second: the most, every way, and why one has none."""

import re

import pytest

from edgekd.core.quantity import Quantity
from edgekd.core.results import Rate
from edgekd.report.charts.canvas import NARROW
from edgekd.report.charts.throughput import throughput as chart
from edgekd.report.html import to_html
from edgekd.report.markdown import to_markdown
from edgekd.report.schema.load import Throughput


def rate(samples, streams, per_s=None, failure="", wide=1.1):
    found = Quantity(per_s, "samples/s", per_s / wide, wide * per_s, 5) if per_s else None
    return Rate(samples_a_call=samples, streams=streams, threads=2, per_s=found, cores=1.5,
                failure=failure)  # fmt: skip


def shown(report, *rates):
    (check,) = report.checks
    one = Throughput(program="onnx", target="cpu", rates=[*rates])
    return report.model_copy(update={"checks": [check.model_copy(update={"throughput": [one]})]})


def test_the_most_is_said_and_every_way_is_in_the_table(passing):
    assert "Throughput" not in to_markdown(passing)
    report = shown(passing, rate(1, 1, 100.0), rate(8, 2, 400.0), rate(32, 1, failure="was killed"))
    text = to_markdown(report)
    assert "At most 400 samples/s \\[364, 440\\]: 8 a call, 2 streams, 2 threads each." in text
    assert "| 8 | 2 | 2 | 400 \\[364, 440\\] | 1.50 |" in text
    assert "| 32 | 1 | 2 | was killed | — |" in text
    assert "8 a call, 2 streams</text>" in to_html(report)


def test_where_no_way_gave_a_number_there_is_a_table_and_no_drawing(passing):
    killed = rate(1, 1, failure="was killed by SIGSEGV while loading")
    text = to_html(shown(passing, killed, rate(8, 1, failure="took too long")))
    assert "No way of running it gave a number." in text
    assert "was killed by SIGSEGV while loading" in text
    assert "1 a call, 1 stream</text>" not in text


def test_where_every_way_failed_for_one_reason_it_is_said_once(passing):
    said = "did not answer within 60 s while it was timed"
    text = to_html(shown(passing, rate(1, 1, failure=said), rate(8, 2, failure=said)))
    assert text.count(said) == 1
    assert f"None: it {said}." in text


@pytest.mark.parametrize("wide", [1.1, 60.0])
def test_an_interval_that_few_groups_leave_wide_does_not_press_all_others_together(wide):
    rates = [rate(1, 1, 90_000.0, wide=wide), rate(8, 1, 100_000.0)]
    drawing = chart(Throughput(program="onnx", target="cpu", rates=rates), "f", NARROW)
    ticks = [float(t.replace(",", "")) for t in re.findall(r">([\d,]+)</text>", drawing)]
    assert 100_000 <= max(ticks) <= 200_000
    assert len(ticks) <= 4
