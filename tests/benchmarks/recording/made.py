"""What is kept of a pipeline that ran: its arms, what they trained on, where and when."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from edgekd.core.kinds import measure
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch
from edgekd.core.refs import Use, UseObjective, UseSelect, UseSource, UseTask, as_read
from edgekd.core.registry import Plugin
from edgekd.models.folder import load_model
from edgekd.ops.named import call_by_name
from edgekd.pipeline.document import read_document
from edgekd.pipeline.events import Event, StageDone
from edgekd.pipeline.machine import this_machine
from edgekd.pipeline.outcome import RunResult
from edgekd.train.evaluate import BATCH, compares, score_each

from .enrichment import enrichment
from .figures import Arm

ROOT = Path(__file__).parents[3]


def about(file: Path, command: str, made: RunResult) -> dict[str, Any]:
    """Return what was run, when and where."""
    return {
        "pipeline": str(file.relative_to(ROOT)),
        "description": read_document(file).value["description"],
        "digest": digest(file),
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": this_machine(),
        "torch": made.resolved.versions["torch"].split()[0],
        "task": made.resolved.task,
    }


def digest(file: Path) -> str:
    """Return a digest of what a pipeline file says, whatever its comments and layout are."""
    value = read_document(file).value
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def besides(arms: Sequence[Arm], made: RunResult) -> dict[str, list[Arm]]:
    """Return the arms with the scores of the task's further measures, on the test split."""
    task = UseTask.model_validate(as_read(made.resolved.task)).build()
    plugins = [plugin for plugin in map(measure.get, task.quality[1:]) if not compares(plugin)]
    answers = {
        stage: said(load_model(made.folders[stage]).module, task)
        for stage in ([stage for arm in arms for stage in arm.stages.values()] if plugins else ())
    }
    return {
        plugin.name: [
            replace(arm, scores={s: score(plugin, answers[name]) for s, name in arm.stages.items()})
            for arm in arms
        ]
        for plugin in plugins
    }


@torch.inference_mode()
def said(model: nn.Module, task: Task) -> Batch:
    """Return what a model gives for the test split, and what the batches carry, as signals."""
    parts = []
    for batch in task.batches("test", BATCH, device=torch.device("cpu")):
        outputs = call_by_name(model.eval(), task.signature(), batch)
        parts.append(batch | {f"student_{name}": value for name, value in outputs.items()})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def score(plugin: Plugin, answers: Batch) -> float:
    """Return the mean of a measure over all examples."""
    return float(score_each(plugin, [answers]).mean())


def chosen(options: Mapping[str, Any], folders: Iterable[Path]) -> dict[str, Any] | None:
    """Return how clean the choices of a stage among its pool are; None where it has none."""
    if options.get("pool") is None:
        return None
    return enrichment(folders, UseSource.model_validate(as_read(options["pool"])).build())


def loss_of(options: Mapping[str, Any]) -> str:
    """Return a stage's loss, options that are not the defaults, its augments and its choice."""
    terms = [UseObjective.model_validate(as_read(term)) for term in options["objective"]]
    augments = [use["kind"] for use in options["train"]["augment"]]
    text = " + ".join(map(_term, terms))
    text += f", augment {' + '.join(augments)}" if augments else ""
    select = options["train"].get("select")
    return f"{text}, select {_named(UseSelect.model_validate(as_read(select)))}" if select else text


def _term(use: UseObjective) -> str:
    more = {"warmup": use.warmup} if use.warmup else {}
    return ("" if use.weight == 1 else f"{use.weight:g} ") + _named(use, more)


def _named(use: Use, more: Mapping[str, Any] = MappingProxyType({})) -> str:
    options = {**use.options.model_dump(exclude_defaults=True), **more}
    inside = ", ".join(f"{name} {value}" for name, value in options.items())
    return use.kind + (f" ({inside})" if inside else "")


def tell(event: Event) -> None:
    """Print what is made, so that a long run shows that it lives."""
    if isinstance(event, StageDone):
        print(event.stage, event.facts.get("says", ""), flush=True)
