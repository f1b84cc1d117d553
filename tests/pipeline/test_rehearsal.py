"""Rehearsals: what is taken as kept, what is shown few examples, what is left behind.

The worker is one that does nothing but say what it was asked; the real one is in tests/cli.
"""

from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

import edgekd
from edgekd.core.errors import RequestError, RunInterruptedError, StageError, UnreachableError
from edgekd.core.results import Measurements
from edgekd.pipeline import rehearsal, run
from edgekd.pipeline.forecast import as_document
from edgekd.pipeline.resolve import resolve
from edgekd.pipeline.store import Store

from .conftest import TINY

TEXT = (
    TINY.replace("    kind: distill\n", "    kind: distill\n    seeds: 2\n")
    + """\
  check:
    kind: validate
    programs: [$smaller]
    reference: $teacher
    gates: {accuracy_drop: "<= 0.1", size_mib: "<= 1", latency_p50_ms: "<= 1"}
"""
)
NOTHING = Measurements(
    reference="teacher", split="test", examples=1,
    targets=[], programs=[], measurements=[], quality=[], gates=[],
)  # fmt: skip


once = cache(resolve)


class Worker:
    """Stands in for the worker: every stage leaves a file of 1,000 bytes."""

    asked: list
    """Requests so far, of all workers."""
    facts: dict
    """By stage, what it finds out besides; an error is raised."""

    def __init__(self, log, on_stop=None):
        self.stopping = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.asked.append("closed")

    def resolve(self, request):
        return once(request)

    def ask(self, request, hear):
        read = {name: Path(folder).resolve() for name, folder in request["inputs"].items()}
        self.asked.append(request | {"read": read})
        found = self.facts.get(request["name"], {})
        if isinstance(found, BaseException):
            raise found
        out = Path(request["out"])
        (out / "weights").write_bytes(b"w" * 1000)
        if request["kind"] == "validate":
            (out / "measurements.json").write_text(NOTHING.model_dump_json())
        told = {"seconds": 10.0, "rests_on": "a guess", "grows": 1.0}
        facts = {"says": "done", "result": 0.1} | (
            {"rehearsed": told} if request["rehearse"] else {}
        )
        return {"facts": facts | found, "seconds": 1.0, "cpu_seconds": 1.0, "host": {}}


@pytest.fixture
def worker(monkeypatch):
    worker = type("Fresh", (Worker,), {"asked": [], "facts": {}})
    for module in (rehearsal, run):
        monkeypatch.setattr(module, "Workshop", worker)
    return worker


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = tmp_path_factory.mktemp("pipeline") / "tiny.yaml"
    file.write_text(TEXT)
    return file


@pytest.fixture
def rehearse(worker, file, tmp_path):
    return lambda **options: edgekd.rehearse(file, store=tmp_path / ".edgekd", **options)


def names(worker):
    return [request["name"] for request in worker.asked if request != "closed"]


def left_behind(folder):
    rooms = ("results", "tmp", "unfinished", "latest")
    return [path for room in rooms for path in (folder / ".edgekd" / room).iterdir()]


def gate(name, verdict):
    about = {"name": name, "target": "cpu", "program": "smaller", "limit": "<= 1"}
    return about | {"verdict": verdict, "measured": None, "reason": "so it is"}


def test_every_stage_is_shown_few_examples_and_nothing_is_left(rehearse, worker, tmp_path):
    found = rehearse()
    assert names(worker) == [
        "teacher", "teacher.outputs", "student", "smaller", "smaller.onnx", "teacher.onnx", "check",
    ]  # fmt: skip
    few = {"train": 2048, "validation": 512, "test": 512}
    assert all(one["rehearse"] == few for one in worker.asked if one != "closed")
    assert left_behind(tmp_path) == []
    assert found.exit_code == 0


