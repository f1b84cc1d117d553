"""Whether an exported program computes what the PyTorch model computes, on real samples."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.config import Config, NonNegative, PositiveCount, Share
from edgekd.core.errors import StageError
from edgekd.core.protocols.values import Arrays


class DepartsError(StageError):
    """A program computes something else than its PyTorch model, most so for one sample."""

    def __init__(self, message: str, next_step: str, sample: int):
        super().__init__(message, next_step)
        self.sample = sample


@dataclass(frozen=True)
class Original:
    """What a program was made from."""

    name: str
    """As messages call it."""
    short: str
    """As results call it."""


PYTORCH = Original("the PyTorch model", "PyTorch, fp32")
ANYTHING = 1e9
"""A limit that nothing reaches."""
CLASSES, LABELS = "logits", "labels"
"""The output that is read as class scores where the samples have labels."""


class Parity(Config):
    """How far a program may depart from its PyTorch model before the run stops."""

    samples: PositiveCount = 64
    """How many validation examples are compared."""
    atol: NonNegative = 1e-4
    """fp32: allowed difference of any value of an output ..."""
    rtol: NonNegative = 1e-4
    """fp32: ... plus this share of the output's largest value."""
    agreement: Share = 0.9
    """int8: least share of samples with the same first class (or the same integer output)."""
    accuracy_drop: Share = 0.05
    """int8: most that the share of right answers may fall."""
    relative_error: NonNegative = 0.1
    """int8, outputs that are not class scores: allowed size of the error over the size of the
    output, both as root mean squares over all samples."""


def for_untrained(limits: Parity) -> Parity:
    """Return limits without those on int8: classes of untrained weights differ by next to nothing.

    That fp32 computes the same holds for any weights.
    """
    update = {"agreement": 0.0, "accuracy_drop": 1.0, "relative_error": ANYTHING}
    return limits.model_copy(update=update)


@dataclass(frozen=True)
class Compared:
    """One output of the program beside the model's."""

    output: str
    rule: str
    """What was asked of it."""
    largest: float
    """Largest absolute difference of any value."""
    sample: int
    """Number of the sample, among those compared, where it occurs."""
    found: Mapping[str, float]
    """What was found, by the name of the limit."""
    kept: bool


def check_parity(
    name: str,
    program: Callable[[Arrays], Arrays],
    reference: Arrays,
    samples: Arrays,
    *,
    quantized: bool,
    limits: Parity,
    original: Original = PYTORCH,
) -> dict[str, Any]:
    """Return the comparison of every output as JSON values; DepartsError where a limit is broken.

    `samples` has the inputs and, where there are some, `labels`; `reference` is what the original
    gave for them: with NaN in it nothing can be proved, which is a StageError too.
    """
    _check_reference(name, reference, original)
    outputs = program(samples)
    labels = samples.get(LABELS)
    compared = [
        _compare(key, outputs[key], value, labels, quantized, limits)
        for key, value in reference.items()
    ]
    for result in compared:
        if not result.kept:
            raise DepartsError(
                _complaint(name, result, original), _advice(quantized), result.sample
            )
    return {
        "samples": len(next(iter(reference.values()))),
        "reference": original.short,
        "outputs": [asdict(result) for result in compared],
    }


def _check_reference(name: str, reference: Arrays, original: Original) -> None:
    """Raise StageError where the original gives NaN."""
    for output, value in reference.items():
        if np.issubdtype(value.dtype, np.floating) and np.isnan(value).any():
            raise StageError(
                f"{name} cannot be compared: {original.name} gives NaN in output '{output}' for "
                f"validation sample {int(np.argwhere(np.isnan(value))[0][0])}.",
                "Look at the stage that made the model: its training diverged, or it divides by 0.",
            )


def _compare(
    output: str,
    given: NDArray[Any],
    expected: NDArray[Any],
    labels: NDArray[Any] | None,
    quantized: bool,
    limits: Parity,
) -> Compared:
    if given.shape != expected.shape or given.dtype != expected.dtype:
        rule = f"{expected.dtype}{list(expected.shape)}, not {given.dtype}{list(given.shape)}"
        return Compared(output, rule, float("inf"), 0, {"difference": float("inf")}, kept=False)
    if quantized:
        return _compare_int8(output, given, expected, labels if output == CLASSES else None, limits)
    return _compare_fp32(output, given, expected, limits)


