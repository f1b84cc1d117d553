"""What came of a run that was done again, beside what had come of it.

A stage whose bytes are promised must have made the same files; of any other it is told whether it
did. `measured.py` says what is promised of metrics, timings and gates.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from edgekd.bundle.document import Bundle, Stage, refusal
from edgekd.bundle.environment import PROMISED, Environment
from edgekd.bundle.measured import Measured, Row
from edgekd.core.results import Measurements
from edgekd.pipeline.outcome import RunResult

MEASUREMENTS = "measurements.json"


def read_measurements(bundle: Bundle, unpacked: Path, file: str) -> dict[str, Measurements]:
    """Return what each stage of the bundle measured, by its name; RequestError if unreadable."""
    found = {}
    for stage in bundle.stages:
        member = f"{stage.folder}/{MEASUREMENTS}"
        if member in bundle.members:
            try:
                text = (unpacked / member).read_bytes()
                found[stage.name] = Measurements.model_validate_json(text)
            except ValidationError as error:
                message = f"its {member!r} holds no measurements that this edgekd reads."
                raise refusal(file, message) from error
    return found


def compare(
    bundle: Bundle,
    measured: dict[str, Measurements],
    environment: Environment,
    result: RunResult,
) -> Iterator[Row]:
    """Yield every stage in order, each `validate` stage with its metrics and gates."""
    for stage in bundle.stages:
        yield _stage(stage, environment, result)
        if stage.name in measured and stage.name in result.folders:
            text = (result.folders[stage.name] / MEASUREMENTS).read_bytes()
            same_data = stage.name not in environment.other_data
            yield from Measured(
                stage.name,
                then=measured[stage.name],
                now=Measurements.model_validate_json(text),
                same_data=same_data,
                same_bytes=same_data and not {*stage.inputs} & {*environment.reasons},
            ).rows()


def sentence(rows: Sequence[Row], environment: Environment) -> str:
    """Return what a replay came to."""
    broken = [f"{row.stage} ({row.what})" for row in rows if row.broken]
    if broken:
        more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
        return f"Not as promised: {', '.join(broken[:5])}{more}."
    stages = [row for row in rows if row.kind == "stage" and row.status != "-"]
    promised = sum(row.stage not in environment.reasons for row in stages)
    told = sum(row.status in ("apart", "outside", "absent", "differs") for row in rows)
    words = f"{promised} of {len(stages)} artifacts are promised byte for byte"
    words += ", and are equal" if promised else ""
    differ = f" Of what is not promised, {told} differ." if told else ""
    return f"All as promised: {words}.{differ}"


def _stage(stage: Stage, environment: Environment, result: RunResult) -> Row:
    reason = environment.reasons.get(stage.name, "")
    made = result.manifests.get(stage.name)
    if made is None:
        note = f"not promised: {reason}" if reason else ""
        return Row("stage", stage.name, stage.makes, "made", "absent", "absent", not reason, note)
    kept = [] if stage.name in result.ran else ["kept, not run again"]
    if stage.makes not in PROMISED:
        note = "; ".join(["holds times, not compared by its bytes", *kept])
        return Row("stage", stage.name, stage.makes, "made", "made", "-", note=note)
    then = {name: digest.sha256 for name, digest in stage.files.items()}
    now = {name: about["sha256"] for name, about in made.files.items()}
    other = sorted(name for name in {*then} | {*now} if then.get(name) != now.get(name))
    return Row(
        kind="stage",
        stage=stage.name,
        what=stage.makes,
        then=_files(len(then)),
        now=", ".join(other) or _files(len(now)),
        status="differs" if other else "equal",
        broken=bool(other) and not reason,
        note="; ".join([f"not promised: {reason}"] * bool(reason) + kept),
    )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
