"""Another model's features, projected to the teacher's, under the teacher's own classifier.

The body of the model keeps what it has before it pools; a projector of three convolutions (of
vectors, linear layers) brings that to the teacher's width, and the teacher's mean over places and
linear layer make scores of it. Body, projector and classifier are one model, exported and trained
as such, but for the classifier: it is the teacher's before the first step and after the last. Tap
`projector` for what the teacher's last map is, and `body` for the student's own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from edgekd.core.config import PositiveCount
from edgekd.core.errors import StageError
from edgekd.core.kinds import model
from edgekd.core.refs import UseModel
from edgekd.core.registry import Paper
from edgekd.core.signature import Signature
from edgekd.models.inner import Around, check_inner, classifier_of, settled_around
from edgekd.ops.features import MAP, VECTOR

PAPER = Paper(
    "Distribution Shift Matters for Knowledge Distillation with Webly Collected Images",
    "2307.11469",
    "its classifier sharing",
)
SIMKD = Paper("Knowledge Distillation with the Reused Teacher Classifier", "2203.14001", "its head")
KERNEL = 3


class SharedClassifier(Around):
    """Whose body, and how wide the teacher's classifier is."""

    of: UseModel
    """The model whose body is taken, as `{kind: depthwise, width: 32}`: one that ends in a linear
    layer."""
    width: PositiveCount
    """Numbers that the teacher's classifier reads: the channels of its last map."""
    pool: str | None = "pool"
    """Path of the module in `of` that pools its last map, which makes way; null where it has a
    vector there."""
    factor: PositiveCount = 2
    """The projector is narrower than the teacher by this inside."""


def settle(config: SharedClassifier, module: nn.Module) -> SharedClassifier:
    """Return options that need no outside folder, where the body has such."""
    return settled_around(config, module.get_submodule("body"))


def adopt(config: SharedClassifier, module: nn.Module, teacher: nn.Module) -> None:
    """Copy the teacher's classifier; StageError where it is none of this width."""
    head = module.get_submodule("head")
    assert isinstance(head, nn.Linear)
    found = classifier_of(teacher, head.out_features)
    if found is None:
        raise StageError(
            f"the teacher ends in no linear layer that gives {head.out_features} classes.",
            "Take a teacher whose scores are linear in its pooled features.",
        )
    path, own = found
    if own.in_features != config.width:
        raise StageError(
            f"the teacher's classifier, {path}, reads {own.in_features} numbers, and width is "
            f"{config.width}.",
            f"Give shared_classifier width: {own.in_features}.",
        )
    with torch.no_grad():
        head.weight.copy_(own.weight)
        head.bias.zero_() if own.bias is None else head.bias.copy_(own.bias)


@model(
    config=SharedClassifier,
    paper=PAPER,
    also=(SIMKD,),
    settle=settle,
    check=check_inner,
    adopt=adopt,
)
def shared_classifier(config: SharedClassifier, signature: Signature) -> nn.Module:
    """Return the body, a projector, and a classifier that waits for the teacher's.

    ValueError where the task is of something else than one input and scores, or the body gives
    neither a map nor a vector.
    """
    outputs = [port.name for port in signature.outputs]
    if len(signature.inputs) > 1 or outputs != ["logits"]:
        raise ValueError("shared_classifier gives scores of classes for one input")
    classes = int(signature.outputs[0].shape[-1])
    body: nn.Module = config.of.build()(signature)
    found = classifier_of(body, classes)
    if found is None:
        raise ValueError(f"{config.of.kind} ends in no linear layer that gives {classes} classes")
    for path in (config.pool, found[0]):
        if path is not None:
            _make_way(body, path, config.of.kind)
    return Shared(body, _feature(body, signature), config, classes)


class Shared(nn.Module):
    """A body, what projects its features, and the teacher's classifier, which does not learn."""

    def __init__(self, body: nn.Module, own: Sequence[int], config: SharedClassifier, classes: int):
        super().__init__()
        is_map, inside = len(own) + 1 == MAP, -(-config.width // config.factor)
        self.body = body
        self.projector = nn.Sequential(
            *_layer(own[0], inside, 1, is_map=is_map),
            *_layer(inside, inside, KERNEL, is_map=is_map),
            *_layer(inside, config.width, 1, is_map=is_map),
        )
        flat = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.pool: nn.Module = flat if is_map else nn.Identity()
        self.head = nn.Linear(config.width, classes).requires_grad_(False)

    def forward(self, given: Tensor) -> Tensor:
        """Return the scores of the classes, [batch, classes]."""
        scores: Tensor = self.head(self.pool(self.projector(self.body(given))))
        return scores


def _layer(own: int, width: int, kernel: int, *, is_map: bool) -> Sequence[nn.Module]:
    """Return a linear map at each place, or of each and its neighbours, normed and activated."""
    if not is_map:
        return nn.Linear(own, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()
    conv = nn.Conv2d(own, width, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv, nn.BatchNorm2d(width), nn.ReLU()


def _make_way(body: nn.Module, path: str, kind: str) -> None:
    """Have a module pass on what it is given; ValueError where there is none."""
    if path not in dict(body.named_modules()):
        raise ValueError(f"{kind} has no module '{path}' that pools; give pool: its path, or null")
    body.set_submodule(path, nn.Identity())


def _feature(body: nn.Module, signature: Signature) -> Sequence[int]:
    """Return the shape of what the body gives for an example; nothing is computed."""
    state = {name: tensor.to("meta") for name, tensor in body.state_dict().items()}
    (port,) = signature.inputs
    given = torch.empty(port.concrete(batch=2), dtype=getattr(torch, port.dtype), device="meta")
    feature = functional_call(body, state, (given,), tie_weights=False)
    if feature.ndim not in (MAP, VECTOR):
        shape = list(feature.shape)[1:]
        raise ValueError(f"what is before its classifier is {shape}, neither a map nor a vector")
    return tuple(feature.shape[1:])
