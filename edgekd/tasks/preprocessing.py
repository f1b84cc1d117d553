"""What is told with a program about the pictures that it takes."""

from collections.abc import Sequence

from edgekd.core.protocols.values import Facts


def facts_of_pictures(
    labels: Sequence[str],
    shape: Sequence[int],
    normalisation: tuple[Sequence[float], Sequence[float]],
) -> Facts:
    """Return the class names and all that turns a decoded picture into the model's input.

    Args:
        labels: names of the classes, in the order of the scores.
        shape: height, width and channels.
        normalisation: mean and standard deviation per channel, on a scale from 0 to 1.

    """
    height, width, channels = shape
    mean, std = normalisation
    return {
        "labels": list(labels),
        "preprocessing": {
            "layout": "NCHW",
            "color": "L" if channels == 1 else "RGB",
            "size": [height, width],
            "scale": 1 / 255,
            "mean": list(mean),
            "std": list(std),
        },
    }
