"""A pipeline that trains in a second, in a folder of its own."""

import pytest

import edgekd
from edgekd.pipeline.resolve import resolve
from edgekd.pipeline.resolved import Request

TINY = """\
name: tiny
seed: 0
threads: 1
task: {kind: image_classification, data: digits, train_examples: 128}
stages:
  teacher:
    kind: teacher
    model: {kind: depthwise, width: 8, blocks: [1]}
    train: {epochs: 1}
  student:
    kind: distill
    teacher: $teacher
    model: {kind: depthwise, width: 4, blocks: [1]}
    objective: [{kind: kd, temperature: 4.0}, cross_entropy]
    train: {epochs: 2}
  smaller: {kind: prune, model: $student, transform: {kind: channels, ratio: 0.25, round_to: 1}}
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Return a function that runs the tiny pipeline, with edits of its text."""
    monkeypatch.chdir(tmp_path)

    def run(text=TINY, **options):
        (tmp_path / "tiny.yaml").write_text(text)
        return edgekd.run("tiny.yaml", **options)

    return run


@pytest.fixture
def stages(tmp_path):
    """Return a function from a text to its resolved stages by name."""

    def read(text, *sets):
        (tmp_path / "tiny.yaml").write_text(text)
        resolved = resolve(Request(str(tmp_path / "tiny.yaml"), sets))
        return {stage.name: stage for stage in resolved.stages}

    return read
