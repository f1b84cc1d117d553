"""Opening bundles that mean harm: each is refused by name, and nothing leaves its folder."""

import random
import stat
import struct
import unicodedata
import zipfile

import pytest

from edgekd.bundle.document import NAME, Digest
from edgekd.bundle.unpack import MAX_MEMBERS, MAX_TOTAL, Archive
from edgekd.core.errors import RequestError

from .zips import PIPELINE, document, pack

SOUND = {"pipeline.yaml": PIPELINE, "stages/01-a/manifest.json": b"{}", "r/é x.md": b"text" * 99}


def opened(file, into):
    into.mkdir(exist_ok=True)
    with Archive(file) as archive:
        return archive.unpack(into)


def refused(file, tmp_path, words):
    """Open a file that must be refused, and see that nothing was written outside of its folder."""
    before = {*tmp_path.rglob("*")}
    with pytest.raises(RequestError, match=words) as caught:
        opened(file, tmp_path / "into")
    assert str(file) in str(caught.value)
    inside = tmp_path / "into"
    assert all(p == inside or inside in p.parents for p in {*tmp_path.rglob("*")} - before)


def test_a_sound_bundle_unpacks_to_what_went_in(tmp_path):
    found = opened(pack(tmp_path / "b.zip", SOUND), tmp_path / "into")
    assert {*found.members} == {*SOUND}
    for name, data in SOUND.items():
        assert (tmp_path / "into" / name).read_bytes() == data
    assert not (tmp_path / "into" / NAME).exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/etc/passwd", "absolute path"),
        ("//server/share", "absolute path"),
        ("C:/windows/x", "absolute path"),
        ("c:x", "absolute path"),
        ("..", "does not stay"),
        ("../x", "does not stay"),
        ("a/../../x", "does not stay"),
        ("a/./x", "does not stay"),
        ("a//x", "does not stay"),
        ("folder/", "does not stay"),
        ("..\\x", "backslash"),
        ("a\\..\\..\\x", "backslash"),
        ("ab:stream", "colon"),
        ("a\nb", "control character"),
        ("a\x1b[2Jb", "control character"),
        ("a\u202eb", "control character"),
        ("a" * 201, "too long"),
        ("a/" * 300 + "b", "too long"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name, words, tmp_path):
    members = {**SOUND, name: b"harm"}
    file = pack(tmp_path / "b.zip", members)
    refused(file, tmp_path, words)
    assert not list((tmp_path / "into").rglob("*")), "nothing is unpacked of it at all"


def test_a_name_that_a_zero_byte_cuts_is_refused(tmp_path):
    file = pack(tmp_path / "b.zip", {**SOUND, "harm_txt": b"x"})
    file.write_bytes(file.read_bytes().replace(b"harm_txt", b"harm\0txt"))
    refused(file, tmp_path, "ends it")


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK]
)
def test_a_link_or_a_device_is_refused(kind, tmp_path):
    def spoil(info):
        info.create_system, info.external_attr = 3, (kind | 0o777) << 16

    refused(pack(tmp_path / "b.zip", {"x": b"/etc/passwd"}, edit=spoil), tmp_path, "link")


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("Report.md", "report.md", "only in case"),
        ("STRASSE", "straße", "only in case"),
        (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"), "or form"),
        ("same", "same", "there twice"),
        ("a", "a/b", "both a file and the folder"),
        ("A", "a/b/c", "both a file and the folder"),
        (NAME, NAME.upper(), "only in case"),
    ],
)
def test_names_that_are_one_name_somewhere_are_refused(first, second, words, tmp_path):
    members = [(first, b"1"), (second, b"2")][first == NAME :]
    refused(pack(tmp_path / "b.zip", members, listed=dict(members)), tmp_path, words)


def test_what_is_not_listed_is_refused_and_what_is_listed_must_be_there(tmp_path):
    more = {**SOUND, "stray.sh": b"#!"}
    refused(pack(tmp_path / "b.zip", more, listed=SOUND), tmp_path, "does not list")
    refused(pack(tmp_path / "c.zip", SOUND, listed=more), tmp_path, "'stray.sh' is missing")


