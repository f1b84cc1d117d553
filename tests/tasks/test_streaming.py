"""Pictures that are read as they are asked for, beside the same pictures in memory."""

import gc
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgekd.core.errors import RequestError, UnreadableError
from edgekd.core.refs import UseTask
from edgekd.tasks import reading, survey
from edgekd.tasks.reading import Streamed

CPU = torch.device("cpu")
COUNTS = {"train": 40, "validation": 9, "test": 12}


def write_arrays(root, shape=(6, 5, 3), seed=0):
    rng = np.random.default_rng(seed)
    for split, count in COUNTS.items():
        image = rng.integers(0, 256, (count, *shape), np.uint8)
        np.save(root / f"{split}_image.npy", image)
        np.save(root / f"{split}_label.npy", np.arange(count) % 3)
    return {"kind": "arrays", "root": str(root)}


def write_folder(root, count=12):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("a", "b", "c"):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                ending = "jpg" if index % 2 else "png"
                noise = rng.integers(0, 256, (9, 11, 3), np.uint8)
                Image.fromarray(noise).save(root / split / name / f"{index}.{ending}")
    return {"kind": "image_folder", "root": str(root), "size": 7}


@pytest.fixture(scope="module", params=["arrays", "folder"])
def data(request, tmp_path_factory):
    write = {"arrays": write_arrays, "folder": write_folder}[request.param]
    return write(tmp_path_factory.mktemp("data"))


def build(data, **options):
    return UseTask.model_validate({"kind": "image_classification", "data": data, **options}).build()


def passed(task, split="train", size=7, seed=None, **options):
    rng = None if seed is None else torch.Generator().manual_seed(seed)
    return list(task.batches(split, size, device=CPU, rng=rng, **options))


def same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("readers", [0, 2])
@pytest.mark.parametrize("options", [{}, {"size": 4, "train_examples": 15, "train_seed": 3}])
def test_streamed_batches_are_those_in_memory_to_the_bit(data, readers, options):
    held = build(data, memory="hold", **options)
    streamed = build(data, memory="stream", readers=readers, **options)
    assert streamed.facts() == held.facts()
    for split in COUNTS:
        assert streamed.size(split) == held.size(split)
        same(passed(streamed, split), passed(held, split))
    same(passed(streamed, seed=1), passed(held, seed=1))
    same(passed(streamed, seed=1, part=(1, 3)), passed(held, seed=1, part=(1, 3)))
    assert isinstance(streamed._pictures("train").shelf, Streamed)
    assert not isinstance(held._pictures("train").shelf, Streamed)


@given(
    size=st.integers(1, 45), start=st.integers(0, 6), of=st.integers(1, 3), seed=st.integers(0, 99)
)
def test_a_pass_that_begins_later_is_the_rest_of_the_whole(tmp_path_factory, size, start, of, seed):
    root = tmp_path_factory.getbasetemp() / "later"
    if not root.is_dir():
        root.mkdir()
        write_arrays(root)
    for memory in ("hold", "stream"):
        task = build({"kind": "arrays", "root": str(root)}, memory=memory)
        part = (of - 1, of)
        whole = passed(task, size=size, seed=seed, part=part)
        same(passed(task, size=size, seed=seed, part=part, start=start), whole[start:])


