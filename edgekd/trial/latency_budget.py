"""A budget in latency, kept: what the search needs of a run, and what it tells."""

import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from edgekd.core.protocols.stage import Run
from edgekd.core.protocols.values import Batch, Facts
from edgekd.core.signature import Signature
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target
from edgekd.ops.named import at_rest
from edgekd.transforms.budget import Latency
from edgekd.trial.in_turns import InTurns
from edgekd.trial.inputs import write_samples
from edgekd.trial.narrowing import CLOSE
from edgekd.trial.to_latency import Found, Remove, Search


def within_latency(
    wanted: Latency,
    run: Run,
    signature: Signature,
    samples: Sequence[Batch],
    *,
    remove: Remove,
    holds: bool,
    most: float,
) -> Found:
    """Return what `remove` leaves at the smallest share that keeps the budget on its target.

    Candidates are exported with the samples, and timed on inputs of the validation split.
    StageError where not even `most` keeps it. What was exported and timed stays in
    `run.unfinished`.
    """
    target = Target.model_validate(run.targets[wanted.target])
    columns = {name: torch.cat([batch[name] for batch in samples]) for name in samples[0]}
    inputs = run.unfinished / "samples"
    shutil.rmtree(inputs, ignore_errors=True)
    count = settle(target.bench, Bench(mode=wanted.mode)).samples
    write_samples(run.task, count, [signature], inputs)
    timer = InTurns(
        wanted,
        target,
        signature=signature,
        samples=at_rest(signature, columns),
        inputs=inputs,
        work=run.unfinished,
        warn=run.notice,
    )
    found = Search(timer, remove=remove, holds=holds, most=most, tell=run.progress).search()
    for doubt in doubts(wanted, found):
        run.notice(doubt)
    return found


def doubts(wanted: Latency, found: Found) -> Iterator[str]:
    """Yield why what was pruned is not quite what was asked for."""
    if found.is_dense:
        return
    if found.p50.value > wanted.p50_ms:
        yield f"timed once more it takes {found.p50}, above {wanted.p50_ms:g} ms."
    if found.p50.value < (1 - CLOSE) * wanted.p50_ms:
        yield (
            f"{found.p50} is the nearest below {wanted.p50_ms:g} ms that widths in such steps "
            "give; scope: global and a lower round_to give finer ones."
        )


def told(wanted: Latency, found: Found, says: str) -> Facts:
    """Return what the search came to, with all that was measured."""
    where = f"{wanted.runtime.kind} on {wanted.target}"
    facts: dict[str, Any] = {
        "says": f"{says}; {found.p50.value:.3g} of {found.dense.value:.3g} ms with {where}",
        "budget_ms": wanted.p50_ms,
        "latency_p50_ms": found.p50,
        "latency_p50_ms_before": found.dense,
        "ratio": found.ratio,
        "ratios": dict(found.ratios),
        "candidates": found.candidates,
    }
    return facts
