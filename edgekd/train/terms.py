"""The one place where terms of a loss are weighted and averaged."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from edgekd.core.errors import StageError
from edgekd.core.protocols.values import Signals
from edgekd.core.refs import UseObjective
from edgekd.core.signals import PROGRESS, SECOND_FEATURE, TAPPED, TEACHER
from edgekd.ops.mixing import SECOND
from edgekd.train.labelled import counted, only, rows_for
from edgekd.train.teaching import Said


class Terms(nn.Module):
    """A weighted sum of objectives; modules that an objective learns are its parameters."""

    def __init__(self, uses: Sequence[UseObjective]):
        super().__init__()
        self.uses = tuple(uses)
        self.names = _distinct([use.kind for use in uses])
        self.built = {name: use.build() for name, use in zip(self.names, uses, strict=True)}
        self.learned = nn.ModuleList(b for b in self.built.values() if isinstance(b, nn.Module))

    def forward(
        self,
        signals: Signals,
        features: Signals,
        said: Mapping[str, Said],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the terms' means, each mean by name, and what terms tell.

        `features` holds the student's tapped outputs by module path, `said` what each teacher
        gave; a term that names no teacher asks the first.
        """
        means: dict[str, Tensor] = {}
        told: dict[str, Tensor] = {}
        for use, (name, term) in zip(self.uses, self.built.items(), strict=True):
            rows = rows_for(use, signals)
            own = only(rows, asked(use, use.plugin.needs, signals, features, said))
            if rows is not None and not rows.any():
                means[name] = sum((v.sum() * 0 for v in own.values()), start=torch.zeros(()))
                told |= {f"{name}.{what}": means[name].detach() for what in _telling(use)}
                continue
            value = term(**own)
            _check_shape(name, value, only(rows, signals))
            means[name] = value.mean() * counted(rows, signals)
            whose = term if isinstance(term, nn.Module) else use.options
            with torch.no_grad():
                for what, tell in _telling(use).items():
                    told[f"{name}.{what}"] = tell(whose, **own).mean() * counted(rows, signals)
        weighted = [
            weight_of(use, signals) * mean
            for use, mean in zip(self.uses, means.values(), strict=True)
        ]
        return sum(weighted[1:], start=weighted[0]), means | told


def weight_of(use: UseObjective, signals: Signals) -> Tensor | float:
    """Return what a term counts now: less than its weight while that rises."""
    if not use.warmup:
        return use.weight
    return use.weight * (signals[PROGRESS] / use.warmup).clamp(max=1)


def asked(
    use: UseObjective,
    needs: Iterable[str],
    signals: Signals,
    features: Signals,
    said: Mapping[str, Said],
) -> Signals:
    """Return the signals of these names as a term gets them, from what `Terms` is given."""
    teacher = said.get(use.teacher or next(iter(said), ""))
    if teacher is not None and not moves_teacher(use):
        teacher = teacher.fixed()
    return {need: _found(need, use, signals, features, teacher) for need in needs}


def moves_teacher(use: UseObjective) -> bool:
    """Tell whether a term has its teacher learn: `@objective(..., teacher_learns=...)`."""
    learns = use.plugin.traits.get("teacher_learns")
    return bool(learns and learns(use.options))


def student_taps(uses: Sequence[UseObjective]) -> list[str]:
    """Return the module paths that terms tap in the student."""
    return sorted({use.tap.student for use in uses if use.tap and use.tap.student})


def teacher_taps(uses: Sequence[UseObjective], teacher: str, first: str) -> list[str]:
    """Return the module paths that terms tap in a teacher; who names none means the first."""
    asking = [use for use in uses if (use.teacher or first) == teacher]
    return sorted({use.tap.teacher for use in asking if use.tap and use.tap.teacher})


def _telling(use: UseObjective) -> Mapping[str, Callable[..., Tensor]]:
    """Return by name what a term tells beside its loss: `@objective(..., tells=...)`."""
    tells: Mapping[str, Callable[..., Tensor]] = use.plugin.traits.get("tells", {})
    return tells


def _found(
    need: str,
    use: UseObjective,
    signals: Signals,
    features: Signals,
    teacher: Said | None,
) -> Tensor:
    """Return a signal that a term asks for; the plan has seen that something supplies it."""
    path = getattr(use.tap, TAPPED.get(need, ""), None)
    if need in TAPPED and need.startswith(TEACHER):
        assert teacher is not None
        return teacher.features[str(path)]
    if need in TAPPED:
        return features[f"{SECOND if need == SECOND_FEATURE else ''}{path}"]
    if need.startswith(TEACHER):
        assert teacher is not None
        return teacher.outputs[need.removeprefix(TEACHER)]
    return signals[need]


def _check_shape(name: str, value: Tensor, signals: Signals) -> None:
    """Raise StageError where an objective gives neither a value per example nor one for all."""
    allowed = [signals["ids"].shape] if "ids" in signals else []
    if (labels := signals.get("labels")) is not None:
        allowed.append(labels.shape[:-1] if labels.is_floating_point() else labels.shape)
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
