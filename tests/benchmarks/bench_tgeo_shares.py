"""Which shares `tgeo` gives the teacher where it is wrong, where it is right, and of wrong labels.

    python -m tests.benchmarks.bench_tgeo_shares

Trains the students of pipelines/papers/tgeo.yaml, whose teacher is wrong on some classes, and
prints the mean share over the last epoch's outer steps, by seed: of examples of those classes, of
the others, and of those of them whose label is wrong.
"""

import tempfile
from pathlib import Path

import torch

from edgekd.core import kinds
from edgekd.core.refs import UseTask, as_read
from edgekd.objectives.logits.tgeo import TrilateralFusion
from edgekd.pipeline.document import read_document
from edgekd.testing.runs import ExampleRun

FILE = Path(__file__).parents[2] / "pipelines" / "papers" / "tgeo.yaml"
OF_PIPELINE = ("kind", "seeds", "controls")


def main() -> None:
    """Train and print."""
    made = read_document(FILE).value
    task = UseTask.model_validate(as_read(plain(made["task"]))).build()
    stages = {name: plain(made["stages"][name]) for name in ("teacher", "student")}
    (wrong,) = (set(use["classes"]) for use in stages["teacher"]["train"]["augment"])
    with tempfile.TemporaryDirectory() as folder:
        work(stages["teacher"], ExampleRun(Path(folder), task, "teacher"))
        for seed in range(made["stages"]["student"]["seeds"]):
            found: list[torch.Tensor] = []

            def note(_term, study, alpha, agrees, found=found):  # type: ignore[no-untyped-def]
                labels = study.batch["labels"]
                found.append(torch.stack((alpha, labels.float(), agrees.float())))

            TrilateralFusion._note = note  # type: ignore[method-assign]
            score = work(stages["student"], ExampleRun(Path(folder), task, f"s{seed}", seed))
            epoch = len(found) // stages["student"]["train"]["epochs"]
            alpha, labels, agrees = torch.cat(found[-epoch:], 1)
            bad = torch.isin(labels, torch.tensor([*wrong]).float())
            parts = {"wrong": bad, "right": ~bad, "label wrong": ~bad & (agrees == 0)}
            means = ", ".join(f"{name} {alpha[rows].mean():.2f}" for name, rows in parts.items())
            print(f"seed {seed}: test {score:.3f}; share where the teacher is {means}", flush=True)


def work(options, run):  # type: ignore[no-untyped-def]
    """Return the test score of a stage."""
    stage = kinds.stage.get(options["kind"])
    own = {name: value for name, value in options.items() if name not in OF_PIPELINE}
    return stage.build(stage.config.model_validate(as_read(own)))(run)["test"].value


def plain(value):  # type: ignore[no-untyped-def]
    """Return what a file says, in plain dicts and lists."""
    if hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    return [*map(plain, value)] if isinstance(value, list | tuple) else value


if __name__ == "__main__":
    main()