def test_what_is_passed_over_and_others_parts_are_not_read(data, monkeypatch):
    task = build(data, memory="stream", readers=0)
    task.facts()
    rows = task._pictures("train").shelf.rows
    read, asked = type(rows).read, []
    monkeypatch.setattr(type(rows), "read", lambda s, n: asked.append(len(n)) or read(s, n))
    rest = passed(task, size=4, seed=0, part=(0, 2), start=5)
    assert asked == [len(batch["ids"]) for batch in rest]
    assert asked == [2] * (-(-task.size("train") // 4) - 5)


def test_no_picture_is_read_before_it_is_asked_for(data, monkeypatch):
    task = build(data, memory="stream", readers=0)
    task.facts()
    rows = task._pictures("train").shelf.rows
    read, asked = type(rows).read, []
    monkeypatch.setattr(type(rows), "read", lambda s, n: asked.append(len(n)) or read(s, n))
    batches = task.batches("train", 5, device=CPU)
    next(batches)
    next(batches)
    assert asked == [5, 5]


@pytest.mark.parametrize("readers", [0, 2])
def test_a_pass_draws_no_chance_but_that_of_its_rng(data, readers):
    task = build(data, memory="stream", readers=readers)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    passed(task, seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_audits_say_the_same_with_whatever_they_look_at_at_once(tmp_path, monkeypatch):
    data = write_arrays(tmp_path)
    train = np.load(tmp_path / "train_image.npy")
    train[7], train[30] = train[3], train[3]
    np.save(tmp_path / "train_image.npy", train)
    test = np.load(tmp_path / "test_image.npy")
    test[[2, 5]] = train[[11, 3]]
    np.save(tmp_path / "test_image.npy", test)
    held = build(data, memory="hold")
    told = held.audit()
    assert len(told) == 2
    for size in (1, 7 * 90, 10**6):
        monkeypatch.setattr(survey, "CHUNK_BYTES", size)
        streamed = build(data, memory="stream")
        assert streamed.audit() == told
        assert streamed.facts() == held.facts()
        with pytest.raises(RequestError, match="say notice"):
            build(data, memory="stream", duplicates="refuse").audit()
        assert build(data, memory="stream", duplicates="allow").audit() == []


def labelled(root, label, split="train"):
    np.save(root / f"{split}_label.npy", label)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda root: labelled(root, np.r_[np.arange(38) % 3, 5, -1]),
        lambda root: labelled(root, np.ones(40, int)),
        lambda root: labelled(root, np.arange(40) % 2),
        lambda root: labelled(root, np.ones(9, int), "validation"),
        lambda root: np.save(root / "test_image.npy", np.zeros((12, 6, 5, 1), np.uint8)),
        lambda root: np.save(root / "train_image.npy", np.full((40, 6, 5, 3), 7, np.uint8)),
    ],
)
def test_data_that_is_no_use_is_refused_in_the_same_words(tmp_path, spoil, monkeypatch):
    monkeypatch.setattr(survey, "CHUNK_BYTES", 90 * 8)
    data = write_arrays(tmp_path) | {"labels": ("a", "b", "c")}
    spoil(tmp_path)
    told = []
    for memory in ("hold", "stream"):
        with pytest.raises(RequestError) as error:
            build(data, memory=memory).audit()
        told.append([problem.message for problem in error.value.problems])
    assert told[0] == told[1]


@pytest.mark.parametrize("readers", [0, 2])
def test_pictures_that_cannot_be_read_are_all_told_by_the_audit(tmp_path, readers, monkeypatch):
    monkeypatch.setattr(survey, "CHUNK_BYTES", 7 * 7 * 3 * 4)
    data = write_folder(tmp_path)
    for index in range(0, 12, 2):
        (tmp_path / "train" / "a" / f"{index}.png").write_bytes(b"no picture")
    (tmp_path / "test" / "b" / "0.png").write_bytes(b"")
    told = []
    for memory in ("hold", "stream"):
        with pytest.raises(RequestError) as error:
            build(data, memory=memory, readers=readers).audit()
        told.append([problem.message for problem in error.value.problems])
    assert told[0] == told[1]
    assert "cannot be read" in told[1][0]


@pytest.mark.parametrize("readers", [0, 2])
def test_a_picture_that_is_spoilt_after_the_audit_stops_the_pass(tmp_path, readers):
    data = write_folder(tmp_path)
    task = build(data, memory="stream", readers=readers)
    task.audit()
    (tmp_path / "test" / "b" / "4.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableError, match=r"1 picture cannot be read:\n.*test/b/4\.png"):
        passed(task, "test")


def test_labels_that_no_audit_saw_stop_the_pass(tmp_path):
    data = write_arrays(tmp_path) | {"labels": ("a", "b", "c")}
    labelled(tmp_path, np.r_[np.arange(39) % 3, 3])
    task = build(data, memory="stream", mean=(0.5,) * 3, std=(0.5,) * 3)
    with pytest.raises(RequestError, match="labels from 0 to 3, but there are 3 classes"):
        passed(task)


def test_rows_that_nobody_asked_for_stop_the_pass(data, monkeypatch):
    task = build(data, memory="stream", readers=0)
    task.facts()
    rows = type(task._pictures("train").shelf.rows)
    read = rows.read
    monkeypatch.setattr(rows, "read", lambda self, numbers: read(self, numbers[1:]))
    with pytest.raises(RequestError, match=r"train was asked for 7 examples and gave images \(6, "):
        passed(task)


def test_a_source_that_is_read_as_a_whole_cannot_be_streamed():
    task = build("digits", memory="stream")
    (problem,) = task.check()
    assert problem.path == "task.memory"
    assert problem.message == "digits cannot be streamed: it is read as a whole."
    with pytest.raises(RequestError, match="read as a whole"):
        task.size("train")
    assert not list(build("digits").check())


def test_auto_holds_what_fits(data, monkeypatch):
    held = build(data, memory="hold")
    expected = held.expected_bytes()
    monkeypatch.setattr("edgekd.tasks.holding.memory_limit", lambda: None)
    for factor, streams in ((1.99, True), (2.01, False)):
        memory = SimpleNamespace(total=factor * expected, available=4 * expected)
        monkeypatch.setattr(psutil, "virtual_memory", lambda memory=memory: memory)
        task = build(data)
        assert isinstance(task._pictures("test").shelf, Streamed) == streams
        few = sum(task.size(split) for split in COUNTS) * 128
        assert task.expected_bytes() == (few if streams else expected)


@pytest.mark.parametrize(("option", "value"), [("memory", "stream"), ("readers", 2)])
def test_how_pictures_are_read_is_not_what_a_result_rests_on(data, option, value):
    use = UseTask.model_validate({"kind": "image_classification", "data": data, option: value})
    assert option in use.plugin.traits["judges"]


@pytest.fixture
def children():
    """Return a function that returns the processes that a test has started."""
    others = set(psutil.Process().children(recursive=True))
    return lambda: [p for p in psutil.Process().children(recursive=True) if p not in others]


def ended(processes, within=15.0):
    _, alive = psutil.wait_procs(processes, timeout=within)
    return not alive


@pytest.fixture
def decoding(tmp_path):
    return build(write_folder(tmp_path), memory="stream", readers=2)


def test_readers_end_with_their_pass(decoding, children):
    decoding.facts()
    assert not children()
    batches = decoding.batches("train", 3, device=CPU)
    next(batches)
    readers = children()
    assert len(readers) == 2
    list(batches)
    assert ended(readers)


def test_readers_end_with_a_pass_that_is_given_up(decoding, children):
    decoding.facts()

    def fails():
        for _ in decoding.batches("train", 3, device=CPU):
            told.extend(children())
            raise KeyboardInterrupt

    told = []
    with pytest.raises(KeyboardInterrupt):
        fails()
    gc.collect()
    assert len(told) == 2
    assert ended(told)


def test_readers_leave_the_wish_to_end_to_their_parent(decoding, children):
    whole = passed(decoding, size=3)
    found = []
    for batch in decoding.batches("train", 3, device=CPU):
        for reader in children():
            reader.send_signal(signal.SIGINT)
            reader.send_signal(signal.SIGTERM)
        found.append(batch)
    same(found, whole)


def test_readers_are_no_more_than_have_room(decoding, monkeypatch):
    shelf = decoding._pictures("train").shelf
    for free, readers in ((10**9, 2), (2 * 3 * 5 * 147, 1), (2 * 3 * 5 * 147 - 1, 0)):
        left = SimpleNamespace(free=free)
        monkeypatch.setattr(reading.shutil, "disk_usage", lambda _, left=left: left)
        assert shelf._readers(5) == readers


def test_pictures_are_read_ahead_where_they_are_decoded(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    folder, arrays = write_folder(tmp_path / "a"), write_arrays(tmp_path / "b")
    for processors, wanted in ((1, 1), (6, 3), (64, 8)):
        monkeypatch.setattr(reading, "allowed_processors", lambda n=processors: n)
        assert build(folder, memory="stream")._pictures("train").shelf._readers(1) == wanted
        assert build(arrays, memory="stream")._pictures("train").shelf._readers(1) == 0


PARENT = """
import sys, time, torch
from edgekd.core.refs import UseTask
task = UseTask.model_validate({
    "kind": "image_classification", "memory": "stream", "readers": 2,
    "data": {"kind": "image_folder", "root": sys.argv[1], "size": 7},
}).build()
batches = task.batches("train", 3, device=torch.device("cpu"))
next(batches)
print("reading", flush=True)
time.sleep(60)
"""


def test_readers_end_with_a_parent_that_is_killed(tmp_path):
    write_folder(tmp_path)
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "reading\n"
        readers = psutil.Process(process.pid).children()
        process.kill()
        process.wait()
        assert len(readers) == 2
        assert ended(readers, within=3)
