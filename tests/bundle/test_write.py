"""Writing a bundle: all that a run was, whole or not at all."""

import errno
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from edgekd.bundle.archive import check_writable, write_archive
from edgekd.bundle.document import NAME, Bundle, Digest
from edgekd.bundle.unpack import Archive
from edgekd.bundle.write import write_bundle
from edgekd.core.artifact import digest_file
from edgekd.core.errors import RequestError, StageError, UnreachableError
from edgekd.core.results import Measurements

from .zips import document


def read(file):
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_bundle_holds_what_the_run_was(finished):
    members, bundle, resolved = read(finished.zip), finished.bundle, finished.result.resolved
    assert Bundle.model_validate_json(members.pop(NAME)) == bundle
    assert {*members} == {*bundle.members}
    assert members["pipeline.yaml"] == finished.file.read_bytes()
    assert members["resolved.json"] == json.dumps(resolved.as_dict(), indent=1).encode() + b"\n"
    assert members["run.json"] == (finished.result.folder / "run.json").read_bytes()
    assert b"description" in members["targets/cpu.yaml"]
    stages = {stage.name: stage for stage in bundle.stages}
    assert [*stages] == [*finished.result.manifests]
    for stage in bundle.stages:
        manifest = json.loads(members[f"{stage.folder}/manifest.json"])
        assert manifest["stage"] == stage.name
        assert {*manifest["files"]} == {*stage.files}
    assert digest_file(finished.result.artifacts[0]) == (
        bundle.members[f"{stages['onnx'].folder}/onnx.onnx"].sha256
    )
    for ending in ("html", "md", "json"):
        assert f"{stages['report'].folder}/report.{ending}" in members
    measured = Measurements.model_validate_json(
        members[f"{stages['check'].folder}/measurements.json"]
    )
    for one in measured.measurements:
        assert f"{stages['check'].folder}/{one.samples}" in members, "raw samples"


def test_weights_and_data_stay_outside_and_are_named(finished):
    assert not [name for name in finished.bundle.members if name.endswith(".safetensors")]
    assert not [name for name in finished.bundle.members if "digits" in name]
    (data,) = finished.bundle.data
    assert data.name == "digits.csv.gz"
    assert data.sha256 == digest_file(Path(data.path))
    teacher = finished.bundle.stages[0]
    assert "model.safetensors" in teacher.files


def test_two_bundles_of_one_run_are_the_same_bytes(finished, tmp_path):
    again = finished.run()
    assert not again.ran, "everything was kept"
    write_bundle(tmp_path / "again.zip", again)
    assert (tmp_path / "again.zip").read_bytes() == finished.zip.read_bytes()
    with zipfile.ZipFile(finished.zip) as archive:
        infos = archive.infolist()
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    names = [info.filename for info in infos]
    assert names == [NAME, *sorted(names[1:])]


def test_a_run_whose_gates_fail_has_a_bundle_too(finished, tmp_path):
    result = finished.run(sets=['stages.check.gates.size_mib="<= 0.0001"'], until="check")
    assert result.exit_code == 1
    bundle = write_bundle(tmp_path / "b.zip", result, until="check")
    assert bundle.exit_code == 1
    assert bundle.request.until == "check"
    assert bundle.request.sets == ['stages.check.gates.size_mib="<= 0.0001"']
    assert "report" not in {stage.name for stage in bundle.stages}


def test_an_altered_result_is_refused(finished, tmp_path):
    folder = tmp_path / "onnx"
    shutil.copytree(finished.result.folders["onnx"], folder)
    with (folder / "onnx.onnx").open("ab") as program:
        program.write(b"\0")
    result = replace(finished.result, folders={**finished.result.folders, "onnx": folder})
    with pytest.raises(StageError, match=r"onnx was altered: onnx\.onnx"):
        write_bundle(tmp_path / "b.zip", result)
    assert not (tmp_path / "b.zip").exists()


def test_a_target_that_changed_since_is_refused(finished, tmp_path):
    resolved = finished.result.resolved
    (tmp_path / "cpu.yaml").write_text("description: another\n")
    other = replace(resolved, target_files={"cpu": str(tmp_path / "cpu.yaml")})
    with pytest.raises(StageError, match=r"cpu\.yaml was changed after"):
        write_bundle(tmp_path / "b.zip", replace(finished.result, resolved=other))


def test_names_that_could_not_be_unpacked_are_not_written(finished, tmp_path):
    resolved, first = finished.result.resolved, finished.result.resolved.stages[0]
    for name, words in (("line\nbreak", "control character"), ("x" * 400, "too long")):
        stages = [replace(first, name=name), *resolved.stages]
        manifests = {name: finished.result.manifests["teacher"], **finished.result.manifests}
        folders = {name: finished.result.folders["teacher"], **finished.result.folders}
        odd = replace(
            finished.result,
            resolved=replace(resolved, stages=stages),
            manifests=manifests,
            folders=folders,
        )
        with pytest.raises(RequestError, match=f"(?s)no bundle was written.*{words}"):
            write_bundle(tmp_path / "b.zip", odd)


@pytest.mark.parametrize(
    ("place", "words"), [("folder", "is a folder"), ("none/b.zip", "there is no folder")]
)
def test_a_place_that_cannot_be_written_is_refused_before_the_run(place, words, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(RequestError, match=words) as caught:
        check_writable(tmp_path / place)
    assert str(caught.value).startswith("--bundle")


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(RequestError, match="permission denied"):
        check_writable(tmp_path / "b.zip")


def test_a_disk_that_fills_up_leaves_the_earlier_bundle(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "b.zip").write_bytes(b"earlier")
    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(UnreachableError, match=r"(?s)No space left.*run again with --bundle"):
        write_archive(tmp_path / "b.zip", document({"a": b"x"}), {"a": b"x"})
    assert [path.name for path in tmp_path.iterdir()] == ["b.zip"]
    assert (tmp_path / "b.zip").read_bytes() == b"earlier"


def test_a_file_that_changes_while_it_is_written_is_found(tmp_path):
    listed = document({"a": b"then"})
    with pytest.raises(StageError, match="a changed while the bundle was written"):
        write_archive(tmp_path / "b.zip", listed, {"a": b"now!"})
    assert not list(tmp_path.iterdir())


def test_what_shrinks_like_a_bomb_is_stored_and_opens(tmp_path):
    (tmp_path / "zeros").write_bytes(bytes(8 << 20))
    members = {"zeros.onnx": tmp_path / "zeros", "text.json": b"[0, 1]" * 99}
    listed = document({"zeros.onnx": bytes(8 << 20), "text.json": members["text.json"]})
    write_archive(tmp_path / "b.zip", listed, members)
    (tmp_path / "into").mkdir()
    with Archive(tmp_path / "b.zip") as archive:
        assert archive.unpack(tmp_path / "into") == listed
        assert archive.digest("text.json") == Digest(**listed.members["text.json"].model_dump())
    assert (tmp_path / "b.zip").stat().st_size > 8 << 20


def test_a_bundle_is_on_the_disk_before_it_takes_its_name(tmp_path, disk):
    write_archive(tmp_path / "b.zip", document({"a": b"x"}), {"a": b"x"})
    (synced, part), *rest = disk
    assert (synced, part.parent) == ("sync", tmp_path)
    assert rest == [("name", tmp_path / "b.zip"), ("sync", tmp_path)]
