"""Take a program that somebody else made, as it is: a teacher in ONNX, say, to compare with."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgekd.core.artifact import MANIFEST, digest_file
from edgekd.core.config import Config, LocalPath
from edgekd.core.errors import Problem, StageError
from edgekd.core.kinds import stage
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.protocols.values import Facts
from edgekd.core.quantity import Quantity
from edgekd.core.refs import UseRuntime
from edgekd.core.signature import Signature
from edgekd.devices.model_file import EXTERNAL_DATA, ONNX, describe
from edgekd.models.folder import write_companions
from edgekd.runtimes.fit import fit, has_channels_last
from edgekd.runtimes.folder import DESCRIPTION, Program, file_stem, save_program

RUNTIMES = {ONNX: "onnxruntime", ".pte": "executorch"}
CHANNELS_LAST = (
    "It wants the channels last: put a Transpose with perm [0, 2, 3, 1] before it, or "
    "export it so that it takes the channels first (tf2onnx: --inputs-as-nchw)."
)
OTHER = "Give a program of the same task: names, types and fixed sizes must be the same."


class Given(Config):
    """Where the program lies. That it expects the task's preprocessing is taken on trust."""

    file: LocalPath
    """A .onnx or .pte file. Only a process of its own, under limits, opens it."""
    data: tuple[LocalPath, ...] = ()
    """The files of external data that a .onnx names: they must lie in its folder."""

    @property
    def runtime(self) -> UseRuntime | None:
        """What runs it, by the ending of the file."""
        kind = RUNTIMES.get(Path(self.file).suffix)
        return UseRuntime.model_validate({"kind": kind}) if kind else None


def check(config: Given, preview: Preview) -> Iterator[Problem]:
    """Yield why the file cannot be what the task needs."""
    file = Path(config.file)
    if file.suffix not in RUNTIMES:
        known = " or ".join(RUNTIMES)
        yield Problem("file", f"{file.name} is no program: its name does not end in {known}.")
        return
    if not file.is_file():
        yield Problem("file", f"there is no file {file}", "Correct the path.")
        return
    try:
        problem = _undeclared(file, config)
        if problem is None:
            _fitted(file, preview.task.signature())
        else:
            yield problem
    except StageError as error:
        yield Problem("file", error.message, error.next_step)


@stage(config=Given, makes="program", check=check, code=("targets/runners",), computes=False)
def given(config: Given, run: Run) -> Facts:
    """Return the program's size; it is copied with its data, and described as the task says."""
    source = Path(config.file)
    path = run.out / f"{file_stem(run.name)}{source.suffix}"
    beside = _beside(source)
    companions: Mapping[str, bytes] = getattr(run.task, "companions", dict)()
    if taken := {path.name, DESCRIPTION, MANIFEST, *companions} & {*beside}:
        raise StageError(
            f"{source.name} names external data '{taken.pop()}', a name that edgekd needs.",
            "Save the model with another name for its data.",
        )
    shutil.copyfile(source, path)
    for name in beside:
        (run.out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.parent / name, run.out / name)
    signature = _fitted(path, run.task.signature())  # of the copy: this is what will be run
    size = sum((run.out / name).stat().st_size for name in (path.name, *beside))
    save_program(
        run.out,
        Program(
            file=path.name,
            runtime=RUNTIMES[source.suffix],
            precision="as given",
            signature=signature,
            facts=run.task.facts(),
            model=run.name,
            model_digest=digest_file(path),
            parameters=None,
            parity={},
        ),
    )
    write_companions(run.out, companions)
    return {
        "says": f"{source.name} as given; that it takes the task's preprocessing is not checked",
        "result": Quantity(size / 2**20, "MiB"),
        "size_bytes": size,
        "precision": "as given",
    }


def _fitted(file: Path, signature: Signature) -> Signature:
    """Return the signature that a file has; StageError where it is not the task's."""
    found = describe(file)
    try:
        return fit(signature, found)
    except ValueError as error:
        step = CHANNELS_LAST if has_channels_last(signature, found) else OTHER
        raise StageError(f"{file.name} is no program of this task: {error}.", step) from error


def _beside(file: Path) -> list[str]:
    """Return the external data that a file names, by paths from its folder."""
    return list(describe(file, EXTERNAL_DATA)["beside"]) if file.suffix == ONNX else []


def _undeclared(file: Path, config: Given) -> Problem | None:
    """Return what is wrong with `data`: it must say what the file names, to be part of the key."""
    named = _beside(file)
    if {file.parent.resolve() / name for name in named} == {Path(d).resolve() for d in config.data}:
        return None
    if not named:
        return Problem("data", f"{file.name} names no external data.", "Leave data out.")
    shown = ", ".join(named)
    return Problem("data", f"{file.name} names external data: {shown}.", f"Write data: [{shown}].")
