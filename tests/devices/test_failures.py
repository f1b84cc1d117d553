"""Real processes that die or hang over a program, beside one that does not."""

import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgekd.core.shipped import shipped
from edgekd.core.signature import Port, Signature
from edgekd.devices.answers import Failure, Scores, Timing, unlike
from edgekd.devices.bench import Session
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.settings import Settings, settle
from edgekd.devices.target import Bench, Target

SHORT = Bench(mode="quick", warmup_s=0.01, min_s=0.01, min_runs=10, memory_mib=1500)
PATIENCE_S = 8.0
"""How long a program that never answers is waited for: a busy machine starts others slowly."""
ONE = Signature((Port("x", "float32", ("batch", 4)),), (Port("y", "float32", ("batch", 4)),))
RUNNER = """
import ctypes, os, sys, time
import numpy as np

VERSION = "1"


def check(file):
    pass


def do(what):
    print("about to", what, file=sys.stderr, flush=True)
    if what == "segfault":
        ctypes.string_at(0)
    if what == "abort":
        os.abort()
    while what == "loop":
        pass
    while what == "sleep":
        time.sleep(1)
    if what == "allocate":
        held = np.ones(2**40, np.uint8)
    if what == "grow":
        held = [np.ones(2**27, np.uint8) for _ in range(64)]
    if what == "exit":
        os._exit(0)
    if what == "close":
        os.closerange(3, 99)
        time.sleep(99)
    if what == "write":
        open("written", "wb").write(bytes(2**25))
    if what == "raise":
        raise ValueError("not like that")


class Program:
    max_batch = None

    def __init__(self, file, *, inputs, outputs, threads, graph_level):
        self.when, self.what = open(file).read().split()
        self.runs = 0
        if self.when == "loading":
            do(self.what)

    def prepare(self, arrays):
        return arrays["x"]

    def run(self, x):
        self.runs += 1
        if self.when == "running" and self.runs > 25 or self.when == "scoring" and len(x) > 1:
            do(self.what)
        return x

    def arrays(self, x):
        return {"y": x if self.what != "narrow" else x[:, :2]}
"""
"""Does what the program file says, when it says so."""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    np.save(folder / "x.npy", np.ones((7, 4), np.float32))
    return folder


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function from what programs do, by name, to a session with them."""
    runners = tmp_path / "targets" / "runners"
    shutil.copytree(shipped("targets") / "runners", runners)
    (runners / "bench_fake.py").write_text(RUNNER)
    monkeypatch.setattr("edgekd.devices.native.runners.shipped", lambda folder: tmp_path / folder)
    monkeypatch.setattr(Job, "runner", "bench_fake.py")
    here = {"description": "here", "transport": "local", "runtimes": ("onnxruntime",)}

    def made(**programs: str) -> Session:
        jobs = []
        for name, text in programs.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "p.pte").write_text(text)
            jobs.append(Job(name, tmp_path / name / "p.pte", "onnxruntime", ONE))
        return Session(Target.model_validate(here), jobs, Journal(tmp_path / "journal"))

    return made


def settings(**more: Any) -> Settings:
    return settle(Bench(), SHORT.model_copy(update={"timeout_s": 60.0} | more))


def failed(answer: object) -> Failure:
    assert isinstance(answer, Failure), answer
    return answer


@pytest.mark.parametrize(
    ("does", "how"),
    [
        ("loading segfault", "was killed by SIGSEGV while loading"),
        ("loading abort", "was killed by SIGABRT while loading"),
        ("loading exit", "ended with exit status 0 while loading"),
        ("loading allocate", "ended with exit status 1 while loading"),
        ("loading grow", "ended with exit status 1 while loading"),
        ("loading raise", "ended with exit status 1 while loading"),
        ("loading write", "ended with exit status 1 while loading"),
        ("running segfault", "was killed by SIGSEGV while "),
        ("running abort", "was killed by SIGABRT while "),
    ],
)
def test_a_program_that_kills_its_process_is_taken_out_of_the_turns(
    session: Any, rows: Path, does: str, how: str
) -> None:
    found = session(good="never -", bad=does, other="never -").time(
        ["good", "bad", "other"], rows, settings(), 0
    )
    assert failed(found["bad"]).how.startswith(how)
    assert f"about to {does.split()[1]}" in str(found["bad"])
    for name in ("good", "other"):
        assert isinstance(found[name], Timing)
        assert found[name].restart.runs >= 10


@pytest.mark.parametrize(
    ("when", "does"), [("loading", "loop"), ("loading", "close"), ("running", "sleep")]
)
def test_a_program_that_never_answers_is_ended_and_the_others_go_on(
    session: Any, rows: Path, when: str, does: str
) -> None:
    made = session(good="never -", bad=f"{when} {does}")
    found = made.time(["good", "bad"], rows, settings(timeout_s=PATIENCE_S), 0)
    bad = failed(found["bad"])
    assert bad.how.startswith("did not answer within 8 s while") or does == "close"
    assert "bench.timeout_s" in str(bad) or does == "close"
    assert isinstance(found["good"], Timing)


def test_what_fails_to_be_scored_says_so_and_the_others_are_scored(
    session: Any, rows: Path
) -> None:
    made = session(good="never -", bad="scoring segfault", thin="never narrow")
    assert isinstance(made.score("good", rows, settings()), Scores)
    assert failed(made.score("bad", rows, settings())).how == "was killed by SIGSEGV while scoring"
    thin = failed(made.score("thin", rows, settings()))
    assert thin.how == "gave 'y' as float32 [7, 2], where its signature says float32 [7, 4]"


def test_where_all_programs_fail_there_is_still_an_answer(session: Any, rows: Path) -> None:
    found = session(a="loading abort", b="loading segfault").time(["a", "b"], rows, settings(), 1)
    assert {name: isinstance(answer, Failure) for name, answer in found.items()} == {
        "a": True,
        "b": True,
    }


def test_a_failure_is_tried_again_and_a_measurement_is_not_taken_again(
    session: Any, rows: Path, tmp_path: Path
) -> None:
    first = session(good="never -", bad="loading segfault")
    failed(first.time(["good", "bad"], rows, settings(), 0)["bad"])
    kept = first.time(["good"], rows, settings(), 0)["good"]
    again = session(good="never -", bad="loading segfault")
    same = again.time(["good"], rows, settings(), 0)["good"]
    assert np.array_equal(kept.latencies_ms, same.latencies_ms)
    runner = tmp_path / "targets" / "runners" / "bench_fake.py"
    runner.write_text(RUNNER.replace("ctypes.string_at(0)", "return"))
    mended = session(good="never -", bad="loading segfault")
    assert isinstance(mended.time(["good", "bad"], rows, settings(), 0)["bad"], Timing)


def test_what_was_measured_beside_a_failure_is_kept(session: Any, rows: Path) -> None:
    found = session(good="never -", bad="loading segfault").time(
        ["good", "bad"], rows, settings(), 0
    )
    failed(found["bad"])
    same = session(good="never -").time(["good"], rows, settings(), 0)["good"]
    assert np.array_equal(same.latencies_ms, found["good"].latencies_ms)


def test_a_kept_measurement_serves_some_of_its_programs_and_no_other_question(
    session: Any, rows: Path
) -> None:
    both = session(a="never -", b="never -").time(["a", "b"], rows, settings(), 0)
    made = session(a="never -", b="never -")
    assert np.array_equal(
        made.time(["b"], rows, settings(), 0)["b"].latencies_ms, both["b"].latencies_ms
    )
    others = [
        made.time(["b"], rows, settings(), 1)["b"],
        made.time(["b"], rows, settings(min_runs=11), 0)["b"],
        session(b="never other").time(["b"], rows, settings(), 0)["b"],
    ]
    elsewhere = session(b="never -")
    elsewhere.target = elsewhere.target.model_copy(update={"threads": 2})
    others.append(elsewhere.time(["b"], rows, settings(), 0)["b"])
    for other in others:
        assert not np.array_equal(other.latencies_ms[:10], both["b"].latencies_ms[:10])


def test_what_was_kept_says_when_it_was_taken_and_half_of_it_is_none(
    session: Any, rows: Path, tmp_path: Path
) -> None:
    old = session(a="never -")
    old.journal.sitting = "2020-01-01T00:00:00Z"
    scores = old.score("a", rows, settings())
    time.sleep(1.1)
    new = session(a="never -")
    kept = new.score("a", rows, settings())
    assert np.array_equal(kept.outputs["y"], scores.outputs["y"])
    assert new.sittings == {"2020-01-01T00:00:00Z"}
    assert new.measured_at == old.measured_at
    new.time(["a"], rows, settings(), 0)
    assert len(new.sittings) == 2
    assert new.measured_at == old.measured_at
    for path in (tmp_path / "journal").iterdir():
        path.write_bytes(path.read_bytes()[:-3])
    fresh = session(a="never -")
    fresh.score("a", rows, settings())
    assert "2020-01-01T00:00:00Z" not in fresh.sittings


def test_what_another_machine_measured_is_not_used(
    session: Any, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = session(a="never -").time(["a"], rows, settings(), 0)["a"]
    changed = session(a="never -")
    identity = changed._identity
    identity["machine"]["memory_mib"] = "17"
    new = changed.time(["a"], rows, settings(), 0)["a"]
    assert not np.array_equal(old.latencies_ms[:10], new.latencies_ms[:10])
    assert SimpleNamespace(**identity["versions"]).onnxruntime == "1"


@pytest.mark.parametrize(
    ("runtime", "changes"),
    [("1", {name: "other"}) for name in ("cpu", "arch", "flags", "cores", "memory_mib", "os")]
    + [("2", {})],
    ids=str,
)
def test_a_target_is_another_where_its_machine_or_its_runtime_is(
    session: Any, runtime: str, changes: dict[str, str]
) -> None:
    made = session(a="never -")
    machine = {"flags": "avx2", "load_average": "9"} | made._identity["machine"]
    made._identity["machine"] = machine
    same = {"machine": machine | {"load_average": "0"}, "scored": {"a": {"version": "1"}}}
    assert made._is_still(same)
    then = {"machine": machine | changes, "scored": {"a": {"version": runtime}}}
    assert not made._is_still(then)


ROWS = np.ones((7, 4), np.float32)
WANTED = ", where its signature says float32 [7, 4]"


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ({"y": ROWS, "more": ROWS}, ""),
        ({"z": ROWS}, "gave no 'y'"),
        ({"y": ROWS.astype(np.float64)}, f"gave 'y' as float64 [7, 4]{WANTED}"),
        ({"y": ROWS[:6]}, f"gave 'y' as float32 [6, 4]{WANTED}"),
        ({"y": ROWS[0]}, f"gave 'y' as float32 [4]{WANTED}"),
    ],
    ids=["as it says", "none", "type", "number", "dimensions"],
)
def test_answers_that_are_not_those_of_the_signature_are_told(
    outputs: dict[str, Any], says: str
) -> None:
    assert unlike(ONE, outputs, 7) == says
