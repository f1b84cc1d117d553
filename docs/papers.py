"""Writes docs/papers.md: which pieces come from which paper, and which pipeline tries it.

    python docs/papers.py

A plug-in names its papers itself; a file of pipelines/papers is of the papers whose arXiv numbers
stand in its text, wherever it mentions them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekd.core.kinds import KINDS
from edgekd.core.registry import Paper
from edgekd.pipeline.document import read_document

HERE = Path(__file__).parent
PIPELINES = HERE.parent / "pipelines" / "papers"
NUMBER = re.compile(r"\b\d{4}\.\d{5}\b")
HEAD = """\
# Papers

What comes from where. `python docs/papers.py` writes this page from what plug-ins say of
themselves and from [`pipelines/papers`](../pipelines/papers); `edgekd list KIND` and `edgekd show
KIND NAME` say the same of one. What the pipelines came to: [methods.md](methods.md).

| paper | pieces | pipeline |
|---|---|---|
"""


@dataclass
class Entry:
    """A row of the page."""

    title: str
    pieces: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def text() -> str:
    """Return the page; ValueError where a pipeline file names no paper."""
    entries: dict[str, Entry] = {}
    for kind, registry in KINDS.items():
        for name in registry.names():
            for paper in registry.papers(name):
                entry = entries.setdefault(paper.arxiv or paper.title, Entry(_linked(paper)))
                entry.pieces.append(
                    f"{kind} `{name}`" + (f" ({paper.where})" if paper.where else "")
                )
    for file in sorted(PIPELINES.glob("*.yaml")):
        for number, title in _numbers(file).items():
            entries.setdefault(number, Entry(title)).files.append(file)
    rows = sorted(entries.values(), key=lambda entry: entry.title.lower())
    return HEAD + "".join(f"{_row(entry)}\n" for entry in rows)


def _numbers(file: Path) -> Mapping[str, str]:
    """Return the arXiv numbers of a pipeline file, each with a title for want of another."""
    found = dict.fromkeys(NUMBER.findall(file.read_text("utf-8")))
    if not found:
        raise ValueError(f"{file} names no paper: write its arXiv number into its description.")
    title = str(read_document(file).value["description"])
    return {number: _linked(Paper(title, number)) for number in found}


def _linked(paper: Paper) -> str:
    address = f"https://arxiv.org/abs/{paper.arxiv}"
    return f"[{paper.title}]({address}), {paper.arxiv}" if paper.arxiv else paper.title


def _row(entry: Entry) -> str:
    """Return the row; a paper without a piece of its own has those that its pipelines name."""
    pieces = entry.pieces or sorted({piece for file in entry.files for piece in _named(file)})
    files = [f"[{file.stem}](../pipelines/papers/{file.name})" for file in entry.files]
    return f"| {entry.title} | {', '.join(pieces) or '-'} | {', '.join(files) or '-'} |"


def _named(file: Path) -> Iterator[str]:
    """Yield the objectives, augmentations, choices and transforms that a pipeline file names."""
    kinds = _kinds(read_document(file).value["stages"])
    for kind in ("objective", "augment", "select", "transform"):
        yield from (f"{kind} `{name}`" for name in kinds & {*KINDS[kind].names()})


def _kinds(value: Any) -> set[str]:
    """Return every text of a file that could name a plug-in."""
    if isinstance(value, str):
        return {value}
    inside = value.values() if isinstance(value, Mapping) else value
    return set().union(*map(_kinds, inside)) if isinstance(value, Mapping | tuple) else set()


if __name__ == "__main__":
    (HERE / "papers.md").write_text(text(), "utf-8")
