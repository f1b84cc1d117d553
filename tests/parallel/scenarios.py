"""What several processes do in these tests; alone, the same by one. Called as a program, by rank.

python scenarios.py FOLDER [SIZE RANK PORT]
"""

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.distributed import TCPStore

from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.core.kinds import objective
from edgekd.core.refs import UseObjective, UseSelect, UseTask
from edgekd.parallel.crew import joined
from edgekd.parallel.group import group
from edgekd.parallel.norms import norms_of_all
from edgekd.testing.runs import ExampleRun
from edgekd.train import evaluate as scoring
from edgekd.train.gradual import Gradual
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.peer import Peer
from edgekd.train.teaching import Online
from edgekd.train.terms import Terms
from edgekd.train.views import Views

CPU = torch.device("cpu")
EXAMPLES, BATCH = 130, 32
"""The last batch has 2: fewer than there are processes."""
TASK = UseTask.model_validate(
    {"kind": "image_classification", "data": "digits", "train_examples": EXAMPLES}
)
PRUNED = {
    "transform": {"kind": "channels", "ratio": 0.5, "round_to": 1, "importance": "taylor"},
    "steps": 2,
    "examples": 64,
}
CONTRAST = {"kind": "crd", "negatives": 20, "tap": {"student": "body.2", "teacher": "body.2"}}
NORM_SHAPES = {"pictures": (10, 3, 4, 5), "vectors": (7, 5), "sound": (8, 4, 6)}


class Network(nn.Module):
    """Computes in float64, so that what is left of a difference is hardly rounding."""

    def __init__(self, *, norms=True):
        super().__init__()
        torch.manual_seed(0)
        first, second = nn.BatchNorm2d(6), nn.BatchNorm2d(8, momentum=None)
        self.body = nn.Sequential(
            nn.Sequential(nn.Conv2d(1, 6, 3, 2, 1), first if norms else nn.Identity(), nn.Tanh()),
            nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), second if norms else nn.Identity(), nn.Tanh()),
            nn.Flatten(),
            nn.Linear(32, 10),
        )
        self.apart = nn.Linear(3, 3)  # no output rests on it
        self.double()

    def forward(self, x):
        return self.body(x.double())


class Spoilt(Network):
    """Gives no number for one picture."""

    def forward(self, x):
        task = TASK.build()
        wanted = next(task.batches("train", EXAMPLES, device=CPU))["image"][17]
        seen = (x == wanted).flatten(1).all(1)
        return torch.where(seen[:, None], torch.nan, super().forward(x))


@objective(name="projected")
class Projected(nn.Module):
    """A term that learns something of its own, behind a norm of its own."""

    def __init__(self, config):
        super().__init__()
        torch.manual_seed(3)
        self.own = nn.Sequential(nn.Linear(10, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 10))

    def forward(self, *, student_logits, labels):
        return nn.functional.cross_entropy(self.own(student_logits), labels, reduction="none")


@objective(name="centred")
class Centred(nn.Module):
    """A term with a projector for the shapes at hand and the teacher's mean over all examples."""

    def __init__(self, config):
        super().__init__()

    def prepare(self, setting):
        own, wanted = (setting.shapes[f"{who}_logits"][0] for who in ("student", "teacher"))
        self.own = nn.Sequential(nn.Linear(own, 6), nn.BatchNorm1d(6), nn.Linear(6, wanted))
        self.register_buffer("mean", torch.zeros(wanted))

    def fit(self, batches):
        every = torch.cat([signals["teacher_logits"] for signals in batches])
        assert len(every) == EXAMPLES
        self.mean.copy_(every.mean(0))

    def forward(self, *, student_logits, teacher_logits):
        return (self.own(student_logits) - self.mean).square().mean(1)


