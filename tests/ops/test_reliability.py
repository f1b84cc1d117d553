import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.ops.reliability import confidence_bins, summed_gaps


def test_a_bin_holds_its_upper_edge_and_not_its_lower() -> None:
    confidence = torch.tensor([0.0, 0.1, 0.2, 0.21, 0.4, 0.999, 1.0])
    assert confidence_bins(confidence, 5).tolist() == [0, 0, 0, 1, 1, 4, 4]


@given(st.integers(0, 2**16))
def test_gaps_are_confidence_less_accuracy_summed_by_bin(seed: int) -> None:
    torch.manual_seed(seed)
    confidence, correct = torch.rand(50), torch.rand(50) > 0.5
    bins = confidence_bins(confidence)
    found = summed_gaps(confidence, correct, bins)
    for index in range(15):
        inside = bins == index
        expected = confidence[inside].sum() - correct[inside].float().sum()
        assert torch.isclose(found[index], expected, atol=1e-5)
