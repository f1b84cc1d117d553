"""What is said of a model that cannot be exported: which part, why, and what to rewrite."""

from pathlib import Path

from edgekd.core.errors import StageError
from edgekd.core.protocols.values import Batch
from edgekd.core.refs import UseRuntime
from edgekd.localise.advice import advice, in_short
from edgekd.localise.failing import Failing, smallest_failing
from edgekd.localise.reproduce import write_reproduction
from edgekd.models.folder import StoredModel
from edgekd.runtimes.trace import CannotExportError, example_inputs


def narrowed(
    error: CannotExportError,
    stored: StoredModel,
    use: UseRuntime,
    samples: Batch,
    out: Path,
) -> StageError:
    """Return the error with the smallest module that fails, which `out` reproduces.

    Where no part fails on its own, as after a change by the quantizer, the error as it was.
    """
    runtime = use.build()
    try:
        example = example_inputs(stored.signature, samples, runtime.traced_rows)
        found = smallest_failing(stored.module, example, runtime.try_export)
    except Exception:  # the first error is what the user must know
        found = None
    if found is None:
        return StageError(error.message, advice(error.message))
    rewrite = advice(str(found.error))
    write_reproduction(out, found, stored, use, rewrite)
    return StageError(_complaint(error, found), f"{rewrite}\nTo see it fail: python {out}")


def _complaint(error: CannotExportError, found: Failing) -> str:
    what = error.message.split(":", 1)[0]
    part = f"its module '{found.path}'" if found.path else "the model itself, none of its modules,"
    said = in_short(str(found.error))
    line = f"\n{found.line}" if found.line else ""
    return f"{what}: {part} ({type(found.module).__name__}) fails on its own: {said}{line}"
