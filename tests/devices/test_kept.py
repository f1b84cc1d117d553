import json
from pathlib import Path

import numpy as np
import pytest

from edgekd.devices.kept import Journal

KEY = {"do": "score", "settings": {"runs": 3}}
PROGRAMS = {"teacher": "a1", "größe 1": "b2"}
ARRAYS = {"logits": np.arange(6.0).reshape(2, 3), "ü/../x": np.ones(3, np.int64)}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "kept")
    made.keep(KEY, PROGRAMS, {"ns": [1, 2]}, ARRAYS)
    return made


def test_what_is_kept_comes_back_with_its_arrays_and_its_sitting(journal: Journal) -> None:
    kept = Journal(journal.folder).find(KEY, PROGRAMS)
    assert kept is not None
    assert kept.document == {"ns": [1, 2]}
    assert kept.sitting == journal.sitting
    assert all(np.array_equal(kept.arrays[name], array) for name, array in ARRAYS.items())


def test_all_of_it_is_on_the_disk_before_it_takes_its_name(
    tmp_path: Path, disk: list[tuple[str, Path]]
) -> None:
    Journal(tmp_path).keep(KEY, PROGRAMS, {"ns": [1, 2]}, ARRAYS)
    (document,) = tmp_path.glob("*.json")
    synced = [*sorted(tmp_path.glob("*.npy")), document.with_suffix(".half")]
    assert disk == [*(("sync", p) for p in synced), ("name", document), ("sync", tmp_path)]


def test_some_of_its_programs_are_enough_and_others_are_not(journal: Journal) -> None:
    assert journal.find(KEY, {"teacher": "a1"}) is not None
    assert journal.find(KEY, {"teacher": "other"}) is None
    assert journal.find(KEY, PROGRAMS | {"another": "c3"}) is None
    assert journal.find(KEY | {"number": 1}, PROGRAMS) is None


def test_a_file_that_is_half_altered_or_gone_is_none(journal: Journal) -> None:
    for path in sorted(journal.folder.iterdir()):
        whole = path.read_bytes()
        altered = bytearray(whole)
        altered[len(altered) // 2] ^= 1
        for found in (whole[:-1], b"", bytes(altered)):
            path.write_bytes(found)
            assert journal.find(KEY, PROGRAMS) is None
        path.unlink()
        assert journal.find(KEY, PROGRAMS) is None
        path.write_bytes(whole)
        assert journal.find(KEY, PROGRAMS) is not None


def test_a_value_that_was_written_by_hand_is_not_believed(journal: Journal) -> None:
    (path,) = journal.folder.glob("*.json")
    written = json.loads(path.read_text())
    written["content"]["document"]["ns"] = [1, 1]
    path.write_text(json.dumps(written))
    assert journal.find(KEY, PROGRAMS) is None


def test_a_workshop_is_empty_and_leaves_nothing(journal: Journal) -> None:
    (journal.folder / "workshop").mkdir()
    (journal.folder / "workshop" / "left").write_text("by a killed run")
    with journal.workshop() as folder:
        assert not list(folder.iterdir())
    assert not folder.exists()
    assert journal.find(KEY, PROGRAMS) is not None
