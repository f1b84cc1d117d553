"""Put a given ONNX program into another form: quantized, in a higher opset, or as `.ort`."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from edgekd.convert.asking import Wanted, Written, rewrite, survey
from edgekd.convert.samples import write_batches
from edgekd.core.artifact import digest_file
from edgekd.core.config import Config, PositiveCount
from edgekd.core.errors import Problem, StageError
from edgekd.core.kinds import stage
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.protocols.values import Arrays, Batch, Facts
from edgekd.core.quantity import Quantity
from edgekd.core.quantization import Int8Static, activation_type, precision_of
from edgekd.core.refs import GivenRef, UseRuntime, UseTransform, as_written
from edgekd.core.signature import Signature
from edgekd.core.version import VERSION
from edgekd.devices.model_file import ONNX
from edgekd.models.folder import write_companions
from edgekd.runtimes import onnx_quantize
from edgekd.runtimes.folder import Program, file_stem, load_program, save_program
from edgekd.runtimes.parity import LABELS, Original, Parity, check_parity
from edgekd.train.check import check_transform
from edgekd.train.samples import calibration, take
from edgekd.trial.asked import Asked

GIVEN = "given"
SAMPLES = "calibration"
SHOWN = 3
COMPARED = 32
"""Training examples that a program in a higher opset is compared on where nothing is calibrated."""


class Convert(Config):
    """Which program, and what is to change. Only a process of its own, under limits, opens it."""

    program: GivenRef
    """A .onnx program that a `given` stage took, as `$net`."""
    transform: UseTransform | None = None
    """How to quantize it: `int8_static`, `int8_dynamic` or `int4_weights`; `exclude` holds names of
    nodes, or patterns of them such as `/head/*`. Without it numbers stay as they are."""
    opset: PositiveCount | None = None
    """ONNX operator set to raise it to; without it the file's, or the lowest that the quantizer
    needs."""
    format: Literal["onnx", "ort"] = "onnx"
    """`ort` is ONNX Runtime's own format, for builds that read no other."""
    graph_level: Literal["all", "extended", "basic", "off"] = "all"
    """How far ONNX Runtime rewrites the graph when it loads it; of a .ort file, now."""
    target: str = "cpu"
    """The device whose preference decides the type of int8 activations."""
    parity: Parity = Parity()
    """How far the new program may depart from the given one."""

    @property
    def runtime(self) -> UseRuntime:
        """What runs it."""
        return UseRuntime.model_validate({"kind": "onnxruntime"})


def check(config: Convert, preview: Preview) -> Iterator[Problem]:
    """Yield why the program cannot have that form, as far as its graph tells."""
    if preview.kind(config.program) not in (GIVEN, None):
        yield Problem(
            "program",
            f"{config.program} was not taken by a `given` stage.",
            "Quantize a model of your own with `quantize` before it is exported.",
        )
        return
    found = [*_check_asked(config)]
    yield from found
    given: Any = preview.options(config.program)
    file = Path(given.file) if given else None
    if file is None or found or not file.is_file():
        return
    if file.suffix != ONNX:
        yield Problem("program", f"{file.name} is no .onnx file.", "Give the program as ONNX.")
        return
    try:
        objection = survey(_wanted(config, file))
    except StageError as error:
        yield Problem("program", error.message, error.next_step)
        return
    if objection:
        yield Problem(objection.path or "program", objection.message, objection.next_step)


def _check_asked(config: Convert) -> Iterator[Problem]:
    """Yield what no program can be made into."""
    use = config.transform
    if use is None:
        if config == Convert(program=config.program):
            yield Problem(
                "", "nothing is to change.", "Say transform, opset, format or graph_level."
            )
        return
    yield from check_transform(use, "quantize", "transform")
    for problem in onnx_quantize.check(use):
        yield Problem("transform", problem.message, problem.next_step)
    if isinstance(use.options, Int8Static) and use.options.settled:
        message = "mse and ranges are taken of a PyTorch graph, and here is none."
        step = "Take calibration: minmax, percentile or entropy."
        yield Problem("transform.calibration", message, step)


CODE = ("convert", "runtimes", "transforms/quantize", "targets/runners", "devices")
"""What makes the program without being imported here: it runs in another process."""


