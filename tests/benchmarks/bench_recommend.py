"""Whether `edgekd recommend` takes the best loss, or one that cannot be told from it.

    python -m tests.benchmarks.bench_recommend [--repeats 10] [--seeds 5] [--budget N] [--jobs N]

Fashion-MNIST with a tenth of the pictures. First every loss learns as long as the file says under
the same seeds: the exhaustive run. Then the command is given the file under other seeds, again and
again. What it takes is *as good* where a paired t-test over the exhaustive run's scores of the test
split does not show the best of them to be higher (Holm over all losses, p < 0.05). What the store
keeps is not made again. An hour and a half of one core at ten repeats.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import edgekd
from edgekd.ops.paired import holm, paired_t
from edgekd.pipeline.outcome import RunResult
from edgekd.recommend.subject import losses_of, read_subject

TEXT = """\
name: a-tenth
seed: 0
threads: 1
task: {{kind: image_classification, data: {data}, train_examples: {examples}}}
stages:
  teacher:
    kind: teacher
    model: {{kind: resnet, depth: 8, width: 32, stem_stride: 2}}
    train: {{epochs: 20, batch_size: 64, optimizer: sgd, learning_rate: 0.1, schedule: one_cycle,
            augment: [flip, {{kind: crop, padding: 2}}]}}
  student:
    kind: distill
    seed: {seed}
    teacher: $teacher
    model: {{kind: depthwise, width: 16, blocks: [1, 2, 2], stem_stride: 2}}
    objective: [cross_entropy, kd]
    train: {{epochs: {epochs}, batch_size: 64, optimizer: sgd, learning_rate: 0.1,
            schedule: one_cycle, clip_norm: 5.0}}
"""
FASHION = {"data": "fashion_mnist", "examples": 5500}
EXHAUSTIVE_SEED, APART = 10_000, 100
"""Of the exhaustive run, and between two repeats: no training is in both."""
Scores = Mapping[str, Mapping[int, float]]


def main() -> None:
    """Run all, and print what each repeat took and how many are as good as the best."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("bench-recommend"))
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--budget", type=int, help="epochs; else what the command takes by itself")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--digits", action="store_true", help="300 digits instead: minutes")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    scores = exhaustive(asked)
    best = max(scores, key=lambda words: _mean(scores[words]))
    good = as_good(scores, best)
    for words in sorted(scores, key=lambda words: -_mean(scores[words])):
        print(f"{100 * _mean(scores[words]):.2f} % {'=' if words in good else '<'} {words}")
    hits = 0
    for repeat in range(1, asked.repeats + 1):
        taken = recommended(asked, repeat)
        hits += taken["loss"] in good
        verdict = "as good as the best" if taken["loss"] in good else "worse than the best"
        print(f"repeat {repeat}: {taken['method']}, {taken['loss']}: {verdict}", flush=True)
    print(f"{hits} of {asked.repeats} took the best, or one that cannot be told from it.")


def exhaustive(asked: argparse.Namespace) -> Scores:
    """Return the test scores of every loss by seed, all trained as long as the file says."""
    subject = read_subject(_file(asked, "exhaustive", EXHAUSTIVE_SEED), None)
    tried = losses_of(subject, ()).candidates
    made = edgekd.run(
        subject.file,
        sets=subject.sets(tried, subject.epochs, subject.seed, asked.seeds),
        until=subject.stage,
        store=asked.folder / "store",
        runs=asked.folder / "runs",
        jobs=asked.jobs,
        listener=lambda _: None,
    )
    return {
        one.words: scores
        for number, one in enumerate(tried, 1)
        if (scores := _scores(f"{subject.stage}.{number}", made))
    }


def _scores(name: str, made: RunResult) -> dict[int, float]:
    return {
        stage.seed: made.facts[stage.name]["test"]["value"]
        for stage in made.resolved.stages
        if stage.name in made.facts and stage.name.partition(".seed-")[0] == name
    }


def as_good(scores: Scores, best: str) -> set[str]:
    """Return the losses that the best is not shown to be higher than, itself included."""
    ps = {}
    for words, own in scores.items():
        seeds = [seed for seed in own if seed in scores[best]]
        test = paired_t([scores[best][s] for s in seeds], [own[s] for s in seeds])
        if words != best and test.p is not None:
            ps[words] = test.p
    shown = {w for w, p in zip(ps, holm([*ps.values()]), strict=True) if p < 0.05}
    return {*scores} - shown


def recommended(asked: argparse.Namespace, repeat: int) -> dict[str, Any]:
    """Return what the command takes under the seeds of a repeat."""
    file = _file(asked, f"repeat-{repeat}", repeat * APART)
    command = [
        *(sys.executable, "-m", "edgekd", "recommend", str(file), "--json", "--force"),
        *("--store", str(asked.folder / "store"), "--runs", str(asked.folder / "runs")),
        *("--jobs", str(asked.jobs)),
        *(("--budget", f"{asked.budget}epochs") if asked.budget else ()),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (asked.folder / f"repeat-{repeat}.json").write_text(done.stdout, "utf-8")
    found: dict[str, Any] = json.loads(done.stdout)["recommended"]
    return found


def _file(asked: argparse.Namespace, name: str, seed: int) -> Path:
    path = asked.folder / f"{name}.yaml"
    data = {"data": "digits", "examples": 300} if asked.digits else FASHION
    path.write_text(TEXT.format(seed=seed, epochs=asked.epochs, **data), "utf-8")
    return path.absolute()


def _mean(scores: Mapping[int, float]) -> float:
    return sum(scores.values()) / len(scores)


if __name__ == "__main__":
    main()
