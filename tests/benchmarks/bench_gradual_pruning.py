"""Does pruning in steps keep more than pruning at once, at the same budget and the same training?

    python tests/benchmarks/bench_gradual_pruning.py [--seeds 3] [--epochs 3]

A small ResNet learns a part of Fashion-MNIST from labels. Three ways to the same number of weights
or channels take as many epochs in all: trained, pruned at once and trained again; trained, and
pruned in steps while it is trained again; pruned in steps from the first epoch on, in one training.
Test accuracy of each seed, their mean, and what the model still has.
"""

import argparse
import resource
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import edgekd

TRANSFORMS = {
    "90 % of the weights": "{kind: magnitude, ratio: 0.9}",
    "half of the channels": "{kind: channels, ratio: 0.5, importance: activation, round_to: 2}",
}
TEXT = """\
name: gradual
seed: {seed}
threads: 1
task:
  kind: image_classification
  data: {{kind: fashion_mnist, validation: 1000}}
  train_examples: 4000
stages:
  dense: {{kind: distill, model: {model}, objective: [cross_entropy], train: {{epochs: {epochs}}}}}
  more: {{kind: distill, model: $dense, objective: [cross_entropy], train: {{epochs: {epochs}}}}}
"""
WAYS = """\
  cut_{n}: {{kind: prune, model: $dense, transform: {transform}}}
  once_{n}:
    {{kind: distill, model: $cut_{n}, objective: [cross_entropy], train: {{epochs: {epochs}}}}}
  steps_{n}:
    kind: distill
    model: $dense
    objective: [cross_entropy]
    prune: {{transform: {transform}}}
    train: {{epochs: {epochs}}}
  scratch_{n}:
    kind: distill
    model: {model}
    objective: [cross_entropy]
    prune: {{transform: {transform}}}
    train: {{epochs: {all_epochs}}}
"""
NAMES = {
    "once": "trained, at once, trained again",
    "steps": "trained, in steps while trained again",
    "scratch": "in steps in one training",
}


def pipeline(seed: int, epochs: int) -> str:
    """Return the pipeline of a seed."""
    given = {
        "epochs": epochs,
        "all_epochs": 2 * epochs,
        "model": "{kind: resnet, depth: 8, width: 8}",
    }
    text = TEXT.format(seed=seed, **given)
    for n, transform in enumerate(TRANSFORMS.values()):
        text += WAYS.format(n=n, transform=transform, **given)
    return text


def row(what: str, way: str, left: dict[str, Any], facts: list[dict[str, Any]]) -> str:
    """Return a row of the table, from the facts of a stage by seed and what says what is left."""
    found = [100 * f["test"]["value"] for f in facts]
    amount = f"{left['zeros']:.0%} zeros" if "zeros" in left else f"{left['parameters']:,}"
    each = ", ".join(f"{value:.1f}" for value in found)
    return f"| {what} | {way} | {amount} | {mean(found):.1f} | {each} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    asked = parser.parse_args()
    by_seed = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(asked.seeds):
            file = folder / f"gradual-{seed}.yaml"
            file.write_text(pipeline(seed, asked.epochs))
            by_seed.append(edgekd.run(file, store=folder / "store", runs=folder / "runs").facts)
    print("| what goes | way | left | accuracy, % | by seed |\n|---|---|---:|---:|---|")
    for stage, way in (("dense", "trained"), ("more", "trained twice")):
        found = [facts[stage] for facts in by_seed]
        print(row("nothing", way, found[0], found))
    for n, what in enumerate(TRANSFORMS):
        for stage, way in NAMES.items():
            found = [facts[f"{stage}_{n}"] for facts in by_seed]
            left = by_seed[0][f"cut_{n}"] if stage == "once" else found[0]["pruning"]
            print(row(what, way, left, found))
    used = sum(resource.getrusage(who).ru_utime for who in (0, -1))
    print(f"\n{used / 60:.1f} CPU-minutes")


if __name__ == "__main__":
    main()
