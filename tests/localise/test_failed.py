"""What of a program that departs is looked into."""

import numpy as np

from edgekd.core.signature import Port, Signature
from edgekd.localise.failed import LOOKED_AT, worst_first


def test_the_sample_that_departs_most_is_looked_at_first_and_no_more_than_a_few_others():
    ports = (Port("x", "float32", ("batch", 2)), Port("scale", "float32", (1,)))
    signature = Signature(ports, (Port("y", "float32", ("batch", 2)),))
    x = np.arange(80, dtype=np.float32).reshape(40, 2)
    samples = {"x": x, "scale": np.ones(1, np.float32), "labels": np.zeros(40)}
    few = worst_first(samples, signature, 33)
    assert list(few) == ["x", "scale"]
    assert (few["x"] == x[[33, *range(LOOKED_AT - 1)]]).all()
    assert few["scale"].shape == (1,)
