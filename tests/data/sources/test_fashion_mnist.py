"""Fashion-MNIST, as small files in its format."""

import gzip
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from pydantic import ValidationError

from edgekd.core.errors import RequestError, UnreachableError
from edgekd.core.refs import UseSource
from edgekd.data.sources import fashion_mnist


def build(**options):
    return UseSource.model_validate({"kind": "fashion_mnist", **options}).build()


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0))


@pytest.fixture
def files(tmp_path):
    """Write 200 training and 50 test pictures; the first pixels of a picture are its number."""
    folder = tmp_path / "published"
    folder.mkdir()
    for prefix, count in (("train", 200), ("t10k", 50)):
        image = np.zeros((count, 28, 28), np.uint8)
        image[:, 0, 0] = np.arange(count)
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", image)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", np.arange(count) % 10)
    return folder


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "PACKAGED", tmp_path / "no-package")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def mirror(files, monkeypatch):
    digests = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files.iterdir()}
    monkeypatch.setattr(fashion_mnist, "CHECKSUMS", digests)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=files))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_folder_of_idx_files_is_read_with_its_pictures_and_labels_together(files):
    source = build(root=str(files), validation=50)
    seen = []
    for split, count in (("train", 150), ("validation", 50), ("test", 50)):
        columns = source.load(split)
        number = columns["image"][:, 0, 0, 0]
        assert columns["image"].shape == (count, 28, 28, 1)
        assert (columns["label"] == number % 10).all()
        seen += [] if split == "test" else number.tolist()
    assert sorted(seen) == list(range(200))


def test_validation_has_the_classes_in_equal_shares_and_its_own_seed(files):
    first = build(root=str(files), validation=50, seed=1).load("validation")
    assert (np.bincount(first["label"]) == 5).all()
    other = build(root=str(files), validation=50, seed=2).load("validation")
    assert (first["image"] != other["image"]).any()


def test_debians_folder_is_found_without_being_named(files, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "PACKAGED", files)
    assert {path.parent for path in build().files()} == {files}


def test_where_nothing_is_there_the_error_names_the_package_and_both_options():
    with pytest.raises(RequestError) as error:
        build().files()
    assert error.value.problems[0].path == "task.data"
    for word in ("dataset-fashion-mnist", "root:", "download: true"):
        assert word in str(error.value)


def test_a_folder_that_lacks_a_file_is_not_replaced_by_another(files, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "PACKAGED", files)
    with pytest.raises(RequestError, match=r"train-images-idx3-ubyte.gz"):
        build(root=str(files.parent), download=True).files()


def test_a_download_is_made_once_into_the_cache_and_found_there_later(mirror, files, tmp_path):
    folder = tmp_path / "cache" / "edgekd" / "fashion-mnist"
    found = build(download=True, mirror=mirror).files()
    assert sorted(found) == sorted(folder / p.name for p in files.iterdir())
    assert all((files / p.name).read_bytes() == p.read_bytes() for p in found)
    assert len(build(download=True, mirror="http://127.0.0.1:1").load("test")["label"]) == 50
    assert len(build().load("test")["label"]) == 50


def test_a_download_that_is_not_what_was_published_is_refused(mirror, files, tmp_path):
    (files / "t10k-labels-idx1-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(UnreachableError, match=r"t10k-labels-idx1-ubyte.gz sent a file"):
        build(download=True, mirror=mirror).files()
    kept = {p.name for p in (tmp_path / "cache" / "edgekd" / "fashion-mnist").iterdir()}
    assert "t10k-labels-idx1-ubyte.gz" not in kept
    assert not any(name.startswith(".") for name in kept)


def test_only_http_is_spoken_to_a_mirror():
    with pytest.raises(ValidationError, match="pattern"):
        build(mirror="file:///etc")


WRONG = (b"\0\0\x09\x01\0\0\0\x01a", b"\0\0\x08\0a")


@pytest.mark.parametrize(
    "content",
    [b"", b"not gzip", *map(gzip.compress, WRONG)],
    ids=["empty", "no gzip", "another type", "a header cut short"],
)
def test_a_damaged_file_is_named(files, content):
    path = files / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"t10k-images-idx3-ubyte.gz cannot be read"):
        build(root=str(files)).load("test")


def test_a_file_altered_in_its_middle_is_named(files):
    path = files / "t10k-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[12:20] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"t10k-images-idx3-ubyte.gz cannot be read"):
        build(root=str(files)).load("test")


def test_a_file_that_unpacks_without_end_is_refused_before_memory_is_full(files):
    path = files / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(1 << 26), 1) * 100)
    with pytest.raises(RequestError, match="unpacks to more than 67,108,864 bytes"):
        build(root=str(files)).load("test")


def test_a_file_cut_short_is_named(files):
    path = files / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RequestError, match=r"t10k-images-idx3-ubyte.gz cannot be read"):
        build(root=str(files)).load("test")


def test_pictures_and_labels_that_do_not_match_are_refused(files):
    write_idx(files / "t10k-labels-idx1-ubyte.gz", np.zeros(49))
    with pytest.raises(RequestError, match="28x28 pictures and as many labels"):
        build(root=str(files)).load("test")


def test_a_validation_set_as_large_as_all_is_refused(files):
    with pytest.raises(RequestError, match="validation: 5000"):
        build(root=str(files)).load("train")


def test_the_count_is_the_length_and_needs_the_first_bytes_only(files, monkeypatch):
    source = build(root=str(files), validation=30)
    lengths = {s: len(source.load(s)["label"]) for s in ("train", "validation", "test")}
    monkeypatch.setattr(fashion_mnist, "read_idx", None)
    assert {split: source.count(split) for split in lengths} == lengths
    (files / "t10k-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(RequestError, match="cannot be read"):
        source.count("test")
