import pytest

from edgekd.core.quantity import Quantity
from edgekd.core.results import Gate
from edgekd.report.words import clause, interval_text, label, limit_text, listed, value_text


@pytest.mark.parametrize(
    ("limit", "unit", "shown"),
    [
        ("<= 0.06", "share_difference", "≤ 6 pt"),
        (">= 0.95", "share", "≥ 95 %"),
        ("<= 5", "ms", "≤ 5 ms"),
        (">= 4", "x", "≥ 4x"),
        ("< 1e-1", "MiB", "< 0.1 MiB"),
        ("about 3", "ms", "about 3"),
    ],
)
def test_a_limit_is_shown_in_the_unit_of_what_it_limits(limit, unit, shown):
    gate = Gate(
        name="x", limit=limit, program="p", target="t", measured=Quantity(1.0, unit),
        verdict="pass", reason="",
    )  # fmt: skip
    assert limit_text(gate) == shown


def test_a_limit_without_a_measurement_stays_as_written():
    gate = Gate(
        name="x", limit="<= 5", program="p", target="t", measured=None, verdict="fail", reason=""
    )
    assert limit_text(gate) == "<= 5"


@pytest.mark.parametrize("text", ["", "<=", "5", "<= five", "<= --5", "<= 5 ms"])
def test_what_is_no_limit_has_no_clause(text):
    assert clause(text) is None


def test_value_and_interval_together_are_the_whole():
    quantity = Quantity(0.017, "ms", 0.016, 0.019)
    assert f"{value_text(quantity)} {interval_text(quantity)}" == str(quantity)
    assert interval_text(Quantity(1.0, "ms")) == ""


def test_a_measure_that_is_not_known_is_called_as_in_the_file():
    assert label("tokens_per_second") == "tokens per second"


def test_a_list_reads_as_one():
    assert [listed(list("abc"[:n])) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
