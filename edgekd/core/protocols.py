"""What each kind of plug-in must do.

Kinds not named here are plain functions: an objective or measure takes its options and, by keyword,
the signals that it asks for, and returns one value per example; a model takes `(options,
signature)` and returns an `nn.Module`; an augmentation takes `(options, batch, draws)` and returns
a batch, with no chance but that of `draws` (`ops.draws.Draws`); a select takes `(options, draws)`
and, by keyword, the signals of all training examples that it asks for, and returns what an epoch
uses of them (`Chosen`); a transform takes `(options, model,
*, signature, batches)` and returns a model; a stage takes `(options, run)` and returns facts. A
stage registers with what it `makes` and, where something can be told before it runs, a
`check(options, preview)` that yields problems with paths relative to the stage, an
`estimate(options, preview)` that returns what it `Needs`, `remarks(options, preview)` that yields
what a plan shall say of it, and `implies(options, preview)` that yields stages to stand between it
and one that it reads (`core.refs.Implied`). One that is worth comparing registers
`controls(options)`: what it must beat, options by name. One that trains, or in which quality
decides, registers `rehearse(options, run)`: what it is asked of weights that are not trained
(`core.rehearsal`). One that times programs registers `measures=True`, or a function of its options
that tells: its result belongs to the machine. One with `shared=True` is called in every process of
the run (`edgekd run --nproc`); `parallel.group` says which one this is. An augmentation may
register a `check(options, task)`, `changes="image"` where it needs that input, `mixes=True` where
it makes one example of two (`ops.mixing` says how it tells), and `each=True` where it changes every
example on its own, whatever stands beside it in the batch: then what a teacher says of the examples
can be kept. One that leaves the examples and makes a second view of them (`ops.mixing.SECOND`)
registers `second_view(options)`, which tells whether it does. An objective for which that is not
legal registers `kept=False`; one that takes `labels` of mixed examples registers
`mixed_labels=True`, and one that is to be given examples without a label, too, `unlabelled=True`:
their label is -1; one that looks at a signal of the student without teaching by it names it,
`only_weighs=("student_logits",)`. It may register `tells={name: function}`, numbers per example
whose mean stands in the history beside the loss: each function is given its options (of an
`nn.Module`, that) and its signals. An objective that is an `nn.Module` may make parts for the
shapes at hand (`Prepares`), and may see the teacher over all training examples before the first
step (`Fits`). It and an augmentation may learn after each step by something else than the loss
(`Learns`); one that registers `held_out=True` is given training examples that nothing else learns
from, an augmentation that asks the teacher registers `teacher=True`.

A model may register `adopt(options, module, teacher)`, which copies parts of a teacher into a new
module, also where neither has memory, and raises StageError where they do not fit: it is built by
stages with a teacher alone. It may register `calibrate(options, module, signature, batches)`: what
it sets by itself on the validation split when training is over; it returns facts.

A transport may register `check(options)`, which yields problems before anything runs.

A measure that relates examples to each other registers `together=True`: it is given those of a
whole split at once, and may return a value for some of them only.

An objective or augmentation that keeps state from step to step is an `nn.Module`, or has
`state_dict()` and `load_state_dict(state)`: numbers, texts, tensors and arrays in dicts, lists and
tuples. A training that was interrupted gives it back; state kept elsewhere is lost.

A source may also have `check()`, which yields problems before anything is read, `count(split)`,
its number of examples, `names(split)`, how people find each, and `open(split)`, which returns
`Rows`: with it examples can be read as they are asked for, where they do not fit in memory. Both
ways must give the same examples under the same numbers. A task may have `check()`;
`audit()`, which reads all splits, raises RequestError where they are no use and returns what is
likely a mistake in them; `columns`, what its batches carry besides a model's inputs, by the names
of signals (without it: `labels` and `ids`); `expected_size(split)` and `expected_bytes()`, None
where not told; `companions()`, files that must travel with an artifact, as a tokenizer: their
content by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

from edgekd.core.artifact import Manifest
from edgekd.core.checkpoint import Checkpoint
from edgekd.core.config import Config
from edgekd.core.member import Member
from edgekd.core.needs import Hands
from edgekd.core.refs import Ref, UseModel, UseTransform
from edgekd.core.signature import Signature
from edgekd.core.study import Study

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

Split = Literal["train", "validation", "test"]
Batch: TypeAlias = "dict[str, Tensor]"
"""Model inputs by the names of the signature, and columns such as `labels` and `ids`."""
Arrays: TypeAlias = "Mapping[str, np.ndarray[Any, np.dtype[Any]]]"
Signals: TypeAlias = "Mapping[str, Tensor]"
"""What a plug-in asked for of some examples, by the names of `core.signals`."""
Facts: TypeAlias = Mapping[str, Any]
"""What a stage found out, as JSON values and `Quantity`s. `says` is a phrase about the result
for people ('ResNet-9, 117 k parameters'), `result` the one number that matters."""


@runtime_checkable
class Source(Protocol):
    """Examples from somewhere, in three splits that share no example."""

    labels: Sequence[str]
    """Names of the classes, in order."""
    shapes: Mapping[str, tuple[int, ...]]
    """Shape of one example of each column, known before anything is loaded."""

    def files(self) -> Sequence[Path]:
        """Return every file or folder that is read; MissingData says what is absent."""

    def load(self, split: Split) -> Arrays:
        """Return columns by name, all with the same first dimension."""


@runtime_checkable
class Rows(Protocol):
    """Examples of one split of a source, read as they are asked for; processes may share them.

    It holds little: what is read is not kept.
    """

    decodes: bool
    """Whether reading is work for a processor, which other processes then do ahead."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def read(self, numbers: np.ndarray[Any, np.dtype[np.int64]]) -> Arrays:
        """Return the columns of these examples, in their order, as `Source.load` would.

        UnreadableError says why for each that cannot be read.
        """


