"""A manifest: what was written, or none."""

import json

import pytest

from edgekd.core.artifact import MANIFEST, SEAL, Manifest, digest_json

GOOD = {
    "key": "k",
    "stage": "teacher",
    "kind": "teacher",
    "makes": "model",
    "identity": {"seed": 0},
    "inputs": {},
    "facts": {"result": 0.5},
    "files": {"model.bin": {"sha256": "ab", "size": 3}},
    "started_at": "2026-01-01T00:00:00Z",
    "seconds": 1,
    "cpu_seconds": 1.5,
    "host": {},
}


def write(folder, fields):
    (folder / MANIFEST).write_text(json.dumps(fields | {SEAL: digest_json(fields)}))


def test_what_is_written_is_read(tmp_path):
    Manifest(**GOOD).write(tmp_path)
    assert Manifest.read(tmp_path) == Manifest(**GOOD)


@pytest.mark.parametrize(
    "change",
    [
        {"key": 5},
        {"identity": []},
        {"files": 5},
        {"files": {"model.bin": 5}},
        {"files": {"model.bin": {"sha256": 5, "size": 3}}},
        {"files": {"model.bin": {"sha256": "ab", "size": "3"}}},
        {"seconds": "1"},
        {"more": 1},
    ],
    ids=str,
)
def test_a_manifest_of_another_form_is_none_though_it_bears_a_seal(tmp_path, change):
    write(tmp_path, GOOD | change)
    with pytest.raises(ValueError, match="does not say what a manifest says"):
        Manifest.read(tmp_path)


def test_a_manifest_without_its_seal_is_none(tmp_path):
    (tmp_path / MANIFEST).write_text(json.dumps(GOOD))
    with pytest.raises(ValueError, match="is not what was written"):
        Manifest.read(tmp_path)
