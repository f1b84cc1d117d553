"""The C++ runners of devices: built, and kept for the measurements to come."""

import json
from pathlib import Path

import typer

from edgekd.core.errors import Problem, RequestError
from edgekd.pipeline.targets import find_targets, read_target

RUNTIME = "executorch"


def build_for(target: str | None, wheel: Path | None, as_json: bool) -> None:
    """Build the runner for a target, or for this machine, and say where it is."""
    from edgekd.devices.native.build import build_runner
    from edgekd.devices.native.runners import this_machine

    arch = _arch(target) if target else this_machine()
    build, fresh = build_runner(RUNTIME, arch, wheel)
    size = sum(path.stat().st_size for path in build.folder.rglob("*") if path.is_file())
    if as_json:
        about = {"runtime": RUNTIME, "version": build.version, "arch": arch, "built": fresh}
        typer.echo(json.dumps(about | {"folder": str(build.folder), "bytes": size}))
        return
    typer.echo(
        f"{'built' if fresh else 'kept '}  {RUNTIME} {build.says} for {arch}, "
        f"{size / 2**20:.1f} MiB: {build.folder}"
    )


def _arch(name: str) -> str:
    """Return the machine of a target; RequestError where it takes no C++ runner."""
    described = read_target(name, find_targets(Path.cwd()))
    if RUNTIME not in described["native"]:
        message = f"target '{name}' runs nothing by a C++ runner."
        step = f"Say so in its file: runtimes: [{RUNTIME}], native: [{RUNTIME}]."
        raise RequestError(Problem("", message, step, "--target"))
    return str(described["hardware"]["arch"])
