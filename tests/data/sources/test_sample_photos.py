"""Crops of two photos, and noise: as many as asked for, by the seed alone, all different."""

import numpy as np
import pytest
from PIL import Image

from edgekd.core.errors import RequestError
from edgekd.core.refs import UseSource
from edgekd.data.sources import sample_photos

COUNTS = {"train": 6, "synthetic": 4, "validation": 5, "test": 7}


def build(**options):
    made = {"kind": "sample_photos", "size": 32, **COUNTS} | options
    return UseSource.model_validate(made).build()


def test_there_are_as_many_pictures_as_it_says():
    source = build()
    for split, wanted in (("train", 10), ("validation", 5), ("test", 7)):
        image = source.load(split)["image"]
        assert len(image) == source.count(split) == wanted
        assert image.shape[1:] == source.shapes["image"]
        assert image.dtype == np.uint8


def test_the_seed_alone_decides():
    first, again, other = (build(seed=seed).load("train")["image"] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(
        build().load("test")["image"][:5], build().load("validation")["image"]
    )


def test_no_crop_is_in_two_splits():
    source = build(train=40, validation=40, test=40, synthetic=0)
    found = [{p.tobytes() for p in source.load(split)["image"]} for split in sample_photos.SPLITS]
    assert len(set.union(*found)) == sum(map(len, found)) == 120


def test_half_of_the_crops_are_of_each_photo(monkeypatch, tmp_path):
    paths = [tmp_path / name for name in sample_photos.PHOTOS]
    for path, level in zip(paths, (60, 180), strict=True):
        Image.new("RGB", (48, 32), (level,) * 3).save(path)
    monkeypatch.setattr(sample_photos, "_installed", lambda: paths)
    means = build(test=10).load("test")["image"].mean((1, 2, 3))
    assert sorted(means.round().astype(int)) == [60] * 5 + [180] * 5


def test_amplitudes_of_noise_fall_as_one_over_frequency():
    rng = np.random.default_rng(0)
    pictures = np.stack([sample_photos._noise(64, rng) for _ in range(20)]).astype(float)
    amplitude = np.abs(np.fft.rfft2(pictures, axes=(1, 2))).mean((0, 3))
    across = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)[None])
    middle = (across > 2 / 64) & (across < 0.3)  # bytes are rounded and cut beyond
    slope, _ = np.polyfit(np.log(across[middle]), np.log(amplitude[middle]), 1)
    assert slope == pytest.approx(-1, abs=0.1)


def test_without_scikit_learn_it_says_so(monkeypatch):
    monkeypatch.setattr(sample_photos, "find_spec", lambda _: None)
    with pytest.raises(RequestError, match="pip install scikit-learn"):
        build().files()


def test_a_picture_has_more_than_one_pixel():
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        build(size=1)
    assert build(size=2).load("train")["image"].shape == (10, 2, 2, 3)