def test_of_several_seeds_one_is_rehearsed_and_stands_for_all(rehearse, worker):
    parts = as_document(rehearse())["stages"]
    assert [p["stage"] for p in parts if p["stage"].startswith("student")] == [
        "student", "student.seed-1",
    ]  # fmt: skip
    assert {p["seconds"] for p in parts} == {10.0}
    assert "student.seed-1" not in names(worker)


def test_the_run_takes_what_its_stages_take(rehearse):
    found = as_document(rehearse())
    assert found["total"]["seconds"] == 80
    size = found["stages"][0]["disk_bytes"]
    assert size == 1000
    assert found["total"]["disk_bytes"] == 8 * size + len(NOTHING.model_dump_json())
    assert found["total"]["most_disk_bytes"] > found["total"]["disk_bytes"]


def test_what_is_kept_is_taken_and_costs_nothing(rehearse, worker, file, tmp_path):
    places = {"store": tmp_path / ".edgekd", "runs": tmp_path / "runs"}
    edgekd.run(file, until="teacher.outputs", **places)
    kept = {path: path.stat().st_mtime_ns for path in left_behind(tmp_path)}
    worker.asked.clear()
    found = rehearse()
    assert names(worker)[:2] == ["teacher.outputs", "student"]
    student = next(one for one in worker.asked if one["name"] == "student")
    assert student["read"]["teacher.outputs"].parent.parent.parent.name == "tmp", "of few examples"
    check = next(one for one in worker.asked if one["name"] == "teacher.onnx")
    assert check["read"]["teacher"].parent == tmp_path / ".edgekd" / "results"
    parts = {part["stage"]: part for part in as_document(found)["stages"]}
    assert (parts["teacher"]["action"], parts["teacher"]["seconds"]) == ("keep", 0)
    assert (parts["student"]["action"], parts["student"]["seconds"]) == ("run", 10)
    assert (parts["teacher.outputs"]["action"], parts["teacher.outputs"]["disk_bytes"]) == (
        "keep",
        0,
    )
    assert {path: path.stat().st_mtime_ns for path in left_behind(tmp_path)} == kept


def test_seeds_that_are_added_to_a_run_are_rehearsed_though_the_first_is_kept(
    worker, file, tmp_path
):
    places = {"store": tmp_path / ".edgekd", "runs": tmp_path / "runs"}
    more = tmp_path / "more.yaml"
    more.write_text(TEXT.replace("  teacher:\n", "  teacher:\n    seeds: 2\n", 1))
    edgekd.run(file, until="teacher", **places)
    worker.asked.clear()
    found = edgekd.rehearse(more, store=places["store"])
    assert names(worker)[0] == "teacher.seed-1"
    parts = {part["stage"]: part["action"] for part in as_document(found)["stages"]}
    assert (parts["teacher"], parts["teacher.seed-1"]) == ("keep", "run")


def test_seeds_of_the_file_still_differ_and_kept_stages_may_share_a_result(worker, tmp_path):
    two = tmp_path / "two.yaml"
    again = TEXT[TEXT.index("  teacher:\n") : TEXT.index("  student:\n")]
    same, other = (again.replace("  teacher:\n", f"  {name}:\n") for name in ("same", "other"))
    two.write_text(TEXT.replace("  student:\n", f"{same}{other}    seed: 1\n  student:\n", 1))
    places = {"store": tmp_path / ".edgekd", "runs": tmp_path / "runs"}
    edgekd.rehearse(two, store=places["store"])
    seeds = {one["name"]: one["seed"] for one in worker.asked if one != "closed"}
    assert seeds["other"] == seeds["teacher"] + 1
    assert "same" not in seeds
    edgekd.run(two, until="other", **places)
    assert edgekd.rehearse(two, store=places["store"]).exit_code == 0


def test_a_kept_stage_is_not_judged_by_its_answers_again(rehearse, worker, file, tmp_path):
    rows = [gate("accuracy_drop", "fail"), gate("size_mib", "pass")]
    worker.facts["check"] = {"gates": rows, "gates_failed": 1}
    edgekd.run(file, store=tmp_path / ".edgekd", runs=tmp_path / "runs")
    document = as_document(rehearse())
    assert (document["exit_code"], document["verdict"]) == (0, "within reach")
    assert [row["name"] for row in document["gates"]] == ["size_mib"]
    assert document["not_judged"] == ["accuracy_drop", "latency_p50_ms"]


