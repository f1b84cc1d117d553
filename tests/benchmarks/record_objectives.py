"""Records what every objective comes to on Fashion-MNIST: docs/results/fashion_mnist/*.json.

    python -m tests.benchmarks.record_objectives [--seeds N] [--most N] [--pays | --causes]

1. objectives/settings.yaml runs: every setting of every objective, one short training of one seed.
2. The best setting of each by the validation split is written into objectives/table.yaml, to be
   trained under other seeds: of all objectives, or of the `--most` best ones. That runs.

With --pays it is objectives/pays.yaml instead: where distillation pays; with --causes
objectives/causes.yaml: what moves its gain. What the store keeps is not made again: with more seeds
it goes on. The page, docs/objectives.md, is written by docs/objectives.py.
"""

import argparse
import json
import runpy
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

import edgekd
from edgekd.core.kinds import measure
from edgekd.core.refs import UseTask, as_read
from edgekd.models.folder import load_model
from edgekd.pipeline.outcome import RunResult
from edgekd.pipeline.resolved import ResolvedStage

from .recording.figures import BASES, arms_of, described
from .recording.made import ROOT, about, besides, loss_of, said, score, tell

HERE = Path(__file__).parent / "objectives"
SETTINGS, TABLE = HERE / "settings.yaml", HERE / "table.yaml"
RESULTS = ROOT / "docs" / "results" / "fashion_mnist"
COMMAND = "python -m tests.benchmarks.record_objectives"
INSTEAD = {"pays": "where it pays", "causes": "what moves its gain"}
EPOCHS = 1
FEW = 4
"""Options that are rather written again than referred to."""
HEAD = f"""\
# The best setting of objectives, equally trained. Written by
#   {COMMAND}
# from what settings.yaml came to, by the validation split.
"""


