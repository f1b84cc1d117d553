"""Writes what pip must install for the images, from pyproject.toml, one file per image.

    python3 requirements.py pyproject.toml FOLDER

The files change only with the dependencies, so that the layers made from them stay cached when
anything else in pyproject.toml, or the source, changes.
"""

import re
import sys
import tomllib
from pathlib import Path

SLIM = (
    *("numpy", "onnxruntime", "pydantic", "ruamel.yaml", "typer", "rich", "jinja2", "matplotlib"),
    *("psutil", "packaging", "filelock"),
)
"""What `edgekd bench` needs without torch, as docs/bench.md says it."""


def main() -> None:
    """Write full.txt, slim.txt and build.txt."""
    project, out = Path(sys.argv[1]), Path(sys.argv[2])
    document = tomllib.loads(project.read_text("utf-8"))
    full = document["project"]["dependencies"]
    by_name = {re.split(r"[^\w.-]", line)[0]: line for line in full}
    files = {
        "full": full,
        "slim": [by_name[name] for name in SLIM],
        "build": document["build-system"]["requires"],
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (out / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")


if __name__ == "__main__":
    main()
