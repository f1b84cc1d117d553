"""How much the labels and how much a model's own answers count where it is trained again."""

from jaxtyping import Float
from torch import Tensor

Probs = Float[Tensor, "n classes"]


def best_share(plain: Probs, taught: Probs, truth: Probs) -> float:
    r"""Return $\alpha^* = \langle f_1 - f_0, y - f_0 \rangle / |f_1 - f_0|^2$, the labels' share.

    $f_1$ is what a model says that was trained on labels, $f_0$ one trained on answers alone, y the
    truth of the same examples, none of which was trained on. Of the blends
    $\alpha f_1 + (1 - \alpha) f_0$ it is the nearest to y; a linear smoother trained on the same
    blend of both targets is that blend. Not clipped. ValueError where both say the same.
    """
    ahead = (plain - taught).double()
    length = float(ahead.square().sum())
    if not length:
        raise ValueError("both models say the same of every example")
    return float((ahead * (truth - taught).double()).sum()) / length
