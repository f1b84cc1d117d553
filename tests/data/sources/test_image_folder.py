"""Folders of pictures."""

import numpy as np
import pytest
from PIL import Image

from edgekd.core.errors import RequestError
from edgekd.core.refs import UseSource

COLORS = {"blue": (0, 0, 255), "red": (255, 0, 0)}


def build(root, **options):
    options = {"size": 4} | options
    return UseSource.model_validate({"kind": "image_folder", "root": str(root), **options}).build()


def paint(folder, name, color, count, ending=".png", size=(6, 9)):
    (folder / name).mkdir(parents=True)
    for index in range(count):
        Image.new("RGB", size, color).save(folder / name / f"{index}{ending}")


@pytest.fixture
def root(tmp_path):
    for split, count in (("train", 20), ("test", 5)):
        for name, color in COLORS.items():
            paint(tmp_path / split, name, color, count, ".jpg" if split == "test" else ".png")
    return tmp_path


def test_pictures_come_with_the_class_of_their_folder_in_the_size_asked_for(root):
    source = build(root, size=(4, 3))
    assert list(source.labels) == ["blue", "red"]
    columns = source.load("test")
    assert columns["image"].shape == (10, *source.shapes["image"]) == (10, 4, 3, 3)
    brightest = columns["image"].mean((1, 2)).argmax(1)
    assert (brightest == np.where(columns["label"] == 0, 2, 0)).all()


def test_without_a_folder_for_it_validation_is_an_even_part_of_train(root):
    source = build(root, validation=0.25)
    assert np.bincount(source.load("validation")["label"]).tolist() == [5, 5]
    assert np.bincount(source.load("train")["label"]).tolist() == [15, 15]


def test_no_picture_is_in_train_and_validation(tmp_path):
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
    for index in range(40):
        pixel = Image.new("L", (4, 4), index * 5)
        pixel.save(tmp_path / "train" / "ab"[index % 2] / f"{index}.png")
        pixel.save(tmp_path / "test" / "ab"[index % 2] / f"{index}.png")
    source = build(tmp_path, color="L", validation=0.3)
    train, held_out = (set(source.load(s)["image"][:, 0, 0, 0]) for s in ("train", "validation"))
    assert not train & held_out
    assert train | held_out == {index * 5 for index in range(40)}
    other = build(tmp_path, color="L", validation=0.3, seed=1)
    assert set(other.load("validation")["image"][:, 0, 0, 0]) != held_out


@pytest.mark.parametrize("name", ["val", "validation"])
def test_a_folder_for_validation_is_used_under_either_name(root, name):
    for label, color in COLORS.items():
        paint(root / name, label, color, 3)
    source = build(root)
    assert source.files() == (root,)
    assert [len(source.load(s)["label"]) for s in ("train", "validation", "test")] == [40, 6, 10]


def test_any_prefix_has_both_classes_so_that_few_samples_stand_for_all(root):
    label = build(root).load("test")["label"]
    assert set(label[:2]) == {0, 1}


def test_grey_pictures_palettes_transparency_and_rotated_photos_are_read(root):
    photo = Image.new("RGB", (8, 4), "black")
    photo.paste("white", (0, 0, 4, 4))
    turned = Image.Exif()
    turned[0x0112] = 6  # taken with the camera on its side: the left half becomes the top
    photo.save(root / "test" / "red" / "turned.png", exif=turned)
    Image.new("RGBA", (4, 4), (1, 2, 3, 0)).save(root / "test" / "red" / "clear.png")
    Image.new("P", (4, 4), 3).save(root / "test" / "red" / "palette.PNG")
    image = build(root, color="L").load("test")["image"]
    assert image.shape == (13, 4, 4, 1)
    assert any((i[0] > 250).all() and (i[-1] < 5).all() for i in image)


def test_missing_folders_are_all_named_at_once(tmp_path):
    with pytest.raises(RequestError) as error:
        build(tmp_path).files()
    assert [p.path for p in error.value.problems] == ["task.data"] * 2
    assert str(tmp_path / "train") in str(error.value)
    assert str(tmp_path / "test") in str(error.value)


def test_classes_that_differ_between_splits_are_named(root):
    paint(root / "test", "green", (0, 255, 0), 1)
    with pytest.raises(RequestError, match="differ in the classes green"):
        build(root).files()


def test_a_class_without_pictures_is_named(root):
    for path in (root / "test" / "red").iterdir():
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(RequestError, match=r"test/red holds no \.jpeg, \.jpg, \.png file"):
        build(root).files()


def test_pictures_that_lie_outside_class_folders_make_no_classes(tmp_path):
    for split in ("train", "test"):
        paint(tmp_path, split, (0, 0, 0), 3)
    with pytest.raises(RequestError, match="0 folders"):
        build(tmp_path).files()


def test_two_folders_for_validation_are_one_too_many(root):
    for name in ("val", "validation"):
        paint(root / name, "red", (255, 0, 0), 1)
        paint(root / name, "blue", (0, 0, 255), 1)
    with pytest.raises(RequestError, match=r"both .*val and .*validation"):
        build(root).files()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_file_that_is_no_picture_is_named(root, content):
    (root / "test" / "red" / "bad.png").write_bytes(content)
    with pytest.raises(RequestError, match=r"cannot be read:\n.*test/red/bad\.png"):
        build(root).load("test")


def test_a_picture_cut_short_is_named(root):
    whole = root / "test" / "red" / "0.jpg"
    whole.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(RequestError, match=r"cannot be read:\n.*test/red/0\.jpg"):
        build(root).load("test")


def test_all_pictures_that_cannot_be_read_are_told_together(root):
    for index in range(12):
        (root / "test" / "red" / f"bad{index:02}.png").write_bytes(b"no picture")
    source = build(root)
    (early,) = source.check()
    with pytest.raises(RequestError) as error:
        source.load("test")
    (late,) = error.value.problems
    for told in (early.message, late.message):
        assert told.startswith("12 pictures cannot be read:")
        assert told.count("bad") == 10
        assert "and 2 more" in told


def test_a_beginning_that_is_no_pictures_is_found_before_anything_is_decoded(root):
    assert not list(build(root).check())
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = root / "test" / "red" / "0.jpg"
    Image.fromarray(noise).save(whole)
    whole.write_bytes(whole.read_bytes()[:-200])
    assert not list(build(root).check())  # only decoding shows that the rest is missing
    (root / "train" / "red" / "0.png").write_bytes(b"")
    (only,) = build(root).check()
    assert "1 picture cannot be read:" in only.message
    assert "train/red/0.png" in only.message


def test_missing_folders_are_left_to_be_told_once(tmp_path):
    assert not list(build(tmp_path).check())


def test_counts_and_names_are_those_of_the_rows(root):
    source = build(root)
    for split in ("train", "validation", "test"):
        names, columns = source.names(split), source.load(split)
        assert source.count(split) == len(names) == len(columns["label"])
        classes = [name.split("/")[1] for name in names]
        assert classes == [source.labels[label] for label in columns["label"]]


def test_a_page_for_another_program_is_no_picture_whatever_its_name(root, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a program was started"))
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n"
    (root / "test" / "red" / "0.jpg").write_bytes(page)
    with pytest.raises(RequestError, match=r"0\.jpg"):
        build(root).load("test")