@objective(name="weighed", held_out=True)
class Weighed(nn.Module):
    """A term with a factor that learns by what a step would do to held-out examples."""

    def __init__(self, config):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(10, dtype=torch.float64))

    def own_optimizer(self):
        return torch.optim.SGD([self.factor], lr=0.5)

    def forward(self, *, student_logits, labels):
        losses = nn.functional.cross_entropy(student_logits, labels, reduction="none")
        return losses * self.factor.detach()[labels]

    def after_step(self, study):
        own = {name: p.clone().requires_grad_() for name, p in study.parameters.items()}
        labels, given = study.batch["labels"], study.student(study.batch, own)["logits"].double()
        losses = nn.functional.cross_entropy(given, labels, reduction="none")
        loss, used = (losses * self.factor[labels]).mean(), [n for n in own if "apart" not in n]
        slopes = torch.autograd.grad(loss, [own[n] for n in used], create_graph=True)
        moved = {n: own[n] - 0.1 * slope for n, slope in zip(used, slopes, strict=True)}
        held = study.held_out()
        scores = study.student(held, moved)["logits"].double()
        study.learn(nn.functional.cross_entropy(scores, held["labels"]))


def teacher_of(term):
    signature = TASK.build().signature()
    if term == "bdkd":
        return {"teacher": Peer(Network(), signature, ())}
    taps = ("body.2",) if term == CONTRAST else ()
    known = {"teacher": Online(Network(), signature, taps, TASK.build(), CPU)}
    return known if term in ("centred", "kd", CONTRAST) else {}


def lesson(folder, *, student=None, name="example", stops=lambda: False, **options):
    term, prune = options.pop("term", "cross_entropy"), options.pop("prune", None)
    own = {"epochs": 2, "batch_size": BATCH, "optimizer": "sgd", "learning_rate": 0.02}
    return Lesson(
        run=ExampleRun(folder, TASK.build(), name=name, stops=stops),
        student=student or Network(),
        teachers=teacher_of(term),
        terms=Terms([UseObjective.model_validate(term)]),
        options=Train(**own | options),
        views=Views(0),
        prune=prune,
    )


def tensors_of(trained, module):
    return {f"{trained}/{name}": value.clone() for name, value in module.state_dict().items()}


def telling():
    own = group()
    rows = torch.arange(3.0)[: own.rank + 1] + 10 * own.rank
    mean, weight = own.mean({"a": torch.tensor(float(own.rank))}, 1 + own.rank)
    return {
        "sum": own.total(torch.tensor([1.0, own.rank])).tolist(),
        "gathered": own.gathered(rows).tolist(),
        "said": own.as_first_says({"from": own.rank}),
        "decided": own.decided(own.rank == 0, own.rank == 1),
        "mean": float(mean["a"]),
        "weight": float(weight),
    }


def norms():
    """Return what a norm gives this process for its part of x, the slopes, and what it keeps."""
    found = {}
    for name, shape in NORM_SHAPES.items():
        kind = {4: nn.BatchNorm2d, 2: nn.BatchNorm1d, 3: nn.BatchNorm1d}[len(shape)]
        norm, (x, factor) = kind(shape[1]).double(), inputs(shape)
        with torch.no_grad():
            norm.weight.copy_(torch.arange(1.0, shape[1] + 1))
        own = torch.tensor_split(x, group().size)[group().rank].clone().requires_grad_()
        with norms_of_all(norm):
            out = norm(own)
            (out * torch.tensor_split(factor, group().size)[group().rank]).sum().backward()
        found[f"{name}/out"] = group().gathered(out.detach())
        found[f"{name}/slope"] = group().gathered(own.grad)
        found[f"{name}/weight"] = group().total(norm.weight.grad)
        found[f"{name}/bias"] = group().total(norm.bias.grad)
        found |= {f"{name}/{n}": value.clone() for n, value in norm.named_buffers()}
    return found | {"half/slope": halved()}


def halved():
    """Return the slopes of a norm in bfloat16 where all slopes are much alike."""
    x, factor = (t.bfloat16() for t in inputs((66, 4, 8, 8)))
    norm, part = nn.BatchNorm2d(4), group().rank
    own = torch.tensor_split(x, group().size)[part].clone().requires_grad_()
    with norms_of_all(norm):
        (norm(own) * torch.tensor_split(factor + 10, group().size)[part]).sum().backward()
    return group().gathered(own.grad.float())


