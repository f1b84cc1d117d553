"""What a Ray cluster must prove, and what the parent does about a lost node; all without ray."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import edgekd
from edgekd.core.errors import RequestError, RunInterruptedError, StageError
from edgekd.pipeline import ray_workshop
from edgekd.pipeline.cluster import Cluster, check_address
from edgekd.pipeline.outpost import examine
from edgekd.pipeline.proof import proof
from edgekd.pipeline.ray_workshop import NodeLostError, RayWorkshop
from edgekd.pipeline.together import Together

from .conftest import TINY
from .test_together import Recorded, Shop, a_stage


@pytest.fixture
def asked(tmp_path):
    """What a node of a cluster is asked to look at, and what it must see."""
    data, token = tmp_path / "data.bin", tmp_path / "a.token"
    data.write_bytes(b"123")
    token.write_text("secret")
    libraries = ("numpy", "torch")
    return Cluster(
        cpus=2,
        gpus=0,
        asked={
            "token": str(token),
            "paths": [str(data), str(tmp_path)],
            "distributions": [*libraries],
        },
        expected={
            "token": "secret",
            "sizes": {str(data): 3, str(tmp_path): 0},
            "proof": proof(libraries),
        },
    )


def messages(cluster, seen):
    return "\n".join(map(str, cluster.strange(seen)))


def test_a_node_like_this_one_is_fit(asked):
    assert asked.strange(examine(asked.asked)) == []


def test_a_node_without_the_store_or_the_data_is_named_with_what_it_needs(asked, tmp_path):
    (tmp_path / "a.token").unlink()
    (tmp_path / "data.bin").write_bytes(b"1234")
    said = messages(asked, examine(asked.asked))
    node = examine(asked.asked)["node"]
    assert f"node {node} does not see the store: {tmp_path / 'a.token'} is not there." in said
    assert f"{tmp_path / 'data.bin'} is another one there." in said
    (tmp_path / "data.bin").unlink()
    said = messages(asked, examine(asked.asked))
    assert f"{tmp_path / 'data.bin'} is not there." in said
    assert "under the same paths, on a file system that all share." in said


def test_a_node_with_other_code_or_libraries_is_named_with_both_versions(asked):
    seen = examine(asked.asked)
    there = json.loads(seen["proof"])
    here = there["torch"]
    said = messages(asked, seen | {"proof": json.dumps(there | {"edgekd": "x", "torch": "1.0"})})
    assert "has another edgekd than this machine." in said
    assert f"has another torch: 1.0, here {here}." in said
    assert f"Install there, for {sys.executable}, what is installed here." in said


def test_a_node_without_edgekd_says_what_python_says(asked):
    seen = examine(asked.asked)
    said = messages(asked, seen | {"proof": "", "complaint": "No module named 'edgekd'"})
    assert f"edgekd cannot be started on node {seen['node']}: No module named 'edgekd'" in said


@pytest.mark.parametrize("address", ["", "nowhere", "ray://head:10001", "head:", ":6379", "a b:1"])
def test_an_address_that_cannot_be_one_is_refused(address):
    with pytest.raises(RequestError, match="is no address of a Ray cluster") as refused:
        check_address(address)
    assert "HOST:PORT" in str(refused.value)


@pytest.mark.parametrize("address", ["local", "auto", "head:6379", "10.0.0.1:6379", "[::1]:6379"])
def test_without_ray_the_request_is_refused_before_anything_runs(
    address, tmp_path, tiny, monkeypatch
):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ray" else found(name)
    )
    with pytest.raises(RequestError, match="the package ray is not installed here") as refused:
        tiny(TINY, ray=address)
    assert 'pip install "edgekd[ray]"' in str(refused.value)
    assert not (tmp_path / ".edgekd").exists()


def test_ray_is_imported_by_nobody_who_does_not_ask_for_it():
    code = "import sys, edgekd.cli.app, edgekd.pipeline.run; sys.exit('ray' in sys.modules)"
    folder = Path(edgekd.__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode == 0


class Remote:
    """A worker process on a node that may be lost."""

    def __init__(self, answers):
        self.stdin, self.stdout = SimpleNamespace(), self
        self.stdin.write = self.stdin.close = lambda *_: None
        self.stdin.flush = self.flush
        self.answers, self.settled, self.killed = answers, True, False

    def settle(self, hear, stopping):
        pass

    def flush(self):
        self.now = self.answers.pop(0)

    def __iter__(self):
        if self.now is None:
            raise NodeLostError("node-7: ActorDiedError")
        yield json.dumps(self.now)

    def show(self, folder):
        assert [*folder.iterdir()] == []

    def wait(self, timeout=None):
        return -9

    def close(self):
        pass

    def kill(self):
        self.killed = True


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """Return a function from answers, None for a lost node, to a workshop and what it started."""

    def make(*answers):
        left, started = [*answers], []

        def start(cluster, log):
            started.append(Remote(left))
            return started[-1]

        monkeypatch.setattr(ray_workshop, "_RemoteProcess", start)
        return RayWorkshop(tmp_path / "x.log", None), started

    return make


def asks(shop, out):
    out.mkdir()
    (out / "half").write_text("left by the lost worker")
    told = []
    request = {"do": "stage", "out": str(out)}
    return shop.ask(request, lambda message: told.append(message["message"])), told


def test_a_stage_whose_node_is_lost_is_made_on_another_from_an_empty_folder(workshop, tmp_path):
    shop, started = workshop(None, {"answer": "done", "facts": {}})
    answer, told = asks(shop, tmp_path / "out")
    assert answer["answer"] == "done"
    assert told == ["its node was lost (node-7: ActorDiedError); it is tried again on another."]
    assert [one.killed for one in started] == [True, False]


def test_a_stage_whose_node_is_lost_twice_fails(workshop, tmp_path):
    shop, started = workshop(None, None, {"answer": "done"})
    with pytest.raises(StageError, match="was lost, twice: node-7"):
        asks(shop, tmp_path / "out")
    assert len(started) == 2
    assert all(one.killed for one in started)


def test_nothing_is_tried_again_when_the_run_is_to_end(workshop, tmp_path):
    shop, started = workshop(None, {"answer": "done"})
    (tmp_path / "out").mkdir()
    shop.start()
    started[0].settle = lambda hear, stopping: setattr(shop, "stopping", True)
    with pytest.raises(RunInterruptedError):
        shop.ask({"out": str(tmp_path / "out")}, lambda _: None)
    assert len(started) == 1


def test_what_a_node_wrote_must_be_seen_here(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_workshop, "SECONDS_TO_APPEAR", 0)
    monkeypatch.setattr(ray_workshop, "SECONDS_BETWEEN_LOOKS", 0)
    remote = object.__new__(ray_workshop._RemoteProcess)
    remote._node = "node-7"
    (tmp_path / "a").write_text("1")
    remote.call = lambda method, folder: {"a": 1}
    remote.show(tmp_path)
    remote.call = lambda method, folder: {"a": 1, "b": 2}
    with pytest.raises(StageError, match="what node node-7 wrote is not seen here: b"):
        remote.show(tmp_path)


def test_what_measures_or_reports_stays_here_and_idle_workers_leave_the_cluster():
    at: dict[str, str] = {}
    closed: list[str] = []

    def shop(name):
        made = Shop()
        made.name, made.close = name, lambda: closed.append(name)
        return made

    def act(stage, one):
        at[stage.name] = one.name
        if stage.name == "check":
            assert {*closed} >= {"one", "two"}

    stages = [
        a_stage("student"),
        a_stage("tuned", ["student"]),
        a_stage("check", ["tuned"], "measurements"),
        a_stage("report", ["check"], "report"),
    ]
    for stage in stages:
        stage.targets = {"cpu": {}} if stage.name == "tuned" else {}
    Together(Recorded(stages, act), [shop("one"), shop("two")], here=shop("here")).all()
    assert at == {"student": "one", "tuned": "here", "check": "here", "report": "here"}
    assert "here" not in closed
