"""What is said of a program that departs from its model, and what is left to look at."""

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgekd.core.errors import StageError
from edgekd.core.protocols.values import Arrays
from edgekd.core.refs import UseRuntime, as_read
from edgekd.core.signature import Signature
from edgekd.localise.case import TABLE, Case, inspect
from edgekd.localise.locate import Located, sentences, table
from edgekd.models.folder import StoredModel
from edgekd.runtimes.parity import DepartsError

LOOKED_AT = 16
"""Samples that are followed through the layers."""


def located(
    error: DepartsError, case: Case, stored: StoredModel, samples: Arrays, folder: Path
) -> StageError:
    """Return the error with the first layer that departs.

    The program, the samples and a table of all layers are left in `folder`, which outlives the
    run. Where the program cannot be looked into, that is said instead.
    """
    few = worst_first(samples, stored.signature, error.sample)
    try:
        kept = _keep(case, few, folder)
        runtime = UseRuntime.model_validate(as_read(dict(case.runtime)))
        quantized = stored.quantization is not None
        found = inspect(runtime, stored, Path(kept.program), few, quantized=quantized)
    except Exception as trouble:  # the first error is what the user must know
        reason = str(trouble).strip().split("\n", 1)[0] or type(trouble).__name__
        return StageError(
            f"{error.message}\nIts layers could not be compared: {reason}", error.next_step
        )
    (folder / TABLE).write_text("\n".join(table(found)) + "\n", "utf-8")
    steps = (error.next_step, *_steps(found), f"All layers: {folder / TABLE}")
    store = folder.absolute().parent.parent
    command = shlex.join(["edgekd", "bisect", kept.program, "--store", str(store)])
    again = f"To compare them again: {command}"
    return StageError("\n".join([error.message, *sentences(found)]), "\n".join([*steps, again]))


def worst_first(samples: Arrays, signature: Signature, sample: int) -> Arrays:
    """Return the inputs of a few samples, that which departs most before the others."""
    few = {}
    for port in signature.inputs:
        column = samples[port.name]
        if port.shape[:1] == ("batch",):
            column = np.concatenate([column[sample : sample + 1], column[: LOOKED_AT - 1]])
        few[port.name] = column
    return few


def _keep(case: Case, samples: Arrays, folder: Path) -> Case:
    """Copy the program to where it outlives the run, with all that it takes to look into it."""
    program = Path(case.program)
    for file in program.parent.glob(f"{program.name}*"):
        shutil.copyfile(file, folder / file.name)
    kept = replace(case, program=str((folder / program.name).absolute()))
    kept.write(folder, samples)
    return kept


def _steps(found: Located) -> list[str]:
    if found.hides:
        return ["Try a lower graph_level in the runtime's options: it fuses less."]
    return []