def main() -> None:
    """Try the settings, train the best ones, record both."""
    parser = argparse.ArgumentParser(description="Record what the objectives come to.")
    parser.add_argument("--store", type=Path, default=Path(".edgekd"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--most", type=int, help="objectives in the table besides controls")
    instead = parser.add_mutually_exclusive_group()
    for part, words in INSTEAD.items():
        told = f"{words}, and not the table"
        instead.add_argument(f"--{part}", dest="part", action="store_const", const=part, help=told)
    asked = parser.parse_args()
    if asked.part:
        file = HERE / f"{asked.part}.yaml"
        _record(file, _run(file, asked), f"{COMMAND} --{asked.part}")
    else:
        tried = _run(SETTINGS, asked)
        chosen = finalists(best_settings(tried), tried, asked.most)
        TABLE.write_text(HEAD + written(table(tried, chosen, asked.seeds)), "utf-8")
        command = f"{COMMAND} --seeds {asked.seeds}" + (
            f" --most {asked.most}" if asked.most else ""
        )
        _record(TABLE, _run(TABLE, asked), command, tried=settings(tried))
    runpy.run_path(str(ROOT / "docs" / "objectives.py"), run_name="__main__")


def _record(file: Path, made: RunResult, command: str, **more: Any) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    record = about(file, command, made) | what_came(made) | more
    (RESULTS / f"{file.stem}.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def _run(file: Path, asked: argparse.Namespace) -> RunResult:
    made = edgekd.run(file, store=asked.store, runs=asked.runs, listener=tell)
    if made.failed:
        raise SystemExit(f"{file.name} has stages without a result: {made.failed}")
    return made


def trainings(made: RunResult) -> list[ResolvedStage]:
    """Return the stages that train a student."""
    return [stage for stage in made.resolved.stages if stage.kind == "distill"]


def method_of(stage: str) -> str:
    """Return whose setting or seed a stage is: `kd` of `kd.2`."""
    return stage.partition(".")[0]


def best_settings(tried: RunResult) -> dict[str, ResolvedStage]:
    """Return the stage of each objective's best setting by the validation split; the first of equal
    ones."""
    best: dict[str, ResolvedStage] = {}
    for stage in trainings(tried):
        known = best.get(method_of(stage.name))
        if known is None or _validated(tried, stage.name) > _validated(tried, known.name):
            best[method_of(stage.name)] = stage
    return best


def finalists(
    chosen: Mapping[str, ResolvedStage], tried: RunResult, most: int | None
) -> dict[str, ResolvedStage]:
    """Return the controls and the `most` objectives with the best scores; all where it is None."""
    order = sorted(
        (method for method in chosen if method not in BASES),
        key=lambda method: -_validated(tried, chosen[method].name),
    )
    return {m: stage for m, stage in chosen.items() if m in (*BASES, *order[:most])}


def _validated(made: RunResult, stage: str) -> float:
    return float(made.facts[stage]["result"]["value"])


def settings(tried: RunResult) -> list[dict[str, Any]]:
    """Return every setting with its score."""
    best = {stage.name for stage in best_settings(tried).values()}
    return [
        {
            "objective": method_of(stage.name),
            "what": loss_of(stage.options),
            "validation": _validated(tried, stage.name),
            "taken": stage.name in best,
        }
        for stage in trainings(tried)
    ]


def table(tried: RunResult, chosen: Mapping[str, ResolvedStage], seeds: int) -> dict[str, Any]:
    """Return the pipeline that trains the best settings longer, under seeds from 0 on."""
    (teacher,) = (stage for stage in tried.resolved.stages if stage.kind == "teacher")
    stages = {"teacher": {"kind": "teacher", "seed": teacher.seed, **teacher.options}}
    for method, stage in chosen.items():
        options = {name: stage.options[name] for name in ("teacher", "model", "objective")}
        train = stage.options["train"] | {"epochs": EPOCHS}
        stages[method] = {"kind": "distill", "seeds": seeds, **options, "train": train}
    return {
        "name": "objectives",
        "description": "Objectives at their best settings on Fashion-MNIST, equally trained.",
        "seed": 0,
        "threads": 1,
        "task": {"kind": "image_classification", "data": "fashion_mnist"},
        "stages": stages,
    }


def written(value: Mapping[str, Any]) -> str:
    """Return a pipeline as YAML."""
    known: dict[str, Any] = {}

    def shared(part: Any) -> Any:
        """Return a mapping that was seen before as the same one: it is written once."""
        if not isinstance(part, dict):
            return part
        same = {name: shared(one) for name, one in part.items()}
        return known.setdefault(json.dumps(same), same) if len(same) > FEW else same

    text, yaml = StringIO(), YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = None, False
    yaml.width = 100
    yaml.dump(shared(json.loads(json.dumps(value))), text)
    return text.getvalue()


def what_came(made: RunResult) -> dict[str, Any]:
    """Return the arms with their tests, what they trained on, and what they took."""
    arms = arms_of(made.comparisons)
    options = {stage.name: stage.options for stage in made.resolved.stages}
    took = {arm.name: [made.manifests[s].cpu_seconds for s in arm.stages.values()] for arm in arms}
    return {
        "measure": made.comparisons[0]["measure"],
        "unit": made.comparisons[0]["arms"][0]["mean"]["unit"],
        "teachers": {
            stage.name: _teacher(stage.name, made)
            for stage in made.resolved.stages
            if stage.kind == "teacher"
        },
        "arms": [
            arm
            | {
                "what": loss_of(options[arm["name"]]),
                "parameters": made.facts[arm["name"]]["parameters"],
                "cpu_seconds": took[arm["name"]],
            }
            for arm in described(arms)
        ],
        "besides": {name: described(own) for name, own in besides(arms, made).items()},
    }


def _teacher(stage: str, made: RunResult) -> dict[str, Any]:
    """Return how good a teacher is, and how far its confidence can be trusted."""
    task = UseTask.model_validate(as_read(made.resolved.task)).build()
    answers = said(load_model(made.folders[stage]).module, task)
    told = {name: made.facts[stage][name] for name in ("parameters", "test", "result")}
    return told | {"calibration": score(measure.get("calibration"), answers)}


if __name__ == "__main__":
    main()
