"""Asking a teacher about what a writer lacks, no more and no less."""

import torch

from edgekd.core.refs import UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.train.filling import fill, spans
from edgekd.train.shards import ShardWriter
from edgekd.train.teaching import Description, Said

EXAMPLES, CLASSES = 40, 10
TASK = UseTask.model_validate(
    {"kind": "image_classification", "data": "digits", "train_examples": EXAMPLES}
)


def about(views=1, top=3):
    return Description(EXAMPLES, views, 0, [], CLASSES, top, ["logits"], [])


def filled(folder, part, views=1, top=3):
    """Return the run, the sample, and the ids that were asked about."""
    asked, run = [], ExampleRun(folder, TASK.build())

    def ask(batch, view):
        asked.extend((int(i), view) for i in batch["ids"])
        return Said({"logits": batch["image"].flatten(1)[:, :CLASSES]}, {})

    writer = ShardWriter(run.unfinished, EXAMPLES * views, 20, part)
    sample = fill(writer, about(views, top), ask, 16, run, in_step=False)
    return run, sample, asked


def test_every_view_of_every_example_is_asked_about_once(tmp_path):
    _, sample, asked = filled(tmp_path, (0, 1), views=2, top=None)
    assert sorted(asked) == [(i, view) for i in range(EXAMPLES) for view in range(2)]
    assert len(sample) == 0


def test_the_first_process_samples_though_it_has_nothing_to_write(tmp_path):
    """So few examples are one file, which the last process writes."""
    run, sample, asked = filled(tmp_path, (0, 2))
    assert len(asked) == EXAMPLES
    assert torch.cat([*sample]).shape == (EXAMPLES, CLASSES)
    assert not list(run.unfinished.glob("*.safetensors"))
    assert all(0 <= done <= total and total > 0 for done, total, _ in run.told)


def test_the_rows_of_batches_follow_one_another_and_no_view_is_mixed_with_the_next():
    found = list(spans(about(views=2), 16))
    assert [(s.view, s.begin, s.end) for s in found] == [
        (0, 0, 16), (0, 16, 32), (0, 32, 40), (1, 40, 56), (1, 56, 72), (1, 72, 80),
    ]  # fmt: skip
