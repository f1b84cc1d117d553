"""Event files, read back with TensorBoard's own reader."""

import errno
import io
import subprocess
import sys

import pytest

from edgekd.bundle.replay import Places, replay
from edgekd.bundle.write import write_bundle
from edgekd.pipeline.events import RunNotice
from edgekd.track.tensorboard import TensorBoard
from edgekd.track.tracker import RUN

reader = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="needs the extra: pip install 'edgekd[track]'",
)


def read(folder):
    found = reader.EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    return found


def curve(found, tag):
    return [(point.step, point.value) for point in found.Scalars(tag)]


def text(found, tag):
    return found.Tensors(tag)[0].tensor_proto.string_val[0].decode()


@pytest.fixture(scope="module")
def twice(run):
    """Return the first and second run of a pipeline, and the folder of each one's events."""
    first = run("{tensorboard: tb}")
    second = run("{tensorboard: tb}")
    return first, second, sorted((run.folder / "tb").iterdir())


@pytest.mark.parametrize("which", [0, 1], ids=["made", "kept"])
def test_every_epoch_is_there_as_the_history_has_it(twice, epochs_of, which):
    """The second run keeps the stage, and shows what it was trained for."""
    found = read(twice[2][which] / "student")
    past = epochs_of(twice[0])
    assert len(past) == 5
    for tag, value in (
        ("epoch/loss", lambda e: e["loss"]),
        ("epoch/learning_rate", lambda e: e["learning_rate"]),
        ("epoch/terms/kd", lambda e: e["terms"]["kd"]),
        ("epoch/terms/cross_entropy", lambda e: e["terms"]["cross_entropy"]),
        ("epoch/validation/accuracy", lambda e: e["validation"]["accuracy"]),
    ):
        expected = [(e["epoch"], pytest.approx(value(e), rel=1e-6)) for e in past]
        assert curve(found, tag) == expected, tag


def test_steps_have_loss_terms_rate_and_speed(twice):
    found = read(twice[2][0] / "student")
    (step, loss), *_ = reversed(curve(found, "step/loss"))
    assert step == 40, "the last step is always told"
    kd, entropy = (dict(curve(found, f"step/terms/{n}"))[step] for n in ("kd", "cross_entropy"))
    assert loss == pytest.approx(kd + 0.5 * entropy, rel=1e-5)
    assert dict(curve(found, "step/learning_rate"))[step] > 0
    assert dict(curve(found, "step/samples_per_s"))[step] > 0


def test_a_kept_stage_says_so_and_has_no_steps(twice):
    found = read(twice[2][1] / "student")
    assert "| kept | made at 2" in text(found, "stage")
    assert "| state | kept |" in text(found, "state")
    assert "step/loss" not in found.Tags()["scalars"]


def test_settings_and_facts_are_tables(twice):
    found = read(twice[2][0] / "student")
    assert "| objective[0].temperature | 4.0 |" in text(found, "settings")
    assert "| says | depthwise " in text(found, "facts")
    assert "facts/result" in found.Tags()["scalars"]
    whole = read(twice[2][0])
    assert "| task.data.kind | digits |" in text(whole, "settings")
    assert "| command | edgekd run " in text(whole, "run")


def test_tracking_changes_no_result(twice, run):
    for result in (twice[1], run("{}")):
        assert result.ran == []
        assert {n: m.content for n, m in result.manifests.items()} == {
            n: m.content for n, m in twice[0].manifests.items()
        }


def test_a_folder_that_cannot_be_written_is_told_once(run):
    (run.folder / "occupied").write_text("a file")
    events = []
    result = run("{tensorboard: occupied}", listener=events.append)
    assert result.exit_code == 0
    (notice,) = [event for event in events if isinstance(event, RunNotice)]
    assert notice.message.startswith("track.tensorboard: NotADirectoryError: ")
    assert "occupied" in notice.message


def test_half_a_record_is_an_error_and_nothing_follows_it(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            return super().write(data[: len(data) // 2])

    board = TensorBoard(tmp_path, "x", 0.0)
    board.begin(RUN, {}, 0.0)
    monkeypatch.setattr("pathlib.Path.open", lambda *_, **__: Full())
    with pytest.raises(OSError, match="No space left") as caught:
        board.numbers(RUN, {"a": 1.0}, 1, 0.0)
    assert caught.value.errno == errno.ENOSPC


def test_two_runs_in_one_second_have_a_folder_each(tmp_path):
    boards = [TensorBoard(tmp_path, "x", 0.0) for _ in range(3)]
    assert len({board.folder for board in boards}) == 3


def test_a_bar_or_line_break_in_a_text_stays_in_its_cell(tmp_path):
    board = TensorBoard(tmp_path, "x", 0.0)
    board.begin(RUN, {"a|b": "c\nd|"}, 0.0)
    assert text(read(board.folder), "settings").splitlines()[2] == r"| a\|b | c d\| |"


def test_writing_loads_neither_torch_nor_tensorflow(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom edgekd.pipeline import tracking\n"
        "b = tracking.TensorBoard(Path(sys.argv[1]), 'x', 0.0)\nb.begin('', {'a': 'b'}, 0.0)\n"
        "b.numbers('', {'a': 1.0}, 1, 0.0)\n"
        "assert not {'torch', 'tensorflow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_a_bundle_that_is_run_again_tells_nothing_to_where_the_first_run_did(run, tmp_path):
    result = run(f"{{tensorboard: {tmp_path}/tb}}")
    write_bundle(tmp_path / "b.zip", result)
    replay(
        tmp_path / "b.zip", places=Places(run.folder / "store"), moved={}, trust_plugins=False,
        listener=lambda _: None, tell=lambda *_: None,
    )  # fmt: skip
    assert len([*(tmp_path / "tb").iterdir()]) == 1
