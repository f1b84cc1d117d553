"""A pipeline file to start from."""

from pathlib import Path

import typer

from edgekd.core.errors import Problem, RequestError, nearest
from edgekd.core.shipped import shipped


def write_template(file: Path, template: str) -> None:
    """Write a shipped pipeline to `file`; never over a file that is there."""
    folder = shipped("pipelines")
    files = sorted(folder.rglob("*.yaml"))
    templates = {path.relative_to(folder).with_suffix("").as_posix(): path for path in files}
    if template not in templates:
        raise RequestError(
            Problem(
                "",
                f"no template is named '{template}'.",
                nearest(template, templates),
                "--template",
            )
        )
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(templates[template].read_text("utf-8"))
    except FileExistsError:
        raise RequestError(
            Problem("", f"{file} is there already.", "Give another name: edgekd init other.yaml")
        ) from None
    except OSError as error:
        raise RequestError(Problem("", f"{file} cannot be written: {error.strerror}.")) from error
    typer.echo(f"Wrote {file}. Next: edgekd plan {file}")
