from pathlib import Path

import pytest

from edgekd.bench.asked import Asked
from edgekd.bench.measured import measure, prepare
from edgekd.bench.run import exit_code
from edgekd.core.errors import EdgekdError, RequestError, StageError, UnreachableError
from edgekd.devices.bench import Session
from edgekd.devices.transports import ssh


def silent(_done: int, _of: int, _what: str) -> None:
    pass


def test_the_model_is_the_candidate_and_what_it_stands_against_comes_first(write):
    one, other = write("m.onnx"), write("other/m.onnx")
    prepared = prepare(Asked(one, against=other, targets=("fast",)))
    assert [(e.name, e.role, e.file) for e in prepared.entries] == [
        ("against-m.onnx", "reference", other), ("m.onnx", "candidate", one),
    ]  # fmt: skip


def test_threads_and_level_of_the_command_go_before_those_of_the_target(write):
    prepared = prepare(
        Asked(write(), targets=("fast",), threads=3, graph_level="off", mode="thorough")
    )
    assert (prepared.targets["fast"].threads, prepared.targets["fast"].graph_level) == (3, "off")
    assert prepared.settings["fast"].mode == "thorough"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fats", "no target is named 'fats'.\n  Did you mean 'fast'?"),
        ("emulated", "target 'emulated' is emulated: its latency means nothing"),
        ("phone", "needs onnxruntime, which target 'phone' lacks; it has executorch"),
    ],
)
def test_a_target_that_cannot_do_it_is_refused_before_the_run(write, place, name, said):
    text = (place / "targets" / "fast.yaml").read_text().replace("onnxruntime", "executorch")
    (place / "targets" / "phone.yaml").write_text(text)
    with pytest.raises(RequestError) as raised:
        prepare(Asked(write(), targets=(name,)))
    assert said in str(raised.value)


def test_what_the_way_to_a_target_takes_is_missed_before_the_run(write, place, monkeypatch):
    way = "transport: {kind: ssh, host: far}"
    text = (place / "targets" / "fast.yaml").read_text()
    (place / "targets" / "far.yaml").write_text(text.replace("transport: {kind: local}", way))
    monkeypatch.setattr(ssh.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match="asyncssh, which is missing here"):
        prepare(Asked(write(), targets=("fast", "far")))


def lost_after(
    restarts: int,
    lost: str,
    monkeypatch: pytest.MonkeyPatch,
    error: EdgekdError = UnreachableError("second does not answer"),  # noqa: B008
) -> None:
    """Have a target fail once so many restarts were taken there."""
    real = Session.time

    def time(self, names, samples, settings, number):
        if self.target.description == lost and number >= restarts:
            raise error
        return real(self, names, samples, settings, number)

    monkeypatch.setattr(Session, "time", time)


def second_target(place: Path) -> None:
    text = (place / "targets" / "fast.yaml").read_text()
    (place / "targets" / "second.yaml").write_text(text.replace("here, for tests", "second"))


def test_what_was_measured_before_a_target_was_lost_is_kept(write, place, monkeypatch):
    second_target(place)
    lost_after(1, "second", monkeypatch)
    prepared = prepare(Asked(write(), targets=("second",)))
    (place / "out").mkdir()
    found = measure(prepared, place, place / "out", silent)
    assert str(prepared.failed["second"]) == "second does not answer"
    assert [len(m.restarts) for m in found.measurements] == [1]
    assert found.measurements[0].quantities["latency_p50_ms"].low is None


def test_a_target_that_was_never_reached_ends_the_command(write, place, monkeypatch):
    second_target(place)
    lost_after(0, "second", monkeypatch)
    (place / "out").mkdir()
    with pytest.raises(UnreachableError, match="second does not answer"):
        measure(prepare(Asked(write(), targets=("second",))), place, place / "out", silent)


@pytest.mark.parametrize(
    ("error", "code"), [(StageError("second broke"), 1), (UnreachableError("second is gone"), 3)]
)
def test_a_target_that_fails_leaves_what_another_measured(write, place, monkeypatch, error, code):
    second_target(place)
    lost_after(0, "second", monkeypatch, error)
    (place / "out").mkdir()
    prepared = prepare(Asked(write(), targets=("second", "fast")))
    found = measure(prepared, place, place / "out", silent)
    assert prepared.failed == {"second": error}
    assert [(m.target, len(m.restarts)) for m in found.measurements] == [("fast", 2)]
    assert exit_code(found, prepared) == code


def test_two_names_of_one_device_are_both_measured(write, place):
    second_target(place)
    (place / "out").mkdir()
    prepared = prepare(Asked(write(), targets=("second", "fast")))
    found = measure(prepared, place, place / "out", silent)
    assert [(m.target, len(m.restarts)) for m in found.measurements] == [("second", 2), ("fast", 2)]