def _compare_fp32(
    output: str, given: NDArray[Any], expected: NDArray[Any], limits: Parity
) -> Compared:
    """Compare value by value; integers must be equal, infinities must stand at the same places."""
    largest, sample = _largest(given, expected)
    exact = not np.issubdtype(expected.dtype, np.floating)
    finite = np.abs(expected[np.isfinite(expected)])
    scale = 0.0 if exact or not finite.size else float(finite.max())
    allowed = 0.0 if exact else limits.atol + limits.rtol * scale
    rule = "every value equal" if exact else f"every difference <= {allowed:.3g}"
    return Compared(output, rule, largest, sample, {"difference": largest}, largest <= allowed)


def _compare_int8(
    output: str,
    given: NDArray[Any],
    expected: NDArray[Any],
    labels: NDArray[Any] | None,
    limits: Parity,
) -> Compared:
    """Compare what the answers mean: classes where there are some, else the size of the error."""
    largest, sample = _largest(given, expected)
    if labels is None and np.issubdtype(expected.dtype, np.floating):
        error = relative_error(given, expected)
        rule, kept = f"relative error <= {limits.relative_error:g}", error <= limits.relative_error
        return Compared(output, rule, largest, sample, {"relative_error": error}, kept)
    if labels is None:
        same = float((given == expected).mean())
        rule = f"agreement >= {limits.agreement:g}"
        return Compared(
            output, rule, largest, sample, {"agreement": same}, same >= limits.agreement
        )
    ours, theirs = given.argmax(-1), expected.argmax(-1)
    same = float((ours == theirs).mean()) if _same_infinities(given, expected) else 0.0
    drop = float((theirs == labels).mean() - (ours == labels).mean())
    found = {"agreement": same, "accuracy_drop": drop}
    rule = f"agreement >= {limits.agreement:g}, accuracy_drop <= {limits.accuracy_drop:g}"
    kept = same >= limits.agreement and drop <= limits.accuracy_drop
    return Compared(output, rule, largest, sample, found, kept)


def _largest(given: NDArray[Any], expected: NDArray[Any]) -> tuple[float, int]:
    """Return the largest difference and its sample; infinite where only one is finite."""
    if not expected.size:
        return 0.0, 0
    with np.errstate(invalid="ignore"):  # infinity less infinity, which counts as equal below
        gap = np.abs(given.astype(np.float64) - expected.astype(np.float64))
    gap = np.where(given == expected, 0.0, np.where(np.isnan(gap), np.inf, gap))
    by_sample = gap.reshape(len(expected), -1).max(1)
    sample = int(by_sample.argmax())
    return float(by_sample[sample]), sample


def _same_infinities(given: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Tell whether `given` has infinities just where `expected` has them, and no NaN."""
    infinite = ~np.isfinite(given) | ~np.isfinite(expected)
    return bool((given[infinite] == expected[infinite]).all())


def relative_error(given: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the size of the error over that of the output, both as root mean squares."""
    if not _same_infinities(given, expected):
        return float("inf")
    finite = np.isfinite(expected)
    found, wanted = given[finite].astype(np.float64), expected[finite].astype(np.float64)
    if not wanted.size:
        return 0.0
    size = float(np.sqrt(np.mean(np.square(wanted))))
    error = float(np.sqrt(np.mean(np.square(found - wanted))))
    return error / size if size else error


def _complaint(name: str, result: Compared, original: Original) -> str:
    found = ", ".join(f"{key} {value:.4g}" for key, value in result.found.items())
    return (
        f"{name} departs from {original.name}: output '{result.output}' has {found}; "
        f"expected {result.rule}. The largest difference, {result.largest:.4g}, is in "
        f"validation sample {result.sample}."
    )


def _advice(quantized: bool) -> str:
    if quantized:
        return (
            "Give quantize more calibration examples, try calibration: percentile, or exclude "
            "the layers that suffer; or loosen parity: of this stage."
        )
    return (
        "Try another opset or graph_level; if the difference is harmless, "
        "loosen parity: {atol, rtol} of this stage."
    )
