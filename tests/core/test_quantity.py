"""Numbers as people read them: three digits, a unit, an interval."""

import pytest

from edgekd.core.quantity import Quantity, significant


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0171234, "0.0171"), (1234.6, "1,235"), (0, "0"), (9.999, "10.0"), (-0.5, "-0.500"),
     (float("nan"), "not finite"), (12.34, "12.3")],
)  # fmt: skip
def test_three_digits_count(value, text):
    assert significant(value) == text


def test_a_quantity_has_its_unit_and_interval():
    assert str(Quantity(0.0171, "ms", 0.016, 0.019)) == "0.0171 ms [0.0160, 0.0190]"
    assert str(Quantity(0.927, "share")) == "92.7 %"
    assert str(Quantity(0.049, "share_difference", 0.045, 0.053)) == "4.90 pt [4.50, 5.30]"
    assert str(Quantity(9.1, "x")) == "9.10x"
