"""Runs of minutes: when they became slower, what tells why, and how that is shown."""

import pytest

from edgekd.core.results import Measurement, Sustained, Window
from edgekd.report.html import to_html
from edgekd.report.long_runs import long_run
from edgekd.report.markdown import to_markdown
from edgekd.report.sections.sustained import outcome


def window(index, **more):
    usual = {"at_s": 2.0 * (index + 1), "runs": 100, "p50_ms": 1.0, "p90_ms": 1.2, "cpu_share": 1.0}
    usual |= {"temperature_c": None, "frequency_mhz": None, "throttled": 0}
    return Window.model_validate(usual | more)


def found(change, count=60):
    windows = [window(index, **change(index)) for index in range(count)]
    return long_run(
        Measurement(program="onnx", target="cpu", quantities={}, restarts=[], samples="",
                    valid=True, notes=[], sustained=Sustained(seconds=120, windows=windows))
    )  # fmt: skip


def test_a_steady_run_of_a_device_that_tells_nothing_is_neither_slower_nor_throttled():
    run = found(lambda _: {})
    assert (run.throttled_after_s, run.slower_after_s, run.seen_by, run.readable) == (
        None, None, "", [],
    )  # fmt: skip
    assert (run.p90_first_ms, run.p90_last_ms) == (1.2, 1.2)


def test_a_change_of_nothing_has_no_minus():
    run = found(lambda i: {"p90_ms": 1.2 if i < 30 else 1.199})
    assert outcome(run).endswith("1.20 ms in the last: +0%.")


def test_the_kernels_counter_tells_when_the_device_slowed_itself():
    run = found(lambda i: {"throttled": max(0, i - 29), "p50_ms": 1 + (i >= 30), "p90_ms": 2.0})
    assert (run.throttled_after_s, run.seen_by, run.slower_after_s) == (
        62,
        "the kernel's counter",
        62,
    )


def test_where_nothing_counts_a_clock_that_stays_low_tells_it():
    run = found(lambda i: {"frequency_mhz": 1500.0 if i >= 20 else 2400.0, "temperature_c": 80.0})
    assert (run.throttled_after_s, run.seen_by) == (42, "the clock")
    assert run.readable == ["temperature", "frequency"]


@pytest.mark.parametrize(
    "change",
    [
        lambda i: {"frequency_mhz": 1500.0 if i in (20, 22) else 2400.0},
        lambda i: {"frequency_mhz": 2300.0 if i > 20 else 2400.0},
        lambda i: {"p50_ms": 9.0 if i in (20, 40, 41) else 1.0},
        lambda i: {"p50_ms": 1.09 if i > 20 else 1.0},
    ],
)
def test_a_window_that_was_disturbed_or_a_small_change_is_no_throttling(change):
    run = found(change)
    assert (run.throttled_after_s, run.slower_after_s) == (None, None)


def test_the_report_shows_it_over_time_with_a_table(passing):
    assert "Sustained load" not in to_html(passing)
    run = found(lambda i: {"temperature_c": 40.0 + i, "frequency_mhz": 2400.0,
                           "throttled": int(i > 29), "p90_ms": 1.2 if i < 30 else 1.8})  # fmt: skip
    (check,) = passing.checks
    update = {"checks": [check.model_copy(update={"long_runs": [run]})]}
    page, text = (form(passing.model_copy(update=update)) for form in (to_html, to_markdown))
    assert "p90 1.20 ms in the first tenth of 120 s, 1.80 ms in the last: +50%." in text
    assert "The device slowed itself after 62 s, by the kernel's counter." in text
    assert "| 120 | 100 | 1.00 | 1.80 | 1.00 | 99 | 2400 | 1 |" in text
    assert text.count("| 100 | 1.00 |") == 24
    assert "Temperature, C</text>" in page
    unread = check.model_copy(update={"long_runs": [found(lambda _: {})]})
    page = to_html(passing.model_copy(update={"checks": [unread]}))
    assert "The device does not tell its temperature and frequency" in page
    assert "Temperature, C</text>" not in page
