"""Stages on the nodes of a Ray cluster: the same results, lost nodes, interruption."""

import importlib.util
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from .conftest import TINY

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason='needs ray: pip install "edgekd[ray]"'
)

SEEDS = TINY.replace("    teacher: $teacher\n", "    seeds: 3\n    teacher: $teacher\n")
LONG = "checkpoint: {every_steps: 5}\n" + SEEDS.replace("epochs: 2", "epochs: 150")
STUDENTS = ("student", "student.seed-1", "student.seed-2")
PATIENCE_S = 300
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}


@pytest.fixture(scope="module")
def short():
    """A folder whose name leaves room for those of Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def cluster(short):
    """A cluster of two nodes with one processor each, both on this machine, on loopback alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("RAY_TMPDIR", str(short))  # where it notes which cluster is the newest
        (short / "ray").mkdir()
        from ray.cluster_utils import Cluster

        head = NODE | {"include_dashboard": False, "temp_dir": str(short)}
        found = Cluster(initialize_head=True, head_node_args=head)
        try:
            found.add_node(**NODE)
            yield found
        finally:
            found.shutdown()


class Running:
    """`edgekd run` under way, with the events that it told."""

    def __init__(self, folder: Path, address: str, text: str, *, jobs: int = 2):
        (folder / "tiny.yaml").write_text(text)
        command = [sys.executable, "-m", "edgekd", "run", "tiny.yaml", "--json"]
        command += ["--jobs", str(jobs), "--ray", address]
        self.events: list[dict] = []
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._watch = threading.Timer(PATIENCE_S, self.process.kill)
        self._watch.start()

    def until(self, wanted):
        """Read events until one is as wanted."""
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if wanted(self.events[-1]):
                return self.events[-1]
        raise AssertionError(self.process.stderr.read())

    def end(self):
        """Return the exit status and what was said on standard error."""
        self.events += map(json.loads, self.process.stdout)
        with self.process.stdout, self.process.stderr as errors:
            said = errors.read()
        self._watch.cancel()
        return self.process.wait(), said


def weights(store: Path) -> dict[str, dict]:
    """Return the files of every result in a store by stage, with their digests."""
    manifests = [json.loads(path.read_text()) for path in store.glob("results/*/manifest.json")]
    return {manifest["stage"]: manifest["files"] for manifest in manifests}