@pytest.mark.parametrize(
    ("digest", "words"),
    [
        (Digest(sha256="0" * 64, size=len(PIPELINE)), "SHA-256"),
        (Digest(sha256="0" * 64, size=len(PIPELINE) + 1), "length"),
        (Digest(sha256="0" * 64, size=len(PIPELINE) - 1), "longer than the"),
        (Digest(sha256="0" * 64, size=MAX_TOTAL + 1), "limit"),
    ],
)
def test_a_file_must_be_what_the_document_lists(digest, words, tmp_path):
    text = document({}).model_copy(update={"members": {"pipeline.yaml": digest}}).text()
    refused(pack(tmp_path / "b.zip", {"pipeline.yaml": PIPELINE}, text=text), tmp_path, words)


def test_more_than_the_disk_has_room_for_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
    refused(pack(tmp_path / "b.zip", SOUND), tmp_path, "10 are free.*\n.*TMPDIR")


def test_a_bomb_is_refused_while_it_goes_off(tmp_path):
    bomb = {"zeros": bytes(64 << 20)}
    file = pack(tmp_path / "b.zip", bomb)
    assert file.stat().st_size < 100_000
    refused(file, tmp_path, "times its size")
    assert sum(p.stat().st_size for p in (tmp_path / "into").rglob("*")) < 20 << 20


def test_too_many_files_are_refused_before_they_are_listed(tmp_path):
    members = {f"{number}": b"" for number in range(MAX_MEMBERS)}
    refused(pack(tmp_path / "b.zip", members, listed={}), tmp_path, "10,000 is the limit")
    file = pack(tmp_path / "c.zip", SOUND)
    data = bytearray(file.read_bytes())
    struct.pack_into("<L", data, len(data) - 10, 0xFFFFFFF0)  # the length of the list
    file.write_bytes(data)
    refused(file, tmp_path, "lists more than 10,000")


def test_the_long_form_of_the_end_is_bounded_too(tmp_path):
    file = pack(tmp_path / "b.zip", SOUND)
    data = file.read_bytes()
    end, size = data[-22:], len(data) - 22
    for length, at in ((1 << 40, size), (100, size + 7)):
        record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, length, 0)
        locator = struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
        file.write_bytes(data[:-22] + record + locator + end)
        refused(file, tmp_path, "lists more than")


def central(data, offset, form, value):
    """Return an archive with a field changed in the last entry of its list."""
    spoiled = bytearray(data)
    struct.pack_into(form, spoiled, data.rindex(b"PK\1\2") + offset, value)
    return bytes(spoiled)


@pytest.mark.parametrize(
    ("offset", "form", "value", "words"),
    [
        (8, "<H", 1, "encrypted"),
        (10, "<H", 12, "packed in a way"),
        (10, "<H", 99, "packed in a way"),
        (16, "<L", 12345, "is damaged"),
        (20, "<L", 1 << 30, "overlap"),
        (24, "<L", 1, "is damaged"),
        (42, "<L", 1 << 20, "is damaged"),
        (42, "<L", 0, "is damaged"),
    ],
    ids=["flag", "bzip2", "unknown", "crc", "compressed", "size", "outside", "another's place"],
)
def test_a_header_that_lies_is_found_out(offset, form, value, words, tmp_path):
    file = pack(tmp_path / "b.zip", SOUND)
    file.write_bytes(central(file.read_bytes(), offset, form, value))
    refused(file, tmp_path, words)


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "not a zip"), (b"PK", "not a zip"), (b"#!/bin/sh\n" * 99, "not a zip")],
)
def test_what_is_no_zip_is_refused(data, words, tmp_path):
    (tmp_path / "b.zip").write_bytes(data)
    refused(tmp_path / "b.zip", tmp_path, words)


def test_an_absent_file_and_a_folder_are_named(tmp_path):
    refused(tmp_path / "none.zip", tmp_path, "cannot be read: No such file")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", tmp_path, "cannot be read: Is a directory")


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("readme", "hello")
    refused(tmp_path / "b.zip", tmp_path, "there is no bundle.json")


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    whole = pack(tmp_path / "b.zip", SOUND).read_bytes()
    for length in range(0, len(whole), 37):
        (tmp_path / "cut.zip").write_bytes(whole[:length])
        refused(tmp_path / "cut.zip", tmp_path, "refused")


def test_random_damage_is_refused_or_harmless(tmp_path):
    chance = random.Random(0)
    whole = pack(tmp_path / "b.zip", SOUND).read_bytes()
    refusals = 0
    for number in range(1000):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 1, 2, 8])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        file, into = tmp_path / "m.zip", tmp_path / f"{number}"
        file.write_bytes(data)
        try:
            found = opened(file, into)
        except RequestError:
            refusals += 1
        else:
            assert all((into / name).stat().st_size == d.size for name, d in found.members.items())
    assert refusals > 800