@runtime_checkable
class Task(Protocol):
    """What a batch is and what counts as quality."""

    quality: Sequence[str]
    """Measures that score a model; the first is what training selects by. Where that one compares
    with a teacher, as `agreement` does, models are scored against what they were made from, and
    none can be trained."""

    def signature(self) -> Signature:
        """Return what a model of this task takes and gives."""

    def files(self) -> Sequence[Path]:
        """Return every file or folder that the task's data is read from."""

    def facts(self) -> Facts:
        """Return what must travel with an artifact: `labels` and `preprocessing`."""

    def size(self, split: Split) -> int:
        """Return the number of examples."""

    def batches(
        self,
        split: Split,
        batch_size: int,
        *,
        device: torch.device,
        rng: torch.Generator | None = None,
        part: tuple[int, int] = (0, 1),
        start: int = 0,
    ) -> Iterator[Batch]:
        """Yield the split once, shuffled where `rng` is given, the last batch maybe smaller.

        A batch has the signature's inputs, `labels` and `ids`. Outputs of a model are signals by
        their name in the signature: `logits` becomes `student_logits`.

        `part` is (which, of how many), for processes that train together: order and bounds of the
        batches and what is drawn of `rng` are those of the whole, but of each batch only that one
        of so many parts is read and given. The parts follow one another in the batch, their sizes
        differ by at most one, the first are the larger; a batch with fewer examples than parts is
        given whole to each. Batches before number `start` are not read at all, for a training that
        goes on in the middle of a pass. `ops.batches.batch_ids` does all this to the ids. No chance
        is drawn but that of `rng`.

        A task may take `among`, int64 ids: the pass has as many batches as ever, of these examples
        alone, all of them before any comes again. Without it `train.select` is refused.
        """


@dataclass(frozen=True)
class Setting:
    """What an objective meets in a training, told once before the first step."""

    shapes: Mapping[str, tuple[int, ...]]
    """Of one example of each signal that it asks for, without the batch."""
    examples: int
    """Of the training split; all `ids` are below it."""
    classes: Sequence[str]
    """Names of the classes, in the order of `labels`; none where there are no labels."""


@runtime_checkable
class Prepares(Protocol):
    """An objective that has parts for the shapes at hand, as a projector from one to another."""

    def prepare(self, setting: Setting) -> None:
        """Make the parts: modules and buffers of its own, which learn and are kept with it.

        Called on a CPU under a seed of the stage and the term, before the optimizer is made and a
        checkpoint is read. StageError where it cannot work on such shapes.
        """


@runtime_checkable
class Fits(Protocol):
    """An objective that learns something of the teacher over all training examples."""

    def fit(self, batches: Iterable[Signals]) -> None:
        """Look at every training example once, and keep what was found in buffers of its own.

        The batches come as they are asked for, with the signals that the objective asks for but
        the student's, of examples that nothing has changed, in an order that must not matter.
        Called after `prepare`, not in a training that goes on from where that was done. StageError
        where the examples are not enough.
        """


@dataclass(frozen=True)
class Chosen:
    """Which training examples an epoch uses."""

    kept: Tensor
    """A mark on each, bool [examples]."""
    facts: Facts = field(default_factory=dict)
    """What the history says of it."""


@runtime_checkable
class HandsOn(Protocol):
    """An objective that puts something of what it found into the student, which keeps it."""

    def hand_on(self, student: nn.Module) -> None:
        """Set buffers of the student, before the first step; StageError where it has no room.

        Called after `prepare` and `fit`, and again in a training that goes on, with the same.
        """


