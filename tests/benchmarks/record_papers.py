"""Runs papers' pipelines and records what came of them, in docs/results and docs/methods.md.

    taskset -c 1 python -m tests.benchmarks.record_papers [ID ...]

Each file of pipelines/papers, or those that are named, runs as by `edgekd run`; what is kept in the
store is not made again. Then the steps of all its arms are timed in turns (recording/step_cost.py).
"""

import argparse
import hashlib
import json
import runpy
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

import edgekd
from edgekd.core.kinds import measure
from edgekd.core.protocols import Batch, Task
from edgekd.core.refs import UseObjective, UseTask, as_read
from edgekd.core.registry import Plugin, load_user_module
from edgekd.models.folder import load_model
from edgekd.ops.named import call_by_name
from edgekd.pipeline.document import read_document
from edgekd.pipeline.events import Event, StageDone
from edgekd.pipeline.machine import this_machine
from edgekd.pipeline.outcome import RunResult
from edgekd.train.evaluate import BATCH, compares, score_each

from .recording.figures import PLAIN, Arm, arms_of, base_of, described
from .recording.step_cost import step_costs

ROOT = Path(__file__).parents[2]
PIPELINES, RESULTS = ROOT / "pipelines" / "papers", ROOT / "docs" / "results"
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
    made = edgekd.run(file, store=store, runs=runs, listener=_tell)
    if made.failed:  # a gate that fails is a finding, and recorded like any other
        raise SystemExit(f"{file.name} has stages without a result: {made.failed}")
    arms = arms_of(made.comparisons)
    for reference in made.resolved.plugins:
        load_user_module(reference, file.parent)
    costs = _costs(arms, made)
    return {
        "pipeline": str(file.relative_to(ROOT)),
        "description": read_document(file).value["description"],
        "digest": digest(file),
        "command": f"python -m tests.benchmarks.record_papers {file.stem}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": this_machine(),
        "torch": made.resolved.versions["torch"].split()[0],
        "task": made.resolved.task,
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
        "besides": {name: described(own) for name, own in _besides(arms, made).items()},
        "programs": _programs(made),
    }


def digest(file: Path) -> str:
    """Return a digest of what a pipeline file says, whatever its comments and layout are."""
    value = read_document(file).value
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _besides(arms: Sequence[Arm], made: RunResult) -> dict[str, list[Arm]]:
    """Return the arms with the scores of the task's further measures, on the test split."""
    task = UseTask.model_validate(as_read(made.resolved.task)).build()
    plugins = [plugin for plugin in map(measure.get, task.quality[1:]) if not compares(plugin)]
    said = {
        stage: _said(load_model(made.folders[stage]).module, task)
        for stage in ([stage for arm in arms for stage in arm.stages.values()] if plugins else ())
    }
    return {
        plugin.name: [
            replace(arm, scores={seed: _score(plugin, said[s]) for seed, s in arm.stages.items()})
            for arm in arms
        ]
        for plugin in plugins
    }


@torch.inference_mode()
def _said(model: nn.Module, task: Task) -> Batch:
    """Return what a model gives for the test split, and what the batches carry, as signals."""
    parts = []
    for batch in task.batches("test", BATCH, device=torch.device("cpu")):
        outputs = call_by_name(model.eval(), task.signature(), batch)
        parts.append(batch | {f"student_{name}": value for name, value in outputs.items()})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _score(plugin: Plugin, said: Batch) -> float:
    return float(score_each(plugin, [said]).mean())


def _costs(arms: Sequence[Arm], made: RunResult) -> dict[str, dict[str, float]]:
    """Return what a step of each arm costs beside one of its plain distillation."""
    methods: dict[str, list[str]] = {}
    for arm in arms:
        base = base_of(arm, PLAIN, arms)
        if base and base.name != arm.name:
            methods.setdefault(base.name, []).append(arm.name)
    costs = {}
    for base_name, names in methods.items():
        costs |= step_costs(made, names, base_name)
    return costs


def _what(name: str, made: RunResult) -> str:
    """Return the loss of a stage with the options that are not the defaults, and its augments."""
    (stage,) = (stage for stage in made.resolved.stages if stage.name == name)
    terms = [UseObjective.model_validate(as_read(term)) for term in stage.options["objective"]]
    augments = [use["kind"] for use in stage.options["train"]["augment"]]
    text = " + ".join(map(_term, terms))
    return f"{text}, augment {' + '.join(augments)}" if augments else text


def _term(use: UseObjective) -> str:
    options = use.options.model_dump(exclude_defaults=True)
    options |= {"warmup": use.warmup} if use.warmup else {}
    weight = "" if use.weight == 1 else f"{use.weight:g} "
    inside = ", ".join(f"{name} {value}" for name, value in options.items())
    return f"{weight}{use.kind}" + (f" ({inside})" if inside else "")


def _programs(made: RunResult) -> list[dict[str, Any]]:
    """Return what was measured of the programs, of the first seed of each arm."""
    report = json.loads((made.folder / "report.json").read_text("utf-8"))
    return [
        {"program": row["program"], "target": row["target"]}
        | {name: row["quantities"][name]["value"] for name in FIGURES if name in row["quantities"]}
        for check in report["checks"]
        for row in check["rows"]
    ]


def _tell(event: Event) -> None:
    """Print what is made, so that a long run shows that it lives."""
    if isinstance(event, StageDone):
        print(event.stage, event.facts.get("says", ""), flush=True)


if __name__ == "__main__":
    main()
