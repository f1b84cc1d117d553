"""The curves of a training: a score in percent, the loss of a pre-training as it is."""

import pytest

from edgekd.report.charts.training import training
from edgekd.report.schema.training import Epoch, Training


@pytest.mark.parametrize(
    ("monitor", "says", "kept"),
    [
        ("accuracy", "validation accuracy, %", "kept: 42.5"),
        ("loss", "validation loss<", "kept: 0.425"),
    ],
)
def test_what_chose_the_epoch_is_shown_in_its_own_unit(monitor, says, kept):
    given = {"learning_rate": 0.1, "loss": 1.0, "terms": {"dmae": 1.0}}
    epochs = [Epoch(epoch=n, **given, validation={monitor: 0.425}) for n in (1, 2)]
    drawn = training([Training(stage="s", monitor=monitor, best_epoch=1, epochs=epochs)], "t", 640)
    assert says in drawn
    assert kept in drawn
