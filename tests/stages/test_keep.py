import filecmp
import shutil
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgekd.core import kinds
from edgekd.core.errors import StageError
from edgekd.core.refs import as_read
from edgekd.core.results import Restart
from edgekd.devices.answers import Failure, Scores, Timing
from edgekd.devices.bench import Session
from edgekd.pipeline.preview import StagePreview
from edgekd.report.schema.choices import Tried
from edgekd.runtimes.folder import load_program
from edgekd.stages.keep import check, keep
from edgekd.trial import race

CPU = {
    "description": "here",
    "transport": {"kind": "local"},
    "runtimes": ("onnxruntime",),
    "emulated": False,
}
QUICK = {"mode": "quick", "restarts": 2, "max_restarts": 2, "warmup_s": 0.02, "min_s": 0.02}


def options(**given: Any) -> Any:
    config = kinds.stage.get("keep").config
    named = {"model": "$pruned", "before": "$student", "bench": QUICK}
    return config.model_validate(as_read(named | given))


@pytest.fixture(scope="module")
def measured(make_bench, student, tmp_path_factory):
    """Return a bench that compared the student with itself, the run, and its facts."""
    bench = make_bench(tmp_path_factory.mktemp("kept"))
    (bench.folder / "pruned").symlink_to(student)
    bench.targets = {"cpu": CPU}
    run = bench.run("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(race, "Session", Alike)
        return bench, run, keep(options(), run)


class Alike(Session):
    """Times both, and gives the times of one for both: a busy machine makes two of the same."""

    def time(self, *given: Any) -> Any:
        timed = super().time(*given)
        return dict.fromkeys(timed, next(iter(timed.values())))


def test_what_gains_nothing_is_passed_over_for_what_it_was_made_from(measured, student):
    _, run, facts = measured
    assert not facts["pays"]
    assert facts["says"].startswith("does not pay, $student is passed on: ")
    same = filecmp.dircmp(run.out, student)
    assert (same.left_only, same.right_only, same.diff_files) == ([], [], [])
    rows = [Tried.model_validate(row) for row in facts["candidates"]]
    assert [row.name for row in rows] == ["student onnxruntime", "pruned onnxruntime"]
    assert [row.became for row in rows] == ["kept", "not kept"]
    assert all(row.restarts == 2 and "latency_p50_ms" in row.quantities for row in rows)


@pytest.fixture
def judge(measured, monkeypatch, request):
    """Return a function from what is measured of both models to the stage's facts."""
    bench, first, _ = measured

    def run_of(name: str, size: int, drop: str) -> Any:
        run = bench.run(name)
        shutil.copytree(first.unfinished / "made", run.unfinished / "made")
        for folder in (run.unfinished / "made").glob("*/result"):
            if load_program(folder).model == drop:
                shutil.rmtree(folder.parent)
            elif size and load_program(folder).model == "pruned":
                file = next(folder.glob("*.onnx"))
                file.write_bytes(file.read_bytes()[:size])
        return run

    def judged(
        ms: dict[str, list[float]],
        wrong: int = 0,
        size: int = 0,
        fails: str = "",
        drop: str = "",
        **more: Any,
    ) -> dict[str, Any]:
        monkeypatch.setattr(race, "Session", lambda *_: FakeSession(bench.task, ms, wrong, fails))
        run = run_of(f"judged {request.node.name}", size, drop)
        return dict(keep(options(**more), run)) | {"out": run.out}

    return judged


class FakeSession:
    def __init__(self, task: Any, ms: dict[str, list[float]], wrong: int, fails: str):
        self.ms, self.fails = ms, fails
        self.answers = {"student": np.concatenate(list(_labels(task)))}
        self.answers["pruned"] = self.answers["student"].copy()
        self.answers["pruned"][:wrong] = (self.answers["pruned"][:wrong] + 1) % 10

    def tell(self, told: Any) -> None:
        told("waiting, at most 60 s, for ada")

    def score(self, name: str, *_: Any) -> Scores | Failure:
        model = name.split(maxsplit=1)[0]
        if model == self.fails:
            return Failure("was killed by SIGSEGV while loading")
        return Scores({"logits": np.eye(10, dtype=np.float32)[self.answers[model]]}, "1", 1)

    def time(self, names: Any, _: Any, __: Any, number: int) -> dict[str, Timing]:
        return {name: _timing(self.ms[name.split()[0]][number]) for name in names}


def _labels(task: Any) -> Any:
    import torch

    for batch in task.batches("validation", 256, device=torch.device("cpu")):
        yield batch["labels"].numpy()


def _timing(latency: float) -> Timing:
    values = {"load_ms": 1, "first_ms": 1, "warmup_runs": 9, "runs": 20, "wall_s": 1, "cpu_s": 1}
    values |= {"peak_rss_mib": 9, "load_average": 0, "settled": True, "drift": 0.0}
    return Timing(Restart.model_validate(values), np.full(20, float(latency)), False, "1", ())


FAST = {"student": [2.0, 2.02], "pruned": [1.0, 1.02]}
SAME = {"student": [1.0, 1.02], "pruned": [1.0, 1.02]}
SLOW = {"student": [1.0, 1.02], "pruned": [2.0, 2.02]}
UNSURE = {"student": [2.0, 1.0], "pruned": [1.0, 1.5]}


def test_what_is_faster_is_kept(judge):
    facts = judge(FAST)
    assert facts["pays"]
    assert facts["says"].startswith("it pays: 2.00x [")
    assert facts["says"].endswith("] as fast on cpu")
    assert facts["result"].value == pytest.approx(2.0)


def test_what_is_smaller_and_no_slower_is_kept(judge):
    facts = judge(SAME, size=9000)
    assert facts["pays"]
    assert "smaller on cpu" in facts["says"]


def test_what_is_smaller_but_slower_is_not(judge):
    facts = judge(SLOW, size=9000)
    assert not facts["pays"]
    assert "$student is passed on: only 0.500x [" in facts["says"]


def test_what_may_be_faster_or_slower_is_not(judge):
    facts = judge(UNSURE)
    assert not facts["pays"]
    assert facts["says"].endswith("neither faster nor smaller")


def test_what_loses_more_than_allowed_is_not_however_fast(judge):
    facts = judge(FAST, wrong=10)
    assert not facts["pays"]
    assert facts["says"].endswith("loses 3.70 pt of accuracy on cpu")


def test_what_may_be_lost_is_for_the_user_to_say(judge):
    assert judge(FAST, wrong=10, max_drop=0.05)["pays"]


def test_what_does_not_run_is_not_kept(judge):
    facts = judge(FAST, fails="pruned")
    assert not facts["pays"]
    assert facts["says"].endswith("was killed by SIGSEGV while loading on cpu")


def test_what_cannot_be_exported_is_not_kept_and_the_stage_goes_on(judge, monkeypatch):
    real = kinds.stage.get("export").build

    def build(options):
        if options.model.stage != "pruned":
            return real(options)

        def fail(_run):
            raise StageError("it departs from the PyTorch model.\nBy much.", "Look.")

        return fail

    plugin = SimpleNamespace(config=kinds.stage.get("export").config, build=build)
    get = kinds.stage.get
    monkeypatch.setattr(kinds.stage, "get", lambda n: plugin if n == "export" else get(n))
    facts = judge(FAST, drop="pruned")
    assert not facts["pays"]
    assert facts["says"].endswith("passed on: it departs from the PyTorch model. on cpu")
    assert facts["candidates"][-1]["became"] == ("was not made: it departs from the PyTorch model.")


def test_a_plan_tells_where_it_cannot_be_told(digits_task):
    emulated = StagePreview({}, digits_task, {"cpu": CPU | {"emulated": True}})
    (problem,) = check(options(), emulated)
    assert problem.path == "targets[0]"
    assert "'cpu' is emulated: whether a model pays there cannot be told" in problem.message
    (problem,) = check(
        options(runtimes=["executorch"]), StagePreview({}, digits_task, {"cpu": CPU})
    )
    assert problem.path == "runtimes[0]"
    assert "lacks executorch" in problem.message
    assert not list(check(options(), StagePreview({}, digits_task, {})))
