"""The C++ runner answers what the Python runner answers, of the same programs and samples."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekd.core.quiet import quiet
from edgekd.core.results import Profile
from edgekd.core.signature import Port, Signature
from edgekd.devices.answers import Failure, Scores, Streamed, Timing
from edgekd.devices.bench import Session
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.native.runners import find, this_machine
from edgekd.devices.settings import Settings, settle
from edgekd.devices.target import Bench, Target
from edgekd.runtimes.executorch import ExecuTorch, ExecuTorchRuntime
from tests.devices.adb_servers import fake_adb
from tests.devices.bare_devices import bare
from tests.devices.ssh_servers import SSHD, openssh_server

SHORT = settle(Bench(), Bench(mode="quick", warmup_s=0.05, min_s=0.05, min_runs=20, timeout_s=60.0))
ONE = Signature((Port("x", "float32", ("batch", 4)),), (Port("y", "float32", ("batch", 3)),))


class Mixed(nn.Module):
    """A linear layer, which XNNPACK takes, and a running sum, which it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(self.linear(x), 1)


class Sum(nn.Module):
    """Adds what it is given to what it gave last, and counts."""

    def forward(self, x: Tensor, before: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        return before + x, count + 1


COUNTING = Signature(
    (Port("x", "float32", (1, 4)), Port("before", "float32", (1, 4)), Port("count", "int64", (1,))),
    (Port("after", "float32", (1, 4)), Port("counted", "int64", (1,))),
    state=(("after", "before"),),
)


def lowered(path: Path, model: nn.Module, inputs: Sequence[Tensor]) -> Path:
    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        exported = torch.export.export(model.eval(), tuple(inputs))
        program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        path.write_bytes(program.to_executorch().buffer)
    return path


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Job]:
    """Return a program that takes up to 4 examples, one that takes 2, and one with state."""
    folder = tmp_path_factory.mktemp("programs")
    torch.manual_seed(0)
    four = folder / "four.pte"
    ExecuTorchRuntime(ExecuTorch(max_batch=4)).export(
        Mixed().eval(),
        signature=ONE,
        samples={"x": torch.randn(4, 4)},
        metadata={},
        quantization=None,
        calibration=(),
        activation="int8",
        out=four,
    )
    fixed = Signature((Port("x", "float32", (2, 4)),), (Port("y", "float32", (2, 3)),))
    two = lowered(folder / "two.pte", nn.Linear(4, 3), [torch.zeros(2, 4)])
    given = [torch.zeros(1, 4), torch.zeros(1, 4), torch.zeros(1, dtype=torch.int64)]
    state = lowered(folder / "sum.pte", Sum(), given)
    return {
        "four": Job("four", four, "executorch", ONE),
        "two": Job("two", two, "executorch", fixed),
        "sum": Job("sum", state, "executorch", COUNTING),
    }


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    np.save(folder / "x.npy", np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32))
    np.save(folder / "count.npy", np.arange(7))
    return folder


def session(journal: Path, *jobs: Job, native: bool = True, traced: bool = False) -> Session:
    about = {"description": "here", "transport": "local", "runtimes": ("executorch",)}
    kept = ("executorch",) if native else ()
    target = Target.model_validate(about | {"native": kept})
    return Session(target, jobs, Journal(journal), traced=traced)


def scored(at: Session, name: str, rows: Path, batch: int = 64) -> Scores:
    answer = at.score(name, rows, SHORT, batch)
    assert isinstance(answer, Scores), answer
    return answer


def timed(at: Session, name: str, rows: Path, settings: Settings = SHORT) -> Timing:
    answer = at.time([name], rows, settings, 0)[name]
    assert isinstance(answer, Timing), answer
    return answer


@pytest.mark.usefixtures("native")
def test_its_outputs_are_those_of_the_python_runner_bit_for_bit(
    programs: Mapping[str, Job], rows: Path, tmp_path: Path
) -> None:
    jobs = [*programs.values()]
    ours = session(tmp_path / "native", *jobs)
    theirs = session(tmp_path / "python", *jobs, native=False)
    for name, batch in (("four", 3), ("two", 64), ("sum", 64)):
        native, python = scored(ours, name, rows, batch), scored(theirs, name, rows, batch)
        assert native.batch == python.batch
        assert native.outputs.keys() == python.outputs.keys()
        for output, array in python.outputs.items():
            assert native.outputs[output].dtype == array.dtype
            np.testing.assert_array_equal(native.outputs[output], array)
    assert "C++ runner" in native.runtime_version
    assert scored(ours, "four", rows).batch == 4  # as many as the program takes


