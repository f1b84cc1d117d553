"""A pipeline that trains for a moment, tracked."""

import json

import pytest

import edgekd

TRACKED = """\
name: tiny
seed: 0
threads: 1
track: {track}
task: {{kind: image_classification, data: digits, train_examples: 128}}
stages:
  teacher:
    kind: teacher
    model: {{kind: depthwise, width: 8, blocks: [1]}}
    train: {{epochs: 1}}
  student:
    kind: distill
    teacher: $teacher
    model: {{kind: depthwise, width: 4, blocks: [1]}}
    objective: [{{kind: kd, temperature: 4.0}}, {{kind: cross_entropy, weight: 0.5}}]
    train: {{epochs: 5, batch_size: 16}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function that runs the pipeline, tracked as given, in one folder."""
    folder = tmp_path_factory.mktemp("tracked")

    def do(track, **options):
        (folder / "tiny.yaml").write_text(TRACKED.format(track=track))
        places = {"store": folder / "store", "runs": folder / "runs"}
        return edgekd.run(folder / "tiny.yaml", **places, **options)

    do.folder = folder
    return do


def history(result, stage="student"):
    """Return the epochs of a training."""
    return json.loads((result.folders[stage] / "history.json").read_text())["epochs"]


@pytest.fixture(scope="session")
def epochs_of():
    """Return `history`."""
    return history