def test_a_budget_of_cost_that_fails_ends_with_1_and_is_named(rehearse, worker):
    rows = [gate("latency_p50_ms", "fail"), gate("size_mib", "pass")]
    worker.facts["check"] = {"gates": rows, "gates_failed": 1}
    found = rehearse()
    assert found.exit_code == 1
    document = as_document(found)
    assert document["verdict"] == "out of reach"
    assert document["not_judged"] == ["accuracy_drop"]
    assert document["says"] == (
        "1 of 2 budgets can never be met: latency_p50_ms of smaller on cpu. "
        "Not judged: accuracy_drop."
    )


@pytest.mark.parametrize(
    ("facts", "code", "verdict", "says"),
    [
        ({"gates": [gate("size_mib", "pass")]}, 0, "within reach",
         "The budget is within reach."),
        ({"gates": [gate("size_mib", "inconclusive")]}, 0, "not told",
         "No budget is out of reach; 1 of 1 could not be told."),
        ({}, 0, "no budget", "There is no budget of time, size or memory to judge."),
        ({"failures": [{"program": "smaller", "target": "cpu"}]}, 1, "not made",
         "Not all of it can be made or measured."),
    ],
)  # fmt: skip
def test_the_last_line_says_what_is_known(rehearse, worker, facts, code, verdict, says):
    worker.facts["check"] = facts
    document = as_document(rehearse())
    assert (document["exit_code"], document["verdict"]) == (code, verdict)
    assert document["says"].startswith(says)


@pytest.mark.parametrize("error", [StageError("no."), UnreachableError("no.")])
def test_what_ends_a_run_ends_a_rehearsal_and_nothing_is_left(rehearse, worker, tmp_path, error):
    worker.facts["check"] = error
    with pytest.raises(type(error), match=r"no\."):
        rehearse()
    assert left_behind(tmp_path) == []
    assert worker.asked[-1] == "closed"


def test_one_of_several_that_fails_does_not_end_it(rehearse, worker):
    worker.facts["student"] = StageError("it diverged.")
    document = as_document(rehearse(until="student"))
    assert document["failed"] == {"student": "it diverged."}
    assert document["exit_code"] == 1
    failed, other = document["stages"][-2:]
    assert (failed["seconds"], failed["rests_on"]) == (None, "its rehearsal failed")
    assert (other["stage"], other["seconds"]) == ("student.seed-1", 10)


def test_an_interruption_says_that_nothing_is_kept(rehearse, worker, tmp_path):
    worker.facts["student"] = RunInterruptedError("After step 3.")
    with pytest.raises(RunInterruptedError, match=r"while stage student was rehearsed; nothing"):
        rehearse()
    assert left_behind(tmp_path) == []


def test_several_processes_are_refused(rehearse):
    with pytest.raises(RequestError, match="a rehearsal is of one process"):
        rehearse(nproc=2)


def test_listeners_hear_how_long_it_will_take_and_no_score(rehearse):
    events = []
    rehearse(listener=events.append)
    done = [event.facts for event in events if event.event == "stage_done"]
    assert done[0] == {"says": "will take ~10 s: a guess"}
    assert {event.reasons for event in events if event.event == "stage_started"} == {("rehearsed",)}


def test_it_waits_for_another_one_on_the_same_store(rehearse, tmp_path):
    events = []
    store = Store(tmp_path / ".edgekd")
    store.prepare()

    def hear(event):
        events.append(event.event)
        holding.close()

    holding = ExitStack()
    holding.enter_context(store.locked(rehearsal.WORK, lambda: None))
    rehearse(listener=hear)
    assert events[0] == "stage_waits"