def workers(folder: Path) -> list[psutil.Process]:
    """Return the worker processes that were started for a run in a folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        try:
            ours = "edgekd.pipeline.worker" in (process.info["cmdline"] or ())
            if ours and process.cwd() == str(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


def on_nodes(folder: Path, run: Running) -> list[psutil.Process]:
    """Return those of the workers that the cluster started."""
    return [worker for worker in workers(folder) if worker.ppid() != run.process.pid]


def alone(tiny, folder: Path, text: str) -> dict[str, dict]:
    """Return what a run without a cluster comes to."""
    tiny(text, store=folder / "alone")
    return weights(folder / "alone")


def gone(folder: Path) -> bool:
    """Wait until no worker is left."""
    for _ in range(100):
        if not workers(folder):
            return True
        time.sleep(0.1)
    return False


def in_training(*stages: str):
    """Return what tells that one of the stages trains and has written down its state."""
    return lambda e: e["event"] == "stage_progress" and e["stage"] in stages and e["done"] > 20


def test_the_results_are_those_of_one_after_the_other(cluster, tiny, tmp_path):
    run = Running(tmp_path, cluster.address, SEEDS)
    status, said = run.end()
    assert status == 0, said
    assert weights(tmp_path / ".edgekd") == alone(tiny, tmp_path, SEEDS)
    most = at_work = 0
    for event in run.events:
        at_work += (event["event"] == "stage_started") - (event["event"] == "stage_done")
        most = max(most, at_work)
    assert most == 2
    assert gone(tmp_path)
    assert not [*(tmp_path / ".edgekd").glob("logs/*.token")]


def test_more_workers_than_the_cluster_has_room_for_wait_for_each_other(cluster, tmp_path):
    run = Running(tmp_path, cluster.address, SEEDS, jobs=4)
    status, said = run.end()
    assert status == 0, said
    assert {*STUDENTS} <= {e["stage"] for e in run.events if e["event"] == "stage_done"}


def test_a_killed_actor_costs_no_trial_and_changes_no_byte(cluster, tiny, tmp_path):
    run = Running(tmp_path, cluster.address, LONG)
    stage = run.until(in_training(*STUDENTS))["stage"]
    victims = on_nodes(tmp_path, run)
    assert victims
    for worker in victims:
        psutil.Process(worker.ppid()).kill()
    status, said = run.end()
    assert status == 0, said
    told = {e["stage"]: e["message"] for e in run.events if e["event"] == "stage_notice"}
    assert "its node was lost" in told[stage]
    assert weights(tmp_path / ".edgekd") == alone(tiny, tmp_path, LONG)
    starts = [e for e in run.events if e["event"] == "stage_started"]
    assert len(starts) == len({e["stage"] for e in starts})
    assert gone(tmp_path)


def test_a_trial_whose_node_is_lost_twice_fails_alone_and_goes_on_later(cluster, tmp_path):
    run = Running(tmp_path, cluster.address, LONG, jobs=1)
    for _ in range(2):
        run.until(in_training("student.seed-1"))
        for worker in on_nodes(tmp_path, run):
            psutil.Process(worker.ppid()).kill()
        run.until(lambda e: e["event"] in ("stage_notice", "stage_failed"))
    status, said = run.end()
    assert status == 1, said
    failed = next(e for e in run.events if e["event"] == "stage_failed")
    assert failed["stage"] == "student.seed-1"
    assert "was lost, twice" in failed["message"]
    assert "smaller" in {e["stage"] for e in run.events if e["event"] == "stage_done"}
    again = Running(tmp_path, cluster.address, LONG)
    assert again.end()[0] == 0
    first = next(e for e in again.events if e["event"] == "stage_progress")
    assert first["stage"] == "student.seed-1"
    assert first["done"] > 20, "it went on from its checkpoint"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_workers_and_the_same_command_goes_on(cluster, tmp_path, number):
    run = Running(tmp_path, cluster.address, LONG.replace("epochs: 150", "epochs: 3000"))
    for stage in STUDENTS[:2]:
        run.until(in_training(stage))
    os.killpg(run.process.pid, number)  # as a terminal does
    status, said = run.end()
    assert status == 130, said
    assert "Interrupted in student, student.seed-1." in said
    assert {"event": "run_stopping", "after_step": True} in run.events
    assert gone(tmp_path)
    store = tmp_path / ".edgekd"
    assert len([*(store / "unfinished").iterdir()]) == 2, "their state is kept"
    assert not [*(store / "tmp").iterdir()]


def test_a_killed_run_leaves_no_worker_on_the_nodes(cluster, tmp_path):
    run = Running(tmp_path, cluster.address, LONG.replace("epochs: 150", "epochs: 3000"))
    run.until(in_training("student"))
    assert on_nodes(tmp_path, run)
    run.process.kill()
    run.end()
    assert gone(tmp_path)


def test_a_node_that_dies_hands_its_trial_to_another(cluster, tiny, tmp_path):
    third = cluster.add_node(**NODE)
    run = Running(tmp_path, cluster.address, LONG, jobs=3)
    raylet = third.all_processes["raylet"][0].process.pid

    def is_at_work(event):
        grandparents = (psutil.Process(w.ppid()).ppid() for w in on_nodes(tmp_path, run))
        return in_training(*STUDENTS)(event) and raylet in grandparents

    run.until(is_at_work)
    cluster.remove_node(third, allow_graceful=False)
    status, said = run.end()
    assert status == 0, said
    assert [e for e in run.events if e["event"] == "stage_notice"]
    assert weights(tmp_path / ".edgekd") == alone(tiny, tmp_path, LONG)


def test_an_instance_of_its_own_is_gone_with_the_run(tmp_path, short):
    home = tmp_path / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(home))
        patch.setenv("TMPDIR", str(short))
        run = Running(tmp_path, "local", TINY, jobs=1)
        run.until(lambda e: e["event"] == "stage_progress")
        family = psutil.Process(run.process.pid).children(recursive=True)
        listening = [
            c.laddr.ip for p in family for c in p.net_connections("tcp") if c.status == "LISTEN"
        ]
        status, said = run.end()
        left = [*short.glob("edgekd-ray-*")]
    assert status == 0, said
    assert listening
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}
    assert not left
    assert not [process for process in family if process.is_running()]
    assert not [*home.iterdir()], "no token is left in the user's home"


def test_a_cluster_that_does_not_answer_is_said_before_anything_runs(tmp_path):
    run = Running(tmp_path, "127.0.0.1:1", TINY)
    status, said = run.end()
    assert status == 3
    assert "no Ray cluster answers at 127.0.0.1:1" in said
    assert "Traceback" not in said
    assert "stage_started" not in {e["event"] for e in run.events}


def test_a_worker_that_fits_on_no_node_is_refused(cluster, tmp_path):
    run = Running(tmp_path, cluster.address, TINY.replace("threads: 1", "threads: 2"))
    status, said = run.end()
    assert status == 2
    assert "no node of the cluster has 2 CPUs for a worker." in said
    assert "Lower threads" in said
    assert "Traceback" not in said
