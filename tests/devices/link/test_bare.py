"""Jobs of `bench.py` on devices without Python; the runner there is a script of the shell."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgekd.core.errors import RequestError, StageError, UnreachableError
from edgekd.core.signature import Port, Signature
from edgekd.devices.answers import Failure, Scores, Timing
from edgekd.devices.bench import Session
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.link.attended import AttendedDevice
from edgekd.devices.link.bare_link import BareLink, Started
from edgekd.devices.link.link import THREAD
from edgekd.devices.native import runners
from edgekd.devices.native.runners import ABOUT, SYSTEM, Build, this_machine
from edgekd.devices.native.runners import LOADER as LOADER_FILE
from edgekd.devices.settings import Settings
from edgekd.devices.survey import survey
from edgekd.devices.target import Target
from tests.devices.adb_servers import Fake
from tests.devices.bare_devices import LOADER, RUNNER, WAYS, bare
from tests.devices.link.test_attended import alive, wait

SHORT = Settings("quick", 2, 2, warmup_s=0.01, min_s=0.01, timeout_s=30.0, memory_mib=300)
ONE = Signature((Port("x", "float32", (1, 4)),), (Port("y", "float32", (1, 4)),))


@pytest.fixture(scope="module", params=WAYS)
def device(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fake]:
    with bare(request.param, tmp_path_factory.mktemp("device")) as server:
        yield server


@pytest.fixture(autouse=True)
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Have a script in the place of the C++ runner that is kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(runners, "installed_version", lambda _: "1")
    build = Build("executorch", "1", this_machine())
    (build.folder / SYSTEM).mkdir(parents=True)
    (build.folder / LOADER_FILE).write_text(LOADER)
    (build.folder / build.program).write_text(RUNNER)
    (build.folder / ABOUT).write_text('{"files": {}}')
    return build


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    np.save(folder / "x.npy", np.asfortranarray(np.arange(12.0).reshape(3, 4)))
    return folder


def board(device: Fake, **more: Any) -> Target:
    way = {"kind": "adb", **device.options, "python": None, "patience_s": 30}
    about = {"description": "a board", "runtimes": ("executorch",), "native": ("executorch",)}
    return Target.model_validate(about | {"transport": way} | more)


def jobs(folder: Path, *ways: str) -> list[Job]:
    """Return programs that go wrong in these ways."""
    for way in ways:
        (folder / f"{way}.pte").write_text(way)
    return [Job(way, folder / f"{way}.pte", "executorch", ONE) for way in ways]


def times(session: Session, rows: Path, settings: Settings = SHORT) -> Mapping[str, Any]:
    return session.time([job.name for job in session.jobs], rows, settings, 1)


def test_a_restart_is_measured_and_kept_as_where_there_is_python(
    device: Fake, rows: Path, tmp_path: Path
) -> None:
    session = Session(board(device), jobs(tmp_path, "good", "well"), Journal(tmp_path), traced=True)
    found = times(session, rows)
    for taken in found.values():
        assert isinstance(taken, Timing)
        assert sorted(set(taken.latencies_ms)) == [0.001, 0.002, 0.003]
        assert (taken.restart.runs, taken.restart.wall_s, taken.restart.cpu_s) == (30, 5, 2.5)
        assert (taken.restart.load_ms, taken.restart.peak_rss_mib) == (1.5, 7)
        assert taken.restart.undelegated_time == 0.25
        assert not taken.throttled
    assert session.machine["cpu"]
    assert "python" not in session.machine
    assert session.machine["executorch"] == "1 (script)"
    again = Session(board(device), session.jobs, Journal(tmp_path), traced=True)
    assert times(again, rows).keys() == found.keys()
    assert session.profile("good", rows, SHORT) is None


def test_samples_are_brought_there_once(
    device: Fake, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[str] = []
    push = AttendedDevice.push

    def noting(self: AttendedDevice, local: Path) -> str:
        pushed.append(local.name)
        return push(self, local)

    monkeypatch.setattr(AttendedDevice, "push", noting)
    session = Session(board(device), jobs(tmp_path, "good", "well"), Journal(tmp_path / "j"))
    for number in range(2):
        found = session.time(["good"], rows, SHORT, number)
        assert isinstance(found["good"], Timing)
    assert isinstance(session.time(["well"], rows, SHORT, 2)["well"], Timing)
    assert pushed == ["work", "rows"]


def test_a_program_is_spoken_to_from_the_thread_of_its_link_alone(
    device: Fake, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection belongs to its loop; another thread may write only when that wakes anyway."""
    begun, threads = BareLink.start, set()

    class Noting:
        def __init__(self, stdin: Any):
            self.stdin = stdin

        def write(self, data: bytes) -> None:
            threads.add(threading.current_thread().name)
            self.stdin.write(data)

    async def start(self: BareLink, *about: Any) -> Started:
        started = await begun(self, *about)
        process = started.process
        started.process = SimpleNamespace(
            stdin=Noting(process.stdin), stdout=process.stdout, wait=process.wait
        )
        return started

    monkeypatch.setattr(BareLink, "start", start)
    session = Session(board(device), jobs(tmp_path, "good"), Journal(tmp_path))
    assert isinstance(times(session, rows)["good"], Timing)
    assert threads == {THREAD}