@pytest.mark.usefixtures("native")
def test_a_restart_has_all_numbers_and_nothing_of_python_in_the_process(
    programs: Mapping[str, Job], rows: Path, tmp_path: Path
) -> None:
    taken = timed(session(tmp_path / "native", programs["four"], traced=True), "four", rows)
    assert taken.modules == ["edgekd-executorch"]
    assert taken.restart.runs == len(taken.latencies_ms) >= SHORT.min_runs
    assert taken.restart.warmup_runs >= SHORT.warmup_runs
    assert taken.restart.wall_s >= SHORT.min_s
    assert 0 < taken.restart.cpu_s <= 1.5 * taken.restart.wall_s
    assert taken.restart.load_ms > 0
    assert taken.restart.first_ms > 0
    assert 1 < taken.restart.peak_rss_mib < 40  # Python's own is beyond 200: it loads torch
    assert 0 < (taken.restart.pss_mib or 0) <= taken.restart.peak_rss_mib
    assert taken.restart.undelegated_time is not None
    assert 0 < taken.restart.undelegated_time < 1  # the running sum


@pytest.mark.usefixtures("native")
def test_it_tells_the_operators_that_pythons_binding_tells(
    programs: Mapping[str, Job], rows: Path, tmp_path: Path
) -> None:
    told = {}
    for native in (True, False):
        at = session(tmp_path / str(native), programs["four"], native=native)
        found = at.profile("four", rows, SHORT)
        assert isinstance(found, Profile)
        told[native] = {(each.operator, each.module, each.delegated) for each in found.operators}
        assert {each.calls for each in found.operators} == {1}
        assert sum(each.us for each in found.operators) <= 1.2 * found.whole_us
    assert told[True] == told[False]
    assert ("cumsum.out", "", False) in told[True]
    assert any(delegated for _, _, delegated in told[True])


@pytest.mark.usefixtures("native")
def test_samples_a_second_are_those_of_all_streams_and_as_many_a_call_as_it_takes(
    programs: Mapping[str, Job], rows: Path, tmp_path: Path
) -> None:
    four = replace(programs["four"], batched=("x",))
    at = session(tmp_path / "native", four, programs["two"], programs["sum"])
    found = at.stream("four", rows, SHORT, batch=3, streams=2, number=0)
    assert isinstance(found, Streamed), found
    assert found.samples_a_call == 3
    assert found.per_s > 0
    assert 0 < found.cores < 2.5
    for name, step in (("two", 2), ("sum", 1)):
        alone = at.stream(name, rows, SHORT, batch=1, streams=1, number=0)
        assert isinstance(alone, Streamed), alone
        assert alone.samples_a_call == step
    for name, batch, why in (
        ("four", 5, "it takes at most 4 examples a call"),
        ("two", 2, "it takes no more than one example a call"),
    ):
        refused = at.stream(name, rows, SHORT, batch=batch, streams=1, number=0)
        assert isinstance(refused, Failure)
        assert refused.lines[-1] == why


@pytest.mark.usefixtures("native")
def test_programs_are_timed_in_turns_with_state_or_without(
    programs: Mapping[str, Job], rows: Path, tmp_path: Path
) -> None:
    at = session(tmp_path / "native", programs["two"], programs["sum"], traced=True)
    taken = at.time(["two", "sum"], rows, SHORT, 1)
    found = {name: answer for name, answer in taken.items() if isinstance(answer, Timing)}
    assert found.keys() == {"two", "sum"}, taken
    assert found["two"].restart.undelegated_time == 0  # all of it is XNNPACK's


@pytest.mark.usefixtures("native")
def test_samples_of_another_type_or_order_are_fed_as_the_program_takes_them(
    programs: Mapping[str, Job], rows: Path, tmp_path: Path
) -> None:
    expected = scored(session(tmp_path / "a", programs["four"]), "four", rows).outputs["y"]
    array = np.load(rows / "x.npy")
    other = tmp_path / "other"
    other.mkdir()
    np.save(other / "x.npy", np.asfortranarray(array.astype(np.float64)))
    found = scored(session(tmp_path / "b", programs["four"]), "four", other).outputs["y"]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.usefixtures("native")
