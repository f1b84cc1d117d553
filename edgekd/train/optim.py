"""Optimizer and learning-rate schedule."""

import math
from collections.abc import Iterable
from typing import Literal

from torch import nn, optim

from edgekd.core.config import Config, Decay, NonNegative, Positive, PositiveCount, Share
from edgekd.core.refs import LabelledOrRef, UseAugment, UseSelect
from edgekd.train.precision import Wanted

NO_RATE = 1e-12
"""A learning rate that leaves weights in float32 as they are."""


class Train(Config):
    """How a model is trained."""

    epochs: PositiveCount = 10
    """Passes over the training split."""
    batch_size: PositiveCount = 64
    """Examples in one step."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """SGD with Nesterov momentum, or AdamW."""
    learning_rate: Positive = 0.003
    """Highest learning rate of the schedule."""
    momentum: Decay = 0.9
    """Momentum of SGD; AdamW's first beta."""
    beta2: Decay = 0.999
    """AdamW's second beta: what its average of squared gradients keeps of itself; 0.95 is usual
    where transformers are pre-trained."""
    weight_decay: NonNegative = 0.0005
    """Not applied to biases and normalisation."""
    schedule: Literal["constant", "cosine", "one_cycle"] = "cosine"
    """How the learning rate moves over all steps; one_cycle rises over the first 30 %."""
    warmup: Share = 0.05
    """Share of all steps in which the rate rises from zero; one_cycle has its own rise."""
    clip_norm: Positive | None = None
    """Largest norm of the gradient."""
    accumulate: PositiveCount = 1
    """Parts that a batch is computed in, one after the other: less memory for the same step.
    Batch normalisation, and objectives that relate examples, see one part at a time."""
    ema: Share | None = None
    """What an average of the weights keeps of itself in each step, 0.999 say; it is then what is
    scored and handed on."""
    precision: Wanted = "float32"
    """What the student, and a teacher that looks at every batch, multiply in. auto: bfloat16 where
    the device is made for it and it gives the same losses and gradients in a trial."""
    compile: bool = False
    """Compile the student's step: some seconds once, a tenth faster from then on. Not with taps."""
    activation_checkpointing: bool = False
    """Compute what is inside the student's blocks again for the gradient instead of keeping it:
    less memory, a third more time, the same result. Not with compile."""
    freeze: tuple[str, ...] = ()
    """Module paths of the model whose weights and batch norms stay as they are."""
    labelled: LabelledOrRef | None = None
    """Learn from the labels of this many training examples only, drawn by chance under the seed of
    the stage, or of those that a `select` stage chose, `$picked`; of the others, terms that ask for
    labels see nothing. All have theirs without it."""
    labelled_share: Share = 0.5
    """With `labelled`: the share of each batch that is drawn anew among the labelled examples, in
    the place of others, so that few labels are seen often; 0 leaves batches as they come."""
    held_out: PositiveCount | None = None
    """Training examples, drawn under the seed of the stage, that terms and augmentations learn from
    that ask for such, as `tgeo`, and nothing else; without it a tenth, at most 1,000. Where none
    asks, none are held out."""
    patience: PositiveCount | None = None
    """Stop after this many epochs without a better validation score."""
    select: UseSelect | None = None
    """Which training examples an epoch uses, chosen before each by what student and teacher say of
    all of them, unchanged. It has as many steps as ever: those that are kept come again."""
    augment: tuple[UseAugment, ...] = ()
    """Seeded changes to each training batch, in order."""


def only_timed(options: Train) -> Train:
    """Return the options of a training that is timed: one pass, which moves no weight to speak of.

    So nothing can diverge that would not diverge at once, and what comes out is untrained. Nothing
    is chosen: by networks that are not trained nobody may be kept.
    """
    changes = {"epochs": 1, "patience": None, "learning_rate": NO_RATE, "select": None}
    return options.model_copy(update=changes)


def make_optimizer(
    options: Train, modules: Iterable[nn.Module], others: Iterable[optim.Optimizer] = ()
) -> optim.Optimizer:
    """Return the optimizer over all parameters that learn, but those that others move."""
    taken = {id(p) for other in others for group in other.param_groups for p in group["params"]}
    every = [p for m in modules for p in m.parameters() if p.requires_grad]
    parameters = [p for p in every if id(p) not in taken]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if options.optimizer == "sgd":
        return optim.SGD(
            groups,
            lr=options.learning_rate,
            momentum=options.momentum,
            nesterov=options.momentum > 0,
            fused=True,
        )
    betas = (options.momentum, options.beta2)
    return optim.AdamW(groups, lr=options.learning_rate, betas=betas, fused=True)


def make_schedule(
    options: Train, optimizer: optim.Optimizer, steps: int
) -> optim.lr_scheduler.LambdaLR:
    """Return a schedule that is stepped once per optimizer step, over `steps` of them."""
    rise = 0.3 if options.schedule == "one_cycle" else options.warmup
    rising = rise * steps

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        if options.schedule == "constant":
            return 1.0
        done = (step - rising) / max(1.0, steps - rising)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return optim.lr_scheduler.LambdaLR(optimizer, factor)