def test_scores_come_back_and_limits_and_samples_are_as_with_python(
    device: Fake, rows: Path, tmp_path: Path
) -> None:
    session = Session(board(device, threads=2), jobs(tmp_path, "good"), Journal(tmp_path / "j"))
    session._outputs = lambda _: {"y": np.zeros((3, 4), np.float32)}  # type: ignore[method-assign]
    assert isinstance(session.score("good", rows, SHORT), Scores)
    there = session._brought[1]["good"]["scores"]
    session._transport.pull(there, tmp_path / "back")
    answers = sorted((tmp_path / "back").iterdir())
    assert [path.name for path in answers] == ["limits", "words"]
    seconds, blocks, kib = answers[0].read_text().split()
    assert (seconds, blocks, kib) == (str(30 * 16 * 2), str(4096 * 2048), str(300 * 1024))
    words = answers[1].read_text().split()
    assert words[1:3] == ["--threads", "2"]
    place = words.index("--input")
    assert words[place + 1 : place + 4] == ["float32", "4", "stacked"]
    sent = np.load(words[place + 4])
    assert sent.dtype == np.float32
    assert sent.flags.c_contiguous
    np.testing.assert_array_equal(sent, np.arange(12.0).reshape(3, 4))
    assert [path.name for path in rows.iterdir()] == ["x.npy"]  # nothing is left beside ours


def test_what_goes_wrong_is_told_and_the_others_go_on(
    device: Fake, rows: Path, tmp_path: Path
) -> None:
    session = Session(board(device), jobs(tmp_path, "broken", "killed", "good"), Journal(tmp_path))
    found = times(session, rows)
    assert isinstance(found["good"], Timing)
    assert str(found["broken"]) == (
        "ended with exit status 1 while loading\nIt wrote last:\nit is broken"
    )
    assert str(found["killed"]).startswith("was killed by SIGSEGV while warming up")


def test_a_program_that_does_not_answer_is_ended(device: Fake, rows: Path, tmp_path: Path) -> None:
    session = Session(board(device), jobs(tmp_path, "silent"), Journal(tmp_path))
    settings = Settings("quick", 2, 2, warmup_s=0.01, min_s=0.01, timeout_s=3.0)
    failed = times(session, rows, settings)["silent"]
    assert isinstance(failed, Failure)
    assert failed.late
    assert failed.how == "did not answer within 3 s while warming up"
    assert not [*Path(device.place).glob("work/*/running/*")]


def test_a_job_that_takes_longer_than_a_command_may_is_ended(
    device: Fake, rows: Path, tmp_path: Path
) -> None:
    target = board(device)
    target.transport.options.__dict__["timeout_s"] = 1.0
    session = Session(target, jobs(tmp_path, "silent"), Journal(tmp_path))
    with pytest.raises(StageError, match=r"(?s)'measure' took longer than 1 s on adb.*mode: quick"):
        times(session, rows)
    assert not [*Path(device.place).glob("work/*/running/*")]


def test_a_measurement_whose_link_is_cut_is_taken_anew_and_what_ran_is_ended(
    device: Fake, rows: Path, tmp_path: Path
) -> None:
    session = Session(board(device), jobs(tmp_path, "slow"), Journal(tmp_path / "j"))
    pids: list[int] = []

    def running() -> list[int]:
        files = device.place.glob("work/*/running/*")
        return [int(text) for file in files if (text := file.read_text().strip())]

    def cut() -> None:
        (folder,) = device.place.glob("work/edgekd-target-*")
        wait((folder / "begun").exists)
        pids.extend(running())
        (folder / "begun").unlink()
        device.cut()
        wait((folder / "begun").exists)
        (folder / "enough").touch()

    _ = session._brought
    cutting = threading.Thread(target=cut)
    cutting.start()
    taken = times(session, rows)["slow"]
    cutting.join()
    assert isinstance(taken, Timing)
    assert len(pids) == 1
    wait(lambda: not any(map(alive, pids)))


def test_a_long_run_tells_of_each_window(device: Fake, rows: Path, tmp_path: Path) -> None:
    session = Session(board(device), jobs(tmp_path, "good"), Journal(tmp_path))
    run = session.sustain("good", rows, Settings("quick", 2, 2, sustained_s=0.05))
    assert not isinstance(run, Failure)
    assert run.windows[0].p50_ms == 0.002
    assert run.windows[0].throttled == 0


def test_the_survey_asks_its_runners_alone_and_says_what_its_system_keeps_to_itself(
    device: Fake,
) -> None:
    found = survey(board(device))
    assert found.untrue == []
    assert found.runtimes == {"executorch": "1 (script)"}
    assert found.machine["arch"] == this_machine()
    assert "python" not in found.machine
    hidden = [n for n in ("governor", "frequency_mhz", "temperature_c") if n not in found.machine]
    assert found.notes == ([f"its system does not tell: {', '.join(hidden)}"] if hidden else [])


def test_without_its_runner_it_is_refused_before_anything_is_brought_there(
    device: Fake, rows: Path, tmp_path: Path, built: Build
) -> None:
    (built.folder / ABOUT).unlink()
    session = Session(board(device), jobs(tmp_path, "good"), Journal(tmp_path))
    with pytest.raises(RequestError, match="edgekd runner build --target NAME"):
        times(session, rows)


def test_a_device_that_is_gone_for_good_is_told(device: Fake, rows: Path, tmp_path: Path) -> None:
    target = board(device)
    target.transport.options.__dict__["patience_s"] = 0.3
    session = Session(target, jobs(tmp_path, "good"), Journal(tmp_path))
    _ = session._brought
    device.end()
    with pytest.raises(UnreachableError, match=r"link to the device was cut while"):
        times(session, rows)
    device.start()
