"""A pruning under way: what goes at each of its steps, and stays zero from then on.

What goes is set to zero, so that nothing else of the training has to follow: the optimizer, an
average of the weights, taps and other processes keep their shapes. Channels, heads and inner widths
are cut out when the training is over.
"""

import copy
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.core.errors import StageError
from edgekd.core.protocols.stage import Run
from edgekd.core.seeds import sub_seed
from edgekd.ops.named import call_by_name
from edgekd.parallel.group import group
from edgekd.train.gradual import Gradual
from edgekd.train.samples import take
from edgekd.transforms.in_steps import Cuts, Masks, Zeros, masks_by, masks_of, set_zero, zeroed
from edgekd.transforms.masks import maskable
from edgekd.transforms.worth import size_only, smaller

APART = 1e-4
"""Most by which a model may say something else once zeros are cut out, by its largest output."""


class Pruning:
    """The pruning of a training: how far it is, and what is zero since.

    Args:
        options: what goes, and when.
        run: the run; the examples are of its task.
        student: the model that learns, whose parameters are set to zero in place.
        steps: batches of the whole training.

    StageError where the transform finds nothing to prune, cannot keep a budget, or what it removes
    would still count while it is zero.

    """

    def __init__(self, options: Gradual, run: Run, student: nn.Module, steps: int):
        self.use, self.student = options.transform, student
        self.signature = run.task.signature()
        rng = torch.Generator().manual_seed(sub_seed(run.seed, "calibration"))
        self.batches = take(run.task, "train", options.examples, rng=rng)
        parts = [k / options.steps for k in range(1, options.steps + 1)]
        self.at = [min(steps - 1, round(part * options.until * steps)) for part in parts]
        """Batches before each step."""
        self.taken = 0
        self.removal: dict[str, Any] = {}
        """What is to be cut out; of masks nothing is."""
        self.zeros: Zeros = {}
        self._held: list[tuple[Tensor, Tensor]] = []
        self._dense = self._copy()
        if isinstance(self._way, Cuts):
            self._try_to_cut(self._way)

    @property
    def share(self) -> float:
        """How much of what is to go is gone."""
        return 1 - (1 - self.taken / len(self.at)) ** 3

    @property
    def over(self) -> bool:
        """Whether all of it is gone."""
        return self.taken == len(self.at)

    def due(self, batches: int) -> bool:
        """Tell whether something is to go after so many batches."""
        return bisect_right(self.at, batches) > self.taken

    def go_on(self, batches: int) -> None:
        """Set to zero what is to be gone after so many batches, by what the weights are now."""
        self.taken = bisect_right(self.at, batches)
        way = self._way
        found = self._masks(way) if isinstance(way, Masks) else self._cuts(way)
        for name, before in self.zeros.items():
            found[name] = found.get(name, torch.zeros_like(before)) | before.cpu()
        device = next(self.student.parameters()).device
        self.zeros = {name: where.to(device) for name, where in found.items()}
        self._hold()

    def hold(self) -> None:
        """Set back to zero what a step of the training has moved."""
        with torch.no_grad():
            for parameter, where in self._held:
                parameter.masked_fill_(where, 0)

    def set_zero(self, model: nn.Module) -> None:
        """Set the same to zero in another model of the student's shapes."""
        set_zero(model, self.zeros)

    def cut_out(self) -> nn.Module:
        """Return the student without what is to be cut out; with masks, itself."""
        if isinstance(self._way, Masks):
            return self.student
        device = next(self.student.parameters()).device
        narrow: nn.Module = self._cut(self._way, self._copy(), self.removal)
        return narrow.to(device).eval()

    def facts(self, sparse: nn.Module) -> dict[str, Any]:
        """Return the steps, and what came of them: before the training and after."""
        told = (
            size_only(self._dense, sparse)
            if isinstance(self._way, Masks)
            else smaller(self._dense, sparse, self.signature, self.batches[0])
        )
        return {**told, "transform": self.use.kind, "before_batch": [step + 1 for step in self.at]}

    def state_dict(self) -> Mapping[str, Any]:
        """Return all that a training needs to go on."""
        return {"taken": self.taken, "removal": self.removal, "zeros": self.zeros}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.taken, self.removal, self.zeros = state["taken"], state["removal"], state["zeros"]
        self._hold()

    @property
    def _way(self) -> Masks | Cuts:
        way: Masks | Cuts = self.use.plugin.traits["in_steps"]
        return way

    def _hold(self) -> None:
        own = self.student.get_parameter
        self._held = [(own(name).detach(), where) for name, where in self.zeros.items()]
        self.hold()

    def _copy(self) -> nn.Module:
        return copy.deepcopy(self.student).cpu().eval()

    def _masks(self, way: Masks) -> Zeros:
        options = way.partly(self.use.options, self.share)
        if options is None:
            return {}
        prune = self.use.plugin.build(options)
        model = self._copy()
        sparse = prune(model, signature=self.signature, batches=self.batches)
        return masks_of(sparse, model, [*maskable(sparse, ())])

    def _cuts(self, way: Cuts) -> Zeros:
        model = self._copy()
        self.removal = group().as_first_says(self._chosen(way, model, self.share))
        return self._masked(way, model, self.removal)

    def _chosen(self, way: Cuts, model: nn.Module, share: float) -> dict[str, Any]:
        given = {"signature": self.signature, "batches": self.batches}
        chosen = way.choose(self.use.options, model, **given, share=share, before=self.removal)
        return {name: [*numbers] for name, numbers in chosen.items()}

    def _cut(self, way: Cuts, model: nn.Module, removal: Mapping[str, Any], **ready: Any) -> Any:
        given = {"signature": self.signature, "batches": self.batches}
        return way.cut(self.use.options, model, removal, **given, **ready)

    def _masked(self, way: Cuts, model: nn.Module, removal: Mapping[str, Any]) -> Zeros:
        return masks_by(lambda ready: self._cut(way, model, removal, ready=ready), model)

    @torch.no_grad()
    def _try_to_cut(self, way: Cuts) -> None:
        """Raise StageError unless zeros say the same as what is left when they are cut out."""
        with torch.enable_grad():
            removal = self._chosen(way, self._dense, 1.0)
            models = (
                zeroed(self._dense, self._masked(way, self._dense, removal)),
                self._cut(way, self._dense, removal),
            )
        masked, narrow = (call_by_name(m, self.signature, self.batches[0]) for m in models)
        for name, said in masked.items():
            limit = APART * float(said.abs().max())
            if not torch.allclose(said, narrow[name], rtol=0, atol=limit):
                raise StageError(
                    f"'{name}' changes when what is zero is cut out: something reads the zeros, as "
                    "a normalisation over channels does.",
                    "List those layers under exclude, or prune at once: a prune stage, then "
                    "distill.",
                )