@stage(config=Convert, makes="program", check=check, code=CODE)
def convert(config: Convert, run: Run) -> Facts:
    """Return the program's size, what of it was quantized, and its parity with the given one."""
    folder = run.input(config.program)
    program = _rewritten(config, folder, run)
    save_program(run.out, program)
    parity = _parity(config, program, folder, run)
    save_program(run.out, replace(program, parity=parity))
    write_companions(run.out, getattr(run.task, "companions", dict)())
    size, facts = (run.out / program.file).stat().st_size, program.facts["program"]
    what = f"{program.file}, {program.precision}, {_says(facts)}"
    return {
        "says": f"{what}parity on {parity['samples']} samples",
        "result": Quantity(size / 2**20, "MiB"),
        "size_bytes": size,
        "parity": parity,
        **facts,
    }


def _rewritten(config: Convert, folder: Path, run: Run) -> Program:
    """Have another process write the program; return what it is, parity aside."""
    given = load_program(folder)
    if given.runtime != "onnxruntime":
        raise StageError(f"{given.file} is no .onnx file.", "Give the program as ONNX.")
    path = run.out / f"{file_stem(run.name)}.{config.format}"
    samples = _write_samples(config, given.signature, run)
    precision = precision_of(config.transform) if config.transform else given.precision
    written = Written(
        out=str(path),
        signature=given.signature.as_dict(),
        samples=str(samples),
        activation=activation_type(config.transform, run.targets.get(config.target, {})),
        graph_level=config.graph_level,
        metadata=_metadata(config, given, precision),
    )
    try:
        found = rewrite(_wanted(config, folder / given.file), written)
    finally:
        shutil.rmtree(samples)
    facts = {"precision": precision, "graph_level": config.graph_level, **found}
    return replace(
        given,
        file=path.name,
        precision=precision,
        facts=dict(given.facts) | {"program": facts},
        model=config.program.stage,
        model_digest=digest_file(folder / given.file),
    )


def _wanted(config: Convert, file: Path) -> Wanted:
    transform = as_written(config.transform) if config.transform else None
    return Wanted(str(file.absolute()), transform, config.opset)


def _metadata(config: Convert, given: Program, precision: str) -> dict[str, str]:
    """Return what travels inside the program beside what the given one holds, as texts."""
    return {
        "edgekd_version": VERSION,
        "model": config.program.stage,
        "model_digest": given.model_digest,
        "precision": precision,
        "graph_level": config.graph_level,
        "signature": json.dumps(given.signature.as_dict()),
    }


def _write_samples(config: Convert, signature: Signature, run: Run) -> Path:
    """Write the inputs of training examples, one file per batch; return their folder."""
    drawn = (
        calibration(run.task, config.transform, run.seed)
        if config.transform
        else take(run.task, "train", COMPARED)
    )
    folder = run.unfinished / SAMPLES
    shutil.rmtree(folder, ignore_errors=True)
    write_batches(drawn, signature, folder)
    return folder


def _parity(config: Convert, program: Program, folder: Path, run: Run) -> Mapping[str, Any]:
    """Compare the new program with the given one, each in a process of its own."""
    batches = take(run.task, "validation", config.parity.samples)
    columns = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    new, old = (
        _answers(Asked(name, place, run.unfinished), columns)
        for name, place in ((run.name, run.out), (config.program.stage, folder))
    )
    labels = {LABELS: columns[LABELS].numpy()} if LABELS in columns else {}
    return check_parity(
        f"'{run.name}' ({program.file})",
        lambda _: new,
        old,
        labels,
        quantized=config.transform is not None,
        limits=config.parity,
        original=Original(f"'{config.program.stage}'", f"{config.program.stage}, as given"),
    )


def _answers(ask: Asked, columns: Batch) -> Arrays:
    return {name: tensor.numpy() for name, tensor in ask(columns).items()}


def _says(found: Mapping[str, Any]) -> str:
    """Return what was quantized, and what was not, in a phrase that ends before the next one."""
    opset = f"opset {found['opset']} of {found['opset_given']}, "
    raised = opset if found["opset"] != found["opset_given"] else ""
    if "quantized" not in found:
        return raised
    done = ", ".join(f"{count} {operator}" for operator, count in found["quantized"].items())
    reasons = Counter((one["operator"], one["why"]) for one in found["left"])
    stay = [f"{count} {operator} ({why})" for (operator, why), count in reasons.items()]
    left = f", left in floats {', '.join(stay[:SHOWN])}" if stay else ""
    more = f" and {len(stay) - SHOWN} kinds more" if len(stay) > SHOWN else ""
    return f"{raised}quantized {done}{left}{more}, "
