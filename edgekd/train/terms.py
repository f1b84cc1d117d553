"""The one place where terms of a loss are weighted and averaged."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from edgekd.core.errors import StageError
from edgekd.core.refs import UseObjective
from edgekd.core.signals import TAPPED


class Terms(nn.Module):
    """A weighted sum of objectives; modules that an objective learns are its parameters."""

    def __init__(self, uses: Sequence[UseObjective]):
        super().__init__()
        self.uses = tuple(uses)
        self.names = _distinct([use.kind for use in uses])
        self.built = {name: use.build() for name, use in zip(self.names, uses, strict=True)}
        self.learned = nn.ModuleList(b for b in self.built.values() if isinstance(b, nn.Module))

    def taps(self, who: str) -> list[str]:
        """Return the module paths that are to be tapped in `student` or `teacher`."""
        return [path for use in self.uses if use.tap and (path := getattr(use.tap, who))]

    def forward(
        self, signals: Mapping[str, Tensor], features: Mapping[str, Mapping[str, Tensor]]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the terms' means, and each mean by name.

        `features` holds tapped outputs by model (`student`, `teacher`) and module path.
        """
        means = {}
        for use, (name, term) in zip(self.uses, self.built.items(), strict=True):
            own = {
                need: features[TAPPED[need]][getattr(use.tap, TAPPED[need])]
                if need in TAPPED
                else signals[need]
                for need in use.plugin.needs
            }
            value = term(**own)
            _check_shape(name, value, signals)
            means[name] = value.mean()
        weighted = [use.weight * mean for use, mean in zip(self.uses, means.values(), strict=True)]
        return sum(weighted[1:], start=weighted[0]), means


def _check_shape(name: str, value: Tensor, signals: Mapping[str, Tensor]) -> None:
    """Raise StageError where an objective gives neither a value per example nor one for all."""
    allowed = [signals[column].shape for column in ("ids", "labels") if column in signals]
    if value.ndim and value.shape not in allowed:
        raise StageError(
            f"objective '{name}' returned the shape {list(value.shape)}; expected one value per "
            f"example, {' or '.join(str(list(shape)) for shape in allowed)}, or one for the batch.",
            "Average over all dimensions but the first, as in x.flatten(1).mean(-1).",
        )


def _distinct(names: Sequence[str]) -> list[str]:
    """Number names that occur more than once: kd, kd_2."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return distinct
