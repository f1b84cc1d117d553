"""The folders of runs, into which people can write too."""

import json
from dataclasses import asdict, replace

import pytest

from edgekd.cli.runs import print_runs
from edgekd.pipeline.records import RECORD, Record, RunFolders

RUN = Record(
    name="quickstart",
    file="quickstart.yaml",
    command="edgekd run quickstart.yaml",
    finished_at="2026-01-01T10:00:00Z",
    exit_code=0,
    keys={"teacher": "k"},
    contents={"teacher": "c"},
    results={"teacher": {"says": "it"}},
    gates=[{"name": "accuracy", "verdict": "pass"}],
)


@pytest.mark.parametrize(
    "change",
    [
        {"finished_at": 5},
        {"gates": [{"name": "accuracy"}]},
        {"gates": ["accuracy"]},
        {"gates": 5},
        {"exit_code": "0"},
        {"contents": []},
        {"command": None},
        {"more": 1},
    ],
    ids=str,
)
def test_a_record_that_somebody_edited_is_left_out(tmp_path, capsys, change):
    runs = RunFolders(tmp_path)
    runs.write(RUN, tmp_path / "good")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / RECORD).write_text(json.dumps(asdict(RUN) | change))
    assert [folder.name for folder, _ in runs.records()] == ["good"]
    print_runs(tmp_path, as_json=False)
    assert "good" in capsys.readouterr().out
    assert runs.of(RUN) == tmp_path / "good"


def test_a_record_is_written_again_where_a_run_came_to_something_else(tmp_path):
    folders = RunFolders(tmp_path)
    folder = folders.of(RUN)
    folders.write(RUN, folder)
    folders.write(replace(RUN, finished_at="2026-01-02T10:00:00Z"), folder)
    assert [known for _, known in folders.records()] == [RUN], "the same again changes nothing"
    other = replace(RUN, finished_at="2026-01-03T10:00:00Z", exit_code=1)
    folders.write(other, folder)
    assert [known for _, known in folders.records()] == [other]


def test_another_pipeline_or_another_outcome_has_a_folder_of_its_own(tmp_path):
    runs = RunFolders(tmp_path)
    first = runs.of(RUN)
    assert runs.of(replace(RUN, contents={"teacher": "d"})) != first, "its record may come yet"
    runs.write(RUN, first)
    assert runs.of(RUN) == first
    other = runs.of(replace(RUN, name="other"))
    assert other.name == "2026-01-01-other"


def test_the_oldest_run_comes_first_whatever_its_folder_is_called(tmp_path):
    runs = RunFolders(tmp_path)
    for name, day in (("c", 1), ("a", 2), ("b", 3)):
        runs.write(replace(RUN, finished_at=f"2026-01-0{day}T10:00:00Z"), tmp_path / name)
    assert [folder.name for folder, _ in runs.records()] == ["c", "a", "b"]
