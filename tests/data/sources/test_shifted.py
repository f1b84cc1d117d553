"""Pictures on a larger canvas, moved in some splits."""

import numpy as np

from edgekd.core.refs import UseSource, UseTask
from edgekd.data.sources.shifted import Shifted, ShiftedOptions

OF = UseSource.model_validate("digits")


def made(**options):
    return Shifted(ShiftedOptions(of=OF, **options))


def test_a_split_that_is_not_named_has_its_pictures_in_the_middle():
    plain, found = OF.build().load("train"), made(pixels=3, background=7).load("train")
    assert made(pixels=3).shapes["image"] == (14, 14, 1)
    assert np.array_equal(found["image"][:, 3:11, 3:11], plain["image"])
    assert np.array_equal(found["label"], plain["label"])
    assert (found["image"][:, :3] == 7).all()


def test_in_a_named_split_each_picture_is_somewhere_on_the_canvas():
    plain, source = OF.build().load("test"), made()
    found, places = source.load("test"), []
    for old, new in zip(plain["image"], found["image"], strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(new, (8, 8, 1))[:, :, 0]
        places += [(r, c) for r in range(5) for c in range(5) if (windows[r, c] == old).all()][:1]
        assert new.sum() == old.sum()
    assert len(places) == source.count("test") == 449
    assert len({*places}) == 25
    assert np.array_equal(made().load("test")["image"], found["image"])
    assert not np.array_equal(made(seed=1).load("test")["image"], found["image"])


def test_a_task_takes_it():
    options = {"kind": "image_classification", "data": {"kind": "shifted", "of": "digits"}}
    task = UseTask.model_validate(options).build()
    assert task.signature().inputs[0].shape == ("batch", 1, 12, 12)
    assert task.audit() is not None
    assert task.expected_size("validation") == 270
