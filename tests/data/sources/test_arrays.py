"""Arrays in files."""

import numpy as np
import pytest

from edgekd.core.errors import RequestError
from edgekd.core.refs import UseSource

COUNTS = {"train": 30, "validation": 6, "test": 9}


def build(root, **options):
    return UseSource.model_validate({"kind": "arrays", "root": str(root), **options}).build()


def write(root, shape=(4, 5, 3), dtype=np.uint8):
    rng = np.random.default_rng(0)
    for split, count in COUNTS.items():
        np.save(root / f"{split}_image.npy", rng.integers(0, 256, (count, *shape)).astype(dtype))
        np.save(root / f"{split}_label.npy", np.arange(count) % 3)
    return root


@pytest.fixture
def root(tmp_path):
    return write(tmp_path)


@pytest.mark.parametrize("split", COUNTS)
def test_rows_that_are_asked_for_are_those_of_the_whole(root, split):
    source = build(root)
    whole, rows = source.load(split), source.open(split)
    assert source.count(split) == len(rows) == len(whole["label"]) == COUNTS[split]
    numbers = np.array([5, 0, 5, 3])
    found = rows.read(numbers)
    for name in ("image", "label"):
        np.testing.assert_array_equal(found[name], whole[name][numbers])
        assert not np.shares_memory(found[name], getattr(rows, name))
        assert type(found[name]) is np.ndarray


def test_what_is_given_is_what_the_files_hold(root):
    source = build(root, labels=("a", "b", "c"))
    assert list(source.labels) == ["a", "b", "c"]
    assert source.shapes == {"image": (4, 5, 3), "label": ()}
    np.testing.assert_array_equal(source.load("test")["image"], np.load(root / "test_image.npy"))
    assert len(source.files()) == 6
    assert all(path.parent == root for path in source.files())


def test_grey_pictures_need_no_channel_and_classes_no_names(tmp_path):
    source = build(write(tmp_path, shape=(4, 5)))
    assert source.shapes["image"] == source.load("train")["image"].shape[1:] == (4, 5, 1)
    assert list(source.labels) == ["0", "1", "2"]


def test_a_mapped_file_is_not_read_before_it_is_asked_for(root, monkeypatch):
    monkeypatch.setattr(np, "load", None)
    assert build(root).open("train").image.base is not None


def test_every_file_that_is_missing_is_named_at_once(tmp_path):
    with pytest.raises(RequestError) as error:
        build(tmp_path).files()
    told = [problem.message for problem in error.value.problems]
    assert [text.rpartition("/")[2] for text in told] == [
        *("train_image.npy.", "train_label.npy.", "validation_image.npy."),
        *("validation_label.npy.", "test_image.npy.", "test_label.npy."),
    ]
    with pytest.raises(RequestError, match=r"there is no file .*train_image"):
        build(tmp_path).open("train")


def test_bytes_and_integers_are_wanted(root):
    np.save(root / "train_image.npy", np.zeros((30, 4, 5, 3), np.float32))
    np.save(root / "test_image.npy", np.zeros((9, 20), np.uint8))
    np.save(root / "validation_label.npy", np.zeros(6))
    with pytest.raises(RequestError) as error:
        build(root).files()
    first, second, third = (problem.message for problem in error.value.problems)
    assert first.endswith("train_image.npy holds float32 (30, 4, 5, 3).")
    assert second.endswith("validation_label.npy holds float64 (6,) for 6 pictures.")
    assert third.endswith("test_image.npy holds uint8 (9, 20).")


def test_one_label_per_picture_is_wanted(root):
    np.save(root / "test_label.npy", np.zeros(8, int))
    with pytest.raises(RequestError, match=r"holds int64 \(8,\) for 9 pictures"):
        build(root).files()


def archive(path):
    with path.open("wb") as stream:
        np.savez(stream, a=np.zeros(3))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no array"),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: np.save(path, np.array([{}]), allow_pickle=True),
        archive,
    ],
)
def test_a_file_that_is_no_array_is_named(root, spoil):
    spoil(root / "test_image.npy")
    with pytest.raises(RequestError, match=r"test_image\.npy cannot be read"):
        build(root).files()
    assert list(build(root).check()) == []


def test_rows_that_are_sorted_by_class_are_refused(root):
    assert list(build(root).check()) == []
    np.save(root / "train_label.npy", np.sort(np.arange(30) % 3))
    (only,) = build(root).check()
    assert only.message.endswith("train_label.npy is sorted by class.")
    assert "takes the first ones" in only.next_step


def test_the_last_labels_count_where_there_are_many(root, monkeypatch):
    monkeypatch.setattr("edgekd.data.sources.arrays.CHUNK", 8)
    label = np.sort(np.arange(30) % 3)
    for place in (1, 8, 16, 29):
        mixed = label.copy()
        mixed[place] = -1
        np.save(root / "train_label.npy", mixed)
        assert list(build(root).check()) == [], place
    np.save(root / "train_label.npy", label)
    assert len(list(build(root).check())) == 1
