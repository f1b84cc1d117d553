"""Expected calibration error: how far confidence and accuracy lie apart.

Examples are sorted into bins by confidence; the error is the mean over bins, weighted by their
size, of the distance between mean confidence and accuracy. It is a mean over examples of the
signed distance, with the sign of the example's bin, and is returned in that form; the signs are
taken as given, so an interval near 0 is somewhat too narrow.
"""

from edgekd.core.config import Config, PositiveCount
from edgekd.core.kinds import measure
from edgekd.core.registry import Paper
from edgekd.ops.reliability import NUM_BINS, confidence_bins, summed_gaps
from edgekd.ops.shapes import Labels, Logits, PerExample

PAPER = Paper("On Calibration of Modern Neural Networks", "1706.04599", "eq. 3")


class Calibration(Config):
    """How confidence is binned."""

    num_bins: PositiveCount = NUM_BINS
    """Number of bins of equal width."""


@measure(
    config=Calibration, paper=PAPER, unit="share", better="lower", bounds=(0.0, 1.0), gates=("ece",)
)
def calibration(config: Calibration, *, student_logits: Logits, labels: Labels) -> PerExample:
    """Return per example what it adds to the error; all examples must be given at once."""
    confidence, choice = student_logits.float().softmax(-1).flatten(0, -2).max(-1)
    correct = choice == labels.flatten()
    bins = confidence_bins(confidence, config.num_bins)
    sign = summed_gaps(confidence, correct, bins, config.num_bins).sign()
    return (sign[bins] * (confidence - correct.to(confidence))).view(labels.shape)