def inputs(shape):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=rng, dtype=torch.float64) * 3 + 1
    return x, torch.randn(shape, generator=rng, dtype=torch.float64)


def trainings(folder):
    numbers, tensors = {}, {}
    every = {"plain": {}, "clipped": {"clip_norm": 0.1, "ema": 0.9}, "in_parts": {"accumulate": 2}}
    every["recomputed"] = {"activation_checkpointing": True}
    every["projected"] = {"term": "projected"}
    every["fitted"] = {"term": "centred"}
    every["contrasted"] = {"term": CONTRAST}
    every["weighed"] = {"term": "weighed"}
    every["with_peer"] = {"term": "bdkd"}
    choice = UseSelect.model_validate("blended_confidence")
    every["selected"] = {"term": "kd", "select": choice, "learning_rate": 0.005}
    every["pruned"] = {"prune": Gradual.model_validate(PRUNED), "ema": 0.9}
    for name, options in every.items():
        # a norm sees one part of a batch at a time, and several processes cut it in other parts
        student = Network(norms="accumulate" not in options)
        taught = lesson(folder / name, student=student, **options)
        numbers[name] = train(taught).history["epochs"]
        tensors |= tensors_of(name, taught.student) | tensors_of(f"{name}/term", taught.terms)
        for peer in taught.peers.values():
            tensors |= tensors_of("peer", peer.network)
    tensors |= tensors_of("untrained", Network())
    scoring.BATCH = 64  # the last of 449 examples is then a batch that all have
    numbers["score"] = scoring.evaluate(taught.student, taught.run.task, "test", CPU).as_dict()
    return numbers, tensors


def resumed(folder):
    """Train until a step, then again as if the program were started anew."""
    steps = iter([False] * 6 + [True] * 99)
    try:
        train(lesson(folder, name="cut", stops=lambda: next(steps)))
    except RunInterruptedError as error:
        said = str(error)
    again = lesson(folder, name="cut")
    history = train(again).history["epochs"]
    return {"said": said, "epochs": history, "notices": again.run.notices}, tensors_of(
        "resumed", again.student
    )


class Deep(nn.Module):
    """A teacher in blocks, one of them a norm."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        blocks = [nn.Sequential(nn.Linear(64, 64), nn.Tanh()) for _ in range(3)]
        self.blocks = nn.ModuleList([nn.Flatten(), *blocks, nn.BatchNorm1d(64)])
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def asked_of_a_part():
    """Return what whole and divided teachers say of own batches, and how much of each is here."""
    task = TASK.build()
    whole, parts = (
        Online(Deep(), task.signature(), ("blocks.1",), task, CPU, shard=shard)
        for shard in (False, True)
    )
    batch = next(task.batches("train", 12, device=CPU, part=group().part))
    first, second = whole(batch, 0), parts(batch, 0)
    here = [sum(p.numel() for p in m.parameters()) for m in (whole.module, parts.module)]
    own = sum(getattr(p, "to_local", lambda p=p: p)().numel() for p in parts.module.parameters())
    same = torch.equal(first.outputs["logits"], second.outputs["logits"])
    tapped = torch.equal(first.features["blocks.1"], second.features["blocks.1"])
    return {"same": same and tapped, "all": here[0], "here": own}


def spoilt(folder):
    taught = lesson(folder, student=Spoilt(), name="spoilt")
    try:
        train(taught)
    except StageError as error:
        message, _, written = error.message.partition(";")
        return {"message": message, "written": written}


def main(folder, size=1, rank=0, port=0):
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    together = nullcontext()
    if size > 1:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        store = TCPStore("127.0.0.1", port, size, False)
        together = joined(store, 0, rank, size, "cpu")
    with together:
        numbers, tensors = trainings(folder)
        after, more = resumed(folder)
        own = {
            "telling": telling(),
            "resumed": after,
            "spoilt": spoilt(folder),
            "parts": asked_of_a_part(),
        }
        tensors |= more | norms()
        save_file({n: t.contiguous() for n, t in tensors.items()}, folder / f"{rank}.safetensors")
        (folder / f"{rank}.json").write_text(json.dumps(numbers | own))
        group().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
