"""Write a model as a program for one runtime, and prove that both compute the same."""

import json
from collections.abc import Iterator

import numpy as np
import torch

from edgekd.core.config import Config
from edgekd.core.errors import Problem
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.protocols.values import Arrays, Batch, Facts
from edgekd.core.quantity import Quantity
from edgekd.core.quantization import Int8Static, activation_type, precision_of
from edgekd.core.refs import ModelRef, UseRuntime
from edgekd.core.rehearsal import Rehearsal
from edgekd.core.version import VERSION
from edgekd.localise.case import case_of
from edgekd.localise.failed import located
from edgekd.localise.narrowed import narrowed
from edgekd.models.folder import StoredModel, load_model, weights_digest, write_companions
from edgekd.ops.named import at_rest, call_by_name
from edgekd.runtimes.folder import Program, file_stem, save_program
from edgekd.runtimes.parity import LABELS, DepartsError, Parity, check_parity, for_untrained
from edgekd.runtimes.trace import CannotExportError
from edgekd.train.check import quantization_of
from edgekd.train.needs import compression_needs, unbuilt
from edgekd.train.samples import take


class Export(Config):
    """What becomes a program, for which runtime."""

    model: ModelRef
    """The model, as `$student`; one from a quantize stage becomes a quantized program."""
    runtime: UseRuntime
    """The format and the library that runs it: onnxruntime or executorch."""
    target: str = "cpu"
    """The device whose preference decides the type of int8 activations."""
    parity: Parity = Parity()
    """How far the program may depart from the PyTorch model."""


def check(config: Export, preview: Preview) -> Iterator[Problem]:
    """Yield that the runtime cannot follow how the model is quantized."""
    quantization = quantization_of(config.model, preview)
    told = config.runtime.plugin.traits.get("check")
    if quantization and told:
        yield from told(quantization)


def estimate(config: Export, preview: Preview) -> Needs | None:
    """Return what exporting takes: the model, its graph, the program in three forms, the samples.

    ONNX Runtime's percentile and entropy hold what every layer gave for every example.
    """
    quantization = quantization_of(config.model, preview)
    options = quantization.options if quantization else None
    calibration = options if isinstance(options, Int8Static) else None
    gathers = calibration is not None and calibration.calibration in {"percentile", "entropy"}
    samples = config.parity.samples
    return compression_needs(
        unbuilt(config.model, preview),
        preview.task,
        copies=5,
        examples=max(samples, calibration.examples) if calibration else samples,
        keeps="everything" if gathers else "nothing",
        lower=("examples of the quantize stage", "parity.samples", "the width of the model"),
    )


def rehearse(config: Export, _run: Run) -> Rehearsal:
    """Return the same with no limit that weights must be trained for."""
    return Rehearsal(config.model_copy(update={"parity": for_untrained(config.parity)}))


CODE = ("transforms/quantize",)
"""What quantizes a program: the model names it."""


@stage(
    config=Export,
    makes="program",
    check=check,
    estimate=estimate,
    rehearse=rehearse,
    code=CODE,
)
def export(config: Export, run: Run) -> Facts:
    """Return the program's size, what the runtime says of it, and its parity."""
    folder = run.input(config.model)
    stored, digest = load_model(folder), weights_digest(folder)
    runtime = config.runtime.build()
    batches = take(run.task, "validation", config.parity.samples)
    columns = {name: torch.cat([b[name] for b in batches]) for name in batches[0]}
    samples = at_rest(stored.signature, columns)
    path = run.out / f"{file_stem(run.name)}{runtime.suffix}"
    try:
        facts = runtime.export(
            stored.module,
            signature=stored.signature,
            samples=samples,
            metadata=_metadata(stored, config, digest),
            quantization=stored.quantization,
            calibration=stored.calibration,
            activation=activation_type(stored.quantization, run.targets.get(config.target, {})),
            out=path,
        )
    except CannotExportError as error:
        out = run.unfinished / f"{file_stem(run.name)}_fails.py"
        raise narrowed(error, stored, config.runtime, samples, out) from error
    arrays = _arrays(stored, samples)
    try:
        parity = check_parity(
            f"'{run.name}' ({path.name})",
            runtime.open(path),
            _reference(stored, batches),
            arrays,
            quantized=stored.quantization is not None,
            limits=config.parity,
        )
    except DepartsError as error:
        case = case_of(config.runtime, folder, path, stored)
        raise located(error, case, stored, arrays, run.unfinished) from error
    parameters = sum(p.numel() for p in stored.module.parameters())
    save_program(
        run.out,
        Program(
            file=path.name,
            runtime=config.runtime.kind,
            precision=str(facts["precision"]),
            signature=stored.signature,
            facts=dict(stored.facts) | {"program": dict(facts)},
            model=config.model.stage,
            model_digest=digest,
            parameters=parameters,
            parity=parity,
        ),
    )
    write_companions(run.out, stored.companions)
    size = path.stat().st_size
    return {
        "says": f"{path.name}, {facts['precision']}, parity on {parity['samples']} samples"
        + (f", by {facts['exporter']}'s exporter" if "exporter" in facts else ""),
        "result": Quantity(size / 2**20, "MiB"),
        "size_bytes": size,
        "parameters": parameters,
        "parity": parity,
        **facts,
    }


def _metadata(stored: StoredModel, config: Export, digest: str) -> dict[str, str]:
    """Return what travels inside the program, as texts."""
    facts = {key: _text(value) for key, value in stored.facts.items()}
    return facts | {
        "edgekd_version": VERSION,
        "model": config.model.stage,
        "model_digest": digest,
        "precision": precision_of(stored.quantization),
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@torch.no_grad()
def _reference(stored: StoredModel, batches: list[Batch]) -> Arrays:
    """Return the fp32 PyTorch model's outputs for the samples."""
    parts = [call_by_name(stored.module, stored.signature, batch) for batch in batches]
    names = [port.name for port in stored.signature.outputs]
    return {name: np.concatenate([part[name].numpy() for part in parts]) for name in names}


def _arrays(stored: StoredModel, samples: Batch) -> Arrays:
    """Return the model's inputs and the labels."""
    names = {port.name for port in stored.signature.inputs} | {LABELS}
    return {name: column.numpy() for name, column in samples.items() if name in names}