@runtime_checkable
class Learns(Protocol):
    """An objective or augmentation that also learns by something else than the loss.

    It is an `nn.Module`; `prepare` (`Prepares`) makes its parts, of an augmentation for the inputs.
    """

    def own_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimizer of these parts, which that of the loss leaves alone.

        Called once, when they are on the device. Its state is kept in checkpoints.
        """

    def after_step(self, study: Study) -> None:
        """Learn from a step of the training that is over, by `study.learn`; often, or not at all.

        All processes do the same. What is drawn of torch's generators is drawn by a seed of the
        step, and leaves no trace in the training.
        """


@runtime_checkable
class Runtime(Protocol):
    """Makes a program file of a model, and runs one here for checking (never for timing)."""

    suffix: str
    """Ending of its program files: `.onnx`."""
    runner: str
    """File in `targets/runners/` that loads such a program on a device."""

    def export(
        self,
        model: nn.Module,
        *,
        signature: Signature,
        samples: Batch,
        metadata: Mapping[str, str],
        quantization: UseTransform | None,
        calibration: Sequence[Batch],
        activation: Literal["uint8", "int8"],
        out: Path,
    ) -> Facts:
        """Write the program to `out` (with `suffix`), external data beside it; return facts."""

    def open(self, program: Path) -> Callable[[Arrays], Arrays]:
        """Return a function from inputs to outputs, both by name."""

    # Optional: `inside(program, model, *, signature, samples, quantization, calibration)` returns
    # `runtimes.insides.Insides`, for programs that depart from their model to name the layer;
    # `traced_rows` and `try_export(module, inputs)`, which raises what the exporter raises, for
    # models that cannot be exported to name the module (and raise `trace.CannotExportError`).


@runtime_checkable
class Transport(Protocol):
    """The way to a device."""

    python: str | None
    """The Python interpreter there, None where there is none."""
    told: Callable[[str], None]
    """Is told for whom one must wait, where another run has the device."""

    def push(self, local: Path) -> str:
        """Copy a file to the device's working folder; return its path there."""

    def run(self, command: Sequence[str]) -> str:
        """Run a command there and return what it printed; raise StageError where it fails."""

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file back."""


@dataclass(frozen=True)
class Origin:
    """The request that a run answers, for its report."""

    name: str
    file: str
    text: str
    """The pipeline file as written."""
    sets: Sequence[str]
    """Overrides of the command line, `path=value`."""
    command: str
    """What repeats the run."""
    started_at: str = ""
    """ISO 8601, UTC: results older than this were kept from an earlier run."""
    members: Mapping[str, Member] = field(default_factory=dict)
    """The stages that were made from one of the file with others, in the pipeline's order."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why stages of these have no result."""


@dataclass(frozen=True)
class Ancestor:
    """A stage that this one depends on, directly or not."""

    folder: Path
    manifest: Manifest


@runtime_checkable
class Preview(Protocol):
    """What a stage's `check` may look at before anything runs."""

    @property
    def task(self) -> Task:
        """The task, whose data may not have been read yet."""

    @property
    def targets(self) -> Mapping[str, Mapping[str, Any]]:
        """The target files that stages name, as read."""

    @property
    def hands(self) -> Hands:
        """The processes that work together on a stage that is shared."""

    def model(self, ref: Ref) -> UseModel | None:
        """Return the definition of the model that a stage will make, where it is known."""

    def options(self, ref: Ref) -> Config | None:
        """Return the options of the stage that a reference leads to, where they are known."""

    def runtime(self, ref: Ref) -> str | None:
        """Return the runtime of the program that a reference leads to, where it is known."""

    def makes(self, ref: Ref) -> str | None:
        """Return the kind of result that a reference leads to, where its stage is known."""

    def kind(self, ref: Ref) -> str | None:
        """Return the kind of the stage that a reference leads to, where it is known."""

    def transform(self, ref: Ref) -> UseTransform | None:
        """Return the transform of the stage that a reference leads to, where it has one."""


@runtime_checkable
class Run(Protocol):
    """What a stage may use: its folders, its chance, its device. Nothing else of the run."""

    name: str
    """The stage's name in the file."""
    out: Path
    """The empty folder to fill."""
    seed: int
    device: str
    """`cpu` or `cuda`, for `torch.device`."""
    task: Task
    ancestors: Mapping[str, Ancestor]
    """All results that this one rests on, by stage name, in the order of the pipeline."""
    origin: Origin
    targets: Mapping[str, Mapping[str, Any]]
    """The target files that the stage names, as read."""
    unfinished: Path
    """A folder for what an interrupted run of this very stage should not do twice: checkpoints,
    measurements taken so far. It outlives the run; what a stage finds there it made itself, from
    the same options, inputs and code, but perhaps only half. Gone once the result is there."""
    checkpoint: Checkpoint
    """How often to write there."""

    def stop_asked(self) -> bool:
        """Tell whether the user or the system asked the run to end.

        A stage that registers with `stops=True` asks after every step, writes down its state and
        raises RunInterruptedError. Any other stage is interrupted where it stands.
        """

    def notice(self, message: str) -> None:
        """Tell the user something that is likely a mistake but lets the stage go on."""

    def input(self, ref: Ref) -> Path:
        """Return the folder of another stage's result."""

    def progress(self, done: int, total: int, what: str, **numbers: float) -> None:
        """Say how far the stage is; few of many calls are passed on.

        `numbers` are shown beside the bar, but for those with a `/` in their name: they are for
        trackers alone, as are `step/loss` and `step/terms/kd`.
        """

    def epoch(self, entry: Mapping[str, Any]) -> None:
        """Tell what an epoch of a training came to, as its history has it; all are passed on."""