def test_a_program_that_cannot_be_run_is_told_in_words(
    programs: Mapping[str, Job], rows: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.pte"
    cut.write_bytes(programs["two"].file.read_bytes()[:300])
    unlike = Signature((Port("x", "int64", ("batch", 4)),), ONE.outputs)
    more = Signature((*ONE.inputs, Port("count", "int64", ("batch", 1))), ONE.outputs)
    jobs = [
        Job("cut", cut, "executorch", ONE),
        Job("unlike", programs["four"].file, "executorch", unlike),
        Job("more", programs["four"].file, "executorch", more),
    ]
    said = session(tmp_path / "native", *jobs).time([j.name for j in jobs], rows, SHORT, 0)
    for name, words in {
        "cut": "the program cannot be loaded: ",
        "unlike": "input 0 of forward is no int64",
        "more": "forward takes 1 inputs, not 2",
    }.items():
        failure = said[name]
        assert isinstance(failure, Failure)
        assert failure.how == "ended with exit status 1 while loading"
        assert words in failure.lines[-1]


def test_a_state_that_changes_its_size_is_told(
    native: Path, programs: Mapping[str, Job], rows: Path
) -> None:
    build = find("executorch", this_machine())
    assert build is not None
    assert build.folder.is_relative_to(native)
    words = [str(programs["sum"].file), "--examples", "7", "--input", "float32", "1x4", "whole"]
    words += [str(rows / "x.npy"), "128", "--carried", "float32", "1x4", "1"]
    words += ["--carried", "int64", "1", "1"]  # the counter's place is right, the other's is not
    asked = [{"do": "load"}, {"do": "first"}]
    done = subprocess.run(
        [str(build.folder / build.program), *words],
        input="".join(json.dumps(each) + "\n" for each in asked),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert [*json.loads(done.stdout)] == ["load_ms", "version"]  # nothing else is printed there
    assert done.stderr.endswith("a state came out in another size than it goes in\n")


@pytest.mark.skipif(SSHD is None, reason="no sshd; asyncssh's server loses bytes of large files")
@pytest.mark.usefixtures("native")
def test_over_ssh_it_is_brought_along_and_answers_the_same(
    programs: Mapping[str, Job], rows: Path, tmp_path: Path
) -> None:
    here = scored(session(tmp_path / "here", programs["four"]), "four", rows).outputs["y"]
    with openssh_server(tmp_path / "ssh") as server:
        way = {"kind": "ssh", **server.options, "python": sys.executable}
        about = {"description": "a board", "runtimes": ("executorch",), "native": ("executorch",)}
        board = Target.model_validate(about | {"transport": way})
        at = Session(board, [programs["four"]], Journal(tmp_path / "there"))
        there = scored(at, "four", rows).outputs["y"]
        del at
    np.testing.assert_array_equal(there, here)


@pytest.mark.usefixtures("native")
def test_on_a_device_without_python_it_answers_and_is_timed_the_same(
    programs: Mapping[str, Job], rows: Path, tmp_path: Path
) -> None:
    jobs = [*programs.values()]
    here = session(tmp_path / "here", *jobs)
    with bare(fake_adb, tmp_path / "device") as device:
        way = {"kind": "adb", **device.options, "python": None}
        about = {"description": "a board", "runtimes": ("executorch",), "native": ("executorch",)}
        board = Target.model_validate(about | {"transport": way})
        there = Session(board, jobs, Journal(tmp_path / "there"), traced=True)
        for job in jobs:
            ours, theirs = scored(here, job.name, rows, 3), scored(there, job.name, rows, 3)
            assert (theirs.batch, theirs.runtime_version) == (ours.batch, ours.runtime_version)
            for output, array in ours.outputs.items():
                assert theirs.outputs[output].dtype == array.dtype
                np.testing.assert_array_equal(theirs.outputs[output], array)
        taken = timed(there, "four", rows)
        streamed = there.stream("four", rows, SHORT, batch=1, streams=2, number=0)
        assert isinstance(streamed, Streamed), streamed
        profile = there.profile("four", rows, SHORT)
        assert isinstance(profile, Profile), profile
    assert ("cumsum.out", False) in {(o.operator, o.delegated) for o in profile.operators}
    assert (taken.restart.pss_mib or 0) > 0
    assert taken.modules == ["edgekd-executorch"]
    assert taken.restart.runs == len(taken.latencies_ms) >= SHORT.min_runs
    assert 0 < (taken.restart.undelegated_time or 0) < 1


@pytest.mark.usefixtures("native")
def test_what_it_measured_is_taken_again_only_where_something_changed(
    programs: dict[str, Job], rows: Path, tmp_path: Path
) -> None:
    first = session(tmp_path / "journal", programs["four"])
    taken = timed(first, "four", rows)
    again = session(tmp_path / "journal", programs["four"])
    assert timed(again, "four", rows).latencies_ms.tolist() == taken.latencies_ms.tolist()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["m.pte", "--step"], "the command line ends too early"),
        (["m.pte", "--step", "x"], "'x' is no number"),
        (["m.pte", "--steps", "1"], "there is no option '--steps'"),
        (["m.pte", "--step", "0"], "--step and --threads are 1 or more"),
        (["m.pte", "--step", "1"], "there are no examples"),
        (["m.pte", "--carried", "float8", "1", "0"], "an input of type float8 is not known"),
    ],
)
def test_a_command_line_that_is_none_is_refused(native: Path, words: list[str], said: str) -> None:
    build = find("executorch", this_machine())
    assert build is not None
    assert build.folder.is_relative_to(native)
    done: Any = subprocess.run(
        [str(build.folder / build.program), *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
