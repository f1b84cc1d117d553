"""Runs papers' pipelines and records what came of them, in docs/results and docs/methods.md.

    taskset -c 1 python -m tests.benchmarks.record_papers [ID ...]

Each file of pipelines/papers, or those that are named, runs as by `edgekd run`; what is kept in the
store is not made again. Then the steps of all its arms are timed in turns (recording/step_cost.py).
"""

import argparse
import json
import runpy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import edgekd
from edgekd.core.refs import UseObjective, as_read
from edgekd.core.registry import load_user_module
from edgekd.pipeline.outcome import RunResult
from edgekd.train.pretraining import pretrains

from .recording.figures import NONE, PLAIN, Arm, arms_of, base_of, described
from .recording.made import ROOT, about, besides, chosen, loss_of, tell
from .recording.rounds import against_chance
from .recording.step_cost import step_costs

PIPELINES, RESULTS = ROOT / "pipelines" / "papers", ROOT / "docs" / "results"
ROUND = ".round-"
"""Part of the name of what is made in a round but the last."""
FIGURES = ("accuracy", "agreement", "ece", "size_mib", "latency_p50_ms")
"""Of the programs that `validate` stages measured; what a task does not score is absent."""


def main() -> None:
    """Record the papers that are named, or all."""
    parser = argparse.ArgumentParser(description="Record what papers' pipelines come to.")
    known = sorted(file.stem for file in PIPELINES.glob("*.yaml"))
    parser.add_argument("papers", nargs="*", choices=[[], *known], metavar="ID")
    parser.add_argument("--store", type=Path, default=Path(".edgekd"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    asked = parser.parse_args()
    for paper in asked.papers or known:
        record = recorded(PIPELINES / f"{paper}.yaml", asked.store, asked.runs)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{paper}.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        print(f"docs/results/{paper}.json", flush=True)
    runpy.run_path(str(ROOT / "docs" / "methods.py"), run_name="__main__")


def recorded(file: Path, store: Path, runs: Path) -> dict[str, Any]:
    """Run a pipeline and return what is to be kept of it, in JSON values."""
    made = edgekd.run(file, store=store, runs=runs, listener=tell)
    if made.failed:  # a gate that fails is a finding, and recorded like any other
        raise SystemExit(f"{file.name} has stages without a result: {made.failed}")
    every = arms_of(made.comparisons)
    arms = [arm for arm in every if ROUND not in arm.group]
    for reference in made.resolved.plugins:
        load_user_module(reference, file.parent)
    costs = _costs(arms, made)
    record = about(file, f"python -m tests.benchmarks.record_papers {file.stem}", made) | {
        "measure": made.comparisons[0]["measure"],
        "unit": made.comparisons[0]["arms"][0]["mean"]["unit"],
        "arms": [
            arm
            | {
                "what": _what(arm["name"], made),
                "step": costs.get(arm["name"]),
                "peak_memory_mib": made.facts[arm["name"]]["training"]["peak_memory_mib"],
            }
            for arm in described(arms)
        ],
        "pretraining": _pretraining_costs(arms, made),
        "rounds": against_chance(_rounds(every, made)),
        "besides": {name: described(own) for name, own in besides(arms, made).items()},
        "programs": _programs(made),
    }
    found = {arm.name: chosen(_options(arm.name, made), _folders(arm, made)) for arm in arms}
    found = {name: own for name, own in found.items() if own}
    return record | ({"chosen": found} if found else {})


def _rounds(arms: Sequence[Arm], made: RunResult) -> dict[int, dict[str, Mapping[int, float]]]:
    """Return scores by the number of labels learned from and by how these were selected."""
    found: dict[int, dict[str, Mapping[int, float]]] = {}
    for arm in arms:
        picked = _selection(arm.name, made)
        if picked and not arm.base:
            count = made.facts[picked]["selection"]["labelled"]
            found.setdefault(count, {})[_strategy(picked, made)] = arm.scores
    return found


def _selection(name: str, made: RunResult) -> str:
    """Return the stage that selected the labels that a stage learned from; empty where none."""
    labelled = _options(name, made)["train"]["labelled"]
    return labelled.removeprefix("$") if isinstance(labelled, str) else ""


def _strategy(picked: str, made: RunResult) -> str:
    """Return how a loop selects, also where its first draw is named."""
    return str(_options(picked.partition(ROUND)[0], made)["strategy"])


def _options(name: str, made: RunResult) -> Mapping[str, Any]:
    (stage,) = (stage for stage in made.resolved.stages if stage.name == name)
    return stage.options


def _costs(arms: Sequence[Arm], made: RunResult) -> dict[str, dict[str, float]]:
    """Return what a step of each arm costs beside one of its plain distillation.

    Where none can be, as of a teacher of other classes, beside one of labels alone.
    """
    methods: dict[str, list[str]] = {}
    for arm in arms:
        base = base_of(arm, PLAIN, arms) or base_of(arm, NONE, arms)
        if base and base.name != arm.name:
            methods.setdefault(base.name, []).append(arm.name)
    costs = {}
    for base_name, names in methods.items():
        costs |= step_costs(made, names, base_name)
    return costs


def _pretraining_costs(arms: Sequence[Arm], made: RunResult) -> dict[str, Any]:
    """Return what a step of pre-training with a teacher costs beside one of it without."""
    names = dict.fromkeys(_before(arm.name, made) for arm in arms)
    before = {name: _options(name, made) for name in names if name}
    terms = {
        name: [UseObjective.model_validate(as_read(term)) for term in options.get("objective", ())]
        for name, options in before.items()
    }
    own = [name for name, uses in terms.items() if uses and pretrains(uses)]
    base = next((name for name in own if not before[name].get("teacher")), None)
    taught = [name for name in own if before[name].get("teacher")]
    return {"base": base, "steps": step_costs(made, taught, base)} if base and taught else {}


def _before(name: str, made: RunResult) -> str:
    """Return the stage that a training goes on from; empty where it begins anew."""
    model = _options(name, made)["model"]
    return model[1:] if isinstance(model, str) else ""


def _what(name: str, made: RunResult) -> str:
    picked, before = _selection(name, made), _before(name, made)
    said = loss_of(_options(name, made))
    said = f"{said}, labels by {_strategy(picked, made)}" if picked else said
    return f"{_what(before, made)}; then {said}" if before else said


def _folders(arm: Arm, made: RunResult) -> Iterator[Path]:
    return (made.folders[stage] for stage in arm.stages.values())


def _programs(made: RunResult) -> list[dict[str, Any]]:
    """Return what was measured of the programs, of the first seed of each arm."""
    report = json.loads((made.folder / "report.json").read_text("utf-8"))
    return [
        {"program": row["program"], "target": row["target"]}
        | {name: row["quantities"][name]["value"] for name in FIGURES if name in row["quantities"]}
        for check in report["checks"]
        for row in check["rows"]
    ]


if __name__ == "__main__":
    main()
