"""What is known of each class."""

from collections.abc import Sequence

from jaxtyping import Shaped
from torch import Tensor

from edgekd.core.errors import StageError


def check_seen(counts: Shaped[Tensor, " classes"], names: Sequence[str], least: int = 1) -> None:
    """Raise StageError that names classes of which there are fewer examples than needed."""
    few = [name for name, n in zip(names, counts.tolist(), strict=True) if n < least]
    if few:
        has = (
            "no training example is" if least == 1 else f"fewer than {least} training examples are"
        )
        more = f" (and {len(few) - 5} more)" if len(few) > 5 else ""
        raise StageError(
            f"{has} of class {', '.join(few[:5])}{more}: nothing can be learned of it.",
            "Add examples of every class, or leave out the term that is fitted to them.",
        )
