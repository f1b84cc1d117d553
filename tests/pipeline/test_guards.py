"""What a run looks at before it spends time."""

import pytest

import edgekd
from edgekd.core.errors import RequestError, UnreachableError
from edgekd.pipeline.events import StageNotice

from .conftest import TINY

LEAKY = '''
"""Noise whose test pictures are the first of those to learn from."""
import numpy as np
from edgekd.core.config import Config
from edgekd.core.kinds import source

class Options(Config):
    nans: bool = False
    """Spoil one picture."""

@source(config=Options, name="leaky")
class Leaky:
    labels = ("cat", "dog")
    shapes = {"image": (8, 8, 1), "label": ()}

    def __init__(self, options):
        self.options = options

    def files(self):
        return ()

    def load(self, split):
        seed = 1 if split == "validation" else 0
        image = np.random.default_rng(seed).integers(0, 256, (64, 8, 8, 1), np.uint8)
        label = np.arange(64) % 2
        if self.options.nans:
            image = image.astype(float)
            image[5] = np.nan
        return {"image": image[:16] if split == "test" else image,
                "label": label[:16] if split == "test" else label}
'''
PIPELINE = """\
name: leaky
threads: 1
plugins: [leaky.py]
task: {kind: image_classification, data: leaky}
stages:
  teacher: {kind: teacher, model: {kind: depthwise, width: 8, blocks: [1]}, train: {epochs: 1}}
  smaller: {kind: prune, model: $teacher, transform: {kind: channels, ratio: 0.25, round_to: 1}}
"""


@pytest.fixture
def leaky(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "leaky.py").write_text(LEAKY)
    (tmp_path / "leaky.yaml").write_text(PIPELINE)

    def run(*sets):
        events = []
        result = edgekd.run("leaky.yaml", sets=sets, listener=events.append)
        return result, [event for event in events if isinstance(event, StageNotice)]

    return run


def test_duplicates_are_told_once_and_whether_they_are_told_changes_no_result(leaky):
    _, notices = leaky()
    assert [notice.stage for notice in notices] == ["teacher"]
    assert notices[0].message.startswith("16 of 16 test pictures are in train too: ")
    for said in ("allow", "refuse"):
        again, notices = leaky(f"task.duplicates={said}")
        assert not again.ran
        assert not notices


def test_a_source_that_is_read_as_a_whole_is_told_before_it_is_read(leaky):
    with pytest.raises(RequestError, match=r"task\.memory\n.*cannot be streamed"):
        leaky("task.memory=stream")


def test_duplicates_that_are_refused_stop_the_first_stage(leaky):
    with pytest.raises(RequestError, match="test pictures are in train too"):
        leaky("task.duplicates=refuse")


def test_spoilt_pictures_are_told_for_every_split_at_the_start_of_the_stage(leaky):
    with pytest.raises(RequestError) as error:
        leaky("task.data.nans=true")
    told = [p.message for p in error.value.problems if "NaN" in p.message]
    assert [text.split()[0] for text in told] == ["train", "validation", "test"]
    assert "1 (ids 5) of 64" in told[0]


def test_a_stage_that_cannot_fit_is_refused_before_it_starts(tiny):
    text = TINY.replace("width: 8", "width: 1000000")
    with pytest.raises(UnreachableError, match=r"Lower train\.batch_size") as error:
        tiny(text, until="teacher")
    assert error.value.exit_code == 3


def test_plan_refuses_what_can_be_told_without_reading_pictures(tiny):
    crop = "train: {epochs: 1, augment: [flip, {kind: crop, padding: 8}]}"
    text = TINY.replace("train: {epochs: 1}", crop).replace("examples: 128", "examples: 9999")
    with pytest.raises(RequestError) as error:
        tiny(text)
    first, second = error.value.problems
    assert (first.path, first.place) == ("task.train_examples", "tiny.yaml:4")
    assert second.path == "stages.teacher.train.augment[1].padding"
    assert second.place == "tiny.yaml:9"


def test_a_plan_says_what_each_stage_needs(tiny, tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    for step in edgekd.plan("tiny.yaml").steps:
        assert step.stage.needs["memory_bytes"] > step.stage.needs["disk_bytes"] > 0
